"""Running a scheduler's command: in its own time, with its own environment, without a shell."""

import errno
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pypool.schedulers import base
from pypool.schedulers.base import (
    Answered,
    Command,
    CommandError,
    Completed,
    Pending,
    Then,
    clean_environment,
    wait,
)


def as_it_is(done: Completed) -> Completed:
    return done


def run(
    *argv: str, timeout: float = 30.0, environment: dict[str, str] | None = None
) -> Completed | None:
    given = dict(os.environ) if environment is None else environment
    return wait(Command(argv, given, as_it_is, timeout))


def is_gone(pid: int) -> bool:
    """No such process, or one that nobody has waited for yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def soon(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# ---- commands


def test_code_and_both_outputs_come_back() -> None:
    """What a command printed, where, and how it ended."""
    argv = ("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert run(*argv) == Completed(argv, 3, "out\n", "err\n")


def test_a_running_command_is_not_waited_for(tmp_path: Path) -> None:
    """`done` answers at once while the command still runs."""
    command = Command(["/bin/cat", str(fifo(tmp_path))], {}, as_it_is)
    assert not command.done()
    with pytest.raises(RuntimeError):
        command.value()
    (tmp_path / "fifo").write_text("go")
    assert wait(command) is not None


def fifo(place: Path) -> Path:
    os.mkfifo(place / "fifo")
    return place / "fifo"


def test_a_command_that_takes_too_long_is_killed() -> None:
    """Its answer has no exit code, which is not the same as a failure."""
    done = run("/bin/sleep", "1000", timeout=0.05)
    assert done is not None
    assert done.code is None


def test_a_command_that_cannot_be_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs in a disk that does not answer, and dies when that does."""
    kill = os.killpg
    monkeypatch.setattr(base, "KILL_PATIENCE", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda group, number: None)
        command = Command(["/bin/sleep", "1000"], {}, as_it_is, timeout=0.05)
        done = wait(command)
    assert done is not None
    assert done.code is None
    kill(command._process.pid, signal.SIGKILL)
    command._process.wait()


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are run where every machine has a directory."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = run("/bin/pwd")
    assert done is not None
    assert done.stdout == "/\n"


def test_what_the_command_has_started_is_killed_with_it(tmp_path: Path) -> None:
    """A wrapper script at some site must not leave its real command behind."""
    note = tmp_path / "pid"
    line = f"sleep 100 & echo $! >'{note}.new'; mv '{note}.new' '{note}'; wait"
    command = Command(["/bin/sh", "-c", line], dict(os.environ), as_it_is, timeout=0.2)
    assert soon(note.exists)
    assert wait(command) is not None
    assert soon(lambda: is_gone(int(note.read_text())))


def test_a_missing_program_is_an_answer_that_says_so() -> None:
    """The reader of the answer sees a shell's exit code for it, and why."""
    done = run("/no/such/program", "x")
    assert done is not None
    assert done.code == 127
    assert "/no/such/program x" in done.told()
    assert "cannot be run: No such file or directory" in done.told()
    assert done.not_run == errno.ENOENT


def test_a_shortage_of_files_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised where the command is started."""

    def full() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    done = run("/bin/true")
    assert done is not None
    assert done.not_run == errno.EMFILE


def test_a_large_output_blocks_nobody() -> None:
    """Ten megabytes come through although nobody reads while the command runs."""
    done = run(sys.executable, "-c", "import sys; sys.stdout.write('x' * 10_000_000)")
    assert done is not None
    assert len(done.stdout) == 10_000_000


@pytest.mark.parametrize(
    "text", ["$(touch marker)", "`touch marker`", "; touch marker", "a  b*'\""]
)
def test_arguments_are_never_seen_by_a_shell(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in an argument arrives as it is."""
    monkeypatch.chdir(tmp_path)
    done = run("/usr/bin/printf", "%s", text)
    assert done is not None
    assert done.stdout == text
    assert list(tmp_path.iterdir()) == []


def test_the_command_sees_the_given_environment_alone() -> None:
    """Nothing of the driver's own environment is added."""
    done = run("/usr/bin/env", environment={"ONLY": "this"})
    assert done is not None
    assert done.stdout == "ONLY=this\n"


def test_bytes_that_are_no_text_do_not_break_the_answer() -> None:
    """A scheduler may print in another encoding."""
    done = run("/usr/bin/printf", r"a\377b")
    assert done is not None
    assert done.stdout == "a\ufffdb"


def test_the_reader_makes_the_answer() -> None:
    """`value` gives what the reader made of the output."""
    command = Command(["/bin/echo", "7"], {}, lambda done: int(done.stdout))
    assert wait(command) == 7


def test_waiting_ends_without_an_answer() -> None:
    """`wait` gives None if the command runs on."""
    command = Command(["/bin/sleep", "100"], {}, as_it_is, timeout=0.1)
    assert wait(command, timeout=0.02) is None
    assert wait(command) is not None


def test_an_answer_that_is_there_is_done() -> None:
    """Adapters without commands answer at once."""
    assert wait(Answered(5)) == 5


