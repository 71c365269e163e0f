"""What every scheduler adapter offers, and the one place that starts a scheduler's command.

Nothing here waits: an adapter gives a `Pending` answer, and the dispatcher asks it now and then
whether it is there. A command that does not end within its time limit is killed and counts as
"no answer", which is evidence of nothing.
"""

import errno
import logging
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

from pypool.errors import PoolError
from pypool.printable import printable

log = logging.getLogger("pypool")

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

COMMAND_TIMEOUT = 60.0
"""Seconds; clients of Slurm were seen to give up by themselves after 10 to 18."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended.

    Attributes
    ----------
    code : int or None
        Its exit code; None if it was killed because its time was over.
    not_run : int
        The errno by which it could not even be started, or 0.
    """

    argv: tuple[str, ...]
    code: int | None
    stdout: str
    stderr: str
    not_run: int = 0

    def told(self) -> str:
        """The command and what came back, for a message."""
        end = "was killed: no answer in time" if self.code is None else f"exit code {self.code}"
        said = (self.stderr.strip() + "\n" + self.stdout.strip()).strip() or "(it said nothing)"
        said = printable(said).replace("\n", "\n    ")
        return f"    {shlex.join(self.argv)}\n{end}:\n    {said}"

    def words(self) -> str:
        """What came back, on one line."""
        said = one_line(self.stderr) or one_line(self.stdout)
        if self.code is None:
            said = f"no answer in time {said}".strip()
        return f"{self.argv[0]}: {said or f'exit code {self.code}'}"


LONGEST_WORDS = 300


def one_line(text: str) -> str:
    """What somebody printed, for a message that has one line."""
    lines = [line.strip() for line in printable(text).splitlines() if line.strip()]
    line = " / ".join(lines).replace("\t", " ")
    return line if len(line) <= LONGEST_WORDS else f"{line[:LONGEST_WORDS]} ..."


KILL_PATIENCE = 1.0

SHORTAGES = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.ENOSPC}
)
"""Why a command cannot be started now, though it may be later."""


class CommandError(PoolError):
    """A scheduler's command gave no usable answer.

    Attributes
    ----------
    words : str
        What it said, on one line.
    """

    def __init__(self, told: str, words: str = "") -> None:
        super().__init__(told)
        self.words = words or one_line(told)


class Pending(Protocol[T_co]):
    """An answer that may not be there yet."""

    def done(self) -> bool: ...

    def value(self) -> T_co:
        """The answer, once done; or raises what came instead."""
        ...


class Answered(Generic[T]):
    """An answer that is there at once."""

    def __init__(self, value: T) -> None:
        self._value = value

    def done(self) -> bool:
        return True

    def value(self) -> T:
        return self._value


class Then(Generic[S, T]):
    """An answer that needs another one first.

    Parameters
    ----------
    first : Pending
        Asked for already.
    follow : callable
        Takes the first answer and asks for the second.
    """

    def __init__(self, first: Pending[S], follow: Callable[[S], Pending[T]]) -> None:
        self._first = first
        self._follow = follow
        self._second: Pending[T] | None = None
        self._error: PoolError | None = None

    def done(self) -> bool:
        if self._second is None and self._error is None:
            if not self._first.done():
                return False
            try:
                self._second = self._follow(self._first.value())
            except PoolError as error:
                self._error = error
        return self._second is None or self._second.done()

    def value(self) -> T:
        if self._error is not None:
            raise self._error
        if self._second is None:
            raise RuntimeError("the first answer is not there")
        return self._second.value()


class Mapped(Generic[S, T]):
    """Another reading of an answer, which several may share."""

    def __init__(self, asked: Pending[S], read: Callable[[S], T]) -> None:
        self._asked = asked
        self._read = read

    def done(self) -> bool:
        return self._asked.done()

    def value(self) -> T:
        return self._read(self._asked.value())


class Command(Generic[T]):
    """A running command, and how to read what it will have printed.

    Parameters
    ----------
    argv : sequence of str
        Never a line for a shell.
    environment : mapping
        All that the command sees of the driver's environment.
    read : callable
        Makes the answer of the completed command, or raises.
    timeout : float
        Seconds until it is killed.
    """

    def __init__(
        self,
        argv: Iterable[str],
        environment: Mapping[str, str],
        read: Callable[[Completed], T],
        timeout: float = COMMAND_TIMEOUT,
    ) -> None:
        self._argv = tuple(argv)
        self._read = read
        self._deadline = time.monotonic() + timeout
        self._completed: Completed | None = None
        log.debug("runs %s", shlex.join(self._argv))
        try:
            self._start(environment)
        except OSError as error:
            told = f"cannot be run: {error.strerror}"
            self._completed = Completed(self._argv, 127, "", told, error.errno or -1)

    def _start(self, environment: Mapping[str, str]) -> None:
        with ExitStack() as on_failure:
            self._output = on_failure.enter_context(tempfile.TemporaryFile())
            self._errors = on_failure.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                self._argv,
                executable=shutil.which(self._argv[0]),  # by our PATH, not by the tasks'
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._errors,
                cwd=None if _has_directory() else "/",  # jobs begin where they are submitted
                env=dict(environment),
                start_new_session=True,
            )
            on_failure.pop_all()  # the files live as long as the command
        _commands_here().add(self)

    def done(self) -> bool:
        if self._completed is None:
            code = self._process.poll()
            if code is None and time.monotonic() > self._deadline:
                _kill_all(self._process)
            elif code is None:
                return False
            self._completed = Completed(
                self._argv, code, _all_of(self._output), _all_of(self._errors)
            )
        return True

    @property
    def failed(self) -> bool:
        """It has ended, and its exit code is not zero."""
        return self._completed is not None and self._completed.code != 0

    def value(self) -> T:
        if self._completed is None:
            raise RuntimeError("the command has not ended")
        return self._read(self._completed)

    def kill(self) -> None:
        """Ends it, if it has not ended: nobody wants its answer."""
        if self._completed is None and self._process.poll() is None:
            _kill_all(self._process)


