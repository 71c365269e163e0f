"""What `for` can loop over can be mapped."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import tasks
from .kinds import AnyPool
from .methods import assert_same, by, results_of


class Indexed:
    """Can be looped over by the old protocol alone: it has neither length nor iterator."""

    def __getitem__(self, index: int) -> int:
        if index == 3:
            raise IndexError
        return index


class Sized(Indexed):
    """As `Indexed`, and knows its length."""

    def __len__(self) -> int:
        return 3


def numbers() -> Iterator[int]:
    yield from range(5)


ITERABLES: dict[str, Callable[[], Any]] = {
    "list": lambda: [3, 1, 2],
    "tuple": lambda: (3, 1, 2),
    "range": lambda: range(20),
    "generator": numbers,
    "generator expression": lambda: (number for number in range(5)),
    "iterator": lambda: iter([1, 2]),
    "zip": lambda: zip(range(3), "abc", strict=True),
    "enumerate": lambda: enumerate("abc"),
    "map": lambda: map(abs, (-1, -2)),
    "dict": lambda: {"a": 1, "b": 2},
    "items of a dict": lambda: {"a": 1, "b": 2}.items(),
    "string": lambda: "unicode: äß漢\U0001f600",
    "bytes": lambda: b"abc",
    "set": lambda: {7},
    "deque": lambda: deque([1, 2]),
    "array": lambda: np.linspace(0, 1, 5),
    "by index": Indexed,
    "by index, with a length": Sized,
}


@by("map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
@pytest.mark.parametrize("name", ITERABLES)
def test_it_is_looped_over(pool: AnyPool, method: str, name: str) -> None:
    """One call for each item, with the item."""
    items = list(ITERABLES[name]())
    assert_same(method, results_of(method, pool, tasks.same, ITERABLES[name]()), items)


@by("map", "map_async", "imap", "imap_unordered")
def test_rows_of_an_array_are_items(pool: AnyPool, method: str) -> None:
    """An array of two dimensions is looped over by rows."""
    rows = np.arange(12).reshape(4, 3)
    assert_same(method, results_of(method, pool, tasks.total, rows), [3, 12, 21, 30])


@by("map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
@pytest.mark.parametrize("empty", [list, dict, str], ids=["list", "dict", "string"])
def test_no_items(pool: AnyPool, method: str, empty: Callable[[], Any]) -> None:
    """No item, no result, no call."""
    assert results_of(method, pool, tasks.divide, empty()) == []


@by()
def test_equal_calls_are_all_made(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """The same function with the same item, twenty times, is twenty calls."""
    directory = str(shared_dir)
    assert results_of(method, pool, tasks.leave_trace, [directory] * 20) == [None] * 20
    assert len(list(shared_dir.iterdir())) == 20
