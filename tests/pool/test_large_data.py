"""Large arrays: returned, taken, shared; each task's memory is its own."""

import functools
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pypool
from pypool.results import Stream

from . import large, tasks
from .conftest import BACKENDS, MakePool

MIB = 1 << 17  # float64
on_disk = pytest.mark.parametrize("backend", BACKENDS[:2])


def arrays(count: int, size: int = MIB) -> list[Any]:
    return [np.full(size, float(number)) for number in range(count)]


@pytest.mark.parametrize("size", [10, MIB // 8, MIB, 5 * MIB])
def test_arrays_come_back(pool: pypool.Pool, size: int) -> None:
    """Of each size, right, and the caller may write to them."""
    found = pool.map(large.doubled, arrays(5, size))
    assert all(np.array_equal(each, np.full(size, 2.0 * n)) for n, each in enumerate(found))
    for each in found:
        each[0] = -1.0


def test_a_task_may_change_what_it_was_given(pool: pypool.Pool) -> None:
    """No other task sees it, neither of an item that is given twice nor of one in common."""
    array = np.zeros(2 * MIB)
    assert pool.map(large.raised_in_place, [array] * 6, chunksize=3) == [1.0] * 6
    assert not array.any()


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_arrays_that_are_read_only_arrive_so(pool: pypool.Pool, size: int) -> None:
    """On their way to a task and back."""
    arrays = [np.zeros(size), np.zeros(size)]
    arrays[0].flags.writeable = False
    found = pool.map(tasks.same, arrays)
    assert [each.flags.writeable for each in found] == [False, True]


def test_what_tasks_have_in_common_each_gets_anew(pool: pypool.Pool) -> None:
    """Call after call: the object is sent with the first two at most, then it lies in a file."""
    likelihood = large.Likelihood(20_000)
    for _ in range(4):
        found = pool.map(large.call, [(number, likelihood) for number in range(16)])
        assert found == [(float(number), 1) for number in range(16)]


def test_common_objects_of_lazy_calls(pool: pypool.Pool) -> None:
    """Of what a generator yields each item is taken as it is then."""
    likelihood = large.Likelihood(300_000)
    proposals = [(number, likelihood) for number in range(12)]
    for chunk in (1, 3):
        for given in (proposals, iter(proposals)):
            found = pool.imap(large.call, given, chunk)
            assert list(found) == [(float(n), 1) for n in range(12)]

    def same_buffer() -> Iterator[Any]:
        buffer = np.empty(MIB)
        for number in range(4):
            buffer[:] = number
            yield buffer

    assert list(pool.imap(large.raised_in_place, same_buffer())) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("feed_is_late", [False, True])
def test_a_lazy_call_takes_what_items_have_in_common_as_it_is_then(
    pool: pypool.Pool, feed_is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item is taken when the result before it is consumed, as from a generator."""
    if feed_is_late:
        await_room = Stream.await_room

        def await_room_later(stream: Stream, count: int = 1) -> bool:
            time.sleep(0.05)
            return await_room(stream, count)

        monkeypatch.setattr(Stream, "await_room", await_room_later)
    likelihood = large.Likelihood(2000)
    found = []
    for result, _ in pool.imap(large.call, [(0, likelihood)] * 8, buffersize=1):
        found.append(result)
        likelihood.data += 1
    assert all(number - 1 <= result <= number for number, result in enumerate(found))


def test_a_lazy_call_goes_on_behind_an_item_that_cannot_be_sent(pool: pypool.Pool) -> None:
    """Also if it has something in common with those before it."""
    likelihood = large.Likelihood(2000)
    items: list[Any] = [(number, likelihood) for number in range(6)]
    items[4] = (threading.Lock(), likelihood)
    results = pool.imap(large.call, items, return_exceptions=True)
    found = [each if isinstance(each, tuple) else type(each) for each in results]
    assert found == [TypeError if n == 4 else (float(n), 1) for n in range(6)]


def test_what_is_sent_is_what_was_there_at_the_call(pool: pypool.Pool) -> None:
    """`apply_async` has returned: its argument may be changed."""
    array = np.zeros(MIB)
    handles = []
    for number in range(5):
        array[:] = number
        handles.append(pool.apply_async(large.raised_in_place, (array,)))
    assert [each.get(tasks.PATIENCE) for each in handles] == [1.0, 2.0, 3.0, 4.0, 5.0]


METHODS = {
    "apply_async": lambda pool, function, item: pool.apply_async(function, (item,)).get,
    "map_async": lambda pool, function, item: pool.map_async(function, [item]).get,
    "imap": lambda pool, function, item: pool.imap(function, [item]).next,
}


@pytest.mark.parametrize("method", METHODS)
def test_what_a_function_carries_may_be_changed_after_the_call(
    pool: pypool.Pool, method: str
) -> None:
    """And if it is as it was before, later calls find it so."""
    table = np.zeros(4 * MIB)
    taken = []
    for number in (0, 1, 0):
        table[:] = number
        function = functools.partial(large.look_up, table=table)
        taken.append(METHODS[method](pool, function, -1))
    table[:] = 9
    found = [take(timeout=tasks.PATIENCE) for take in taken]
    assert [each[0] if isinstance(each, tuple) else each[0][0] for each in found] == [0.0, 1.0, 0.0]


def test_items_of_a_map_may_be_changed_after_the_call(pool: pypool.Pool) -> None:
    """Who does not wait for it need not wait until they are written."""
    arrays = [np.zeros(4 * MIB), np.zeros(4 * MIB)]
    result = pool.map_async(large.raised_in_place, arrays)
    for array in arrays:
        array[:] = 9
    assert result.get(tasks.PATIENCE) == [1.0, 1.0]


def test_functions_with_data(pool: pypool.Pool) -> None:
    """The data of a partial function is written once, and is there again in the next call."""
    table = np.arange(float(3 * MIB))
    for _ in range(3):
        found = pool.map(functools.partial(large.look_up, table=table), range(20))
        assert found == [(float(number), table.nbytes) for number in range(20)]


@on_disk
def test_an_initializer_with_data(make_pool: MakePool) -> None:
    """All workers map the same file."""
    pool = make_pool(initializer=large.set_table, initargs=(np.arange(float(3 * MIB)),))
    assert pool.map(large.of_table, range(10)) == [float(number) for number in range(10)]


@on_disk
def test_large_items_are_mapped(make_pool: MakePool) -> None:
    """They are not copied before a task writes to them."""
    pool = make_pool()
    assert pool.map(large.is_mapped, arrays(4, 2 * MIB)) == [True] * 4
    assert pool.map(large.is_mapped, arrays(4, MIB // 2)) == [False] * 4


@on_disk
def test_what_a_task_keeps_stays_right(make_pool: MakePool) -> None:
    """It is a task's own memory, though the batch it came with has been removed since."""
    pool = make_pool(processes=1)
    assert pool.map(large.keep, arrays(3), chunksize=1) == [1.0, 3.0, 6.0]
    pool.map(tasks.same, arrays(3))
    assert pool.apply(large.kept) == [1.0 * MIB, 2.0 * MIB, 3.0 * MIB]


@on_disk
def test_workers_that_live_for_one_task(make_pool: MakePool) -> None:
    """Functions with data reach them, too."""
    pool = make_pool(maxtasksperchild=1)
    work = functools.partial(large.look_up, table=np.arange(float(3 * MIB)))
    for _ in range(2):
        assert [each[0] for each in pool.map(work, range(8), chunksize=1)] == [*range(8)]


@pytest.mark.parametrize("backend", ["shell"])
def test_a_thousand_calls_write_a_function_and_a_common_object_once(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """A sampler gives the same likelihood along each time."""
    pool = make_pool()
    likelihood = large.Likelihood(20_000)
    for _ in range(1001):
        pool.map(large.call, [(number, likelihood) for number in range(4)])
    (run,) = (shared_dir / "work").iterdir()
    files = {path.name: path.stat() for path in (run / "functions").iterdir()}
    assert len(files) == 2
    batches = sum(path.stat().st_size for path in (run / "batches").iterdir())
    assert batches < 3 * likelihood.data.nbytes + 1001 * 1500


@pytest.mark.parametrize("backend", ["shell"])
def test_a_worker_whose_tasks_leave_files_open_is_replaced(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result comes, however large; the tasks behind it are for another worker, uncharged."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        pool = make_pool(processes=1, retries=0)
        assert pool.map(large.leave_all_open, [100_000, 10]) == [bytes(100_000), bytes(10)]
        assert pool.map(large.doubled, arrays(3))[2][0] == 4.0
        assert pool.map(tasks.square, range(30), chunksize=1) == [n * n for n in range(30)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
