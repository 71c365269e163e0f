"""Elements of a run on a Slurm that breaks: one array is used, nothing stays in the queue."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pypool.engine.elements import asking, away, doubles, submission
from pypool.engine.elements.submission import ClusterElements, Ended, Listed, News
from pypool.engine.journal import Journal
from pypool.options import Options
from pypool.rundir import names
from pypool.rundir.run import RunDirectory
from pypool.schedulers.slurm import Slurm

from .conftest import StartSlurm
from .slurm import PrivateSlurm

PATIENCE = 60.0  # seconds

# An agent in a few lines of shell: it owns its element, says so, stays.
OWNS = """
place={run}/elements/$1/$SLURM_ARRAY_TASK_ID
if ! ( set -C; echo $SLURM_ARRAY_JOB_ID >$place/owner ) 2>/dev/null; then
    echo "pypool: elements/$1 has an owner already, leaving" >&2
    exit 5
fi
exec sleep 1000
"""


class Elements:
    """Elements of one run, without a dispatcher."""

    def __init__(self, place: Path, slurm: PrivateSlurm, interval: float = 0.5) -> None:
        self.slurm = slurm
        self.run = RunDirectory.create(str(place), {})
        options = Options(processes=4, work_dir=str(place), scheduler_interval=interval)
        self.elements = ClusterElements(self.run, Slurm(), options, Journal(self.run, 0.0))
        self.news: list[News] = []
        self.token = ""

    def submit(self, *lines: str, elements: int = 2, body: str = OWNS) -> None:
        """Asks for elements with this script."""
        logs = f"#SBATCH --output={self.run.path}/scheduler/%A_%a.out --open-mode=append"
        script = "\n".join(["#!/bin/bash", logs, *lines, body.format(run=self.run.path)])
        self.run.write(names.JOB_SCRIPT, [script.encode()])
        links = self.elements.submit(elements, time.monotonic())
        self.token = links[0].key.split("/")[0]

    def round(self) -> None:
        """One of the dispatcher's: agents that own an element are met."""
        now = time.monotonic()
        array = self.elements._submissions.get(self.token)
        for index, link in (array.links if array else {}).items():
            owner = Path(self.run.path) / names.owner(names.element(self.token, index))
            if not link.met and owner.exists() and owner.read_text().strip():
                link.meet("here", owner.read_text().strip(), now)
        self.news += self.elements.advance(now, asks=True)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Rounds, until it holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {PATIENCE} s: {what}; {self.news[-5:]}")
            self.round()
            time.sleep(0.02)

    @property
    def listed(self) -> dict[str, str]:
        """By the last good answer, by index."""
        found = [each for each in self.news if isinstance(each, Listed)]
        return (
            {key.split("/")[1]: state for key, state in found[-1].states.items()} if found else {}
        )

    @property
    def ended(self) -> dict[str, Ended]:
        return {each.key.split("/")[1]: each for each in self.news if isinstance(each, Ended)}

    def queue(self, form: str = "%F %K %T") -> list[str]:
        """All that is pending or running."""
        return self.slurm.run("squeue", "-h", "-r", "-o", form).splitlines()


