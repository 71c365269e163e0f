"""A link: both mailboxes of one agent, as the dispatcher uses them."""

import os
from contextlib import suppress
from typing import Any

from pypool.engine.polling import Looks
from pypool.rundir import names
from pypool.rundir.mailbox import (
    FileWriter,
    OutboxReader,
    PipeReader,
    PipeWriter,
)
from pypool.rundir.records import Record
from pypool.rundir.run import RunDirectory


class _Link:
    """What all links have.

    Attributes
    ----------
    key : str
        The element, as the dealer calls it.
    element : str
        Its directory in the run directory.
    host : str
        Where the agent runs, once it has said hello.
    since : float
        When the element was asked for.
    met : bool
        The agent has said hello.
    met_at : float
        When that was read.
    job : str or None
        The scheduler's id of the job in which the agent lives, if it knows that.
    heard : float
        When something of the agent was last read.
    left_by : str
        The reason of its goodbye.
    to_write : dict of str to Link
        It stands there, by its key, as soon as there is something to write.
    """

    def __init__(self, key: str, element: str, inbox: FileWriter | PipeWriter, now: float) -> None:
        self.met = False
        self.met_at = self.heard = float("-inf")
        self.job: str | None = None
        self.left_by = ""
        self.key = key
        self.since = now
        self.element = element
        self.host = "a node"
        self.to_write: dict[str, Any] = {}
        self._inbox = inbox

    def meet(self, host: str, job: str | None, now: float) -> None:
        """The agent has said hello."""
        self.host = host
        self.job = job
        self.met = True
        self.met_at = self.heard = now

    def send(self, kind: int, payload: bytes = b"", key: int = 0) -> None:
        """Lays a record by for the next `flush`."""
        self._inbox.put(kind, payload, key)
        self.to_write[self.key] = self

    def flush(self) -> None:
        self._inbox.flush()

    @property
    def waiting(self) -> int:
        """Bytes that disk or pipe have not taken yet."""
        return self._inbox.waiting


class FileLink(_Link):
    """Mailboxes on the shared disk: read when they are due.

    Attributes
    ----------
    looks : Looks
        When to look at the outbox.
    fd : None
        There is nothing to wait on.
    """

    fd = None

    def __init__(
        self,
        run: RunDirectory,
        key: str,
        agents: int,
        now: float,
        outbox: OutboxReader | None = None,
    ) -> None:
        """A new element's, or one of an earlier life whose `outbox` has been read so far.

        `agents`: how many there may be in the run.
        """
        element = f"{names.ELEMENTS}/{key}"
        inbox = names.inbox(element)
        if outbox is None:
            writer = FileWriter(run.open_file, inbox, run.mark, run.life)
        else:
            writer = FileWriter.resume(run.open_file, inbox, run.mark, run.life)
        super().__init__(key, element, writer, now)
        self.looks = Looks(agents, now)
        self._run = run
        self._outbox = outbox or OutboxReader(run.open_file, self.element, run.mark)
        self._removed = self._outbox.part - 1

    def read(self, now: float) -> list[Record]:
        """What is new."""
        found = self._outbox.read()
        if found:
            self.heard = now
        return found

    def read_to_end(self, now: float) -> list[Record]:
        """All there is: one look takes a few MiB only, and may bring nothing but damage."""
        found: list[Record] = []
        before = None
        while before != (before := self._outbox.position):
            found += self._outbox.read()
        if found:
            self.heard = now
        return found

    def had_no_disk(self) -> bool:
        """The agent could not write, and had no other way to say so."""
        with suppress(OSError):
            fd = self._run.open_file(names.owner(self.element), os.O_RDONLY)
            try:
                return os.pread(fd, 4096, 0).endswith(names.NO_DISK)
            finally:
                os.close(fd)
        return False

    def remove_read_parts(self) -> None:
        """Parts of the outbox that were read to the end, and whose results were delivered."""
        while self._removed < self._outbox.part - 1:
            self._removed += 1
            self._run.remove(names.outbox(self.element, self._removed))

    def close(self) -> None:
        """Nothing is kept open."""


class PipeLink(_Link):
    """Mailboxes that are pipes: read when there is something.

    Attributes
    ----------
    fd : int
        The descriptor to wait on.
    looks : None
        There is no need to look.
    """

    looks = None

    def __init__(
        self, run: RunDirectory, key: str, element: str, fds: tuple[int, int], now: float
    ) -> None:
        inbox, outbox = fds
        super().__init__(key, element, PipeWriter(inbox, run.mark), now)
        self.fd = outbox
        self.inbox_fd = inbox
        self._outbox = PipeReader(outbox, run.mark)

    def flush(self) -> None:
        with suppress(BrokenPipeError):  # the agent is gone, as the end of its outbox will tell
            self._inbox.flush()

    @property
    def ended(self) -> bool:
        return self._outbox.ended

    def read(self, now: float) -> list[Record]:
        return self._outbox.read()

    def read_to_end(self, now: float) -> list[Record]:
        found: list[Record] = []
        while not self._outbox.ended and (more := self._outbox.read()):
            found += more
        return found

    def remove_read_parts(self) -> None:
        """A pipe has no parts."""

    def close(self) -> None:
        os.close(self.inbox_fd)
        os.close(self.fd)


Link = FileLink | PipeLink
