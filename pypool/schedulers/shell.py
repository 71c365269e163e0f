"""No scheduler: the job script as child processes of this machine.

For use inside an allocation that somebody else has got, and for tests. Elements are told apart
by PYPOOL_ELEMENT, as array elements are by their scheduler's own variable.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from pypool.errors import SubmitError
from pypool.schedulers.base import (
    Answered,
    Element,
    ElementState,
    Pending,
    Scheduler,
    clean_environment,
)

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Shell(Scheduler):
    """See the module."""

    name: ClassVar[str] = "shell"
    interval: ClassVar[float | None] = 0.2

    def __init__(self) -> None:
        self._elements: dict[Element, subprocess.Popen[bytes]] = {}

    def submit(self, script: str, token: str, elements: int) -> Pending[str]:
        for index in range(elements):
            log = Path(script).parent / "scheduler" / self.log_file(token, index)
            try:
                with log.open("ab") as output:
                    self._elements[token, index] = subprocess.Popen(
                        ["/bin/bash", script, token],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=clean_environment() | {"PYPOOL_ELEMENT": str(index)},
                        start_new_session=True,
                    )
            except OSError as error:
                raise SubmitError(f"/bin/bash {script} cannot be run: {error}") from error
        return Answered(token)

    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        return Answered(
            {
                element: _state(process)
                for element, process in self._elements.items()
                if element[0] in jobs
            }
        )

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        return _Ending(
            [
                process
                for element, process in self._elements.items()
                if element[0] in jobs or element in elements
            ]
        )

    def settle(self) -> Pending[None]:
        return _Ending(list(self._elements.values()), at_once=False)


class _Ending:
    """SIGTERM now, if they are not leaving anyway; SIGKILL for whoever stays some seconds more."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], at_once: bool = True) -> None:
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


def _state(process: subprocess.Popen[bytes]) -> ElementState:
    code = process.poll()
    if code is None:
        return ElementState("running", "RUNNING")
    if code == 0:
        return ElementState("ended", "completed")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return ElementState("ended", "failed", how)
