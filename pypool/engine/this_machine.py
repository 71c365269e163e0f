"""Elements of `pypool.local.Pool`: one agent with all the workers, as a child process.

It is executed, not forked, and reached through pipes; that it is gone is learned from its
process, that the driver is gone it learns from its pipe.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping
from multiprocessing import current_process
from pathlib import Path

from pypool.engine.dealing.needs import USUAL, Need
from pypool.engine.elements.submission import Ended, News
from pypool.engine.links import Link, PipeLink
from pypool.rundir import names, records
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
        self._count = 0
        run.make_directory(f"{names.ELEMENTS}/local")
        _here.add(self)

    def submit(self, elements: int, now: float, need: Need = USUAL) -> list[Link]:
        """Starts an agent."""
        key = f"local/{self._count}"
        element = names.element("local", self._count)
        self._count += 1
        self._run.make_directory(element)
        its_inbox, inbox = os.pipe()
        outbox, its_outbox = os.pipe()
        link = self._links[key] = PipeLink(self._run, key, element, (inbox, outbox), now)
        # what a manager of the program listens to answers only to who knows this
        link.send(records.AUTHKEY, current_process().authkey)
        link.flush()
        argv = [sys.executable, str(START), self._run.path, element]
        self._agents[key] = subprocess.Popen(
            [*argv, str(its_inbox), str(its_outbox)],
            stdin=subprocess.DEVNULL,
            pass_fds=(its_inbox, its_outbox),
            env=os.environ | self._variables,
            start_new_session=True,
        )
        os.close(its_inbox)
        os.close(its_outbox)
        return [link]

    def advance(self, now: float, asks: bool, awaited: Collection[str] = ()) -> Iterator[News]:
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

    def explain(self) -> str:
        return "What the agent said stands on this program's standard error."


def _how(code: int) -> str:
    """How a process has ended, in words."""
    if -code in set(signal.Signals):
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"


def _let_go() -> None:
    """In a fork of the driver: its pipes are not held open, or agents would not see its end."""
    for elements in _here:
        for link in elements._links.values():
            link.close()
        elements._links.clear()  # a fork of the fork has nothing to let go


os.register_at_fork(after_in_child=_let_go)
