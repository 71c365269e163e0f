"""`pypool.serial.Pool`: the same calls in this very process, for debuggers and profilers."""

import multiprocessing
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from multiprocessing.pool import MaybeEncodingError
from pathlib import Path
from typing import Any

import pytest

import pypool

from . import tasks


@pytest.fixture
def pool() -> pypool.Pool:
    return pypool.serial.Pool()


def raised_by(call: Callable[[], Any]) -> BaseException:
    """What it raises; it has to."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def notes_of(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


# ---- results


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_map_gives_results_in_order(pool: pypool.Pool, chunksize: int | None) -> None:
    """As `list(map(...))`."""
    assert pool.map(tasks.square, range(10), chunksize) == [n * n for n in range(10)]


def test_starmap_unpacks_items(pool: pypool.Pool) -> None:
    """Each item holds the arguments, in whatever it can be iterated."""
    assert pool.starmap(tasks.power, [(2, 3), [3, 2], iter((4, 1))]) == [8, 9, 4]


def test_items_may_come_from_a_generator(pool: pypool.Pool) -> None:
    """It is used up before the first task."""
    order: list[str] = []

    def items() -> Any:
        for number in range(3):
            order.append(f"item {number}")
            yield number

    pool.map(lambda number: order.append(f"task {number}"), items())
    assert order == [f"{what} {number}" for what in ("item", "task") for number in range(3)]


def test_map_of_nothing_is_nothing(pool: pypool.Pool) -> None:
    """Not even the function is looked at."""
    assert pool.map(tasks.square, []) == []
    assert pool.map_async(tasks.square, []).successful()


def test_a_handle_is_ready_at_once(pool: pypool.Pool) -> None:
    """`map_async` has done the work."""
    handle = pool.map_async(tasks.square, [3])
    assert handle.ready()
    assert handle.successful()
    assert handle.get(0) == [9]


def test_nothing_is_pickled(pool: pypool.Pool) -> None:
    """Tasks see the very objects of the program, and give back what they made."""
    lock = threading.Lock()
    (same,) = pool.map(lambda item: item, [lock])
    assert same is lock
    (results,) = pool.map(tasks.unpicklable, [0])
    assert list(results) == [0, 1, 2]


def test_what_a_task_changes_stays_changed(pool: pypool.Pool) -> None:
    """There is one memory."""
    found: list[int] = []
    pool.map(found.append, range(3))
    assert found == [0, 1, 2]


def test_tasks_run_in_this_thread(pool: pypool.Pool) -> None:
    """One after the other, whatever number of processes was asked for."""
    here = [(os.getpid(), threading.get_ident())] * 3
    place = pypool.serial.Pool(8).map(lambda _: (os.getpid(), threading.get_ident()), range(3))
    assert place == here


def test_no_process_thread_or_directory_is_made(
    pool: pypool.Pool, home: Path, tmp_path: Path
) -> None:
    """Nothing is there but the program."""
    before = (threading.active_count(), tasks.count_of("/proc/self/fd"))
    memory = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()
    pool.map(tasks.square, range(10))
    assert multiprocessing.active_children() == []
    assert (threading.active_count(), tasks.count_of("/proc/self/fd")) == before
    assert not list(home.iterdir())
    new = set(Path("/dev/shm").iterdir()) - memory if Path("/dev/shm").is_dir() else set()
    assert not [path for path in new if path.name.startswith("pypool-") and path.owner() == _me()]


def _me() -> str:
    return Path("/proc/self").owner()


def test_pools_nest(pool: pypool.Pool) -> None:
    """A task may use the pool that runs it."""
    assert pool.map(lambda n: pool.map(tasks.square, range(n)), [1, 2]) == [[0], [0, 1]]


# ---- errors


def test_the_error_of_the_lowest_index_is_raised(pool: pypool.Pool, tmp_path: Path) -> None:
    """After all tasks were run; the others are counted."""
    items = [(str(tmp_path), index, (2, 5, 7)) for index in range(9)]
    error = raised_by(lambda: pool.starmap(tasks.note_and_raise_if, items))
    assert type(error) is ValueError
    assert str(error) == "number 2"
    assert tasks.count_of(str(tmp_path)) == 9
    assert "2 other tasks raised as well" in notes_of(error)


def test_a_note_names_task_and_call(pool: pypool.Pool) -> None:
    """One sees which item it was."""
    pool.map(tasks.square, [1])
    notes = notes_of(raised_by(lambda: pool.map(tasks.divide, [1, 0])))
    assert "task 1 of call 2" in notes
    assert "tasks.divide" in notes


def test_the_error_is_the_very_one(pool: pypool.Pool) -> None:
    """With its attributes and its cause, though neither would pickle."""

    class Local(Exception):
        pass

    mine = Local("mine")
    mine.lock = threading.Lock()  # type: ignore[attr-defined]

    def fail(_: int) -> None:
        raise mine

    assert raised_by(lambda: pool.map(fail, [0])) is mine
    assert raised_by(lambda: pool.map(tasks.raise_from, [0])).__cause__ is not None


def test_a_debugger_finds_the_frame_of_the_task(pool: pypool.Pool) -> None:
    """The last frame of the traceback is the one that raised, with its variables."""
    error = raised_by(lambda: pool.map(tasks.divide, [1, 0]))
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    assert frame.f_code is tasks.divide.__code__
    assert frame.f_locals == {"number": 0}
    assert line == tasks.divide.__code__.co_firstlineno + 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_wants_to_leave_leaves_at_once(pool: pypool.Pool, kind: type[BaseException]) -> None:
    """There is no worker that could end in the program's place; no further task is run."""
    begun = []

    def task(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise kind

    with pytest.raises(kind):
        pool.map_async(task, range(5))
    assert begun == [0, 1]


def test_a_pool_survives_what_left_it(pool: pypool.Pool) -> None:
    """After Ctrl-C in a task the next call works."""
    raised_by(lambda: pool.map(tasks.interrupt, [0]))
    assert pool.map(tasks.square, [3]) == [9]


def test_an_iterable_that_raises_runs_no_task(pool: pypool.Pool) -> None:
    """Its error is the caller's."""

    def items() -> Any:
        yield 1
        raise LookupError("no more")

    begun: list[int] = []
    with pytest.raises(LookupError, match="no more"):
        pool.map(begun.append, items())
    assert begun == []


def test_wrong_arguments_raise_what_other_pools_raise(pool: pypool.Pool) -> None:
    """Chunks of nothing, and what is no iterable."""
    with pytest.raises(ValueError, match="chunksize"):
        pool.map(tasks.square, [1], 0)
    with pytest.raises(TypeError):
        pool.map(tasks.square, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pool.starmap(tasks.power, [5])  # type: ignore[list-item]


def test_unpicklable_results_are_no_error() -> None:
    """Where other pools say so, as the stdlib does."""
    with pypool.local.Pool(1) as other, pytest.raises(MaybeEncodingError):
        other.map(tasks.unpicklable, [0])


# ---- states

CALLS: dict[str, Callable[[pypool.Pool], Any]] = {
    "map": lambda pool: pool.map(tasks.square, [1]),
    "map of nothing": lambda pool: pool.map(tasks.square, []),
    "starmap": lambda pool: pool.starmap(tasks.power, [(1, 2)]),
    "map_async": lambda pool: pool.map_async(tasks.square, [1]),
    "with": lambda pool: pool.__enter__(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_an_ended_pool_takes_no_calls(pool: pypool.Pool, end: str, call: str) -> None:
    """After `close` and after `terminate` every call is a ValueError, in the stdlib's words."""
    pool.map(tasks.square, [1])
    getattr(pool, end)()
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        CALLS[call](pool)


def test_join_of_an_open_pool_is_refused(pool: pypool.Pool) -> None:
    """`join` before `close` is a ValueError."""
    with pytest.raises(ValueError, match=r"^Pool is still running$"):
        pool.join()


def test_ends_may_be_repeated(pool: pypool.Pool) -> None:
    """`close`, `join` and `terminate` do no harm to a pool that has ended."""
    for end in (pool.close, pool.close, pool.join, pool.join, pool.terminate, pool.terminate):
        end()
    pool.close()
    pool.join()


def test_leaving_with_ends_it(pool: pypool.Pool) -> None:
    """Results stay."""
    with pool:
        handle = pool.map_async(tasks.square, [3])
    assert handle.get() == [9]
    with pytest.raises(ValueError, match=r"^Pool not running$"):
        pool.map(tasks.square, [1])


def test_it_says_what_it_is(pool: pypool.Pool) -> None:
    """It has one process, no job script, and cannot be pickled."""
    assert repr(pool) == "<pypool.serial.Pool state=RUN processes=1>"
    with pytest.raises(ValueError, match="no job script"):
        pool.job_script()
    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(pool)


def test_a_variable_makes_every_pool_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that misbehaves can be debugged without a change."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "serial")
    with pypool.Pool(4, queue="long", memory="4G", cpus=2) as pool:
        assert "pypool.serial.Pool" in repr(pool)
        assert set(pool.map(tasks.worker, range(5))) == {os.getpid()}


def test_join_runs_what_is_left_of_lazy_calls(pool: pypool.Pool) -> None:
    """Also of those whose iterator was thrown away; results can be had afterwards."""
    ran: list[int] = []
    held = pool.imap(ran.append, [1, 2])
    pool.imap_unordered(ran.append, [3, 4])
    assert not ran
    pool.close()
    pool.join()
    assert ran == [1, 2, 3, 4]
    assert list(held) == [None, None]


def test_terminate_ends_lazy_calls(pool: pypool.Pool) -> None:
    """What was not run is not run any more."""
    results = pool.imap(abs, [-1, -2])
    assert next(results) == 1
    pool.terminate()
    with pytest.raises(pypool.PoolError, match="terminated"):
        next(results)
    assert list(results) == []
