"""`map`, `starmap` and `map_async`: what goes in, what comes out, and in which order."""

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pypool import Pool

from . import tasks
from .conftest import SIZES, MakePool

ITERABLES: dict[str, Callable[[], Iterable[Any]]] = {
    "list": lambda: [3, 1, 2],
    "range": lambda: range(20),
    "generator": lambda: (number + 1 for number in range(20)),
    "zip": lambda: zip(range(5), "abcde", strict=True),
    "dict keys": lambda: dict.fromkeys("xyz").keys(),
    "string": lambda: "unicode: äß漢\U0001f600",
    "map": lambda: map(abs, (-1, -2)),
}


def test_map_gives_results_in_the_order_of_items(pool: Pool) -> None:
    """`map` equals the loop, item for item."""
    assert pool.map(tasks.square, range(100)) == [number**2 for number in range(100)]


def test_order_does_not_depend_on_run_times(pool: Pool) -> None:
    """A task that takes longer than those behind it stands in its place all the same."""
    pauses = [0.05, 0.0, 0.02, 0.0, 0.01, 0.0]
    assert pool.map(_pause, pauses) == pauses


def _pause(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_results_that_name_something_twice_stay_apart(pool: Pool) -> None:
    """Many short tasks, whose values are sent together: each is what its own task returned."""
    for _ in range(3):
        assert pool.map(tasks.twice, range(2000)) == [tasks.twice(number) for number in range(2000)]


class _Lots:
    """Has a length, and draws anew whenever it is asked for its elements."""

    def __init__(self) -> None:
        self.drawn = 0

    def __len__(self) -> int:
        return 3

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        for _ in range(3):
            self.drawn += 1
            yield self.drawn, "__main__"


def test_an_iterable_is_gone_through_once(pool: Pool) -> None:
    """Though it is said to be a collection; also if items may have to be pickled otherwise."""
    lots = _Lots()
    assert pool.map(tasks.same, lots) == [(1, "__main__"), (2, "__main__"), (3, "__main__")]
    assert lots.drawn == 3


@pytest.mark.parametrize("kind", ITERABLES)
def test_any_iterable_will_do(pool: Pool, kind: str) -> None:
    """What `for` can loop over, `map` takes."""
    assert pool.map(tasks.same, ITERABLES[kind]()) == list(ITERABLES[kind]())


def test_rows_of_an_array_are_items(pool: Pool) -> None:
    """A two-dimensional array is looped over by rows, as everywhere."""
    assert pool.map(tasks.total, np.arange(12).reshape(4, 3)) == [3, 12, 21, 30]


def test_starmap_unpacks_each_item(pool: Pool) -> None:
    """`starmap` calls with the elements of each item as arguments."""
    assert pool.starmap(tasks.power, [(2, 3), (3, 2), [5, 1]]) == [8, 9, 5]


def test_starmap_takes_a_zip(pool: Pool) -> None:
    """Items of `starmap` may come from a `zip` of unequal things."""
    assert pool.starmap(tasks.power, zip(range(4), (1, 2, 3, 0), strict=True)) == [0, 1, 8, 1]


@pytest.mark.parametrize("chunksize", [1, 3, 7, 1000, 1 << 32, sys.maxsize])
def test_chunksize_does_not_change_results(pool: Pool, chunksize: int) -> None:
    """However tasks are dealt, the list is the same."""
    expected = [number**2 for number in range(50)]
    assert pool.map(tasks.square, range(50), chunksize) == expected


@pytest.mark.parametrize("chunksize", [0, -1])
def test_chunksize_is_at_least_one(pool: Pool, chunksize: int) -> None:
    """A chunk without a task is refused."""
    with pytest.raises(ValueError, match="chunksize"):
        pool.map(tasks.square, range(3), chunksize)


def test_ten_thousand_tasks(pool: Pool) -> None:
    """Each of many small tasks is done, once."""
    assert pool.map(tasks.square, range(10_000)) == [number**2 for number in range(10_000)]


def test_many_small_maps(pool: Pool) -> None:
    """A library that maps sixteen items, again and again, gets its results each time."""
    for start in range(100):
        items = range(start, start + 16)
        assert pool.map(tasks.square, items) == [number**2 for number in items]


def test_a_map_of_one(pool: Pool) -> None:
    """A single item gives a list of one."""
    assert pool.map(tasks.square, [7]) == [49]


def test_none_comes_back(pool: Pool) -> None:
    """A result of None is a result."""
    assert pool.map(tasks.same, [None, None]) == [None, None]


# ---- nothing to do


@pytest.mark.parametrize(
    "empty", [(), [], range(0), {}, iter(())], ids=lambda empty: type(empty).__name__
)
def test_empty_iterables_give_an_empty_list(pool: Pool, empty: Iterable[Any]) -> None:
    """No items, no results."""
    assert pool.map(tasks.square, empty) == []


def test_nothing_is_made_for_an_empty_iterable(make_pool: MakePool, shared_dir: Path) -> None:
    """Without a task there is no run directory, and nothing is submitted."""
    pool = make_pool()
    assert pool.map(tasks.square, []) == []
    assert pool.map_async(tasks.square, []).ready()
    assert not list(shared_dir.glob("work/*"))


def test_nothing_is_made_before_the_first_call(make_pool: MakePool, shared_dir: Path) -> None:
    """A pool that nobody uses costs nothing."""
    pool = make_pool()
    pool.close()
    pool.join()
    assert not list(shared_dir.glob("work/*"))


# ---- several at once


def test_processes_work_at_the_same_time(pool: Pool, backend: str, shared_dir: Path) -> None:
    """As many tasks as there are processes run side by side."""
    count = SIZES[backend]
    place = shared_dir / "meeting"
    place.mkdir()
    arguments = [(str(place), index, count) for index in range(count)]
    workers = _starmap(pool, tasks.meet, arguments)
    assert len(set(workers)) == count


def _starmap(pool: Pool, function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    """`starmap` cannot be given a timeout, a handle can."""
    return pool.map_async(_Unpacked(function), arguments).get(tasks.PATIENCE)


class _Unpacked:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, arguments: Iterable[Any]) -> Any:
        return self._function(*arguments)


def test_workers_stay_from_map_to_map(pool: Pool, backend: str) -> None:
    """Processes are not started anew for each call: what they have loaded stays loaded."""
    pids = {pid for _ in range(10) for pid in pool.map(tasks.worker, range(20))}
    assert len(pids) <= SIZES[backend]


def test_handles_are_independent(pool: Pool) -> None:
    """Several calls may be open at once and are waited for in any order."""
    handles = [pool.map_async(tasks.square, range(count)) for count in (30, 20, 10)]
    for count, handle in zip((10, 20, 30), reversed(handles), strict=True):
        assert handle.get(tasks.PATIENCE) == [number**2 for number in range(count)]


def test_threads_share_a_pool(pool: Pool) -> None:
    """Several threads may map at the same time; each gets its own results."""
    results: dict[int, list[int]] = {}

    def use(start: int) -> None:
        for _ in range(10):
            results[start] = pool.map_async(tasks.square, range(start, start + 20)).get(60)

    threads = [threading.Thread(target=use, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tasks.PATIENCE)
    expected = {start: [n**2 for n in range(start, start + 20)] for start in (0, 100, 200, 300)}
    assert results == expected


def test_two_pools_at_once(pool: Pool, make_pool: MakePool) -> None:
    """Pools do not know of each other."""
    other = make_pool(processes=1)
    first = pool.map_async(tasks.square, range(50))
    second = other.map_async(tasks.square, range(50, 100))
    assert first.get(60) + second.get(60) == [number**2 for number in range(100)]


# ---- handles


def test_a_handle_of_an_open_call(pool: Pool, shared_dir: Path) -> None:
    """Before the end a handle is not ready, and `get` and `wait` return when their time is over."""
    gate = shared_dir / "gate"
    handle = pool.map_async(tasks.wait_for, [str(gate)])
    assert not handle.ready()
    assert handle.wait(0.01) is None
    with pytest.raises(multiprocessing.TimeoutError):
        handle.get(timeout=0.01)
    gate.touch()
    assert handle.get(tasks.PATIENCE) == [str(gate)]


def test_successful_is_an_error_before_the_end(pool: Pool, shared_dir: Path) -> None:
    """`successful` cannot be known while tasks are open."""
    gate = shared_dir / "gate"
    handle = pool.map_async(tasks.wait_for, [str(gate)])
    with pytest.raises(ValueError, match="not ready"):
        handle.successful()
    gate.touch()
    handle.wait(tasks.PATIENCE)
    assert handle.successful()


def test_a_handle_of_a_call_that_is_done(pool: Pool) -> None:
    """After the end a handle is ready, has succeeded, and gives its results as often as asked."""
    handle = pool.map_async(tasks.square, range(3))
    handle.wait(tasks.PATIENCE)
    assert handle.ready()
    assert handle.successful()
    assert handle.get() == handle.get(0) == [0, 1, 4]


def test_a_handle_of_a_call_that_failed(pool: Pool) -> None:
    """A call in which a task raised is ready and has not succeeded."""
    handle = pool.map_async(tasks.divide, [1, 0])
    handle.wait(tasks.PATIENCE)
    assert handle.ready()
    assert not handle.successful()


# ---- sizes


@pytest.mark.parametrize("size", [0, 65535, 65536, 65537, 1_000_000])
def test_results_of_any_size(pool: Pool, size: int) -> None:
    """Results around the size from which they get a file of their own are whole."""
    small = 64 * 1024 - 100  # the pickle is a little longer than its bytes
    for count in (size, max(size - small, 0), *range(size - 40, size - 20)):
        assert pool.map(tasks.zeros, [max(count, 0)] * 2) == [bytes(max(count, 0))] * 2


def test_large_results(pool: Pool) -> None:
    """Twenty results of five megabytes each arrive."""
    results = pool.map_async(tasks.zeros, [5_000_000] * 20).get(tasks.PATIENCE)
    assert [len(result) for result in results] == [5_000_000] * 20


def test_large_items(pool: Pool) -> None:
    """Items of a megabyte and more arrive."""
    sizes = [1_000_000, 10, 3_000_000, 65536]
    assert pool.map(tasks.size_of, map(bytes, sizes)) == sizes


def test_arrays_come_back_equal(pool: Pool) -> None:
    """Arrays, small and large, survive the way there and back."""
    arrays = [np.arange(size, dtype=float) for size in (0, 10, 100_000)]
    for sent, received in zip(arrays, pool.map(tasks.same, arrays), strict=True):
        np.testing.assert_array_equal(sent, received)


def test_deeply_nested_objects(pool: Pool) -> None:
    """A list in a list in a list, 200 deep, comes back."""
    nested: list[Any] = []
    for _ in range(200):
        nested = [nested]
    assert pool.map(tasks.same, [nested]) == [nested]


# ---- what the input raises


def test_an_error_of_the_iterable_is_raised_as_it_is(pool: Pool) -> None:
    """If looping over the items raises, so does the call, at once."""

    def items() -> Iterable[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more") as caught:
        pool.map(tasks.square, items())
    assert caught.value.__cause__ is None


def test_what_is_no_iterable_is_a_type_error(pool: Pool) -> None:
    """`map` of something that cannot be looped over raises what `list` raises."""
    with pytest.raises(TypeError, match="not iterable"):
        pool.map(tasks.square, 5)  # type: ignore[arg-type]
