"""Elements of `pypool.local.Pool`: one agent with all the workers, as a child process.

It is executed, not forked, and reached through pipes; that it is gone is learned from its
process, that the driver is gone it learns from its pipe.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from multiprocessing import current_process
from pathlib import Path

from pypool.engine.dealing.needs import USUAL, Need
from pypool.engine.elements.submission import Ended, News, Refused
from pypool.engine.links import Link, PipeLink
from pypool.engine.patience import PATIENCE_AT_START
from pypool.errors import SubmitError
from pypool.rundir import names, records
from pypool.rundir.pipes import enlarge
from pypool.rundir.run import RunDirectory

START = Path(__file__).parents[1] / "worker" / "start.py"
PATIENCE = 5.0

MEMORY = "/dev/shm"
MEMORY_BYTES = 1 << 30
"""So much has to be free there; containers often have 64 MiB in all."""


def private_directory() -> str:
    """Where batches and large results of local pools lie: in memory, if there is room enough."""
    try:
        room = os.statvfs(MEMORY)
    except OSError:
        return tempfile.gettempdir()
    roomy = room.f_bavail * room.f_frsize >= MEMORY_BYTES
    return MEMORY if roomy and os.access(MEMORY, os.W_OK) else tempfile.gettempdir()


_here: weakref.WeakSet[LocalElements] = weakref.WeakSet()


class LocalElements:
    """One element at a time, on this machine."""

    next_look = float("inf")
    waits_for_command = False

    def __init__(self, run: RunDirectory, variables: Mapping[str, str]) -> None:
        self._run = run
        self._variables = variables
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._links: dict[str, PipeLink] = {}
        self._refused: SubmitError | None = None
        self._count = 0
        run.make_directory(f"{names.ELEMENTS}/local")
        _here.add(self)

    def submit(self, elements: int, now: float, need: Need = USUAL) -> list[Link]:
        """Starts an agent."""
        key = f"local/{self._count}"
        element = names.element("local", self._count)
        self._count += 1
        self._run.make_directory(element)
        try:
            agent, fds = self._start_patiently(element)
        except OSError as error:
            told = f"the agent of this pool cannot be started: {error.strerror or error}"
            self._refused = SubmitError(f"{told}. {_room_for_it()}")
            return []
        self._agents[key] = agent
        link = self._links[key] = PipeLink(self._run, key, element, fds, now)
        # what a manager of the program listens to answers only to who knows this
        link.send(records.AUTHKEY, current_process().authkey)
        link.flush()
        return [link]

    def _start_patiently(self, element: str) -> tuple[subprocess.Popen[bytes], tuple[int, int]]:
        since: float | None = None
        while True:
            try:
                return self._start(element)
            except OSError as error:
                if self._run.patience is None:
                    raise
                since = self._run.patience(error, since, PATIENCE_AT_START)

    def _start(self, element: str) -> tuple[subprocess.Popen[bytes], tuple[int, int]]:
        """The agent, and our ends of its pipes."""
        with ExitStack() as ends, ExitStack() as its_ends:
            its_inbox, inbox = _pipe(its_ends, ends)
            outbox, its_outbox = _pipe(ends, its_ends)
            enlarge(its_outbox)
            argv = [sys.executable, str(START), self._run.path, element]
            agent = subprocess.Popen(
                [*argv, str(its_inbox), str(its_outbox)],
                stdin=subprocess.DEVNULL,
                pass_fds=(its_inbox, its_outbox),
                env=os.environ | self._variables,
                start_new_session=True,
            )
            ends.pop_all()
        return agent, (inbox, outbox)

    def advance(self, now: float, asks: bool, awaited: Collection[str] = ()) -> Iterator[News]:
        if self._refused is not None:
            error, self._refused = self._refused, None
            yield Refused([], error)
        for key, link in list(self._links.items()):
            if link.ended:
                code = self._agents.pop(key).wait()
                del self._links[key]
                yield Ended(key, "failed", words=f"the pool's agent {_how(code)}")

    def cancel(self, keys: list[str]) -> None:
        for key in keys:
            if key in self._agents:
                self._agents[key].kill()

    def forget(self, key: str) -> None:
        """The agent has said goodbye; it is waited for at the end."""

    def end(self, keys_pending: list[str], at_once: bool) -> None:
        """The agents have been told to stop; who does not is killed, with its workers."""
        for agent in self._agents.values():
            try:
                agent.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()
        for link in self._links.values():
            link.close()
        self._links.clear()
        shutil.rmtree(self._run.path, ignore_errors=True)

    def leave(self) -> None:
        """Nothing here outlives the driver."""

    def adopt(self, submission: object, outboxes: Mapping[int, object], now: float) -> list[Link]:
        """Nothing here has had an earlier life."""
        return []

    def pardon_nodes(self) -> None:
        """There is but this machine."""

    def explain(self) -> str:
        return "What the agent said stands on this program's standard error."


def _how(code: int) -> str:
    """How a process has ended, in words."""
    if -code in set(signal.Signals):
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """A pipe, of which each end is closed with its stack."""
    ends = os.pipe()
    for stack, end in zip((reading, writing), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _room_for_it() -> str:
    """What limits there are."""
    files, processes = (
        resource.getrlimit(each)[0] for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
    )
    return (
        f"This user may have {_in_words(processes)} processes and threads (ulimit -u), this "
        f"program {_in_words(files)} open files (ulimit -n); the machine may have no more."
    )


def _in_words(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else str(limit)


def _let_go() -> None:
    """In a fork of the driver: its pipes are not held open, or agents would not see its end."""
    for elements in _here:
        for link in elements._links.values():
            link.close()
        elements._links.clear()  # a fork of the fork has nothing to let go


os.register_at_fork(after_in_child=_let_go)
