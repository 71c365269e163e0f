"""`imap` and `imap_unordered`: results one by one, while others are at work."""

import multiprocessing.pool
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool, MakePool, on_processes
from .methods import assert_same, by

both = by("imap", "imap_unordered")
CHUNKSIZES = [1, 3, 1000]


def begin(method: str, pool: AnyPool, *arguments: Any, **keywords: Any) -> Any:
    return getattr(pool, method)(*arguments, **keywords)


@both
def test_positions(pool: AnyPool, method: str) -> None:
    """Function, items, chunksize, in this order."""
    assert_same(method, list(begin(method, pool, tasks.square, [1, 2, 3], 2)), [1, 4, 9])


@both
def test_keywords(pool: AnyPool, method: str) -> None:
    """All three have their names."""
    results = begin(method, pool, chunksize=2, iterable=[1, 2, 3], func=tasks.square)
    assert_same(method, list(results), [1, 4, 9])


@both
@pytest.mark.parametrize("chunksize", CHUNKSIZES)
@pytest.mark.parametrize("count", [0, 1, 10, 200])
def test_any_chunksize(pool: AnyPool, method: str, chunksize: int, count: int) -> None:
    """All results, with each chunksize."""
    results = list(begin(method, pool, tasks.square, range(count), chunksize))
    assert_same(method, results, [number**2 for number in range(count)])


@both
@pytest.mark.parametrize("chunksize", [0, -1])
def test_a_chunk_has_an_item(pool: AnyPool, method: str, chunksize: int) -> None:
    """A chunksize below one is refused at the call."""
    with pytest.raises(ValueError, match=r"[Cc]hunksize"):
        begin(method, pool, tasks.square, range(3), chunksize)


@both
@pytest.mark.parametrize("chunksize", CHUNKSIZES)
def test_it_is_an_iterator(pool: AnyPool, method: str, chunksize: int) -> None:
    """It is its own iterator, and is used up by one loop."""
    results = begin(method, pool, tasks.square, [1, 2, 3], chunksize)
    assert iter(results) is results
    assert_same(method, [next(results), *results], [1, 4, 9])
    assert list(results) == []


@both
@pytest.mark.parametrize("chunksize", CHUNKSIZES)
def test_after_the_last(pool: AnyPool, method: str, chunksize: int) -> None:
    """StopIteration, as often as one asks."""
    results = begin(method, pool, tasks.square, [3], chunksize)
    assert next(results) == 9
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(results)


@both
def test_next_is_a_method_too(pool: AnyPool, method: str) -> None:
    """`next` and its timeout, by position and by name."""
    results = begin(method, pool, tasks.square, [3, 3, 3])
    assert results.next() == 9
    assert results.next(tasks.PATIENCE) == 9
    assert results.next(timeout=tasks.PATIENCE) == 9
    with pytest.raises(StopIteration):
        results.next(tasks.PATIENCE)
    with pytest.raises(StopIteration):
        results.next(0)


@both
@pytest.mark.parametrize("timeout", [0, 0.05])
def test_next_in_vain(pool: AnyPool, method: str, shared_dir: Path, timeout: float) -> None:
    """A TimeoutError, that of multiprocessing; the result is there for who asks later."""
    path = str(shared_dir / "file")
    results = begin(method, pool, tasks.wait_for, [path])
    for _ in range(2):
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(timeout)
    Path(path).touch()
    assert results.next(tasks.PATIENCE) == path
    with pytest.raises(StopIteration):
        results.next(tasks.PATIENCE)


# ---- in which order


