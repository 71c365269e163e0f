"""The page: memory that a worker and its agent share, so that the death of a worker has a name.

    what the worker does (1 byte) | the errno with which the disk refuses a result, or 0 (1)
    | 2 unused | the batch at work (4) | the task of it (4) | the last data part begun (4)
    | since when, by the monotonic clock (8) | the end of what may be begun (4)
    | ... | what was laid by, from byte 64 on

The worker writes, the agent reads. A series of short tasks is not announced one by one: the task at
work is the one behind those whose values were laid by. The number of the data part stays when a
worker dies: the next one in the slot goes on from there.
"""

from __future__ import annotations

from mmap import mmap

from pypool.worker import laid_by
from pypool.worker.laid_by import LaidBy

IDLE = 0
AT_WORK = 1
LEAVING = 2
"""It ends by itself, having told all it had to tell."""
IN_SERIES = 3
"""It is at the task behind those whose values were laid by, if it may begin that."""

_WHAT, _TROUBLE = range(2)
_LAID_BY = 64


class Page:
    """See the module.

    Attributes
    ----------
    since : memoryview
        Of one element: when the task at work began, or with IN_SERIES one a moment before it. A
        view, since short tasks set it often.
    laid_by : LaidBy
        Values that are to be sent together.
    """

    def __init__(self) -> None:
        memory = memoryview(mmap(-1, _LAID_BY + laid_by.BYTES))
        self._bytes = memory[:4]
        self._batch = memory[4:8].cast("I")
        self._index = memory[8:12].cast("I")
        self._part = memory[12:16].cast("I")
        self.since = memory[16:24].cast("d")
        self._end = memory[24:28].cast("I")
        self.laid_by = LaidBy(memory, _LAID_BY)

    def clear(self) -> None:
        """For the next worker."""
        self._bytes[:] = bytes(4)
        self.laid_by.clear()

    # -- what the worker says

    def begins(self, batch: int, index: int, now: float) -> None:
        """That task is at work."""
        self._batch[0], self._index[0], self.since[0] = batch, index, now
        self._bytes[_WHAT] = AT_WORK

    def may_begin(self, end: int) -> None:
        """Tasks up to that one, which nobody else will be given."""
        self._end[0] = end

    def goes_on(self) -> None:
        """From now on the task at work is always the one behind those that were laid by."""
        self._bytes[_WHAT] = IN_SERIES

    def rests(self) -> None:
        """No task is at work."""
        self._bytes[_WHAT] = IDLE

    def leaves(self) -> None:
        self._bytes[_WHAT] = LEAVING

    def next_part(self) -> int:
        """A number that no data part of this slot has had."""
        self._part[0] += 1
        return self._part[0]

    # -- what the agent reads

    @property
    def at_work(self) -> tuple[int, int, float] | None:
        """Batch and index of the task at work, and since when; None if none is."""
        what = self._bytes[_WHAT]
        if what == AT_WORK:
            return self._batch[0], self._index[0], self.since[0]
        if what == IN_SERIES:
            batch, first, count = self.laid_by.place
            index = first + count
            return (batch, index, self.since[0]) if index < self._end[0] else None
        return None

    @property
    def leaving(self) -> bool:
        return self._bytes[_WHAT] == LEAVING

    @property
    def trouble(self) -> int:
        """The errno with which the disk refuses what the worker has to write; 0 if it does not."""
        return self._bytes[_TROUBLE]

    @trouble.setter
    def trouble(self, code: int) -> None:
        self._bytes[_TROUBLE] = code
