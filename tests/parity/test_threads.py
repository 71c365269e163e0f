"""One pool, several threads: each has its own calls."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool
from .methods import assert_same, by, results_of


def in_threads(call: Callable[[int], Any], count: int) -> list[Any]:
    """What the calls with 0, 1, ... return, each made in a thread of its own."""
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        try:
            results[number] = call(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tasks.PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    return results


@by()
def test_each_thread_gets_its_own_results(pool: AnyPool, method: str) -> None:
    """Four threads, ten calls each, at the same time."""

    def call(number: int) -> list[list[Any]]:
        function = tasks.add_to(number)
        return [results_of(method, pool, function, range(start, start + 5)) for start in range(10)]

    for number, results in enumerate(in_threads(call, 4)):
        for start, found in enumerate(results):
            assert_same(method, found, [number + item for item in range(start, start + 5)])


def test_an_error_stays_in_its_thread(pool: AnyPool) -> None:
    """A thread whose task raises does not disturb the others."""

    def call(number: int) -> Any:
        return pool.map(tasks.divide, [1, number])

    results = in_threads(call, 3)
    assert type(results[0]) is ZeroDivisionError
    assert results[1:] == [[1.0, 1.0], [1.0, 0.5]]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_threads_may_share_an_iterator(pool: AnyPool, chunksize: int) -> None:
    """One thread begins, another one reads."""
    results = pool.imap(tasks.square, range(20), chunksize)
    assert in_threads(lambda _: list(results), 1) == [[number**2 for number in range(20)]]


def test_a_handle_can_be_awaited_by_many(pool: AnyPool, shared_dir: Any) -> None:
    """All who wait for one call get its result."""
    path = shared_dir / "file"
    handle = pool.apply_async(tasks.wait_for, (str(path),))
    threading.Timer(0.1, path.touch).start()
    assert in_threads(lambda _: handle.get(tasks.PATIENCE), 3) == [str(path)] * 3
