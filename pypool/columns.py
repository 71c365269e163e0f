"""Columns: values of one simple type, each at its place, without a pickle of its own.

Items and results are often numbers. To pickle one and load it again costs more than most
arithmetic with it; a column of them is copied as a whole. Only what is exactly of such a type
comes into a column, so that it leaves it as what it was. Used by the driver and by workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection, Iterator
    from typing import Any, overload

KINDS: dict[type, str] = {float: "d", int: "q", bool: "?", type(None): "0"}
"""By the exact type: the letter of the column."""

FORMATS = {"d": "d", "q": "q", "?": "?", "0": "?"}
"""The format of its memory; that of None says only how many there are."""

PICKLES = "p"
"""The letter of what is no column: each value has a pickle of its own."""

NUMBER_BYTES = 8
"""Of each float or integer."""

WIDTHS = {"d": NUMBER_BYTES, "q": NUMBER_BYTES, "?": 1, "0": 1}
"""Bytes of each value."""


def load(kind: str, data: bytes, count: int) -> list[Any]:
    """The values of a column.

    Raises
    ------
    ValueError
        If they are not so many, or there is no such kind.
    """
    if kind not in WIDTHS or len(data) != count * WIDTHS[kind]:
        raise ValueError(f"{len(data)} bytes are no {count} values of kind {kind!r}")
    if kind == KINDS[type(None)]:
        return [None] * count
    return memoryview(data).cast(FORMATS[kind]).tolist()  # type: ignore[call-overload,no-any-return]


class Column(Sequence[bytes]):
    """Items that are numbers. As a sequence they are what all other items are: pickles.

    Attributes
    ----------
    kind : str
        The letter.
    """

    def __init__(self, numbers: array[Any]) -> None:
        self._numbers = numbers
        self.kind = numbers.typecode

    @classmethod
    def of(cls, items: Collection[Any]) -> Column | None:
        """The items, if they can be a column: all of them floats, or integers of 64 bits."""
        from array import array

        types = set(map(type, items))
        kind = KINDS.get(types.pop(), "") if len(types) == 1 else ""
        if not kind or WIDTHS[kind] != NUMBER_BYTES:
            return None
        try:
            return cls(array(kind, items))
        except OverflowError:
            return None

    def __len__(self) -> int:
        return len(self._numbers)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...

        @overload
        def __getitem__(self, index: slice) -> Column: ...

    def __getitem__(self, index: int | slice) -> bytes | Column:
        if isinstance(index, slice):
            return Column(self._numbers[index])
        return pickle.dumps(self._numbers[index], 5)

    def __iter__(self) -> Iterator[bytes]:
        return (pickle.dumps(number, 5) for number in self._numbers)

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return NUMBER_BYTES * len(self._numbers)

    def tobytes(self) -> bytes:
        """The numbers, one behind the other."""
        return self._numbers.tobytes()
