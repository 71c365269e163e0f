"""Small arrays, numbers of numpy and tuples: a column of them is what each of them is by itself."""

import pickle
from typing import Any

import numpy as np
import pytest

import pypool

from . import large, tasks

COUNT = 3000
"""Enough for what is done for many short tasks alone."""


def rows(count: int = COUNT, size: int = 5) -> list[Any]:
    return [np.arange(float(size)) + number for number in range(count)]


def same(found: list[Any], expected: list[Any]) -> bool:
    """To the last bit, and of the same types."""
    return list(map(pickle.dumps, found)) == list(map(pickle.dumps, expected))


EACH: dict[str, list[Any]] = {
    "arrays": rows(),
    "arrays of two dimensions": [np.full((2, 3), number) for number in range(COUNT)],
    "arrays of two shapes": [np.arange(1.0 + number % 2) for number in range(COUNT)],
    "floats of numpy": list(np.linspace(0, 1, COUNT)),
    "integers of numpy": list(np.arange(COUNT)),
    "few arrays": rows(3),
    "pairs": [(number, number / 2) for number in range(COUNT)],
    "pairs with numbers of numpy": list(
        zip(np.arange(COUNT), np.linspace(0, 1, COUNT), strict=True)
    ),
    "pairs of other things": [(number, number % 2 or None) for number in range(COUNT)],
}


@pytest.mark.parametrize("name", EACH)
def test_what_is_given_comes_back(pool: pypool.Pool, name: str) -> None:
    items = EACH[name]
    for _ in range(2):  # the second time it is known how short the tasks are
        assert same(pool.map(tasks.same, items), items)
    assert same(list(pool.imap(tasks.same, iter(items), chunksize=100)), items)


def test_a_list_of_rows_is_an_array(pool: pypool.Pool) -> None:
    """As emcee gives it: whatever iterates."""
    table = np.arange(4.0 * COUNT).reshape(COUNT, 4)
    assert pool.map(tasks.total, table) == [int(row.sum()) for row in table]
    assert pool.map(tasks.total, table.T) == [int(row.sum()) for row in table.T]


def test_rows_as_arguments(pool: pypool.Pool) -> None:
    """An array has elements, too, and may be an argument of `apply`."""
    rows = [np.array([number, 2]) for number in range(20)]
    assert pool.starmap(tasks.power, rows) == [number**2 for number in range(20)]
    pairs = [(number, 2) for number in range(COUNT)]
    for _ in range(2):
        assert pool.starmap(tasks.power, pairs) == [number**2 for number in range(COUNT)]
    waiting = [pool.apply_async(tasks.total, (row,)) for row in rows]
    assert [each.get() for each in waiting] == [number + 2 for number in range(20)]


def test_a_task_may_change_its_row(pool: pypool.Pool) -> None:
    """No other task sees it, though it is given twice, nor does the caller."""
    row = np.zeros(3)
    for _ in range(2):
        assert pool.map(large.raised_in_place, [row] * COUNT) == [1.0] * COUNT
    assert not row.any()


def test_a_row_that_is_kept_stays_what_it_was(pool: pypool.Pool) -> None:
    """Its memory is not that of the others."""
    found = pool.map(large.kept_from_before, rows())
    assert all(found)


def test_what_comes_back_may_be_changed(pool: pypool.Pool) -> None:
    first, second, *_ = pool.map(tasks.same, rows())
    first.fill(-1.0)
    assert second.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
