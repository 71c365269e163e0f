"""Values that a worker has laid by: those of short tasks, which are sent together.

A task that takes some microseconds costs less than to tell of it. So the values of such tasks are
put into memory that worker and agent share, and sent as one entry after half a millisecond or so.
Nothing of it depends on the worker's life: what it had laid by when it died, or when a task took
longer than was thought, the agent takes from there.

    batch | first task | attempt | how many (4 bytes each) | size of each pickle (4 bytes each)
    | the pickles, one behind the other

The number is written last, in one piece: what it counts is there.
"""

from __future__ import annotations

MOST = 500
DATA_BYTES = 16 << 10

_BATCH, _FIRST, _ATTEMPT, _COUNT, _SIZES = range(5)
_DATA = 4 * (_SIZES + MOST)

BYTES = _DATA + DATA_BYTES
"""So much memory is needed."""


class LaidBy:
    """See the module.

    Parameters
    ----------
    memory : memoryview
        Shared.
    start : int
        Where in it, a multiple of 4.
    """

    def __init__(self, memory: memoryview, start: int = 0) -> None:
        view = memory[start : start + BYTES]
        self._words = view[:_DATA].cast("I")
        self._data = view[_DATA:]
        self._used = self._count = 0

    # -- the worker's side

    def begin(self, batch: int, first: int, attempt: int) -> None:
        """From now on values of that task and those behind it are laid by."""
        words = self._words
        words[_COUNT] = 0
        words[_BATCH], words[_FIRST], words[_ATTEMPT] = batch, first, attempt
        self._used = self._count = 0

    def add(self, pickled: bytes) -> bool:
        """Lays by one more; False if there is no room."""
        count = self._count
        end = self._used + len(pickled)
        if count == MOST or end > DATA_BYTES:
            return False
        self._data[self._used : end] = pickled
        self._used = end
        self._words[_SIZES + count] = len(pickled)
        self._words[_COUNT] = self._count = count + 1
        return True

    # -- both

    @property
    def place(self) -> tuple[int, int, int]:
        """The batch, the first task, and how many values there are."""
        words = self._words
        return words[_BATCH], words[_FIRST], words[_COUNT]

    @property
    def attempt(self) -> int:
        return self._words[_ATTEMPT]

    def body(self, count: int) -> bytes:
        """The body of an entry with the first `count` values: their sizes, and the pickles."""
        sizes = self._words[_SIZES : _SIZES + count]
        return sizes.tobytes() + bytes(self._data[: sum(sizes)])

    # -- the agent's side

    def taken(self) -> tuple[int, int, int, bytes] | None:
        """Batch, first task, how many and the body, while the worker may go on; None if it did."""
        place = self.place
        body = self.body(place[2])
        return (*place, body) if self.place[:2] == place[:2] and self.place[2] >= place[2] else None

    def clear(self) -> None:
        """For the next worker."""
        self._words[_COUNT] = 0