_by_thread = threading.local()


def _commands_here() -> "weakref.WeakSet[Command[Any]]":
    """What this thread has started: the dispatcher of a run is one thread."""
    found: weakref.WeakSet[Command[Any]] | None = getattr(_by_thread, "commands", None)
    if found is None:
        found = _by_thread.commands = weakref.WeakSet()
    return found


def abandon() -> None:
    """Ends all commands that this thread has started: nobody waits for their answers any more."""
    for command in list(_commands_here()):
        command.kill()


def wait(pending: Pending[T], timeout: float = COMMAND_TIMEOUT) -> T | None:
    """Waits for the answer; None if it does not come in time."""
    deadline = time.monotonic() + timeout
    while not pending.done():
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    return pending.value()


Phase = Literal["pending", "running", "suspended", "ended"]


class ElementState(NamedTuple):
    """What the scheduler says of one array element.

    Attributes
    ----------
    phase : str
        What it means to us.
    word : str
        How it ended, in our words, or the scheduler's own word.
    reason : str
        The scheduler's reason, if it gives one.
    node : str
        Where it runs, or has run.
    code : str
        With what exit code it ended, in the scheduler's own form, if that is known.
    """

    phase: Phase
    word: str
    reason: str = ""
    node: str = ""
    code: str = ""


Element = tuple[str, int]
"""Job id and index."""


class Cause(NamedTuple):
    """What has ended an element.

    Attributes
    ----------
    how : str
        In our words.
    likely : str
        The likely cause, as a person should read it; nothing if nobody can tell.
    intruder : bool
        This was no end of an agent: one that came second to the element has left again.
    """

    how: str
    likely: str = ""
    intruder: bool = False


