"""Columns: what comes in comes out, of the same type and to the last bit."""

import copy
import itertools
import pickle
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypool.columns import (
    BLOCK_BYTES,
    IN_BLOCK,
    BlockColumn,
    Column,
    RangeColumn,
    load,
    pickles,
    range_of,
)
from pypool.kinds import ARRAY_BYTES, KINDS, PICKLES, kind_of, known, pack_about, unpack_name

LARGEST = 2**63 - 1


class OwnNumber(int):
    pass


class OwnText(str):
    __slots__ = ()


class Pair(NamedTuple):
    one: int
    other: int


def fixed(array: Any) -> Any:
    """It may not be written to."""
    array.flags.writeable = False
    return array


@given(st.lists(st.integers(-LARGEST - 1, LARGEST), min_size=1) | st.lists(st.floats(), min_size=1))
def test_numbers_come_back(numbers: list[Any]) -> None:
    """As a column of the file, and as what all other items are. Not even a NaN is another one."""
    column = Column.of(numbers)
    assert column is not None
    found = load(column.kind, column.data, len(column))
    assert list(map(same, found)) == list(map(same, numbers))
    assert list(column) == [pickle.dumps(number, 5) for number in numbers]
    assert [column[index] for index in range(len(column))] == list(column)
    assert list(column[1:-1]) == list(column)[1:-1]


def same(number: float) -> tuple[type, bytes | int]:
    return type(number), struct.pack("d", number) if isinstance(number, float) else number


@pytest.mark.parametrize(
    "items",
    [
        [],
        [OwnNumber(1)],
        [OwnText("1")],
        [[1, (2,)]],
        [(1, (2, 3))],
        [(1, [2])],
        [(1, OwnText("2"))],
        ["1", ("2",)],
        ["1", [2]],
        ["x" * BLOCK_BYTES],
        ["x"] * 300 + ["x" * BLOCK_BYTES],
        [1j],
        [{1}],
        [Pair(1, 2)],
        [[1, [2]]],
        [np.float64(1), 1.0],
        [np.float32(1)],
        [np.longlong(1)],
        [np.arange(3), np.arange(4)],
        [np.arange(3), np.arange(3.0)],
        [np.arange(3), [0, 1, 2]],
        [np.arange(3), fixed(np.arange(3))],
        [np.zeros((3, 2)), np.zeros((3, 2), order="F")],
        [np.zeros((3, 2), order="F")],
        [fixed(np.arange(3))],
        [np.arange(6)[::2]],
        [np.array(1.0)],
        [np.array([])],
        [np.array(["text"])],
        [np.array([None])],
        [np.array(["2024-01-01"], "M8[D]")],
        [np.zeros(2, [("a", "f8")])],
        [np.zeros(2, np.longlong)],
        [np.zeros(2, np.dtype("f8", metadata={"of": "users"}))],
        [np.zeros(ARRAY_BYTES + 1, np.uint8)],
        [np.ma.zeros(3)],
        [np.zeros(3).view(np.matrix)],
    ],
)
def test_what_is_no_column(items: list[Any]) -> None:
    """What would come out as something else, or is not worth it."""
    assert Column.of(items) is None


PLAIN = [
    [1, 2.0],
    [1, True],
    [True, False],
    [None],
    [LARGEST + 1],
    [-LARGEST - 2],
    ["1"],
    ["text", b"bytes", 1, 1.5, True, None],
    ["\ud800"],
    ["__main__"],
    [()],
    [(1,), (1, 2)],
    [(1, 2), (1, 2.0)],
    [(1, 2), (1, True)],
    [(1, "text")],
    [(1, None)],
    [(LARGEST + 1, 1)],
    [tuple(range(101))],
    [f"file-{number}" for number in range(64)],
    [("file", number) for number in range(200)],
    [[number, 0.5, "a"] for number in range(150)],
    [[], [1.5], ["a", None]],
    [{"number": number, "name": "a"} for number in range(150)],
    [{}, {1: True, None: b"a"}],
]


