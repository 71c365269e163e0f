"""Columns: items of one kind, packed one behind the other. What kinds there are: see `kinds`.

Of the numbers of a range it is only said where they begin and how far they are apart. Texts, lists,
dictionaries and what else is plain and has no kind are pickled some at a time.
"""

from __future__ import annotations

import pickle
from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain

from pypool.kinds import BLOCKS, LONGEST_ABOUT, PICKLES, RANGES, kind_of, known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import Any, overload


IN_BLOCK = 64
"""So many items are checked, or pickled, together."""

BLOCK_BYTES = 16 << 10
"""Who needs one item reads its block: heavier ones go each by itself."""

_PLAIN = {str, bytes, int, float, bool, type(None)}

_HOLDING: dict[type, tuple[Callable[[Any], Iterable[Any]], ...]] = {
    tuple: (iter,),
    list: (iter,),
    dict: (iter, dict.values),
}
"""And those that hold nothing else; what gives that."""


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
        """The items, if all are of one kind: numbers, tuples of such, small arrays; or if all are
        light and plain.
        """
        if type(items) is range and items and RangeColumn.can_tell(items):
            return RangeColumn(items)
        taken = list(items)  # as it iterates, and as it is now
        if not taken:
            return None
        types = set(map(type, taken))
        if len(types) == 1 and (name := kind_of(taken[0])) not in (PICKLES, "?", "0"):
            try:
                if (kind := known(name)).are_all(taken):
                    return cls(name, kind.pack(taken))
            except (ValueError, OverflowError):
                pass
        return BlockColumn.of_plain(taken) if _are_plain(taken, types) else None

    @property
    def size(self) -> int:
        """Bytes of the items."""
        return len(self.data)

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


class ValueColumn(Column):
    """Values that are pickled when they are asked for."""

    def __init__(self, kind_name: str) -> None:
        self.kind = kind_name
        self.data = b""

    @property
    @abstractmethod
    def values(self) -> Sequence[Any]:
        """Themselves."""

    @abstractmethod
    def part(self, values: Any) -> Column:
        """The same of some of the values."""

    def __len__(self) -> int:
        return len(self.values)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...

        @overload
        def __getitem__(self, index: slice) -> Column: ...

    def __getitem__(self, index: int | slice) -> bytes | Column:
        found = self.values[index]
        return self.part(found) if isinstance(index, slice) else pickle.dumps(found, 5)

    def __iter__(self) -> Iterator[bytes]:
        return (pickle.dumps(value, 5) for value in self.values)


class BlockColumn(ValueColumn):
    """Plain items, so many of them in one pickle that loads as a list.

    What they have in common, or which of them are the same object, nobody can tell by them.

    Attributes
    ----------
    blocks : list of bytes
        The pickles, of IN_BLOCK items each but for the last one.
    """

    def __init__(self, count: int, blocks: Iterable[bytes]) -> None:
        super().__init__(BLOCKS)
        self.blocks = list(blocks)
        self._count = count

    @classmethod
    def of_plain(cls, values: list[Any]) -> BlockColumn | None:
        """Those of the list, which are plain; None if some are heavy."""
        blocks = []
        for block in _in_blocks(values):
            if len(block) > BLOCK_BYTES:
                return None
            blocks.append(block)
        return cls(len(values), blocks)

    @property
    def values(self) -> list[Any]:
        """As they were: who has given them may have changed them since."""
        return list(chain.from_iterable(map(pickle.loads, self.blocks)))

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        return sum(map(len, self.blocks))

    def part(self, values: list[Any]) -> BlockColumn:
        return BlockColumn(len(values), _in_blocks(values))

    def joined(self, others: Sequence[Any]) -> Sequence[Any]:
        """These and the others behind them: in blocks, if that can be."""
        if isinstance(others, BlockColumn) and not len(self) % IN_BLOCK:
            return BlockColumn(len(self) + len(others), self.blocks + others.blocks)
        return [*self, *others] if others else self


def _in_blocks(values: list[Any]) -> Iterator[bytes]:
    starts = range(0, len(values), IN_BLOCK)
    return (pickle.dumps(values[start : start + IN_BLOCK], 5) for start in starts)


def _are_plain(values: list[Any], types: set[type]) -> bool:
    """Whether the items, of these types, cannot fail to load and have nothing that can be changed
    in common.
    """
    if len(types) > 1 or not types <= _HOLDING.keys():
        return types <= _PLAIN
    (kind,) = types
    if kind is not tuple and len(set(map(id, values))) < len(values):
        return False
    return all(
        set(map(type, chain.from_iterable(map(held, values)))) <= _PLAIN for held in _HOLDING[kind]
    )


class RangeColumn(ValueColumn):
    """The numbers of a range."""

    def __init__(self, numbers: range) -> None:
        super().__init__(f"{RANGES}{numbers.start}:{numbers.step}")
        self._numbers = numbers

    @property
    def values(self) -> range:
        return self._numbers

    @staticmethod
    def can_tell(numbers: range) -> bool:
        """Whether its name is not too long: each number has a digit for 3.3 bits."""
        return max(abs(numbers.start), abs(numbers.step)).bit_length() < 1.5 * LONGEST_ABOUT

    def part(self, values: range) -> RangeColumn:
        return RangeColumn(values)

    def joined(self, others: Sequence[Any]) -> Sequence[Any]:
        """These and the others behind them: a range, if those go on where these end."""
        ours = self.values
        if isinstance(others, RangeColumn) and ours and len(others):
            theirs = others.values
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