class Scheduler(ABC):
    """One scheduler's commands."""

    name: ClassVar[str]
    agents_know_job: ClassVar[bool] = True
    """Agents find the id of their job in their environment."""

    interval: ClassVar[float | None] = None
    """Seconds between two looks at the queue, if looking costs next to nothing."""

    nodes = 1
    """On so many nodes elements are placed in turn, if we place them ourselves."""

    title = "pypool"
    """What the names of its jobs begin with."""

    variables: Mapping[str, str] = {}
    """What the elements' environment has besides the driver's own."""

    def job_name(self, token: str) -> str:
        """By this a job is found again."""
        return f"{self.title}-{token}"

    def environment(self) -> dict[str, str]:
        """The environment in which jobs are submitted, and which travels to the elements."""
        return clean_environment() | dict(self.variables)

    @abstractmethod
    def submit(
        self, script: str, token: str, elements: int, avoid: Collection[str] = ()
    ) -> Pending[str]:
        """Submits an array of the job script; gives the job id, or raises SubmitError.

        Whatever is wrong is raised by the answer, never here.

        Parameters
        ----------
        avoid : collection of str
            Nodes on which it is not to run.
        """

    @abstractmethod
    def find(self, token: str, queued_only: bool = False) -> Pending[list[str]]:
        """The ids of all jobs that were submitted with this token, the oldest first.

        Raises CommandError if that cannot be known now.

        Parameters
        ----------
        queued_only : bool
            What has left the queue does not matter: to look for that may cost a lot.
        """

    @abstractmethod
    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        """What the scheduler knows of these jobs' elements, or raises CommandError."""

    def ends(self, elements: list[Element]) -> Pending[dict[Element, ElementState]]:
        """How elements have ended that the queue does not list any more, as far as it is known.

        Asked only of those of which nobody else knows it: to look back may cost a lot.
        """
        return Answered({})

    @abstractmethod
    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        """Cancels whole jobs and single elements, with one command."""

    def cancel_pending(self, elements: list[Element]) -> Pending[None]:
        """Cancels those of these elements that wait in the queue, and nobody who runs."""
        jobs = sorted({job for job, _ in elements})

        def follow(states: dict[Element, ElementState]) -> Pending[None]:
            waiting = [
                each for each in elements if each in states and states[each].phase == "pending"
            ]
            return self.cancel([], waiting) if waiting else Answered(None)

        return Then(self.queue(jobs), follow)

    def names_of(self, jobs: list[str]) -> Pending[dict[str, str]]:
        """What these jobs are called, as far as they are there; or raises CommandError.

        An id may have been given to another job meanwhile: asked before anything is cancelled.
        """
        return Answered({})

    @abstractmethod
    def cancel_by_hand(self, token: str) -> str:
        """The command by which the user cancels the job of this token."""

    def forget(self, job: str) -> None:  # noqa: B027 - most schedulers remember by themselves
        """All elements of the job are over: it will not be asked for any more."""

    def tidy(self) -> None:  # noqa: B027
        """Is called often: what ended processes have left here is cleared away."""

    def settle(self) -> Pending[None]:
        """What is to be waited for when all agents have left."""
        return Answered(None)

    def advice(self, state: ElementState, job: str) -> str:
        """What to do about an element that will not run if nobody does anything; or nothing."""
        return ""

    def why_not(self, job: str) -> Pending[str]:
        """Why a job that waits can never run, if that has to be asked; nothing if it can."""
        return Answered("")

    def cause(self, state: ElementState, log: str) -> Cause:
        """What is likely to have ended an element, by what is known of it and its log's end."""
        return Cause(state.word)

    def grace(self) -> Pending[float]:
        """Seconds between the signal that announces the end of an element and its end."""
        return Answered(0.0)

    def explain(self, job: str) -> Pending[str]:
        """What else the scheduler has to say of a job that ended; for messages only."""
        return Answered("")

    def limit(self) -> Pending[int | None]:
        """How many elements one array may have; None if there is no limit or it is not known."""
        return Answered(None)

    def parallel_environment(self) -> Pending[str | None]:
        """What gives an element several slots of one host, if such a thing has to be named."""
        return Answered(None)

    def gpu_request(self, gpus: int, slots: int) -> Pending[str]:
        """How an element with so many slots asks for GPUs, if the name of that differs by site.

        Raises SubmitError if it cannot.
        """
        return Answered("")

    def ping(self) -> Pending[bool]:
        """True, or CommandError if the scheduler does not answer."""
        return Answered(True)

    def log_file(self, job: str, index: int) -> str:
        """The element's log in the run's scheduler directory."""
        return f"{job}_{index}.out"

    # -- the language of its job scripts

    def log_pattern(self, logs: str) -> str:
        """The name of an element's log file in the directory `logs`, as the scheduler fills it in.

        Raises
        ------
        SubmitError
            If the scheduler cannot write there.
        """
        return f"{logs}/"

    def directive(self, value: str) -> str:
        """A value, which is one line, as it stands in an option of the job script.

        Raises
        ------
        SubmitError
            If it cannot be expressed there.
        """
        return shlex.quote(value)


_SECRET = ("TOKEN", "SECRET", "PASS", "KEY")
_SCHEDULER = (
    "SLURM_", "SLURMD_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SACCT_", "SALLOC_", "SRUN_",
    "SINFO_", "PMI", "OMPI_", "PBS_", "SGE_",
)  # fmt: skip
_SHELL = ("BASH_FUNC_",)
_DROPPED = frozenset(
    {"BASH_ENV", "ENV", "JOB_ID", "JOB_NAME", "TASK_ID", "XDG_RUNTIME_DIR"}
    | {"DBUS_SESSION_BUS_ADDRESS", "SHELLOPTS", "BASHOPTS"}
)
_OF_GRID_ENGINE = frozenset(
    {"ARC", "ENVIRONMENT", "JOB_SCRIPT", "NHOSTS", "NQUEUES", "NSLOTS", "PE", "PE_HOSTFILE"}
    | {"QUEUE", "REQNAME", "REQUEST", "RESTARTED"}
)
"""What Grid Engine sets in its jobs; outside of one they may be the user's own variables."""
_KEPT = frozenset(
    {"SLURM_CONF", "SLURM_CLUSTERS"}
    | {"SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT"}
)
"""Where the scheduler is: without these its commands ask another one, or none."""


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which commands are run, and which travels to the elements.

    Left out are the variables by which an outer job or the user's habits would change what the
    scheduler's commands do or print, what makes shells run code, and what looks like a secret.
    """
    given = os.environ if environment is None else environment
    inside = "JOB_ID" in given and "SGE_ROOT" in given
    dropped = _DROPPED | _OF_GRID_ENGINE if inside else _DROPPED
    cleaned = {
        name: value
        for name, value in given.items()
        if name in _KEPT
        or not (
            name.startswith(_SCHEDULER + _SHELL)
            or name in dropped
            or any(word in name.upper() for word in _SECRET)
        )
    }
    if inside and "PATH" in cleaned and cleaned.get("TMPDIR"):
        # Grid Engine puts the job's own folder in front; elsewhere anybody could make it
        places = cleaned["PATH"].split(os.pathsep)
        cleaned["PATH"] = os.pathsep.join(each for each in places if each != cleaned["TMPDIR"])
    return cleaned


def _has_directory() -> bool:
    """Somebody may have removed the one in which this program was started."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """The command and what it has started: it leads a session of its own.

    One that hangs in a disk that does not answer dies later. It is waited for when the next process
    is started, by `subprocess`.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(KILL_PATIENCE)


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    with file:
        return file.read().decode(errors="replace")
