"""A link: both mailboxes of one agent, as the dispatcher uses them."""

import os
from contextlib import suppress

from pypool.rundir import names
from pypool.rundir.mailbox import (
    FileWriter,
    OutboxReader,
    PipeReader,
    PipeWriter,
)
from pypool.rundir.records import Record
from pypool.rundir.run import RunDirectory

SHORTEST_SLEEP = 0.0005
IDLE_SLEEP = 1.0

EARLY = 0.8
LATEST_LOOK = 0.02
"""The first look for a share's results is at this part of the time it should take, or then."""

OPENS_PER_SECOND = 500.0
FEW_LINKS = 16
OPENS_PER_SECOND_OF_FEW = 2000.0
"""A caller waits for the end of each short share, and few agents are no load for a server."""


class Allowance:
    """How many files may be opened: so many a second, after a pause as many at once.

    Attributes
    ----------
    next_at : float
        When the next one may be opened.
    """

    def __init__(self, now: float) -> None:
        self.next_at = now
        self._left = OPENS_PER_SECOND
        self._counted_at = now

    def allows(self, now: float, links: int) -> bool:
        """Whether one may be opened now, if there are so many links; counts it."""
        rate = OPENS_PER_SECOND_OF_FEW if links <= FEW_LINKS else OPENS_PER_SECOND
        self._left += rate * (now - self._counted_at)
        self._left = min(self._left, rate)
        self._counted_at = now
        if self._left < 1:
            self.next_at = now + (1 - self._left) / rate
            return False
        self._left -= 1
        return True


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
    due : float
        When to look at the outbox next.
    fd : None
        There is nothing to wait on.
    """

    fd = None

    def __init__(
        self,
        run: RunDirectory,
        key: str,
        longest_sleep: float,
        now: float,
        outbox: OutboxReader | None = None,
    ) -> None:
        """A new element's, or one of an earlier life whose `outbox` has been read so far."""
        element = f"{names.ELEMENTS}/{key}"
        inbox = names.inbox(element)
        if outbox is None:
            writer = FileWriter(run.open_file, inbox, run.mark, run.life)
        else:
            writer = FileWriter.resume(run.open_file, inbox, run.mark, run.life)
        super().__init__(key, element, writer, now)
        self.due = now
        self._run = run
        self._active = now
        self._longest_sleep = longest_sleep
        self._outbox = outbox or OutboxReader(run.open_file, self.element, run.mark)
        self._removed = self._outbox.part - 1

    def touch(self, now: float) -> None:
        """Something has happened, or is about to: look often again."""
        self._active = self.due = now

    def dealt(self, now: float, work: float, is_all: bool) -> None:
        """A share was sent that is `work` seconds long, maybe all that the agent has.

        Its end is waited for; to look before it costs an open and brings nothing.
        """
        self._active = now + min(EARLY * work, LATEST_LOOK)
        self.due = self._active if is_all else min(self.due, self._active)

    def read(self, now: float, busy: bool, pending: bool) -> list[Record]:
        """What is new; what is expected decides how soon to look again."""
        found = self._outbox.read()
        if found:
            self._active = self.heard = now
        longest = IDLE_SLEEP if pending or not busy else self._longest_sleep
        share = 50 if pending else 10
        self.due = now + min(max((now - self._active) / share, SHORTEST_SLEEP), longest)
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
    """

    due = float("inf")

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

    def touch(self, now: float) -> None:
        """A pipe needs no looking at."""

    def dealt(self, now: float, work: float, is_all: bool) -> None:
        """A pipe needs no looking at."""

    def read(self, now: float, busy: bool, pending: bool) -> list[Record]:
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