@by("imap")
def test_imap_waits_for_the_first(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """Later results wait for those before them."""
    path = str(shared_dir / "file")
    results = begin(method, pool, tasks.wait_for_some, [path, "", ""])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(0.1)
    Path(path).touch()
    assert list(results) == [path, "", ""]


@by("imap_unordered")
def test_unordered_does_not(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """The result that is there first comes first."""
    path = str(shared_dir / "file")
    results = begin(method, pool, tasks.wait_for_some, [path, "", ""])
    assert [next(results), next(results)] == ["", ""]
    Path(path).touch()
    assert list(results) == [path]


@both
@pytest.mark.parametrize("chunksize", CHUNKSIZES)
def test_two_at_once(pool: AnyPool, method: str, chunksize: int) -> None:
    """Iterators that are used by turns have each their own results."""
    some = begin(method, pool, tasks.square, range(30), chunksize)
    others = begin(method, pool, str, range(30), chunksize)
    pairs = list(zip(some, others, strict=True))
    assert_same(method, [one for one, _ in pairs], [number**2 for number in range(30)])
    assert_same(method, [other for _, other in pairs], [str(number) for number in range(30)])


@both
def test_one_that_is_not_read(pool: AnyPool, method: str) -> None:
    """An iterator that is let go after its first result is in nobody's way."""
    results = begin(method, pool, tasks.square, range(100))
    next(results)
    del results
    assert pool.map(tasks.square, [1, 2]) == [1, 4]


# ---- what is looped over


@both
def test_results_come_before_the_items_end(pool: AnyPool, method: str) -> None:
    """Items may depend on earlier results."""
    seen = threading.Event()

    def items() -> Iterator[int]:
        yield 3
        yield 4 if seen.wait(tasks.PATIENCE) else -1

    results = begin(method, pool, tasks.square, items())
    assert next(results) == 9
    seen.set()
    assert list(results) == [16]


@both
def test_items_are_got_in_another_thread(pool: AnyPool, method: str) -> None:
    """The call returns though the first item is not there yet."""
    returned = threading.Event()
    threads = []

    def items() -> Iterator[bool]:
        threads.append(threading.get_ident())
        yield returned.wait(tasks.PATIENCE)

    results = begin(method, pool, tasks.same, items())
    returned.set()
    assert list(results) == [True]
    assert threads != [threading.get_ident()]


def raising(count: int) -> Iterator[int]:
    yield from range(count)
    raise LookupError("no more")


@both
@pytest.mark.parametrize("count", [0, 1, 10])
def test_items_that_raise(pool: AnyPool, method: str, count: int) -> None:
    """The results of the items before, then the exception, then the end."""
    results = begin(method, pool, tasks.square, raising(count))
    found, errors = read(results)
    assert_same(method, found, [number**2 for number in range(count)])
    assert [str(error) for error in errors] == ["no more"]


@both
def test_items_that_raise_in_a_chunk(pool: AnyPool, method: str) -> None:
    """The chunk that was being filled is lost, those before it are not."""
    results = begin(method, pool, tasks.square, raising(8), 3)
    found = []
    with pytest.raises(LookupError, match="no more"):  # noqa: PT012 - all before it counts
        for result in results:
            found.append(result)
    if method == "imap":
        assert found == [number**2 for number in range(6)]
    else:
        assert set(found) <= {number**2 for number in range(6)}


@both
@pytest.mark.parametrize("chunksize", CHUNKSIZES)
@pytest.mark.parametrize("thing", [5, None])
def test_what_is_no_iterable(pool: AnyPool, method: str, thing: Any, chunksize: int) -> None:
    """A TypeError, told by the first `next`, not by the call."""
    results = begin(method, pool, tasks.square, thing, chunksize)
    with pytest.raises(TypeError, match="not iterable"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


# ---- tasks that raise


def read(results: Any) -> tuple[list[Any], list[BaseException]]:
    """All that comes until the end: results, and what was raised among them."""
    found: list[Any] = []
    errors: list[BaseException] = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found, errors
        except Exception as error:
            errors.append(error)


@by("imap")
def test_an_error_stands_in_its_place(pool: AnyPool, method: str) -> None:
    """`next` raises where the item stands, and then goes on."""
    results = begin(method, pool, tasks.refuse_odd, range(4))
    assert next(results) == 0
    with pytest.raises(ValueError, match="odd: 1"):
        next(results)
    assert next(results) == 2
    with pytest.raises(ValueError, match="odd: 3"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@both
def test_it_goes_on_after_errors(pool: AnyPool, method: str) -> None:
    """All results and all errors, each once."""
    found, errors = read(begin(method, pool, tasks.refuse_odd, range(20)))
    assert_same(method, found, list(range(0, 20, 2)))
    told = [str(error) for error in errors]
    assert_same(method, told, [f"odd: {number}" for number in range(1, 20, 2)])


@both
@on_processes
def test_an_item_that_cannot_be_pickled_stands_in_its_place(pool: AnyPool, method: str) -> None:
    """Its `next` raises, the other items are done."""
    items = [1, threading.Lock(), 2]
    found, errors = read(begin(method, pool, tasks.same, items))
    assert_same(method, found, [1, 2])
    assert [type(error) for error in errors] == [TypeError]


@both
@on_processes
def test_a_result_that_cannot_be_pickled_stands_in_its_place(pool: AnyPool, method: str) -> None:
    """Its `next` raises, the other results come."""
    found, errors = read(begin(method, pool, tasks.generator_if_zero, [1, 0, 2]))
    assert_same(method, found, [1, 2])
    assert [type(error) for error in errors] == [multiprocessing.pool.MaybeEncodingError]


# ---- with the pool's end


@both
@pytest.mark.parametrize("chunksize", [1, 3])
def test_results_can_be_read_after_join(make_pool: MakePool, method: str, chunksize: int) -> None:
    """`close` and `join` let all items be done; their results wait for who reads them."""
    pool = make_pool()
    results = begin(method, pool, tasks.square, iter(range(100)), chunksize)
    pool.close()
    pool.join()
    assert_same(method, list(results), [number**2 for number in range(100)])
