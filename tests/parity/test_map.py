"""`map`: its arguments, what can be looped over, and what comes back."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from . import tasks
from .kinds import AnyPool

CHUNKSIZES = [None, 1, 3, 1000, np.int64(2)]


def test_positions(pool: AnyPool) -> None:
    """Function, items, chunksize, in this order."""
    assert pool.map(tasks.square, range(7), 3) == [0, 1, 4, 9, 16, 25, 36]


def test_keywords(pool: AnyPool) -> None:
    """All three have their names."""
    assert pool.map(chunksize=2, iterable=range(3), func=tasks.square) == [0, 1, 4]


@pytest.mark.parametrize("chunksize", CHUNKSIZES, ids=repr)
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_any_chunksize(pool: AnyPool, chunksize: int | None, count: int) -> None:
    """The list is the same with each chunksize: of no item, less than a chunk, and more."""
    expected = [number**2 for number in range(count)]
    assert pool.map(tasks.square, range(count), chunksize) == expected


def test_a_list_comes_back(pool: AnyPool) -> None:
    """Always a list, whatever came in."""
    assert type(pool.map(tasks.same, (1, 2))) is list
    assert type(pool.map(tasks.same, ())) is list


def test_a_thousand_items(pool: AnyPool) -> None:
    """All results, each in its place."""
    assert pool.map(tasks.square, range(1000)) == [number**2 for number in range(1000)]


def test_order_does_not_depend_on_what_ends_first(pool: AnyPool, shared_dir: Any) -> None:
    """The first item ends last and is first in the list."""
    path = str(shared_dir / "file")
    handle = pool.map_async(tasks.wait_for_some, [path, "", "", ""], 1)
    (shared_dir / "file").touch()
    assert handle.get(tasks.PATIENCE) == [path, "", "", ""]


def test_the_iterable_is_used_up_by_the_caller(pool: AnyPool) -> None:
    """A generator is run in the thread that calls `map`, before it returns."""
    threads = []

    def items() -> Iterator[int]:
        for number in range(3):
            threads.append(threading.get_ident())
            yield number

    handle = pool.map_async(tasks.square, items())
    assert threads == [threading.get_ident()] * 3
    assert handle.get(tasks.PATIENCE) == [0, 1, 4]


def test_an_iterable_that_raises(pool: AnyPool) -> None:
    """What a generator raises leaves `map`."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        pool.map(tasks.square, items())


@pytest.mark.parametrize("thing", [5, None, tasks.square], ids=["int", "None", "function"])
def test_what_is_no_iterable(pool: AnyPool, thing: Any) -> None:
    """A TypeError, at once."""
    with pytest.raises(TypeError, match="not iterable"):
        pool.map_async(tasks.square, thing)


def test_results_of_many_maps_are_kept_apart(pool: AnyPool) -> None:
    """Handles can be asked in any order."""
    handles = [pool.map_async(tasks.add_to(start), range(5)) for start in range(20)]
    for start, handle in reversed(list(enumerate(handles))):
        assert handle.get(tasks.PATIENCE) == [start + number for number in range(5)]
