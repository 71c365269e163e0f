"""Columns: values of one simple type, each at its place, without a pickle of its own.

Items and results are often numbers. To pickle one and load it again costs more than most
arithmetic with it; a column of them is copied as a whole, in the byte order of the machine. Only
what is exactly of such a type comes into a column, so that it leaves it as what it was. Used by
the driver and by workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection, Iterator
    from typing import Any, overload

NUMBER_BYTES = 8
"""Of each float or integer."""


class Kind:
    """What a column can be of.

    Attributes
    ----------
    type : type
        Exactly.
    form : str
        The format of its memory; that of None says only how many there are.
    width : int
        Bytes of each value.
    """

    __slots__ = ("form", "type", "width")

    def __init__(self, type: type, form: str, width: int) -> None:
        self.type = type
        self.form = form
        self.width = width


KINDS = {
    "d": Kind(float, "d", NUMBER_BYTES),
    "q": Kind(int, "q", NUMBER_BYTES),
    "?": Kind(bool, "?", 1),
    "0": Kind(type(None), "?", 1),
}
"""By the letter that stands for it."""

LETTERS = {kind.type: letter for letter, kind in KINDS.items()}

PICKLES = "p"
"""The letter of what is no column: each value has a pickle of its own."""


def are_numbers(letter: str) -> bool:
    """Whether it is a kind that items may be of."""
    return letter in KINDS and KINDS[letter].width == NUMBER_BYTES


def load(letter: str, data: bytes, count: int) -> list[Any]:
    """The values of a column.

    Raises
    ------
    ValueError
        If they are not so many, or there is no such kind.
    """
    kind = KINDS.get(letter)
    if kind is None or len(data) != count * kind.width:
        raise ValueError(f"{len(data)} bytes are no {count} values of kind {letter!r}")
    if kind.type is type(None):
        return [None] * count
    return memoryview(data).cast(kind.form).tolist()  # type: ignore[call-overload,no-any-return]


class PackedNumbers(Sequence[bytes]):
    """Items that are numbers, packed: as a sequence they are what other items are, pickles.

    Attributes
    ----------
    kind : str
        The letter.
    """

    def __init__(self, numbers: array[Any]) -> None:
        self._numbers = numbers
        self.kind = numbers.typecode

    @classmethod
    def of(cls, items: Collection[Any]) -> PackedNumbers | None:
        """The items, if all of them are floats, or integers of 64 bits."""
        from array import array

        taken = list(items)  # as it iterates, and as it is now
        types = set(map(type, taken))
        letter = LETTERS.get(types.pop(), "") if len(types) == 1 else ""
        if not are_numbers(letter):
            return None
        try:
            return cls(array(letter, taken))
        except OverflowError:
            return None

    def __len__(self) -> int:
        return len(self._numbers)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...

        @overload
        def __getitem__(self, index: slice) -> PackedNumbers: ...

    def __getitem__(self, index: int | slice) -> bytes | PackedNumbers:
        if isinstance(index, slice):
            return PackedNumbers(self._numbers[index])
        return pickle.dumps(self._numbers[index], 5)

    def __iter__(self) -> Iterator[bytes]:
        return (pickle.dumps(number, 5) for number in self._numbers)

    def joined(self, others: Sequence[Any]) -> Sequence[Any]:
        """These and the others behind them: numbers, if those are of the same kind."""
        if isinstance(others, PackedNumbers) and others.kind == self.kind:
            return PackedNumbers(self._numbers + others._numbers)
        return [*self, *others]

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return NUMBER_BYTES * len(self._numbers)

    def tobytes(self) -> bytes:
        """The numbers, one behind the other."""
        return self._numbers.tobytes()
