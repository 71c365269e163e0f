"""The adapter without a scheduler: elements are child processes of this one."""

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pypool.errors import SubmitError
from pypool.schedulers import shell
from pypool.schedulers.base import ElementState, wait
from pypool.schedulers.shell import Shell


class Elements:
    """Submits job scripts below `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.scheduler = Shell()
        self.jobs: list[str] = []
        (place / "scheduler").mkdir()

    def submit(self, *lines: str, elements: int = 1) -> str:
        script = self.place / f"job{len(self.jobs)}.sh"
        script.write_text("\n".join(lines) + "\n")
        job = wait(self.scheduler.submit(str(script), f"t{len(self.jobs)}", elements))
        assert job is not None
        self.jobs.append(job)
        return job

    def states(self, job: str) -> dict[int, ElementState]:
        found = wait(self.scheduler.queue([job]))
        assert found is not None
        assert {each for each, _ in found} == {job}
        return {index: state for (_, index), state in found.items()}

    def ended(self, job: str) -> dict[int, ElementState]:
        """Waits for the end of all elements."""
        self.until(lambda: all(state.phase == "ended" for state in self.states(job).values()))
        return self.states(job)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def log(self, job: str, index: int) -> str:
        return (self.place / "scheduler" / self.scheduler.log_file(job, index)).read_text()


@pytest.fixture
def elements(tmp_path: Path) -> Iterator[Elements]:
    found = Elements(tmp_path)
    yield found
    wait(found.scheduler.cancel(found.jobs, []), timeout=10)


def test_every_element_gets_the_token_and_its_index(elements: Elements) -> None:
    """The log file of each element holds what its script printed, on both outputs."""
    job = elements.submit('echo "$1 $PYPOOL_ELEMENT"', "echo oops >&2", elements=3)
    elements.ended(job)
    assert [elements.log(job, index) for index in range(3)] == [f"{job} {i}\noops\n" for i in "012"]


def test_a_running_element_is_listed_as_such(elements: Elements) -> None:
    """As long as its process lives."""
    assert elements.states(elements.submit("exec sleep 100")) == {
        0: ElementState("running", "RUNNING")
    }


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("exit 0", ElementState("ended", "completed")),
        ("exit 3", ElementState("ended", "failed", "exit code 3", code="3")),
        ("kill -9 $$", ElementState("ended", "failed", "signal 9")),
    ],
)
def test_an_end_is_told_by_code_or_signal(
    elements: Elements, line: str, state: ElementState
) -> None:
    """Success, an exit code and a signal are three things."""
    assert elements.ended(elements.submit(line)) == {0: state}


def test_jobs_are_told_apart(elements: Elements) -> None:
    """The queue of one job does not show another."""
    first, second = elements.submit("exit 0"), elements.submit("exec sleep 100")
    assert elements.ended(first)[0].phase == "ended"
    assert elements.states(second)[0].phase == "running"


def test_one_element_is_cancelled_and_its_neighbour_is_not(elements: Elements) -> None:
    """Cancelling goes by job and index."""
    job = elements.submit("exec sleep 100", elements=2)
    wait(elements.scheduler.cancel([], [(job, 1)]))
    assert [state.phase for state in elements.states(job).values()] == ["running", "ended"]


def test_an_element_that_ignores_the_signal_is_killed(
    elements: Elements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL follows after some seconds, to what the script had started as well."""
    monkeypatch.setattr(shell, "KILL_AFTER", 0.3)
    job = elements.submit("trap '' TERM", "echo ready", "sleep 100", "sleep 100")
    elements.until(lambda: "ready" in elements.log(job, 0))
    wait(elements.scheduler.cancel([job], []), timeout=6)
    assert elements.states(job)[0].reason == "signal 9"


def test_an_element_has_five_seconds_to_leave() -> None:
    """Enough for a goodbye, and the caller is not kept waiting for ever."""
    assert shell.KILL_AFTER == 5.0


def test_secrets_are_not_handed_on(elements: Elements, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements see the cleaned environment, and in what allocation they are."""
    monkeypatch.setenv("SBATCH_ACCOUNT", "habit")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("MY_TOKEN", "secret")
    monkeypatch.setenv("PYPOOL_ORDINARY", "yes")
    job = elements.submit('echo "$SLURM_JOB_ID,$SBATCH_ACCOUNT,$MY_TOKEN,$PYPOOL_ORDINARY"')
    elements.ended(job)
    assert elements.log(job, 0) == "7,,,yes\n"


def pids(elements: Elements) -> list[int]:
    """Children of this process that run a script of these elements, or are zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            lines = (stat.parent / "cmdline").read_bytes().decode(errors="replace")
            if int(parent) == os.getpid() and (state == "Z" or str(elements.place) in lines):
                found.append(int(stat.parent.name))
    return found


def test_forgotten_elements_leave_no_zombies(elements: Elements) -> None:
    """They are waited for without a look at the queue."""
    told = elements.place / "told"
    job = elements.submit(f"until [ -e {told} ]; do sleep 0.02; done", elements=3)
    elements.scheduler.forget(job)
    assert elements.scheduler.queue([job]).value() == {}
    elements.until(lambda: len(pids(elements)) == 3)  # one that begins just now has no words yet
    told.touch()

    def tidied() -> bool:
        elements.scheduler.tidy()
        return not pids(elements)

    elements.until(tidied)


def test_a_look_at_one_job_reaps_the_others(elements: Elements) -> None:
    """Ended elements of all jobs are waited for."""
    elements.submit("exit 0")

    def reaped() -> bool:
        elements.scheduler.queue([])
        return not pids(elements)

    elements.until(reaped)


def breaks_at(number: int, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine starts so many processes and no more."""
    started = []
    real = subprocess.Popen

    def start(*words: Any, **options: Any) -> Any:
        if len(started) == number:
            raise OSError(error, os.strerror(error))
        started.append(1)
        return real(*words, **options)

    monkeypatch.setattr("pypool.schedulers.shell.subprocess.Popen", start)


@pytest.mark.parametrize(("started", "temporary"), [(0, True), (2, False)])
def test_a_submission_that_fails_leaves_nobody_behind(
    started: int, temporary: bool, elements: Elements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were started are ended before the answer comes; it is not raised at once."""
    breaks_at(started, errno.EAGAIN, monkeypatch)
    script = elements.place / "job.sh"
    script.write_text("exec sleep 100\n")
    answer = elements.scheduler.submit(str(script), "t", 4)
    with pytest.raises(SubmitError, match="temporarily unavailable") as caught:
        wait(answer)
    assert caught.value.temporary == temporary
    assert pids(elements) == []
    assert elements.scheduler.queue(["t"]).value() == {}


def test_a_token_is_found_if_its_elements_are_there(elements: Elements) -> None:
    """The token is the job."""
    job = elements.submit("exit 0")
    assert elements.scheduler.find(job).value() == [job]
    assert elements.scheduler.find("other").value() == []


def test_elements_have_no_standard_input(elements: Elements) -> None:
    """A script that reads does not take the driver's terminal."""
    job = elements.submit("cat", "echo end")
    elements.ended(job)
    assert elements.log(job, 0) == "end\n"


def test_elements_lead_sessions_of_their_own(elements: Elements) -> None:
    """Ctrl-C in the driver's terminal is the driver's affair."""
    job = elements.submit("ps -o sid= -p $$ | tr -d ' '")
    elements.ended(job)
    assert int(elements.log(job, 0)) != os.getsid(0)
