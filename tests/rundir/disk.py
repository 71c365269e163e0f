"""A directory as mailboxes meet it on a shared disk: seen late, seen in part, and with errors."""

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from pypool.rundir.records import magic

MARK = magic(b"nonce")

FAULTS = ("open", "write", "short", "close")
"""Where an append may go wrong with an OSError."""


class Killed(BaseException):
    """The process died here: no `except Exception` hears of it."""


class Disk:
    """A fresh directory below `root`; its two openers are what mailboxes ask for.

    Attributes
    ----------
    hidden, zeros : int
        How many bytes at the end of a file `open_late` does not show, and how many of these it
        shows as zeros.
    """

    def __init__(self, root: Path, *names: str) -> None:
        self.root = Path(tempfile.mkdtemp(dir=root))
        self.hidden = 0
        self.zeros = 0
        self._refuse_append = False
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).touch()

    def open(self, name: str, flags: int) -> int:
        if self._refuse_append and flags & os.O_RDWR:
            raise OSError(errno.EIO, "injected at open", name)
        return os.open(self.root / name, flags, 0o600)

    def open_late(self, name: str, flags: int) -> int:
        """Opens what a client that lags behind would see of the file."""
        data = self.content(name)
        shown = data[: max(0, len(data) - self.hidden)]
        shown += bytes(min(self.zeros, len(data) - len(shown)))
        seen = self.root / "seen"
        seen.write_bytes(shown)
        return os.open(seen, flags)

    def content(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    @contextmanager
    def trouble(
        self, where: str, landed: int = 0, zeros: int = 0, after: int = 0
    ) -> Iterator[None]:
        """Within the block one append goes wrong.

        Parameters
        ----------
        where : str
            One of FAULTS, or "kill".
        landed, zeros : int
            What arrives all the same: so many bytes, and so many zeros behind them where the file
            had ended.
        after : int
            The appends that succeed before it.
        """
        write, close = os.pwrite, os.close
        here = threading.get_ident()  # what other threads do in this process is no concern of ours
        appends = 0
        broken = -1

        def failing_write(fd: int, data: bytes, offset: int) -> int:
            nonlocal appends, broken
            if threading.get_ident() != here:
                return write(fd, data, offset)
            appends += 1
            if appends != after + 1:
                return write(fd, data, offset)
            arrived = min(landed, len(data))
            write(fd, data[:arrived], offset)
            # what came at an earlier try does not turn into zeros again
            length = offset + min(arrived + zeros, len(data))
            os.ftruncate(fd, max(length, os.fstat(fd).st_size))
            if where == "kill":
                raise Killed
            if where == "write":
                raise OSError(errno.ENOSPC, "injected at write")
            if where == "close":
                broken = fd
                return len(data)
            return arrived

        def failing_close(fd: int) -> None:
            nonlocal broken
            close(fd)
            if fd == broken and threading.get_ident() == here:
                broken = -1
                raise OSError(errno.EDQUOT, "injected at close")

        self._refuse_append = where == "open"
        with (
            mock.patch.object(os, "pwrite", failing_write),
            mock.patch.object(os, "close", failing_close),
        ):
            try:
                yield
            finally:
                self._refuse_append = False
