"""The initializer: what it sets, when it is run, and what becomes of its failure."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import InitializerError

from . import tasks
from .conftest import MakePool
from .scripts import Driver, wait_until

model: Any = None


def set_model(value: Any, directory: str | None = None) -> None:
    global model
    model = value
    if directory is not None:
        Path(directory, str(os.getpid())).touch()


def use_model(number: int) -> Any:
    return model, number, os.getpid()


def raise_it(error: BaseException) -> None:
    raise error


def leave(code: int) -> None:
    os._exit(code)


def slowly(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def test_its_globals_are_there_for_functions_of_its_module(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """It has run once in each worker that has run a task."""
    pool = make_pool(initializer=set_model, initargs=({"a": 1}, str(shared_dir)))
    found = pool.map(use_model, range(40), 1)
    assert [(value, number) for value, number, _ in found] == [({"a": 1}, n) for n in range(40)]
    ran = {int(each.name) for each in shared_dir.iterdir() if each.name.isdigit()}
    assert {pid for *_, pid in found} <= ran
    assert model is None  # here nothing was set


def test_its_globals_are_there_for_functions_of_main(driver: Driver) -> None:
    """Though the script has a value of its own, and though it runs unguarded."""
    output = driver.run(
        """
        model = None
        scale = 10

        def begin(value):
            global model
            model = value

        class Likelihood:
            def __call__(self, number):
                return model * scale + number

        def likelihood(number):
            return model * scale + number

        Pool = type(POOL)
        old = POOL
        options = dict(work_dir=old._runner.work_dir) if old._runner.work_dir else {}
        with Pool(2, begin, (7,), **options) as pool:
            print(pool.map(likelihood, range(3)), pool.map(Likelihood(), range(3)))
            print(pool.map(lambda number: (model, number), range(2)))
            scale = 100
            print(pool.apply(likelihood, (1,)), model)
        """
    )
    assert output.splitlines() == ["[70, 71, 72] [70, 71, 72]", "[(7, 0), (7, 1)]", "701 None"]


@pytest.mark.parametrize("error", [ValueError("no data"), SystemExit(3), KeyboardInterrupt()])
def test_its_exception_is_an_error_of_every_call(make_pool: MakePool, error: BaseException) -> None:
    """CPython would start workers for ever. The next call tries again."""
    pool = make_pool(initializer=raise_it, initargs=(error,))
    for _ in range(2):
        with pytest.raises(InitializerError, match=r"the initializer .*raise_it raised") as caught:
            pool.map(tasks.square, range(10))
        cause = caught.value.__cause__
        assert type(cause) is type(error)
        assert cause.args == error.args
        assert "in raise_it" in str(cause.__cause__)
        assert type(error).__name__ in str(caught.value)
    results = pool.imap(tasks.square, range(3))
    with pytest.raises(InitializerError):
        next(results)


def test_an_exception_that_cannot_be_rebuilt_is_told(make_pool: MakePool) -> None:
    """By what it says, and however large it is."""
    pool = make_pool(initializer=tasks.raise_only_pickles, initargs=(1,))
    with pytest.raises(InitializerError, match="OnlyPickles: told nevertheless"):
        pool.map(tasks.square, [1])
    pool = make_pool(initializer=raise_it, initargs=(ValueError("x" * 1_000_000),))
    with pytest.raises(InitializerError, match="ValueError: x"):
        pool.map(tasks.square, [1])


def test_one_that_ends_its_process_is_an_error(make_pool: MakePool) -> None:
    """After some tries."""
    pool = make_pool(initializer=leave, initargs=(7,))
    with pytest.raises(InitializerError, match=r"leave ended its process 5 times, at last 7"):
        pool.map(tasks.square, [1])


def fails_once(directory: str) -> None:
    number = len(list(Path(directory).glob("worker*")))
    Path(directory, f"worker{number}").touch()
    if number == 5:
        raise OSError("this once")


def test_one_failure_where_it_has_worked_costs_nothing(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """The next worker tries."""
    pool = make_pool(
        processes=1, initializer=fails_once, initargs=(str(shared_dir),), maxtasksperchild=1
    )
    assert pool.map(tasks.square, range(12)) == [n * n for n in range(12)]
    assert (shared_dir / "worker12").exists()


def works_at_first(directory: str) -> None:
    try:
        Path(directory, "first").touch(exist_ok=False)
    except FileExistsError:
        raise OSError("no more") from None


def test_failing_again_and_again_is_an_error(make_pool: MakePool, shared_dir: Path) -> None:
    """Though it worked once."""
    pool = make_pool(
        processes=1, initializer=works_at_first, initargs=(str(shared_dir),), maxtasksperchild=1
    )
    with pytest.raises(InitializerError, match="no more"):
        pool.map(tasks.square, range(3))


def test_it_is_pickled_when_the_pool_is_made(make_pool: MakePool) -> None:
    """What cannot be sent is said there; what is changed later has no effect."""
    with pytest.raises(TypeError, match="pickle"):
        make_pool(initializer=set_model, initargs=(threading.Lock(),))
    value = [1]
    pool = make_pool(initializer=set_model, initargs=(value,))
    value.append(2)
    assert pool.apply(use_model, (0,))[0] == [1]


def test_the_next_worker_runs_it_again(make_pool: MakePool) -> None:
    """After a death."""
    pool = make_pool(processes=1, initializer=set_model, initargs=(5,))
    first = pool.apply(use_model, (0,))[2]
    with pytest.raises(pypool.WorkerLostError):
        pool.apply(leave, (1,))
    value, _, pid = pool.apply(use_model, (0,))
    assert value == 5
    assert pid != first


def test_a_pool_can_end_while_it_runs(make_pool: MakePool, shared_dir: Path) -> None:
    """It need not come to its end."""
    pool = make_pool(initializer=slowly, initargs=(str(shared_dir / "never"),))
    handle = pool.map_async(tasks.square, range(4))
    time.sleep(1)
    pool.terminate()
    with pytest.raises(pypool.PoolError, match="terminated"):
        handle.get(0)


def test_work_waits_for_it(make_pool: MakePool, shared_dir: Path) -> None:
    """And is done afterwards."""
    go = shared_dir / "go"
    pool = make_pool(initializer=slowly, initargs=(str(go),))
    handle = pool.map_async(tasks.square, range(10))
    assert not wait_until(handle.ready, 1)
    go.touch()
    assert handle.get(60) == [n * n for n in range(10)]


def test_in_this_process_it_runs_before_the_first_task() -> None:
    """Once; its failure is the same error."""
    ran: list[int] = []
    pool = pypool.serial.Pool(1, ran.append, (1,))
    assert not ran
    assert pool.map(abs, [-1]) == [1]
    assert pool.apply(abs, (-1,)) == 1
    assert ran == [1]
    pool = pypool.serial.Pool(1, raise_it, (ValueError("no data"),))
    with pytest.raises(InitializerError, match="no data") as caught:
        pool.map(abs, [1])
    assert isinstance(caught.value.__cause__, ValueError)
