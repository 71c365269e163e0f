"""The page: memory that a worker and its agent share, so that the death of a worker has a name.

    what the worker does (1 byte) | the errno with which the disk refuses a result, or 0 (1)
    | whether there is a bar (1) | 1 unused
    | the batch at work (4) | the task of it (4) | the last data part begun (4)
    | since when, by the monotonic clock (8) | the end of the message at work (4) | its number (4)
    | the bar (8) | ... | what was laid by, from byte 64 on

The worker writes, the agent reads; but the agent sets the bar (see `bar`). A series of short tasks
is not announced one by one: the task at work is the one behind those whose values were laid by. The
number of the data part stays when a worker dies: the next one in the slot goes on from there.
"""

from __future__ import annotations

from mmap import mmap

from pypool.worker import laid_by
from pypool.worker.bar import Bar
from pypool.worker.laid_by import LaidBy

IDLE = 0
AT_WORK = 1
LEAVING = 2
"""It ends by itself, having told all it had to tell."""
IN_SERIES = 3
"""It is at the task behind those whose values were laid by, if the message has one more."""

_WHAT, _TROUBLE, _IS_BARRED = range(3)
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
    bar : Bar
        What the worker is not to begin.
    """

    def __init__(self) -> None:
        memory = memoryview(mmap(-1, _LAID_BY + laid_by.BYTES))
        self._bytes = memory[:4]
        self._batch = memory[4:8].cast("I")
        self._index = memory[8:12].cast("I")
        self._part = memory[12:16].cast("I")
        self.since = memory[16:24].cast("d")
        self._end = memory[24:28].cast("I")
        self._message = memory[28:32].cast("I")
        self.bar = Bar(memory[_IS_BARRED : _IS_BARRED + 1], memory[32:40])
        self.laid_by = LaidBy(memory, _LAID_BY)

    def clear(self) -> None:
        """For the next worker."""
        self._bytes[:] = bytes(4)
        self._message[0] = 0
        self.laid_by.clear()

    # -- what the worker says

    def reads(self, message: int, end: int) -> None:
        """From now on tasks of the message of that number, up to that one, are at work."""
        self._message[0], self._end[0] = message, end

    def begins(self, batch: int, index: int, now: float) -> None:
        """That task is at work."""
        self._batch[0], self._index[0], self.since[0] = batch, index, now
        self._bytes[_WHAT] = AT_WORK

    def goes_on(self) -> None:
        """From now on the task at work is always the one behind those that were laid by."""
        self._bytes[_WHAT] = IN_SERIES

    def rests(self) -> None:
        """No task is at work."""
        self._bytes[_WHAT] = IDLE

    def rests_before(self, index: int) -> None:
        """No task is at work, and that one comes next."""
        self._index[0] = index
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

    def reached(self, message: int) -> int | None:
        """How far a worker is in that message: at which task; None if it has not begun with it."""
        before, count, state = self._state(), self.laid_by.place[2], self._state()
        while state != before:  # it was just changing what it says
            before, count, state = state, self.laid_by.place[2], self._state()
        what, number, index, first = state
        if number != message:
            return None
        return first + count if what == IN_SERIES else index

    def _state(self) -> tuple[int, int, int, int]:
        return self._bytes[_WHAT], self._message[0], self._index[0], self.laid_by.place[1]

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
