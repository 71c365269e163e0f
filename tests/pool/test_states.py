"""From open over closed to terminated: what a pool allows in each state."""

import gc
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import Pool, PoolError

from . import tasks
from .conftest import MakePool
from .scripts import wait_until

CALLS: dict[str, Callable[[Pool], Any]] = {
    "map": lambda pool: pool.map(tasks.square, [1]),
    "map of nothing": lambda pool: pool.map(tasks.square, []),
    "starmap": lambda pool: pool.starmap(tasks.power, [(1, 2)]),
    "map_async": lambda pool: pool.map_async(tasks.square, [1]),
    "with": lambda pool: pool.__enter__(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_an_ended_pool_takes_no_calls(make_pool: MakePool, end: str, call: str) -> None:
    """After `close` and after `terminate` every call is a ValueError, in the stdlib's words."""
    pool = make_pool()
    getattr(pool, end)()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        CALLS[call](pool)


def test_a_used_pool_takes_no_calls_after_close(make_pool: MakePool) -> None:
    """`close` ends a pool that has worked just as one that has not."""
    pool = make_pool()
    pool.map(tasks.square, [1])
    pool.close()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        pool.map(tasks.square, [1])
    pool.join()


def test_join_of_an_open_pool_is_refused(make_pool: MakePool) -> None:
    """`join` before `close` is a ValueError."""
    with pytest.raises(ValueError, match=r"^Pool is still running$"):
        make_pool().join()


def test_ends_may_be_repeated(make_pool: MakePool) -> None:
    """`close`, `join` and `terminate` do no harm to a pool that has ended."""
    pool = make_pool()
    assert pool.map(tasks.square, [3]) == [9]
    for end in (pool.close, pool.close, pool.join, pool.join, pool.terminate, pool.terminate):
        end()
    pool.close()
    pool.join()


def test_a_closed_pool_finishes_its_work(make_pool: MakePool) -> None:
    """What was begun before `close` is there after `join`."""
    pool = make_pool()
    handle = pool.map_async(tasks.square, range(200))
    pool.close()
    pool.join()
    assert handle.get(0) == [number**2 for number in range(200)]


def test_with_after_close_and_join_leaves_quietly(make_pool: MakePool) -> None:
    """The usual `close` and `join` at the end of a `with` block."""
    with make_pool() as pool:
        assert pool.map(tasks.square, [3]) == [9]
        pool.close()
        pool.join()


def test_terminate_tells_those_who_wait(make_pool: MakePool, shared_dir: Path) -> None:
    """A handle that is open when the pool is terminated raises, it does not wait for ever."""
    pool = make_pool()
    handle = pool.map_async(tasks.wait_for, [str(shared_dir / "never")])
    pool.terminate()
    with pytest.raises(PoolError, match="terminated"):
        handle.get(tasks.PATIENCE)


def test_terminate_ends_tasks_at_work(make_pool: MakePool, shared_dir: Path) -> None:
    """`terminate` does not wait for what is at work."""
    begun = shared_dir / "begun"
    pool = make_pool()
    handle = pool.map_async(tasks.begin_and_sleep, [str(begun)])
    assert wait_until(begun.exists)
    pool.terminate()
    with pytest.raises(PoolError, match="terminated"):
        handle.get(tasks.PATIENCE)


def test_leaving_with_terminates(make_pool: MakePool, shared_dir: Path) -> None:
    """At the end of `with` nothing is waited for, as in the stdlib."""
    with make_pool() as pool:
        handle = pool.map_async(tasks.wait_for, [str(shared_dir / "never")])
    with pytest.raises(PoolError, match="terminated"):
        handle.get(tasks.PATIENCE)
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        pool.map(tasks.square, [1])


def test_an_error_in_with_is_not_hidden(make_pool: MakePool) -> None:
    """What is raised in a `with` block leaves it."""

    def use(pool: Pool) -> None:
        with pool:
            pool.map(tasks.square, range(3))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        use(make_pool())


def test_a_pool_cannot_be_pickled(make_pool: MakePool) -> None:
    """Pools are not passed between processes."""
    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(make_pool())


def test_a_pool_cannot_be_an_item(pool: Pool) -> None:
    """Neither as an item, nor hidden in a function."""
    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pool.map(tasks.same, [pool])
    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pool.map(lambda number: (pool, number), [1])
    assert pool.map(tasks.square, [3]) == [9]


def test_repr_says_what_it_is(make_pool: MakePool, backend: str) -> None:
    """The representation names backend, state and size."""
    pool = make_pool(processes=3)
    assert f"{backend}.Pool state=RUN processes=3" in repr(pool)
    pool.close()
    assert "state=CLOSE" in repr(pool)


@pytest.mark.parametrize("processes", [0, -1])
def test_a_pool_has_at_least_one_process(make_pool: MakePool, processes: int) -> None:
    """The stdlib's error for too few processes."""
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        make_pool(processes=processes)


@pytest.mark.parametrize("processes", ["2", 1.5, True])
def test_processes_are_an_integer(make_pool: MakePool, processes: Any) -> None:
    """What is no number of processes is a TypeError."""
    with pytest.raises(TypeError, match="processes"):
        make_pool(processes=processes)


def test_errors_are_runtime_errors() -> None:
    """Libraries swallow TypeError and ValueError; pypool's own errors are neither."""
    errors = [value for value in vars(pypool.errors).values() if isinstance(value, type)]
    assert errors
    for error in errors:
        assert issubclass(error, RuntimeError)
        assert not issubclass(error, TypeError | ValueError)


@pytest.mark.parametrize("backend", ["local", "shell"], indirect=True)
def test_nothing_piles_up(make_pool: MakePool) -> None:
    """Twenty pools one after the other leave no descriptor open and no thread running."""
    make_pool().terminate()
    gc.collect()  # of what other tests have left, nothing is to go in between
    before = (tasks.count_of("/proc/self/fd"), threading.active_count())
    for _ in range(20):
        with make_pool(processes=1) as pool:
            assert pool.map(tasks.square, [3]) == [9]
    files, threads = before  # what other tests have left may go meanwhile
    assert tasks.count_of("/proc/self/fd") <= files
    assert threading.active_count() <= threads


@pytest.mark.parametrize("end", ["close", "terminate"])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("method", ["map", "starmap", "apply", "imap"])
def test_a_pool_that_is_ended_during_a_call(
    make_pool: MakePool, end: str, warm: bool, method: str
) -> None:
    """By a signal handler or another thread while arguments are pickled: nobody waits for ever."""
    pool = make_pool(processes=1)
    if warm:
        pool.map(tasks.square, [1])
    ending = EndsWhenPickled(pool, end)
    argument: Any = (ending,) if method == "apply" else [(ending,)]
    told = ""
    try:
        found = getattr(pool, method)(tasks.same, argument)
        found = list(found) if method == "imap" else found
    except (ValueError, PoolError) as error:
        told = str(error)
    came_through = not told and end == "close"
    assert came_through or "not running" in told or "terminated" in told
    pool.close()
    pool.join()


class EndsWhenPickled:
    """Closes or terminates the pool in the middle of a call, and waits for its end."""

    def __init__(self, pool: Pool, end: str) -> None:
        self.pool = pool
        self.end = end

    def __reduce__(self) -> Any:
        getattr(self.pool, self.end)()
        if threading.current_thread() is threading.main_thread():
            self.pool.join()
        return int, ()


def test_terminate_tells_other_threads(make_pool: MakePool, shared_dir: Path) -> None:
    """A thread that is inside `map` when another one terminates the pool gets an error."""
    begun = shared_dir / "begun"
    pool = make_pool()
    raised = []

    def use() -> None:
        try:
            pool.map(tasks.begin_and_sleep, [str(begun)])
        except PoolError as error:
            raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    assert wait_until(begun.exists)
    pool.terminate()
    thread.join(tasks.PATIENCE)
    assert len(raised) == 1
