"""What a task raises is what the caller catches."""

import traceback
from multiprocessing.pool import RemoteTraceback
from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool, on, on_processes
from .methods import assert_same, by, results_of


@by()
def test_type_and_arguments(pool: AnyPool, method: str) -> None:
    """The same type, with the same arguments and text."""
    with pytest.raises(ZeroDivisionError) as caught:
        results_of(method, pool, tasks.divide, [0])
    assert caught.value.args == ("division by zero",)
    assert str(caught.value) == "division by zero"


@by()
def test_an_exception_of_ones_own(pool: AnyPool, method: str) -> None:
    """A class of the user's module is that class here."""
    with pytest.raises(tasks.TwoArguments) as caught:
        results_of(method, pool, tasks.raise_two, [3])
    assert type(caught.value) is tasks.TwoArguments
    assert caught.value.args == ("number", 3)


@by()
def test_an_os_error_keeps_its_number(pool: AnyPool, method: str) -> None:
    """What is not among the arguments arrives as well."""
    with pytest.raises(FileNotFoundError) as caught:
        results_of(method, pool, tasks.raise_os_error, [0])
    assert (caught.value.errno, caught.value.filename) == (2, "the name")


@by()
@on_processes
def test_the_cause_is_the_remote_traceback(pool: AnyPool, method: str) -> None:
    """It shows the line of the task; a traceback that is printed shows it too."""
    with pytest.raises(ZeroDivisionError) as caught:
        results_of(method, pool, tasks.divide, [0])
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteTraceback)
    assert "return 1 / number" in str(cause)
    assert "return 1 / number" in cause.tb
    assert "in divide" in "".join(traceback.format_exception(caught.value))


@by()
@on_processes
def test_a_chain_is_told(pool: AnyPool, method: str) -> None:
    """The text of the cause has all of a chain of exceptions."""
    with pytest.raises(LookupError, match="nothing found") as caught:
        results_of(method, pool, tasks.raise_from, [0])
    assert "ZeroDivisionError: division by zero" in str(caught.value.__cause__)
    assert "LookupError: nothing found" in str(caught.value.__cause__)


@by()
@on("threads")
def test_threads_raise_the_exception_itself(pool: AnyPool, method: str) -> None:
    """The reason for leaving them out above: there is nothing remote."""
    with pytest.raises(ZeroDivisionError) as caught:
        results_of(method, pool, tasks.divide, [0])
    assert caught.value.__cause__ is None


@by()
def test_one_of_several_is_raised(pool: AnyPool, method: str) -> None:
    """If several tasks raise, the caller gets one of their exceptions."""
    with pytest.raises(ValueError, match="odd") as caught:
        results_of(method, pool, tasks.refuse_odd, range(6))
    assert caught.value.args in [("odd: 1",), ("odd: 3",), ("odd: 5",)]


@by("map", "map_async", "starmap", "starmap_async")
def test_the_rest_is_done_before_it_is_raised(
    pool: AnyPool, method: str, shared_dir: object
) -> None:
    """Whoever catches the exception knows that no other task of the call is at work."""
    items = [(str(shared_dir), number) for number in range(8)]
    rows = [(item,) for item in items] if method.startswith("starmap") else items
    with pytest.raises(ValueError, match="first"):
        wait(getattr(pool, method)(tasks.trace_and_refuse_first, rows, 1))
    assert tasks.traces(str(shared_dir)) == [str(number) for number in range(8)]


def wait(handle: Any) -> None:
    """A method that gives no handle has raised already."""
    handle.get(tasks.PATIENCE)


@by()
def test_the_pool_goes_on(pool: AnyPool, method: str) -> None:
    """An error is of its call alone."""
    with pytest.raises(ZeroDivisionError):
        results_of(method, pool, tasks.divide, [1, 0, 1])
    assert_same(method, results_of(method, pool, tasks.divide, [1, 2]), [1.0, 0.5])


@by("map", "starmap", "imap", "imap_unordered")
@pytest.mark.parametrize("chunksize", [2, 100])
def test_with_a_chunksize(pool: AnyPool, method: str, chunksize: int) -> None:
    """An exception inside of a chunk is raised all the same."""
    rows = [(1,), (1,), (0,), (1,)] if method == "starmap" else [1, 1, 0, 1]
    with pytest.raises(ZeroDivisionError):
        list(getattr(pool, method)(tasks.divide, rows, chunksize))