@pytest.mark.parametrize("items", PLAIN)
def test_plain_items_are_pickled_some_at_a_time(items: list[Any]) -> None:
    """Each by itself is what it would be anyway; and so are those of a part."""
    column = Column.of(items)
    assert isinstance(column, BlockColumn)
    loaded = [pickle.loads(block) for block in column.blocks]
    assert [len(block) for block in loaded[:-1]] == [IN_BLOCK] * (len(loaded) - 1)
    assert exactly(itertools.chain(*loaded)) == exactly(items)
    assert column.size == sum(map(len, column.blocks))
    assert list(column) == [pickle.dumps(item, 5) for item in items]
    assert [column[index] for index in range(len(column))] == list(column)
    part = column[len(items) // 3 : 1 + len(items) // 2]
    assert list(part) == list(column)[len(items) // 3 : 1 + len(items) // 2]


def exactly(items: Iterable[Any]) -> list[tuple[type, Any]]:
    """With their types: `True` is equal to 1."""
    return [
        (type(item), exactly(item) if isinstance(item, tuple | list) else item) for item in items
    ]


@pytest.mark.parametrize("count", [1, IN_BLOCK, 3 * IN_BLOCK])
@pytest.mark.parametrize("others", [["more", "texts"], [[1], [2]], []])
def test_blocks_that_are_full_are_joined(count: int, others: list[Any]) -> None:
    """Else all are items as any."""
    items = [str(number) for number in range(count)]
    first, second = Column.of(items), Column.of(others) or list(map(pickle.dumps, others))
    assert first is not None
    both = first.joined(second)
    assert [pickle.loads(each) for each in both] == items + others
    full = isinstance(second, BlockColumn) and not count % IN_BLOCK
    assert isinstance(both, BlockColumn) == (full or not others)


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([[1], [[2]]], id="nested"),
        pytest.param([{"a": [1]}, {"a": 1}], id="in a dict"),
        pytest.param([{(1, 2): 1}], id="as a key"),
        pytest.param([[1], {"a": 1}], id="of two kinds"),
        pytest.param([[1]] * 2, id="the same list"),
        pytest.param([{"a": 1}] * 2, id="the same dict"),
        pytest.param([[1], [object]], id="names something"),
    ],
)
def test_what_is_packed_each_by_itself(items: list[Any]) -> None:
    """It may have something in common that a task could change, or fail to load."""
    assert Column.of(items) is None


@pytest.mark.parametrize("items", [[["a"], ["b"]], [{"a": "b"}, {"a": "c"}]])
def test_plain_items_may_be_changed_once_they_are_taken(items: list[Any]) -> None:
    """They are what they were; in any part, too."""
    before = copy.deepcopy(items)
    column = Column.of(items)
    for each in items:
        each.clear()
    assert column is not None
    assert list(map(pickle.loads, column)) == before
    assert list(map(pickle.loads, column[1:])) == before[1:]


def test_plain_items_that_are_taken_may_be_replaced() -> None:
    """In the list: they are those of the moment."""
    items = ["one", "other"]
    column = Column.of(items)
    items[0] = "another"
    assert column is not None
    assert list(map(pickle.loads, column)) == ["one", "other"]


def test_a_list_that_iterates_otherwise_is_what_it_yields() -> None:
    """As for whoever else goes through it."""

    class Doubled(list[float]):
        def __iter__(self) -> Iterator[float]:
            return (2 * number for number in super().__iter__())

    column = Column.of(Doubled([1.0, 2.0]))
    assert column is not None
    assert [pickle.loads(each) for each in column] == [2.0, 4.0]


@pytest.mark.parametrize(
    "items",
    [range(5), range(3, -20, -7), range(2**70, 2**70 + 3), range(-(10**100), 10**101, 10**100)],
)
def test_of_a_range_only_its_name_is_told(items: range) -> None:
    """As items its numbers are what others are, and so is any part of them."""
    column = Column.of(items)
    assert isinstance(column, RangeColumn)
    assert column.data == b""
    assert range_of(column.kind, len(column)) == items
    assert [*column] == [column[index] for index in range(len(column))]
    assert [pickle.loads(each) for each in column] == [*items]
    assert [pickle.loads(each) for each in column[1:3]] == [*items[1:3]]
    assert not column[1:1]


