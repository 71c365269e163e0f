"""What a task raises is what the caller catches; nothing that a task does makes a call hang."""

import contextlib
import os
import pickle
import threading
from collections.abc import Callable
from multiprocessing.pool import MaybeEncodingError, RemoteTraceback
from pathlib import Path
from typing import Any

import pytest

from pypool import Pool, RemoteError

from . import tasks
from .conftest import MakePool


def raised_by(pool: Pool, function: Callable[..., Any], items: Any) -> BaseException:
    """What the call raises; it has to."""
    try:
        pool.map_async(function, items).get(tasks.PATIENCE)
    except BaseException as error:  # also what a task raised to leave
        return error
    raise AssertionError("nothing was raised")


def notes_of(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


def test_the_type_is_the_same(pool: Pool) -> None:
    """The exception is caught by its type, with its text."""
    error = raised_by(pool, tasks.divide, [1, 0, 2])
    assert type(error) is ZeroDivisionError
    assert str(error) == "division by zero"


def test_the_cause_is_the_remote_traceback(pool: Pool) -> None:
    """As in the stdlib, the cause shows where in the task it happened."""
    error = raised_by(pool, tasks.divide, [0])
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "return 1 / number" in str(error.__cause__)
    assert "tasks.py" in str(error.__cause__)


def test_the_remote_traceback_shows_the_users_code_alone(pool: Pool) -> None:
    """Frames of pypool do not stand between the reader and the error."""
    error = raised_by(pool, tasks.divide, [0])
    assert "pypool/worker" not in str(error.__cause__)


def test_a_note_names_task_function_and_host(pool: Pool) -> None:
    """One sees which item it was, and where."""
    notes = notes_of(raised_by(pool, tasks.divide, [1, 1, 0]))
    assert "task 2" in notes
    assert "divide" in notes
    assert os.uname().nodename in notes


def test_the_lowest_index_wins(pool: Pool) -> None:
    """Of several errors that of the first item is raised, the note counts the others."""
    error = raised_by(pool, tasks.divide, [1, 0, 1, 0, 0])
    assert "task 1 " in notes_of(error)
    assert "2 other tasks raised" in notes_of(error)


def test_one_error_does_not_stop_the_others(pool: Pool, shared_dir: Path) -> None:
    """When one of a hundred tasks raises, the other 99 are done all the same."""
    items = [(str(shared_dir), index, (40,)) for index in range(100)]
    with pytest.raises(ValueError, match="number 40"):
        pool.starmap(tasks.note_and_raise_if, items)
    assert {path.name for path in shared_dir.iterdir()} >= {str(index) for index in range(100)}


def test_one_error_does_not_stop_its_chunk(pool: Pool, shared_dir: Path) -> None:
    """Also with a chunksize, where the stdlib skips the rest of the chunk."""
    items = [(str(shared_dir), index, (0, 1)) for index in range(30)]
    with pytest.raises(ValueError, match="number 0"):
        pool.starmap(tasks.note_and_raise_if, items, chunksize=30)
    assert {path.name for path in shared_dir.iterdir()} >= {str(index) for index in range(30)}


def test_the_pool_goes_on_after_an_error(pool: Pool) -> None:
    """The next call knows nothing of an earlier one's error."""
    raised_by(pool, tasks.divide, [0])
    assert pool.map(tasks.divide, [1, 2]) == [1.0, 0.5]


def test_each_get_raises(pool: Pool) -> None:
    """A handle raises as often as it is asked."""
    handle = pool.map_async(tasks.divide, [0])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            handle.get(tasks.PATIENCE)


# ---- all kinds of exceptions


def test_an_init_with_several_arguments(pool: Pool) -> None:
    """An exception that cannot be rebuilt from its `args` arrives whole; CPython's pool hangs."""
    error = raised_by(pool, tasks.raise_several, [3])
    assert type(error) is tasks.Several
    assert (error.name, error.number) == ("a task", 3)
    assert str(error) == "a task failed 3 times"


def test_notes_arrive(pool: Pool) -> None:
    """What the task has noted stands before what pypool notes."""
    error = raised_by(pool, tasks.raise_with_note, [0])
    assert type(error) is KeyError
    assert error.__notes__[0] == "look under the table"


def test_attributes_arrive(pool: Pool) -> None:
    """An OSError keeps its number and file name, and what was added to it."""
    error = raised_by(pool, tasks.raise_with_attribute, [0])
    assert type(error) is FileNotFoundError
    assert (error.errno, error.filename) == (2, "the name")
    assert error.place == "here"  # type: ignore[attr-defined]


def test_a_cause_in_the_task_is_told(pool: Pool) -> None:
    """`raise ... from` in a task shows in the remote traceback."""
    error = raised_by(pool, tasks.raise_from, [0])
    assert type(error) is LookupError
    assert "ZeroDivisionError" in str(error.__cause__)


@pytest.mark.parametrize("function", [tasks.raise_only_pickles, tasks.raise_never_pickles])
def test_what_cannot_be_rebuilt_is_told(pool: Pool, function: Callable[..., Any]) -> None:
    """An exception that refuses to be sent arrives as an error that has its type and text."""
    error = raised_by(pool, function, [0])
    assert type(error).__name__ in ("RemoteError", "OnlyPickles", "NeverPickles")
    assert "told nevertheless" in str(error)
    assert isinstance(error.__cause__, RemoteTraceback)


def test_a_broken_str_is_no_trouble(pool: Pool) -> None:
    """An exception whose `__str__` raises arrives."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("I do not say")

    def raise_mute(_: int) -> None:
        raise Mute

    assert type(raised_by(pool, raise_mute, [0])).__name__ in ("Mute", "RemoteError")


def test_an_exception_group(pool: Pool) -> None:
    """A group arrives with its members."""

    def raise_group(_: int) -> None:
        raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])

    error = raised_by(pool, raise_group, [0])
    assert isinstance(error, ExceptionGroup)
    assert [type(member) for member in error.exceptions] == [ValueError, KeyError]


@pytest.mark.parametrize("code", [0, 3])
def test_system_exit_comes_back(pool: Pool, code: int) -> None:
    """`sys.exit` in a task ends neither worker nor program: the caller catches it."""
    error = raised_by(pool, tasks.leave, [code])
    assert type(error) is SystemExit
    assert error.code == code


def test_keyboard_interrupt_comes_back(pool: Pool) -> None:
    """One that a task raises itself is the task's error."""
    assert type(raised_by(pool, tasks.interrupt, [0])) is KeyboardInterrupt


def test_endless_recursion_comes_back(pool: Pool) -> None:
    """A task without end in its recursion raises RecursionError."""
    assert type(raised_by(pool, tasks.recurse, [0])) is RecursionError


@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit, MemoryError])
def test_exceptions_with_a_meaning_to_python_come_back(
    pool: Pool, kind: type[BaseException]
) -> None:
    """What loops and generators take for an end is an error like any other."""

    def raise_it(_: int) -> None:
        raise kind

    assert type(raised_by(pool, raise_it, [0])) is kind