@pytest.fixture
def start(
    start_slurm: StartSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Elements]]:
    """Elements on a Slurm of their own; at the end nothing is left of them."""
    monkeypatch.setattr(away, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(asking, "BETWEEN_EMPTY_ANSWERS", 2.0)
    monkeypatch.setattr(doubles, "BETWEEN_EMPTY_ANSWERS", 2.0)
    made: list[Elements] = []

    def begin(**settings: object) -> Elements:
        made.append(Elements(tmp_path, start_slurm(**settings)))
        return made[-1]

    yield begin
    for each in made:
        each.run.close()


def test_an_array_that_came_although_sbatch_gave_up_is_the_only_one(
    start: Callable[..., Elements],
) -> None:
    """The controller was stopped meanwhile; nothing is submitted twice."""
    elements = start(MessageTimeout=2)
    controller = elements.slurm.daemons["slurmctld"]
    controller.send_signal(signal.SIGSTOP)
    elements.submit()
    asked = elements.elements._submissions[elements.token].asking
    assert asked is not None
    elements.until(lambda: asked.ever_in_doubt, "sbatch gives up")
    controller.send_signal(signal.SIGCONT)
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    assert len({line.split()[0] for line in elements.queue()}) == 1
    elements.elements.end([], at_once=True)
    assert elements.queue("%F %K %T %t") == [] or {
        line.split()[2] for line in elements.queue()
    } <= {"COMPLETING"}


def test_of_two_arrays_the_owners_stay(
    start: Callable[..., Elements], caplog: pytest.LogCaptureFixture
) -> None:
    """The second one was submitted with the same token: what waits of it is cancelled."""
    elements = start(cpus=3)
    elements.submit(elements=2)
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    (array,) = elements.elements._submissions.values()
    array.doubles = doubles.Doubles(
        elements.elements._scheduler, array.token, elements.elements._away, time.monotonic()
    )
    script = f"{elements.run.path}/{names.JOB_SCRIPT}"
    name = f"--job-name=pypool-{elements.token}"
    later = elements.slurm.run(
        "sbatch", "--parsable", "--array=0-1", name, script, elements.token
    ).strip()
    elements.until(lambda: later in array.jobs, "the second array is found")
    elements.until(
        lambda: not [line for line in elements.queue() if line.startswith(f"{later} ")],
        "nothing of it is in the queue",
    )
    elements.until(lambda: len(elements.listed) == 2, "a look")
    assert elements.ended == {}
    assert len(elements.queue()) == 2
    assert "has taken a submission twice" in caplog.text
    elements.elements.end([], at_once=True)


def test_a_requeued_element_whose_agent_is_silent_has_ended(
    start: Callable[..., Elements], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put it back: its newcomer is cancelled, and the agent is missed no longer."""
    elements = start(cpus=4)
    elements.elements._watch.overdue = 3.0
    elements.submit("#SBATCH --no-requeue", elements=1)
    elements.until(lambda: elements.listed == {"0": "running"}, "it runs")
    (job,) = {line.split()[0] for line in elements.queue()}
    elements.round()
    elements.slurm.run("scontrol", "update", f"jobid={job}_0", "requeue=1")
    elements.slurm.run("scontrol", "requeue", f"{job}_0")
    elements.until(lambda: "0" in elements.ended, "its end is told")
    assert elements.ended["0"].how == "requeued"
    elements.until(lambda: not elements.queue(), "nothing waits")
    elements.elements.end([], at_once=False)


def test_a_requeued_element_whose_agent_is_heard_goes_on(start: Callable[..., Elements]) -> None:
    """The newcomer is cancelled, and its end is not taken for that of the agent."""
    elements = start(cpus=4)
    elements.submit("#SBATCH --no-requeue", elements=1)
    elements.until(lambda: elements.listed == {"0": "running"}, "it runs")
    (job,) = {line.split()[0] for line in elements.queue()}
    (array,) = elements.elements._submissions.values()
    link = array.links[0]
    elements.slurm.run("scontrol", "update", f"jobid={job}_0", "requeue=1")
    elements.slurm.run("scontrol", "requeue", f"{job}_0")

    def is_empty() -> bool:
        link.heard = time.monotonic()
        return not elements.queue()

    elements.until(is_empty, "nothing waits")
    for _ in range(100):
        link.heard = time.monotonic()
        elements.round()
        time.sleep(0.02)
    assert elements.ended == {}
    elements.elements.end([], at_once=True)


def test_who_left_at_a_signal_does_not_come_back(start: Callable[..., Elements]) -> None:
    """Its goodbye was read; the site has requeued it, which nobody but us would notice."""
    elements = start(cpus=4)
    elements.submit("#SBATCH --no-requeue", elements=1)
    elements.until(lambda: elements.listed == {"0": "running"}, "it runs")
    (job,) = {line.split()[0] for line in elements.queue()}
    (array,) = elements.elements._submissions.values()
    elements.slurm.run("scontrol", "update", f"jobid={job}_0", "requeue=1")
    elements.slurm.run("scontrol", "requeue", f"{job}_0")
    array.links[0].left_by = "signal"
    elements.elements.forget(f"{elements.token}/0")
    assert elements.elements._submissions
    elements.elements.end([], at_once=False)
    assert elements.queue() == []


def test_a_controller_that_is_killed_changes_nothing(
    start: Callable[..., Elements], caplog: pytest.LogCaptureFixture
) -> None:
    """That it is away is said on one line, and that it is back; at the end nothing is left."""
    caplog.set_level(logging.WARNING)
    elements = start(cpus=4, MessageTimeout=2)
    elements.submit()
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    elements.slurm.stop("slurmctld", signal.SIGKILL)
    elements.until(lambda: "no answer of use" in caplog.text, "it is said")
    elements.slurm.start("slurmctld")
    elements.until(lambda: "answers again" in caplog.text, "it is back")
    assert elements.ended == {}
    assert len(caplog.records) == 2
    assert all("\n" not in record.getMessage() for record in caplog.records)
    elements.elements.end([], at_once=True)
    assert elements.queue() == []


def test_what_is_held_is_said_at_the_first_look(
    start: Callable[..., Elements], caplog: pytest.LogCaptureFixture
) -> None:
    """With the command that releases it."""
    elements = start()
    elements.submit("#SBATCH --hold")
    elements.until(lambda: "scontrol release" in caplog.text, "it is said")
    assert "JobHeldUser" in caplog.text
    elements.elements.end([f"{elements.token}/{index}" for index in range(2)], at_once=False)
    assert elements.queue() == []


def test_a_python_that_is_missing_is_named(start: Callable[..., Elements]) -> None:
    """By the exit code and the element's log."""
    elements = start()
    elements.submit(body="exec /nowhere/python3 x")
    elements.until(lambda: len(elements.ended) == 2, "both end")
    end = elements.ended["0"]
    assert end.how == "failed"
    assert "exit code 127:0 on n1" in end.words
    assert "the Python of the job script is not there on the node (/nowhere/python3)" in end.words
    told = elements.elements.explain()
    assert "/nowhere/python3: No such file or directory" in told
    assert "The likely cause: the Python of the job script" in told
    assert told.endswith(f"The job script is {elements.run.path}/{names.JOB_SCRIPT}.")


def test_a_log_that_cannot_be_written_is_named(start: Callable[..., Elements]) -> None:
    """Slurm itself says no more than 0:53."""
    elements = start()
    elements.submit()
    script = f"#!/bin/bash\n#SBATCH --output=/proc/nowhere/%A_%a.out\n{OWNS}"
    elements.run.write(names.JOB_SCRIPT, [script.encode()])
    elements.elements.submit(1, time.monotonic())
    elements.until(lambda: bool(elements.ended), "one ends")
    assert "the node could not open the element's log" in next(iter(elements.ended.values())).words
    elements.elements.end([], at_once=True)


def test_a_bad_node_is_left_out(
    start: Callable[..., Elements], caplog: pytest.LogCaptureFixture
) -> None:
    """After two elements have ended early there; if that leaves no node, it is taken.

    That the second one still ran while the first one had ended says nothing good of the node.
    """
    elements = start(nodes=2, cpus=2)
    one_by_one = "sleep $((2 * SLURM_ARRAY_TASK_ID)); exit 127"
    bad = f'if [ "$SLURMD_NODENAME" = n1 ]; then {one_by_one}; fi\n' + OWNS
    elements.submit("#SBATCH --nodelist=n1", body=bad)
    elements.until(lambda: len(elements.ended) == 2, "both end")
    elements.submit(body=bad)
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    assert set(elements.queue("%N")) == {"n2"}
    assert "elements ended early on n1" in caplog.text
    elements.elements._ends._nodes["n2"] = 2
    elements.submit(elements=1, body=bad)
    elements.until(lambda: "they are not left out" in caplog.text, "it is said")
    elements.elements.end([], at_once=True)


def test_what_ended_while_the_controller_was_away_does_not_stay(
    start: Callable[..., Elements],
) -> None:
    """Slurm takes it for a failed launch and holds it in the queue, for ever."""
    elements = start(cpus=4, MessageTimeout=2)
    mark = Path(elements.run.path) / "done"
    body = f"until [ -e {mark}.$SLURM_ARRAY_TASK_ID ]; do sleep 0.1; done"
    elements.submit("#SBATCH --requeue", body=body)
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    elements.slurm.stop("slurmctld", signal.SIGKILL)
    for index in range(2):
        Path(f"{mark}.{index}").touch()
    for node in elements.slurm.nodes:
        elements.slurm.stop(
            node
        )  # else it tells the controller of the ends as soon as that is back
    for daemon in ("slurmctld", *elements.slurm.nodes):
        elements.slurm.start(daemon)
    elements.until(lambda: len(elements.ended) == 2, "both are over")
    elements.elements.end([], at_once=False)
    assert elements.queue() == []


def test_a_controller_that_is_stopped_at_the_end_leaves_a_command(
    start: Callable[..., Elements],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end does not wait for ever, and says by what the jobs are found."""
    elements = start(cpus=4, MessageTimeout=2)
    elements.submit()
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    controller = elements.slurm.daemons["slurmctld"]
    controller.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(submission, "CANCEL_PATIENCE", 1.0)
    began = time.monotonic()
    elements.elements.end([], at_once=True)
    controller.send_signal(signal.SIGCONT)
    assert time.monotonic() - began < 10
    assert f"scancel --name=pypool-{elements.token}" in caplog.text


def test_a_controller_that_comes_back_at_the_end_is_told(
    start: Callable[..., Elements], caplog: pytest.LogCaptureFixture
) -> None:
    """A cancellation that has failed is tried again: nothing is left, nothing to do by hand."""
    elements = start(cpus=4, MessageTimeout=2)
    elements.submit()
    elements.until(lambda: elements.listed == {"0": "running", "1": "running"}, "both run")
    elements.slurm.stop("slurmctld", signal.SIGKILL)
    starter = threading.Timer(2.0, lambda: elements.slurm.start("slurmctld"))
    starter.start()
    elements.elements.end([], at_once=True)
    starter.join()
    assert "scancel --name" not in caplog.text
    assert elements.queue() == []
