"""Values that a worker has laid by: those of short tasks, which are sent together.

A short task costs little more than to tell of it, or less. So the values of such tasks are put
into memory that worker and agent share, and sent as one entry after some milliseconds.
Nothing of it depends on the worker's life: what it had laid by when it died, or when a task took
longer than was thought, the agent takes from there.

    batch | first task | attempt | letter of what they are | how many (4 bytes each)
    | size of each pickle (4 bytes each), or what arrays or tuples are of
    | a column, or pickles one behind the other

The number is written last, in one piece: what it counts is there.
"""

from __future__ import annotations

from pypool.kinds import KINDS, NUMBER_BYTES, PICKLES, known, pack_about, unpack_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST = 1000
"""So many pickles are laid by at a time."""

DATA_BYTES = 56 << 10
"""An entry with so much goes through a pipe in one piece."""

LARGEST_PICKLE = 16 << 10
"""Larger ones are heavy: each goes by itself."""

_BATCH, _FIRST, _ATTEMPT, _KIND, _COUNT, _SIZES = range(6)
_DATA = NUMBER_BYTES * -(-4 * (_SIZES + MOST) // NUMBER_BYTES)

BYTES = _DATA + DATA_BYTES
"""So much memory is needed."""

_MOST_ABOUT = 256


def most_in_column(kind: str) -> int:
    """So many values of that kind are laid by at a time."""
    return DATA_BYTES // known(kind).width


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
        self._about = view[4 * _SIZES : 4 * _SIZES + _MOST_ABOUT]
        self._data = view[_DATA:]
        self._used = self._count = 0
        self._words[_KIND] = ord(PICKLES)

    # -- the worker's side

    def begin(self, batch: int, first: int, attempt: int, kind: str) -> None:
        """From now on values of that task and those behind it are laid by.

        They are PICKLES, or of a kind that has a column.
        """
        words = self._words
        words[_COUNT] = 0
        words[_BATCH], words[_FIRST], words[_ATTEMPT] = batch, first, attempt
        words[_KIND] = ord(kind[0])
        if len(kind) > 1:
            about = pack_about(kind)
            self._about[: len(about)] = about
        self._used = self._count = 0

    def add(self, pickled: bytes) -> bool:
        """Lays by one more pickle; False if there is no room."""
        count = self._count
        end = self._used + len(pickled)
        if count == MOST or end > DATA_BYTES or len(pickled) > LARGEST_PICKLE:
            return False
        self._data[self._used : end] = pickled
        self._used = end
        self._words[_SIZES + count] = len(pickled)
        self._words[_COUNT] = self._count = count + 1
        return True

    def column(self, kind: str) -> tuple[memoryview[Any], memoryview]:
        """Where values of one of KINDS are put, one behind the other.

        And the place where it is said how many there are, which is to be written last.
        """
        column = self._data.cast(KINDS[kind].form)  # type: ignore[call-overload]
        return column, self._words[_COUNT : _COUNT + 1]

    def adding(self, kind: str) -> Callable[[Any], bool]:
        """What lays by values of that kind, behind those that are there.

        It says False if there is no room, or if a value is not of that kind or too large for it.
        """
        belongs, most = known(kind).belongs, most_in_column(kind)
        put = known(kind).putting(self._data)
        counted = self._words[_COUNT : _COUNT + 1]
        count = counted[0]

        def add(value: Any) -> bool:
            nonlocal count
            if count == most or not belongs(value):
                return False
            try:
                put(count, value)
            except ValueError:
                return False
            counted[0] = count = count + 1
            return True

        return add

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
        """The body of an entry with the first `count` values; see `rundir.values`."""
        letter = bytes([self._words[_KIND]])
        if letter == PICKLES.encode():
            sizes = self._words[_SIZES : _SIZES + count]
            return letter + sizes.tobytes() + bytes(self._data[: sum(sizes)])
        name, _ = unpack_name(letter, bytes(self._about))
        return letter + pack_about(name) + bytes(self._data[: known(name).width * count])

    # -- the agent's side

    def taken(self) -> tuple[int, int, int, bytes] | None:
        """Batch, first task, how many and the body, while the worker may go on; None if it did."""
        place, kind = self.place, self._words[_KIND]
        try:
            body = self.body(place[2])
        except ValueError:  # the worker begins with another kind just now
            return None
        same = self.place[:2] == place[:2] and self._words[_KIND] == kind
        return (*place, body) if same and self.place[2] >= place[2] else None

    def clear(self) -> None:
        """For the next worker."""
        self._words[_COUNT] = 0
        self._words[_KIND] = ord(PICKLES)