def test_a_range_of_numbers_with_too_many_digits_is_none() -> None:
    """Nor is an empty one. More digits than Python writes are no trouble."""
    for large in (10**300, 10**5000):
        for items in (range(large, large + 2), range(0, 2 * large, large)):
            column = Column.of(items)
            assert isinstance(column, BlockColumn)
            assert [pickle.loads(each) for each in column] == [*items]
    assert Column.of(range(0)) is None


@pytest.mark.parametrize(
    ("others", "joined"),
    [
        (range(4, 9, 2), range(0, 10, 2)),
        (range(4, 5), range(0, 6, 2)),
        (range(5, 9, 2), None),
        (range(4, 9), None),
        ([4, 6], None),
    ],
)
def test_a_range_that_goes_on_is_one(others: Any, joined: range | None) -> None:
    """Else they are items as any."""
    first, second = Column.of(range(0, 4, 2)), Column.of(others)
    assert first is not None
    assert second is not None
    both = first.joined(second)
    assert [pickle.loads(each) for each in both] == [0, 2, *others]
    assert isinstance(both, RangeColumn) == (joined is not None)
    assert first.joined([]) is first
    assert [pickle.loads(each) for each in first[:0].joined(second)] == [*others]


@pytest.mark.parametrize("name", ["r", "r1", "r1:", "r1:x", "r1:2:3"])
def test_what_says_nothing_of_a_range(name: str) -> None:
    """It may be damaged."""
    with pytest.raises(ValueError, match="invalid literal"):
        range_of(name, 3)


def test_what_is_given_may_change() -> None:
    """The numbers are those of the moment."""
    numbers = [1, 2, 3]
    column = Column.of(numbers)
    numbers[0] = 9
    assert column is not None
    assert pickle.loads(column[0]) == 1


@pytest.mark.parametrize(("values", "data"), [([True, False], b"\1\0"), ([None] * 3, bytes(3))])
def test_other_columns(values: list[Any], data: bytes) -> None:
    """Results may be those."""
    kind = kind_of(values[0])
    assert load(kind, data, len(values)) == values
    assert len(data) == KINDS[kind].width * len(values)


@pytest.mark.parametrize(
    ("kind", "data", "count"),
    [("d", b"", 1), ("d", bytes(9), 1), ("q", bytes(8), 2), ("0", b"", 1 << 32), ("z", b"", 0)],
)
def test_what_is_no_column_of_so_many(kind: str, data: bytes, count: int) -> None:
    """A count that lies takes no memory."""
    with pytest.raises(ValueError, match=r"of kind|no kind"):
        load(kind, data, count)


@pytest.mark.parametrize("kept", [np.float64, np.int64])
def test_numbers_of_numpy_stay_such(kept: Any) -> None:
    values = list(np.arange(5).astype(kept))
    column = Column.of(values)
    assert column is not None
    for found in (load(column.kind, column.data, 5), [pickle.loads(each) for each in column]):
        assert found == values
        assert set(map(type, found)) == {kept}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3.0),
        np.arange(3, dtype=">i4"),
        np.zeros((2, 3), np.complex64),
        np.ones((1, 1, 1), bool),
        np.array([-0.0, np.nan, np.inf]),
        np.zeros(ARRAY_BYTES, np.uint8),
        pickle.loads(pickle.dumps(np.arange(3.0))),
        np.zeros((4, 6))[1:3].reshape(-1),
    ],
)
def test_small_arrays_come_back(array: Any) -> None:
    """As a column, and as what all other items are; each is its own from then on."""
    other = array[::-1].copy()
    column = Column.of([array, other])
    assert column is not None
    assert len(column) == 2
    for found in (load(column.kind, column.data, 2), [pickle.loads(each) for each in column]):
        for one, given_one in zip(found, (array, other), strict=True):
            assert type(one) is np.ndarray
            assert (one.dtype, one.dtype.char) == (given_one.dtype, given_one.dtype.char)
            assert one.shape == given_one.shape
            assert one.tobytes() == given_one.tobytes()
            assert one.flags.owndata or one.base is not None
            assert one.flags.writeable
    own, second = load(column.kind, column.data, 2)
    own.fill(7)
    assert second.tobytes() == other.tobytes()
    assert own.flags.owndata
    assert load(column.kind, column.data, 2)[0].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "values",
    [
        [(1, 2.0, True), (-3, float("inf"), False)],
        [(0.5,), (-0.0,)],
        [(np.float64(1.5), 2), (np.float64(2.5), 3)],
        [(np.int64(-1), np.float64(1.5), 0.5)],
        [tuple(range(100))] * 3,
    ],
)
def test_tuples_of_numbers_come_back(values: list[Any]) -> None:
    """As a column, and as what all other items are."""
    column = Column.of(values)
    assert column is not None
    for found in (load(column.kind, column.data, len(values)), list(map(pickle.loads, column))):
        assert found == values
        assert [list(map(same, each)) for each in found] == [
            list(map(same, each)) for each in values
        ]
    kind = known(column.kind)
    assert all(map(kind.belongs, values))
    assert not any(map(kind.belongs, [(), (1, 2), ("text",), [1], 1]))


