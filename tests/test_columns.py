"""Columns: what comes in comes out, of the same type and to the last bit."""

import pickle
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypool.columns import KINDS, LETTERS, PackedNumbers, load

LARGEST = 2**63 - 1


class OwnNumber(int):
    pass


@given(st.lists(st.integers(-LARGEST - 1, LARGEST), min_size=1) | st.lists(st.floats(), min_size=1))
def test_numbers_come_back(numbers: list[Any]) -> None:
    """As a column of the file, and as what all other items are. Not even a NaN is another one."""
    column = PackedNumbers.of(numbers)
    assert column is not None
    found = load(column.kind, column.tobytes(), len(column))
    assert list(map(same, found)) == list(map(same, numbers))
    assert list(column) == [pickle.dumps(number, 5) for number in numbers]
    assert [column[index] for index in range(len(column))] == list(column)
    assert list(column[1:-1]) == list(column)[1:-1]
    assert column.size == len(column.tobytes())


def same(number: float) -> tuple[type, bytes | int]:
    return type(number), struct.pack("d", number) if isinstance(number, float) else number


@pytest.mark.parametrize(
    "items",
    [
        [],
        [1, 2.0],
        [1, True],
        [True, False],
        [None],
        [OwnNumber(1)],
        [LARGEST + 1],
        [-LARGEST - 2],
        ["1"],
        [[1]],
    ],
)
def test_what_is_no_column(items: list[Any]) -> None:
    """What would come out as something else, or is not worth it."""
    assert PackedNumbers.of(items) is None


def test_a_list_that_iterates_otherwise_is_what_it_yields() -> None:
    """As for whoever else goes through it."""

    class Doubled(list[float]):
        def __iter__(self) -> Iterator[float]:
            return (2 * number for number in super().__iter__())

    column = PackedNumbers.of(Doubled([1.0, 2.0]))
    assert column is not None
    assert [pickle.loads(each) for each in column] == [2.0, 4.0]


def test_what_is_given_may_change() -> None:
    """The numbers are those of the moment."""
    numbers = [1, 2, 3]
    column = PackedNumbers.of(numbers)
    numbers[0] = 9
    assert column is not None
    assert pickle.loads(column[0]) == 1


@pytest.mark.parametrize(("values", "data"), [([True, False], b"\1\0"), ([None] * 3, bytes(3))])
def test_other_columns(values: list[Any], data: bytes) -> None:
    """Results may be those."""
    kind = LETTERS[type(values[0])]
    assert load(kind, data, len(values)) == values
    assert len(data) == KINDS[kind].width * len(values)


@pytest.mark.parametrize(
    ("kind", "data", "count"),
    [("d", b"", 1), ("d", bytes(9), 1), ("q", bytes(8), 2), ("0", b"", 1 << 32), ("z", b"", 0)],
)
def test_what_is_no_column_of_so_many(kind: str, data: bytes, count: int) -> None:
    """A count that lies takes no memory."""
    with pytest.raises(ValueError, match="values of kind"):
        load(kind, data, count)
