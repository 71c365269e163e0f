"""Columns: items of one kind, packed one behind the other. What kinds there are: see `kinds`.

Of the numbers of a range it is only said where they begin and how far they are apart.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from pypool.kinds import LONGEST_ABOUT, PICKLES, RANGES, kind_of, known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any, overload


def load(name: str, data: bytes, count: int) -> list[Any]:
    """The values of a column.

    Raises
    ------
    ValueError
        If they are not so many, or there is no such kind.
    """
    found = known(name)
    if len(data) != count * found.width:
        raise ValueError(f"{len(data)} bytes are no {count} values of kind {name!r}")
    return found.load(data, count) if count else []


def pickles(name: str, data: bytes, count: int) -> Iterator[bytes]:
    """The values of a column, each pickled, for which nothing is imported that may be missing."""
    if not known(name).needs_numpy:
        return (pickle.dumps(value, 5) for value in load(name, data, count))
    width = known(name).width
    starts = range(0, width * count, width)
    return (pickle.dumps(_Given(name, data[start : start + width]), 5) for start in starts)


class _Given:
    """Is pickled as what makes the value."""

    def __init__(self, name: str, data: bytes) -> None:
        self._words = name, data

    def __reduce__(self) -> Any:
        return given, self._words


def given(name: str, data: bytes) -> Any:
    """The one value of a column."""
    return load(name, data, 1)[0]


class Column(Sequence[bytes]):
    """Items of one kind, packed: as a sequence they are what other items are, pickles.

    Attributes
    ----------
    kind : str
        Its name.
    data : bytes
        Themselves, one behind the other.
    """

    def __init__(self, kind_name: str, data: bytes) -> None:
        self.kind = kind_name
        self.data = data
        self._width = known(kind_name).width

    @classmethod
    def of(cls, items: Collection[Any]) -> Column | None:
        """The items, if all are of one kind: numbers, tuples of such, or small arrays."""
        if type(items) is range and items:
            column = RangeColumn(items)
            if len(column.kind) <= LONGEST_ABOUT:
                return column
        taken = list(items)  # as it iterates, and as it is now
        if not taken or len(set(map(type, taken))) != 1:
            return None
        name = kind_of(taken[0])
        if name in (PICKLES, "?", "0"):  # bools and None are rare as items
            return None
        try:
            kind = known(name)
            return cls(name, kind.pack(taken)) if kind.are_all(taken) else None
        except (ValueError, OverflowError):
            return None

    def __len__(self) -> int:
        return len(self.data) // self._width

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...

        @overload
        def __getitem__(self, index: slice) -> Column: ...

    def __getitem__(self, index: int | slice) -> bytes | Column:
        if isinstance(index, slice):
            first, last, _ = index.indices(len(self))
            return Column(self.kind, self.data[self._width * first : self._width * last])
        one = self[index : index + 1]
        return next(iter(one))

    def __iter__(self) -> Iterator[bytes]:
        return pickles(self.kind, self.data, len(self))

    def joined(self, others: Sequence[Any]) -> Sequence[Any]:
        """These and the others behind them: a column, if those are of the same kind."""
        if isinstance(others, Column) and others.kind == self.kind:
            return Column(self.kind, self.data + others.data)
        return [*self, *others] if others else self


class RangeColumn(Column):
    """The numbers of a range."""

    def __init__(self, numbers: range) -> None:
        self.kind = f"{RANGES}{numbers.start}:{numbers.step}"
        self.data = b""
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...

        @overload
        def __getitem__(self, index: slice) -> Column: ...

    def __getitem__(self, index: int | slice) -> bytes | Column:
        if isinstance(index, slice):
            return RangeColumn(self._numbers[index])
        return pickle.dumps(self._numbers[index], 5)

    def __iter__(self) -> Iterator[bytes]:
        return (pickle.dumps(number, 5) for number in self._numbers)

    def joined(self, others: Sequence[Any]) -> Sequence[Any]:
        """These and the others behind them: a range, if those go on where these end."""
        ours = self._numbers
        if isinstance(others, RangeColumn) and len(others):
            theirs = others._numbers
            both = range(ours.start, ours[-1] + (1 + len(theirs)) * ours.step, ours.step)
            if both[len(ours) :] == theirs:
                return RangeColumn(both)
        return [*self, *others] if others else self


def range_of(name: str, count: int) -> range:
    """So many numbers, as the name of their kind says.

    Raises
    ------
    ValueError
        If it does not say which.
    """
    start, _, step = name[len(RANGES) :].partition(":")
    return range(int(start), int(start) + count * int(step), int(step))
