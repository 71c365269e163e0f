"""How far `imap` goes ahead of its consumer, and what ends it."""

import gc
import threading
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import pytest

from pypool import Pool, PoolError

from . import tasks
from .conftest import SIZES, MakePool
from .scripts import wait_until


class Endless:
    """Numbers without end; counts how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.taken += 1
            yield self.taken - 1

    def settled(self) -> int:
        """How many are taken once no more are."""
        while True:
            before = self.taken
            time.sleep(0.5)
            if self.taken == before:
                return before


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_four_items_for_each_worker_are_ahead(
    make_pool: MakePool, backend: str, method: str
) -> None:
    """Of an endless iterable, with as many results consumed as one likes, unless it is fast."""
    ahead = 4 * SIZES[backend]
    numbers = Endless()
    results = getattr(make_pool(), method)(tasks.square, numbers)
    assert numbers.settled() == ahead
    for _ in range(30):
        next(results)
        time.sleep(0.1)
    assert 30 + ahead / 2 <= numbers.settled() <= 30 + ahead


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_of_short_tasks_more_are_ahead(make_pool: MakePool, backend: str, method: str) -> None:
    """Or workers would wait for them; there is a bound nevertheless."""
    workers = SIZES[backend]
    numbers = Endless()
    results = getattr(make_pool(), method)(tasks.square, numbers)
    consumed = sum(1 for _ in islice(results, 2000))
    assert 4 * workers < numbers.settled() - consumed <= 100 * workers


@pytest.mark.parametrize(
    ("chunksize", "buffersize", "ahead"), [(1, 3, 3), (3, 5, 3), (3, 6, 6), (5, 2, 5)]
)
def test_the_bound_can_be_given(
    make_pool: MakePool, chunksize: int, buffersize: int, ahead: int
) -> None:
    """Whole chunks are taken as far as it allows, and one at least."""
    numbers = Endless()
    results = make_pool().imap(tasks.square, numbers, chunksize, buffersize=buffersize)
    assert numbers.settled() == ahead
    assert [next(results) for _ in range(200)] == [n * n for n in range(200)]
    assert numbers.settled() <= 200 + max(buffersize, chunksize)


def test_of_chunks_two_are_ahead_for_each_worker(make_pool: MakePool, backend: str) -> None:
    """Else workers would have nothing to do."""
    numbers = Endless()
    results = make_pool().imap(tasks.square, numbers, 50)
    assert numbers.settled() == 2 * 50 * SIZES[backend]
    assert next(results) == 0


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_chunks_keep_all_workers_busy(
    make_pool: MakePool, shared_dir: Path, backend: str, method: str
) -> None:
    """Chunks of a hundred, each of which waits until all workers are at one."""
    count = SIZES[backend]
    place = shared_dir / "meeting"
    place.mkdir()
    items = [(str(place), n // 100, count) if n % 100 == 0 else None for n in range(100 * count)]
    pids = list(getattr(make_pool(), method)(tasks.meet_or_not, items, 100))
    assert len({pid for pid in pids if pid}) == count


@pytest.mark.parametrize(("name", "value"), [("chunksize", 0), ("buffersize", 0)])
def test_bounds_are_at_least_one(pool: Pool, name: str, value: int) -> None:
    """Else nothing would ever be begun."""
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        pool.imap(tasks.square, [1], **{name: value})


def test_join_waits_for_all_though_nobody_consumes(make_pool: MakePool) -> None:
    """As in CPython all tasks are run then, and the results can be had afterwards."""
    pool = make_pool()
    ordered = pool.imap(tasks.square, iter(range(200)))
    unordered = pool.imap_unordered(tasks.square, iter(range(200)))
    pool.close()
    pool.join()
    assert list(ordered) == [n * n for n in range(200)]
    assert sorted(unordered) == [n * n for n in range(200)]


def test_tasks_run_though_their_iterator_is_thrown_away(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """Who wants only what the tasks do need not keep it."""
    pool = make_pool()
    pool.imap_unordered(tasks.touch, [str(shared_dir / f"done{n}") for n in range(60)])
    gc.collect()
    pool.close()
    pool.join()
    assert len(list(shared_dir.glob("done*"))) == 60


def test_an_iterator_that_is_thrown_away_holds_no_results(make_pool: MakePool) -> None:
    """The tasks of an endless one go on, as in CPython, and the pool can end all the same."""
    pool = make_pool()
    numbers = Endless()
    results = pool.imap(tasks.square, numbers)
    next(results)
    del results
    assert wait_until(lambda: numbers.taken > 200)
    pool.terminate()
    assert numbers.settled() < 100_000


def test_a_pool_can_be_terminated_while_much_comes_in(make_pool: MakePool) -> None:
    """From an iterable that gives items faster than they can be sent."""
    pool = make_pool()
    results = pool.imap(tasks.square, Endless(), buffersize=1_000_000)
    next(results)
    pool.terminate()
    with pytest.raises(PoolError, match="terminated"):
        list(results)


def test_an_iterable_that_waits_keeps_nobody_waiting(pool: Pool) -> None:
    """What it has given is worked at; other calls are not affected."""
    more = threading.Event()

    def slowly() -> Iterator[int]:
        yield 1
        yield 2
        more.wait(60)
        yield 3

    results = pool.imap(tasks.square, slowly())
    assert [results.next(30), results.next(30)] == [1, 4]
    assert pool.map(tasks.square, [5]) == [25]
    more.set()
    assert list(results) == [9]


def test_items_may_depend_on_results(pool: Pool) -> None:
    """The iterable may wait for what its consumer does."""
    numbers = [1]
    more = threading.Semaphore(1)

    def following() -> Iterator[int]:
        while True:
            assert more.acquire(timeout=60)
            if numbers[-1] >= 50:
                return
            yield numbers[-1]

    for result in pool.imap(tasks.double, following()):
        numbers.append(result)
        more.release()
    assert numbers == [1, 2, 4, 8, 16, 32, 64]


def test_terminate_ends_iterators(make_pool: MakePool) -> None:
    """With an error, once; then they are at their end."""
    pool = make_pool()
    results = pool.imap(time.sleep, [0, 60])
    assert results.next(30) is None
    pool.terminate()
    with pytest.raises(PoolError, match="terminated"):
        next(results)
    assert list(results) == []


def test_an_item_that_does_not_pickle_has_its_place(pool: Pool) -> None:
    """The others have theirs."""
    results = pool.imap(tasks.same, [1, threading.Lock(), 3], 3)
    assert next(results) == 1
    with pytest.raises(TypeError, match="pickle"):
        next(results)
    assert list(results) == [3]


def test_a_function_that_does_not_pickle_is_said_at_once(pool: Pool) -> None:
    """Instead of the first result."""
    results = pool.imap(threading.Lock().locked, [1, 2])
    with pytest.raises(TypeError, match="pickle"):
        next(results)
    assert list(results) == []


def test_one_iterator_may_have_several_consumers(pool: Pool) -> None:
    """Each result goes to one of them."""
    results = pool.imap_unordered(tasks.square, range(500))
    found: list[list[int]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=mine.extend, args=(results,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(chain.from_iterable(found)) == [n * n for n in range(500)]
