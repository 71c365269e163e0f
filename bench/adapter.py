"""The suite's side of the protocol: a peer's process, asked line by line.

`bench.peers.serve` is the other side and lists the words.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ENDS_WITHIN = 15.0  # seconds
TAIL = 3  # lines


class PeerError(Exception):
    """A peer that could not do what it was asked, or not in time."""


class Adapter:
    """A process that answers.

    Parameters
    ----------
    command : sequence of str
        What starts it.
    directory : Path
        Its working directory.
    printed : Path
        Gets what it prints.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        printed: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.printed = printed
        self.pending = b""
        with printed.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=directory,
                env=dict(environment),
                start_new_session=True,
            )

    def ask(self, do: str, within: float = 120.0, **words: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises
        ------
        PeerError
            If it is an error, if there is none within so many seconds, or if the process has ended.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **words}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._ended(do)) from None
        answer: dict[str, Any] = json.loads(self._line(do, within))
        if "error" in answer:
            raise PeerError(f"{do}: {last_lines(answer['error'], 1)}")
        return answer

    def _line(self, do: str, within: float) -> bytes:
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + within
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise PeerError(f"{do}: no answer within {within:.0f} s")
            part = os.read(fd, 1 << 16)
            if not part:
                raise PeerError(self._ended(do))
            self.pending += part
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def _ended(self, do: str) -> str:
        printed = self.printed.read_text(errors="replace")
        return f"{do}: the process has ended. {last_lines(printed, TAIL)}"

    def end(self) -> None:
        """Nobody asks any more; who does not leave is made to, with all that it has started."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            if not self._has_ended():
                self._signal(signal.SIGTERM)
                self._has_ended()
        finally:
            if self.process.returncode is None:
                self._signal(signal.SIGKILL)
                self.process.wait()

    def _has_ended(self) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDS_WITHIN)
        return self.process.returncode is not None

    def _signal(self, number: int) -> None:
        """To all of its group, of which nobody may be left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def last_lines(text: str, count: int) -> str:
    return " / ".join(text.strip().splitlines()[-count:])
