"""Programs that use a pool, run as a user runs them: as `__main__` of a process of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pypool

TIMEOUT = 60.0  # seconds
ENDS_WITHIN = 5.0
MARK = "PYPOOL_TEST_MARK"
IMPORTED_FROM = Path(pypool.__file__).parents[1]


WORKING = """
    import gc, os, time

    def work(number):
        open("begun", "w").close()
        time.sleep(60)

    pool = POOL
    handle = pool.map_async(work, range(6))
    while not os.path.exists("begun"):
        time.sleep(0.01)
    print("at work", flush=True)
    """
"""The beginning of a program whose tasks are at work for a minute."""


def wait_until(what: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Driver:
    """Writes programs and runs them. `POOL` in a program makes a pool of the test's backend.

    Attributes
    ----------
    directory : Path
        Where the programs are and run.
    """

    def __init__(self, backend: str, processes: int, directory: Path, mark: str) -> None:
        self.backend = backend
        self.directory = directory
        self._mark = mark
        self._started: list[subprocess.Popen[str]] = []
        place = "" if backend == "local" else f", work_dir={str(directory / 'work')!r}"
        self._pool = f"__import__('pypool').{backend}.Pool({processes}{place})"

    def text(self, program: str) -> str:
        """The program as it is run."""
        return textwrap.dedent(program).replace("POOL", self._pool)

    def start(self, program: str, *arguments: str, stdin: bool = False) -> subprocess.Popen[str]:
        """Starts a program: a file of its own, or what `arguments` say, with it on stdin."""
        text = self.text(program)
        if not arguments:
            script = self.directory / f"program{len(self._started)}.py"
            script.write_text(text)
            arguments = (script.name,)
        elif "-c" in arguments:
            arguments = (*arguments, text)
        environment = dict(os.environ, PYTHONPATH=str(IMPORTED_FROM))
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=environment | {MARK: self._mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        if stdin and process.stdin is not None:
            process.stdin.write(text)
            process.stdin.close()
            process.stdin = None
        return process

    def run(self, program: str, *arguments: str, stdin: bool = False) -> str:
        """What the program prints; it has to end well."""
        process = self.start(program, *arguments, stdin=stdin)
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, errors
        return output

    def file(self, name: str) -> Path:
        """A file beside the programs."""
        return self.directory / name

    def processes(self) -> list[int]:
        """All that the programs have started and that still runs, themselves included."""
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # of another user, or gone
                continue
        return found

    def all_end(self) -> bool:
        """Whether none of them runs any more, some seconds later."""
        return wait_until(lambda: not self.processes(), ENDS_WITHIN)

    def end(self) -> None:
        """Leaves nothing behind, whatever the test has found."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)


def memory_directories(pid: int) -> list[Path]:
    """Private directories of the local pools of a process."""
    found = []
    for run in Path("/dev/shm").glob("pypool-*"):
        try:
            if json.loads((run / "run.json").read_text())["pid"] == pid:
                found.append(run)
        except (OSError, ValueError):  # of another user, or not yet written, or gone
            continue
    return found
