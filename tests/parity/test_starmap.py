"""`starmap`: each item is a row of arguments."""

import itertools
from typing import Any

import numpy as np
import pytest

from . import tasks
from .kinds import AnyPool
from .test_map import CHUNKSIZES

ROWS: dict[str, tuple[Any, list[Any]]] = {
    "tuples": ([(1, 2), (3, 4)], [3, 7]),
    "lists": ([[1, 2], [3, 4]], [3, 7]),
    "tuples and lists": ([(1, 2), [3, 4]], [3, 7]),
    "strings": (["ab", "cd"], ["ab", "cd"]),
    "named tuples": ([tasks.Point(1, 2), tasks.Point(3, 4)], [3, 7]),
    "ranges": ([range(2), range(2, 4)], [1, 5]),
    "a tuple of tuples": (((1, 2), (3, 4)), [3, 7]),
    "rows of an array": (np.arange(4).reshape(2, 2), [1, 5]),
    "nothing": ([], []),
}


def test_positions(pool: AnyPool) -> None:
    """Function, rows, chunksize, in this order."""
    assert pool.starmap(tasks.add, [(1, 2), (3, 4), (5, 6)], 2) == [3, 7, 11]


def test_keywords(pool: AnyPool) -> None:
    """All three have their names."""
    assert pool.starmap(chunksize=1, iterable=[(1, 2)], func=tasks.add) == [3]


@pytest.mark.parametrize("rows", ROWS)
def test_rows_of_all_kinds(pool: AnyPool, rows: str) -> None:
    """What a star unpacks in a call can be a row."""
    items, expected = ROWS[rows]
    assert pool.starmap(tasks.add, items) == expected


def test_a_zip(pool: AnyPool) -> None:
    """Rows can come from a `zip` and from what is joined to it."""
    rows = zip(range(4), itertools.repeat(10), strict=False)
    assert pool.starmap(tasks.add, rows) == [10, 11, 12, 13]


def test_a_generator(pool: AnyPool) -> None:
    """Rows can come one by one."""
    assert pool.starmap(tasks.add, ((n, n) for n in range(5))) == [0, 2, 4, 6, 8]


def test_rows_of_unequal_lengths(pool: AnyPool) -> None:
    """A row has as many arguments as it has; also none."""
    assert pool.starmap(tasks.told, [(), (1,), (1, 2)]) == [((), {}), ((1,), {}), ((1, 2), {})]


@pytest.mark.parametrize("chunksize", CHUNKSIZES, ids=repr)
@pytest.mark.parametrize("count", [0, 1, 10])
def test_any_chunksize(pool: AnyPool, chunksize: int | None, count: int) -> None:
    """The list is the same with each chunksize."""
    rows = [(number, 1) for number in range(count)]
    assert pool.starmap(tasks.add, rows, chunksize) == [number + 1 for number in range(count)]


def test_a_row_that_does_not_fit(pool: AnyPool) -> None:
    """Too few arguments are an error of the call, as without a pool."""
    with pytest.raises(TypeError, match="second"):
        pool.starmap(tasks.add, [(1, 2), (3,)])


def test_a_row_that_is_none(pool: AnyPool) -> None:
    """A number is no row of arguments."""
    with pytest.raises(TypeError, match="iterable"):
        pool.starmap(tasks.add, [(1, 2), 3])
