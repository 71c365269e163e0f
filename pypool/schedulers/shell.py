"""No scheduler: the job script as child processes, on this machine or in an allocation.

For use inside an allocation, where a launcher like `srun` starts them on other nodes, and for
tests. Elements are told apart by PYPOOL_ELEMENT, as array elements are by their scheduler's own
variable.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pypool.errors import SubmitError
from pypool.schedulers import causes
from pypool.schedulers.base import (
    SHORTAGES,
    Answered,
    Cause,
    Element,
    ElementState,
    Pending,
    Scheduler,
)

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL."""


_Process = subprocess.Popen[bytes]


class Shell(Scheduler):
    """See the module."""

    name: ClassVar[str] = "shell"
    agents_know_job: ClassVar[bool] = False
    interval: ClassVar[float | None] = 0.2

    def __init__(self, launchers: Sequence[tuple[str, ...]] = ((),)) -> None:
        """Elements are started by these commands in turn; an empty one is this machine itself."""
        self._launchers = launchers
        self.nodes = len(launchers)
        self._elements: dict[Element, _Process] = {}
        self._forgotten: list[_Process] = []

    def submit(
        self, script: str, token: str, elements: int, avoid: Collection[str] = ()
    ) -> Pending[str]:
        started: list[_Process] = []
        environment = self.environment()
        argv: tuple[str, ...] = ()
        try:
            for index in range(elements):
                launcher = self._launchers[index % len(self._launchers)]
                argv = (*launcher, "/bin/bash", script, token)
                variables = environment | {"PYPOOL_ELEMENT": str(index)}
                if not launcher:  # a launcher tells them itself
                    variables |= of_allocation()
                log = Path(script).parent / "scheduler" / self.log_file(token, index)
                started.append(_start(argv, variables, log))
        except OSError as error:
            failure = SubmitError(f"{shlex.join(argv)} cannot be run: {error}")
            failure.words = str(error)
            # who was started has taken its place in the run directory: it cannot be had twice
            failure.temporary = error.errno in SHORTAGES and not started
            return _Failed(failure, _Ending(started))
        self._elements |= {(token, index): process for index, process in enumerate(started)}
        return Answered(token)

    def find(self, token: str, queued_only: bool = False) -> Pending[list[str]]:
        return Answered([token] if (token, 0) in self._elements else [])

    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        states = {element: _state(process) for element, process in self._elements.items()}
        return Answered({each: state for each, state in states.items() if each[0] in jobs})

    def forget(self, job: str) -> None:
        gone = [element for element in self._elements if element[0] == job]
        self._forgotten += [self._elements.pop(element) for element in gone]

    def tidy(self) -> None:
        if self._forgotten:
            self._forgotten = [each for each in self._forgotten if each.poll() is None]

    def cancel_by_hand(self, token: str) -> str:
        return f"pkill -f {token}"

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        return _Ending(
            [
                process
                for element, process in self._elements.items()
                if element[0] in jobs or element in elements
            ]
        )

    def cause(self, state: ElementState, log: str) -> Cause:
        return causes.of(state, log)

    def grace(self) -> Pending[float]:
        return Answered(KILL_AFTER)

    def settle(self) -> Pending[None]:
        return _Ending([*self._elements.values(), *self._forgotten], at_once=False)


class _Ending:
    """SIGTERM now, if they are not leaving anyway; SIGKILL for whoever stays some seconds more."""

    def __init__(self, processes: list[_Process], at_once: bool = True) -> None:
        self._processes = processes
        self._deadline = time.monotonic() + KILL_AFTER
        if at_once:
            self._send(signal.SIGTERM)

    def done(self) -> bool:
        if time.monotonic() > self._deadline:
            self._send(signal.SIGKILL)
        return all(process.poll() is not None for process in self._processes)

    def value(self) -> None:
        return None

    def _send(self, number: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, number)


class _Failed:
    """A submission that did not work, once those that had been started are gone."""

    def __init__(self, error: SubmitError, ending: _Ending) -> None:
        self._error = error
        self._ending = ending

    def done(self) -> bool:
        return self._ending.done()

    def value(self) -> str:
        raise self._error


def _start(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> _Process:
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )


def of_allocation() -> dict[str, str]:
    """By these tasks know that they are in an allocation: they are not to submit jobs from it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("SLURM_") or name in ("SLURMD_NODENAME", "JOB_ID", "NSLOTS", "NHOSTS")
    }


def _state(process: _Process) -> ElementState:
    code = process.poll()
    if code is None:
        return ElementState("running", "RUNNING")
    if code == 0:
        return ElementState("ended", "completed")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return ElementState("ended", "failed", how, code=str(code) if code > 0 else "")