# ---- one answer after another


class Later:
    """An answer that comes when the test says so."""

    def __init__(self) -> None:
        self.answer: int | CommandError | None = None

    def done(self) -> bool:
        return self.answer is not None

    def value(self) -> int:
        if not isinstance(self.answer, int):
            raise self.answer or RuntimeError
        return self.answer


def test_the_second_question_waits_for_the_first_answer() -> None:
    """It is asked with that answer, and once."""
    first, second, asked = Later(), Later(), []

    def ask(value: int) -> Pending[int]:
        asked.append(value)
        return second

    both = Then(first, ask)
    assert (both.done(), asked) == (False, [])
    with pytest.raises(RuntimeError):
        both.value()
    first.answer = 1
    assert (both.done(), both.done(), asked) == (False, False, [1])
    second.answer = 2
    assert wait(both) == 2


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failed_answer_is_the_answer(failing: int) -> None:
    """Whichever of the two; after the first the second is not asked for."""
    first, second = Later(), Later()
    first.answer = second.answer = 1
    (first, second)[failing].answer = CommandError("no answer")
    both = Then(first, lambda _: second if failing else pytest.fail("was asked for"))
    assert both.done()
    with pytest.raises(CommandError, match="no answer"):
        both.value()


# ---- environment

OUT = """
SLURM_JOB_ID SLURM_ARRAY_TASK_ID SLURM_CPUS_PER_TASK SLURMD_NODENAME SBATCH_ARRAY_INX
SBATCH_PARTITION SQUEUE_FORMAT SCANCEL_QUIET SACCT_FORMAT SALLOC_ACCOUNT SRUN_DEBUG
SINFO_FORMAT PMI_RANK PMIX_RANK OMPI_COMM_WORLD_RANK PBS_JOBID SGE_TASK_ID JOB_ID TASK_ID
BASH_ENV ENV BASH_FUNC_module%% SHELLOPTS BASHOPTS XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
GITHUB_TOKEN my_token AWS_SECRET_ACCESS_KEY Client_Secret PGPASSWORD passphrase API_KEY apikey
"""
IN = """
SLURM_CONF SLURM_CLUSTERS SGE_ROOT SGE_CELL SGE_QMASTER_PORT SGE_EXECD_PORT PATH HOME
PYTHONPATH LD_LIBRARY_PATH OMP_NUM_THREADS CONDA_PREFIX VIRTUAL_ENV LANG USER TMPDIR
"""


@pytest.mark.parametrize("name", OUT.split())
def test_what_misleads_or_is_secret_stays_behind(name: str) -> None:
    """Outer jobs, habits, code for shells and secrets do not travel."""
    assert clean_environment({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("name", IN.split())
def test_what_is_needed_travels(name: str) -> None:
    """Where the scheduler is, and everything ordinary."""
    assert clean_environment({name: "x"}) == {name: "x"}


OF_GRID_ENGINE = """
ARC ENVIRONMENT JOB_SCRIPT NHOSTS NQUEUES NSLOTS PE PE_HOSTFILE QUEUE REQNAME REQUEST RESTARTED
"""


@pytest.mark.parametrize("name", OF_GRID_ENGINE.split())
@pytest.mark.parametrize("outer", [{}, {"JOB_ID": "7"}, {"SGE_ROOT": "/sge"}])
def test_ordinary_names_travel_outside_of_grid_engine(name: str, outer: dict[str, str]) -> None:
    """They may be the user's own."""
    assert clean_environment({name: "x"} | outer)[name] == "x"


@pytest.mark.parametrize("name", OF_GRID_ENGINE.split())
def test_an_outer_job_of_grid_engine_stays_behind(name: str) -> None:
    """Inside of a job they say what that job has."""
    outer = {"JOB_ID": "7", "SGE_ROOT": "/sge"}
    assert clean_environment({name: "x"} | outer) == {"SGE_ROOT": "/sge"}


def test_an_outer_jobs_folder_is_taken_off_the_path() -> None:
    """Grid Engine puts it in front; on another machine somebody else could make it."""
    outer = {"JOB_ID": "7", "SGE_ROOT": "/sge", "TMPDIR": "/tmp/7.1.all.q"}
    inside = clean_environment(outer | {"PATH": "/tmp/7.1.all.q:/usr/bin:/bin"})
    assert (inside["PATH"], inside["TMPDIR"]) == ("/usr/bin:/bin", "/tmp/7.1.all.q")
    assert clean_environment({"TMPDIR": "/tmp", "PATH": "/tmp:/bin"})["PATH"] == "/tmp:/bin"


def test_without_an_argument_it_is_the_environment_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver's variables as they are now."""
    monkeypatch.setenv("PYPOOL_ORDINARY", "1")
    monkeypatch.setenv("SBATCH_ACCOUNT", "1")
    cleaned = clean_environment()
    assert cleaned["PYPOOL_ORDINARY"] == "1"
    assert "SBATCH_ACCOUNT" not in cleaned
