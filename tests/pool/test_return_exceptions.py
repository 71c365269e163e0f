"""`return_exceptions=True`: exceptions stand in the place of results."""

import os

from pypool import Pool, WorkerLostError

from . import tasks
from .conftest import MakePool


def die(number: int) -> int:
    if number == 2:
        os._exit(1)
    return number


def shape(found: list[object]) -> list[object]:
    """Exceptions by their type."""
    return [type(each) if isinstance(each, BaseException) else each for each in found]


WANTED = [1.0, ZeroDivisionError, 0.5, ZeroDivisionError]
ITEMS = [1, 0, 2, 0]


def test_all_results_are_given(pool: Pool) -> None:
    """By each method that takes an iterable."""
    assert shape(pool.map(tasks.divide, ITEMS, return_exceptions=True)) == WANTED
    pairs = [(item,) for item in ITEMS]
    assert shape(pool.starmap(tasks.divide, pairs, return_exceptions=True)) == WANTED
    assert shape(list(pool.imap(tasks.divide, ITEMS, return_exceptions=True))) == WANTED
    unordered = pool.imap_unordered(tasks.divide, ITEMS, return_exceptions=True)
    assert sorted(map(repr, unordered)) == sorted(
        ["1.0", "0.5"] + 2 * ["ZeroDivisionError('division by zero')"]
    )


def test_such_a_call_is_successful(pool: Pool) -> None:
    """Its callback is called, the other one is not."""
    results: list[object] = []
    errors: list[object] = []
    handle = pool.map_async(
        tasks.divide, ITEMS, None, results.append, errors.append, return_exceptions=True
    )
    assert shape(handle.get(60)) == WANTED
    assert handle.successful()
    assert len(results) == 1
    assert not errors
    handle = pool.starmap_async(tasks.divide, [(0,)], return_exceptions=True)
    assert shape(handle.get(60)) == [ZeroDivisionError]


def test_exceptions_carry_what_they_carry_when_raised(pool: Pool) -> None:
    """The worker's traceback and where it was."""
    error = pool.map(tasks.divide, [0], return_exceptions=True)[0]
    assert isinstance(error, ZeroDivisionError)
    assert "in divide" in str(error.__cause__)
    assert any("task 0 of call" in note for note in error.__notes__)


def test_a_lost_task_is_an_exception_too(make_pool: MakePool) -> None:
    """The others are there."""
    found = make_pool(retries=0).map(die, range(4), return_exceptions=True)
    assert shape(list(found)) == [0, 1, WorkerLostError, 3]