def test_tuples_in_tuples_in_tuples() -> None:
    """However deep: they are pickled, or say themselves that they cannot be."""
    deep: Any = (1,)
    for _ in range(100_000):
        deep = (deep,)
    assert kind_of(deep) == PICKLES


def test_arrays_that_change_are_what_they_were() -> None:
    array = np.arange(3.0)
    column = Column.of([array])
    array.fill(9)
    assert column is not None
    assert pickle.loads(column[0]).tolist() == [0.0, 1.0, 2.0]


def test_a_kind_is_told_of_by_its_letter_and_what_stands_behind_it() -> None:
    for name in ("d", PICKLES, "a<f8:3", "a|b1:1,2,3", "tdq", "t" + 100 * "D", "r-5:3"):
        told = pack_about(name)
        assert unpack_name(name[:1].encode(), told + b"more") == (name, len(told))


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a:",
        "a<f8",
        "a<f8:",
        "a<f8:0",
        "a<f8:-1,-2",
        "a<f8:1000",
        "a<O8:1",
        "a<V8:1",
        "aM8[D]:1",
    ],
)
def test_what_says_nothing_of_a_kind(name: str) -> None:
    """It may be damaged."""
    with pytest.raises(ValueError, match=r"says nothing|has no shape"):
        known(name)


def test_what_belongs_to_a_kind() -> None:
    """So that it leaves the column as what it was."""
    kind = known(kind_of(np.arange(3.0)))
    assert kind.belongs(np.arange(3.0))
    assert kind.belongs(pickle.loads(pickle.dumps(np.arange(3.0))))
    others: list[Any] = [np.arange(3), np.arange(4.0), fixed(np.arange(3.0)), [0.0, 1.0, 2.0], 1.0]
    assert not any(map(kind.belongs, [*others, np.arange(6.0)[::2], np.ma.zeros(3)]))


def test_arrays_of_many_shapes_take_no_memory() -> None:
    """However many are met."""
    from pypool import kinds

    for length in range(1, 3000):
        kinds.known(f"a|u1:{1 + length % 2000},1{',1' * (length // 2000)}")
    assert len(kinds._met) <= 1000


@pytest.mark.parametrize("name", ["d", "D", "?", "0", "a<f8:3", "tD", "tdq"])
def test_a_column_of_nothing(name: str) -> None:
    assert load(name, b"", 0) == []
    assert list(pickles(name, b"", 0)) == []


WITHOUT_NUMPY = """
import pickle, sys
sys.modules["numpy"] = None
from pypool.columns import load, pickles
from pypool.kinds import known
for name, data in {"D": bytes(8), "a<f8:3": bytes(24), "tqD": bytes(16)}.items():
    assert known(name).width == len(data)
    (pickled,) = pickles(name, data, 1)
    for fails in (lambda: load(name, data, 1), lambda: pickle.loads(pickled)):
        try:
            fails()
        except ImportError:
            continue
        raise SystemExit(name)
(pickled,) = pickles("tq", bytes(8), 1)
assert pickle.loads(pickled) == (0,)
"""


def test_what_is_not_looked_at_needs_no_numpy() -> None:
    """It may be missing where results are, or an agent runs: whoever wants the value is told."""
    subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], check=True)
