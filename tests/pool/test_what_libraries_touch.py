"""What libraries ask of a pool that they are handed, beyond its methods."""

import asyncio
import operator
import pickle
import threading
from typing import Any

import pytest

import pypool
from pypool import Pool

from . import tasks
from .conftest import SIZES, MakePool
from .scripts import Driver, wait_until


def test_a_pool_tells_its_size(make_pool: MakePool, backend: str) -> None:
    """Under both names; libraries may set either, and the pool works on."""
    pool = make_pool()
    assert pool._processes == pool.size == SIZES[backend]
    pool.size = 7
    assert pool._processes == 7
    pool._processes = 3
    assert pool.size == 3
    assert pool.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    assert sum(pool.imap(tasks.square, range(50))) == sum(n * n for n in range(50))


def test_a_pool_plays_the_first_process_of_mpi() -> None:
    """`if not pool.is_master(): pool.wait(); sys.exit()` goes on."""
    pool = pypool.local.Pool(1)
    assert pool.is_master()
    assert not pool.is_worker()
    assert pool.wait() is None  # type: ignore[func-returns-value]
    assert pool.rank == 0


def test_a_pool_is_no_container() -> None:
    """It is true, equal to itself alone, and has neither length nor items."""
    pool, other = pypool.local.Pool(1), pypool.local.Pool(1)
    assert pool
    assert pool == pool
    assert pool != other
    assert hash(pool) != hash(other)
    for name in ("__len__", "__iter__", "__bool__", "__getitem__", "__contains__", "__int__"):
        assert not hasattr(pool, name)
    with pytest.raises(TypeError):
        operator.index(pool)  # type: ignore[arg-type]


def test_a_pool_can_be_called(pool: Pool) -> None:
    """As `map`, for what wants a function that maps."""
    assert pool(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    assert pool(tasks.square, range(5), 2) == [0, 1, 4, 9, 16]


def test_map_calls_back_with_each_result(pool: Pool) -> None:
    """As the pools of schwimmbad; all of it is done when `map` returns."""
    found: list[int] = []
    assert pool.map(tasks.square, range(20), callback=found.append) == [n * n for n in range(20)]
    assert sorted(found) == [n * n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        pool.map(tasks.divide, [1, 0], callback=found.append)
    assert found[20:] == [1.0]


def test_a_pool_does_not_pickle(pool: Pool) -> None:
    """Nor do its methods, in CPython's words."""
    for each in (pool, pool.map, pool.imap):
        with pytest.raises(NotImplementedError, match="pool objects cannot be passed between"):
            pickle.dumps(each)
    with pytest.raises(NotImplementedError, match="pool objects cannot be passed between"):
        pool.map(tasks.same, [pool])


def test_results_can_be_awaited(pool: Pool) -> None:
    """Several at once, in a loop of asyncio."""

    async def main() -> Any:
        one = pool.apply_async(tasks.square, (3,))
        many = pool.map_async(tasks.square, range(4))
        failing = pool.apply_async(tasks.divide, (0,))
        with pytest.raises(ZeroDivisionError):
            await failing
        return await one, await many

    assert asyncio.run(main()) == (9, [0, 1, 4, 9])


def test_a_callback_may_end_the_pool(make_pool: MakePool) -> None:
    """With the first result that is good enough."""
    pool = make_pool()
    ended = threading.Event()

    def enough(_: Any) -> None:
        pool.terminate()
        pool.join()
        ended.set()

    pool.apply_async(tasks.square, (3,), callback=enough)
    assert ended.wait(60)
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(tasks.square, (3,))


def test_a_callback_may_ask_for_more(make_pool: MakePool) -> None:
    """Without waiting for it, as in CPython."""
    pool = make_pool()
    found: list[int] = []

    def more(result: int) -> None:
        found.append(result)
        if result < 100:
            pool.apply_async(tasks.double, (result,), callback=more)

    pool.apply_async(tasks.double, (1,), callback=more)
    assert wait_until(lambda: 128 in found)
    assert found == [2, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    "call",
    [
        "pool.map(work, [1] * 4)",
        "pool.starmap(work, [(1,)] * 4)",
        "[pool.apply_async(work, (1,)) for _ in range(4)][-1].get()",
        "list(pool.imap(work, [1] * 4))",
        "list(pool.imap_unordered(work, [1] * 4))",
    ],
)
def test_a_signal_handler_may_close_and_join(driver: Driver, call: str) -> None:
    """While the program waits for results: what is at work is done, then the handler goes on."""
    output = driver.run(
        f"""
        import os, signal, sys, time

        def work(seconds):
            open("begun", "w").close()
            time.sleep(seconds)

        def end(number, frame):
            pool.close()
            pool.join()
            pool.close()
            pool.join()
            print("joined", flush=True)
            sys.exit()

        signal.signal(signal.SIGALRM, end)
        pool = POOL
        if not os.fork():
            while not os.path.exists("begun"):
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGALRM)
            os._exit(0)
        {call}
        print("not interrupted")
        """
    )
    assert output == "joined\n"
    assert driver.all_end()


@pytest.mark.parametrize("backend", ["local"])
def test_signals_at_any_moment_do_no_harm(driver: Driver) -> None:
    """A handler that closes and joins may come in the middle of a call.

    If that raises while a thread is being started, CPython's `Thread.start` makes it a KeyError.
    In a callback of the garbage collector it would be printed and lost, as in any program.
    """
    output = driver.run(
        """
        import gc, signal, sys
        import pypool

        gc.disable()

        def end(number, frame):
            pool.close()
            pool.join()
            raise InterruptedError

        def work(number):
            return number

        signal.signal(signal.SIGALRM, end)
        for step in range(30):
            pool = pypool.local.Pool(1)
            pool.map(work, range(3))
            signal.setitimer(signal.ITIMER_REAL, 0.0003 * (1 + step))
            try:
                while True:
                    pool.map(work, range(3))
                    [pool.apply_async(work, (1,)) for _ in range(3)]
                    list(pool.imap(work, range(3)))
            except (InterruptedError, KeyError):
                pass
            except ValueError as error:
                assert "not running" in str(error)
        print("done")
        """
    )
    assert output == "done\n"
    assert driver.all_end()
