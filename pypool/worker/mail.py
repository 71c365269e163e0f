"""The agent's side of its mailboxes: what comes, what goes, what to do if the disk won't.

Outcomes are put together and written in groups: at once when the agent has run dry or has other
news, else when `polling` says so. What the disk does not take is kept and tried again.
"""

from __future__ import annotations

import errno
import os
import time

from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader, OutboxWriter, PipeReader, PipeWriter
from pypool.words import pack
from pypool.worker.log import say
from pypool.worker.polling import Looking, Telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pypool.rundir.records import Record
    from pypool.rundir.run import RunDirectory

LAST_WORD_PATIENCE = 5.0
HELD_BYTES = 64 << 20
"""With this much waiting for the disk no more outcomes are taken, so workers wait."""


class Mail:
    """Both mailboxes of one agent, and the driver's beat.

    Attributes
    ----------
    looking : Looking
        When the inbox is looked at.
    broken : bool
        The other end of a pipe is gone.
    trouble : int
        The errno with which the disk refuses, or 0.
    trouble_since : float or None
        Since when the disk has refused.
    gone_since : float or None
        Since when the inbox has not been there.
    stopped, driver_writes : bool
        What the driver's file says.
    driver_seen : float
        When it last said something.
    """

    def __init__(
        self, run: RunDirectory, element: str, pipes: tuple[int, int] | None, now: float
    ) -> None:
        agents = int(run.info["elements"])
        self.pipes = pipes
        self.driver_seen = now
        self.looking = Looking(agents, now)
        self.broken = self.stopped = self.driver_writes = False
        self.trouble_since: float | None = None
        self.trouble = 0
        self.gone_since: float | None = None
        self._run = run
        self._element = element
        self._inbox: FileReader | PipeReader
        self._outbox: OutboxWriter | PipeWriter
        if pipes is None:
            self._inbox = FileReader(run.open_file, names.inbox(element), run.mark)
            self._outbox = OutboxWriter(run.open_file, element, run.mark)
        else:
            self._inbox = PipeReader(pipes[0], run.mark)
            self._outbox = PipeWriter(pipes[1], run.mark)
        self._driver = FileReader(run.open_file, names.DRIVER, run.mark)
        self._telling = Telling(agents, pipes is not None, now)
        self._outcomes: dict[int, list[bytes]] = {}
        self._outcome_bytes = 0
        self._news = self._share_done = False

    # -- what comes in

    def read(self, now: float, enough_to_do: bool) -> list[Record]:
        """What is new in the inbox, if it is time to look."""
        if self.pipes is None and now < self.looking.due:
            return []
        try:
            found = self._inbox.read()
        except OSError as error:
            self._trouble(now, error)
            found = []
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                self.gone_since = None
            elif self.gone_since is None:
                self.gone_since = now
        else:
            self.gone_since = None
            if not self._outbox.waiting:
                self.trouble_since = None
                self.trouble = 0
        if found:
            self.looking.active = now
        if isinstance(self._inbox, PipeReader) and self._inbox.ended:
            self.broken = True
        self.looking.looked(now, enough_to_do, time.monotonic() - now)
        return found

    def read_driver(self, now: float) -> None:
        """Whether the driver lives, is writing a batch, or has stopped."""
        if self.pipes is not None:
            return
        try:
            found = self._driver.read()
        except OSError:
            return
        for record in found:
            self.driver_seen = now
            self.driver_writes = record.payload == records.WRITING
            if record.kind in (records.STOP, records.LIFE):  # a later driver goes on
                self.stopped = record.kind == records.STOP

    # -- what goes out

    def say_disk(self, trouble: int) -> None:
        """For a driver that hears nothing else: where there is room on a full disk, too."""
        if self.pipes is not None:
            return
        word = names.NO_DISK if trouble else names.DISK_AGAIN
        try:
            owner = self._run.open_file(names.owner(self._element), os.O_WRONLY)
        except OSError:
            return
        try:
            os.pwrite(owner, word, os.fstat(owner).st_size)
            os.fsync(owner)
        except OSError:
            pass
        try:
            os.close(owner)
        except OSError:
            pass

    def put_outcome(self, batch: int, entry: bytes) -> None:
        """What came of one task; written with the next group."""
        self._outcomes.setdefault(batch, []).append(entry)
        self._outcome_bytes += len(entry)

    def put(self, kind: int, words: dict[str, Any], key: int = 0) -> None:
        """Other news: written soon, behind the outcomes that are known."""
        self._put_outcomes()
        self._outbox.put(kind, pack(words), key)
        self._news = True

    def share_is_done(self) -> None:
        """All has been put that there is to say of one."""
        self._share_done = True

    def flush_if_due(self, now: float, dry: bool) -> None:
        """Writes if it is worth it."""
        if not (self._outcomes or self._news or self._outbox.waiting):
            return
        if self._telling.is_due(now, dry, self._share_done, self._news, self._outcome_bytes):
            self.flush(now)
        elif self.refused:
            self._write(now, sync=False)

    def flush(self, now: float, sync: bool = False) -> None:
        """Writes all there is, as far as disk or pipe take it."""
        self._put_outcomes()
        self._share_done = False
        self._telling.told(now)
        self._write(now, sync)

    def _write(self, now: float, sync: bool) -> None:
        """What has been put, as far as it is taken."""
        try:
            self._outbox.flush(sync)
        except BrokenPipeError:
            self.broken = True
        except OSError as error:
            self._trouble(now, error)
        else:
            self.trouble_since = None
            self.trouble = 0
            self._news = False

    def say_all(self) -> None:
        """The last words: waits for the disk, but not long."""
        deadline = time.monotonic() + LAST_WORD_PATIENCE
        while self.waiting and not self.broken and time.monotonic() < deadline:
            self.flush(time.monotonic(), sync=True)
            time.sleep(0.001)

    @property
    def waiting(self) -> int:
        """Bytes that have not been taken yet."""
        return self._outbox.waiting + self._outcome_bytes

    @property
    def refused(self) -> bool:
        """The pipe was full: it is written to again as soon as it takes something."""
        return self.pipes is not None and self._outbox.waiting > 0

    def flush_at(self) -> float:
        """When to try again, or to write the next group."""
        return self._telling.at if self.waiting else float("inf")

    def _put_outcomes(self) -> None:
        for batch, entries in self._outcomes.items():
            for payload in grouped(entries):
                self._outbox.put(records.RESULTS, payload, key=batch)
        self._outcomes.clear()
        self._outcome_bytes = 0

    def _trouble(self, now: float, error: OSError) -> None:
        self.trouble = error.errno or errno.EIO
        if self.trouble_since is None:
            self.trouble_since = now
            told = f"pypool on {os.uname().nodename}: {error}; tries again for some minutes"
            say(told)


def grouped(entries: list[bytes]) -> list[bytes]:
    """Entries put together as far as a record takes them."""
    groups: list[bytes] = []
    start = size = 0
    for position, entry in enumerate(entries):
        if size and size + len(entry) > records.PAYLOAD_LIMIT:
            groups.append(b"".join(entries[start:position]))
            start, size = position, 0
        size += len(entry)
    groups.append(b"".join(entries[start:]))
    return groups


def as_ranges(numbers: Iterable[int], most: int) -> list[list[int]]:
    """Ascending numbers as ranges of first, ..., last - 1, at most so many.

    What lies between the last ones is counted among them if there are more.
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and (number == found[-1][1] or len(found) == most):
            found[-1][1] = number + 1
        else:
            found.append([number, number + 1])
    return found