SPOILS = [
    "sys.stdout.close()",
    "setattr(sys, 'stdout', None)",
    "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    "os.closerange(1, 2)",
    "os.truncate(1, 0) if os.path.isfile('/proc/self/fd/1') else None",
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_task_may_spoil_its_output(make_pool: MakePool, spoil: str) -> None:
    """A worker without standard output goes on, and what was returned is not lost with it."""
    pool = make_pool(processes=1, retries=0)
    pool.map_async(_run, ["print('x' * 100, flush=True)"] * 3).get(tasks.PATIENCE)
    code = f"import os, sys; {spoil}"
    pool.map_async(_run, [code] * 3).get(tasks.PATIENCE)
    assert pool.map_async(tasks.square, range(3)).get(tasks.PATIENCE) == [0, 1, 4]


def _run(code: str) -> None:
    exec(code)


def test_a_large_exception_arrives(pool: Pool) -> None:
    """An exception with a megabyte in it is sent like a large result."""

    def raise_large(size: int) -> None:
        raise ValueError("x" * size)

    assert len(str(raised_by(pool, raise_large, [1_000_000]))) == 1_000_000


# ---- what cannot be pickled


def test_a_result_that_cannot_be_pickled(pool: Pool) -> None:
    """The stdlib's MaybeEncodingError, with what the result looked like."""
    error = raised_by(pool, tasks.unpicklable, [0])
    assert type(error) is MaybeEncodingError
    assert str(error).startswith("Error sending result: '<generator object")


def test_a_result_that_cannot_be_loaded(pool: Pool) -> None:
    """A result that only the worker can rebuild is an error, not a hang."""
    error = raised_by(pool, tasks.loads_in_worker_only, [0])
    assert type(error) is RemoteError
    assert "of another process" in str(error)


def test_other_results_arrive_beside_an_unpicklable_one(pool: Pool) -> None:
    """A result that cannot be sent takes nothing else with it."""
    handle = pool.map_async(_unpicklable_if_odd, range(6))
    with pytest.raises(MaybeEncodingError):
        handle.get(tasks.PATIENCE)
    assert pool.map(tasks.square, range(6)) == [0, 1, 4, 9, 16, 25]


def _unpicklable_if_odd(number: int) -> Any:
    return threading.Lock() if number % 2 else number


@pytest.mark.parametrize("index", [0, 2])
def test_an_item_that_cannot_be_pickled_is_told_with_the_results(pool: Pool, index: int) -> None:
    """The pickling error itself, as in CPython; no other task is run then."""
    items: list[Any] = [1, 2, 3]
    items[index] = threading.Lock()
    errors: list[BaseException] = []
    handle = pool.map_async(tasks.same, items, error_callback=errors.append)
    with pytest.raises((TypeError, pickle.PicklingError), match="pickle") as caught:
        handle.get(60)
    assert errors == [caught.value]
    assert f"item {index} cannot be sent to workers" in notes_of(caught.value)
    assert pool.map(tasks.square, [3]) == [9]


def test_a_function_that_cannot_be_pickled_is_told_with_the_results(pool: Pool) -> None:
    """A closure over something that stays here."""
    lock = threading.Lock()

    def use(number: int) -> int:
        with lock:
            return number

    for handle in (pool.map_async(use, [1]), pool.apply_async(use, (1,))):
        with pytest.raises((TypeError, pickle.PicklingError), match="pickle") as caught:
            handle.get(60)
        assert "with the globals that it uses, cannot be sent" in notes_of(caught.value)
        assert "because of lock" in notes_of(caught.value)


def test_an_item_that_cannot_be_loaded(pool: Pool) -> None:
    """What unpickling an item raises in the worker is the task's error, and the note says so."""
    error = raised_by(pool, tasks.same, [1, tasks.RefusesToLoad()])
    assert type(error) is ValueError
    assert "cannot be rebuilt: an item" in str(error)
    assert "could not be unpickled" in notes_of(error)
    assert "task 1 " in notes_of(error)


def test_a_function_that_cannot_be_loaded(pool: Pool) -> None:
    """So it is with a function."""

    class Unloadable(tasks.RefusesToLoad):
        def __call__(self, number: int) -> int:
            return number

    error = raised_by(pool, Unloadable(), [1, 2])
    assert type(error) is ValueError
    assert "could not be unpickled" in notes_of(error)


def test_a_function_that_cannot_be_called(pool: Pool) -> None:
    """What is no function raises what calling it raises."""
    assert type(raised_by(pool, 5, [1])) is TypeError  # type: ignore[arg-type]


def test_a_function_with_other_arguments(pool: Pool) -> None:
    """A wrong number of arguments is the TypeError of the call."""
    with pytest.raises(TypeError, match="exponent"):
        pool.map(tasks.power, [1])


def test_an_item_of_starmap_that_is_no_sequence(pool: Pool) -> None:
    """`starmap` over single values raises a TypeError."""
    with contextlib.suppress(AttributeError), pytest.raises(TypeError):
        pool.starmap(tasks.power, [1, 2])  # type: ignore[list-item]
