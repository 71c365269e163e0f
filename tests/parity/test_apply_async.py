"""`apply_async`: one call, and a handle at once."""

from pathlib import Path

import pytest

from . import tasks
from .kinds import AnyPool


def test_positions(pool: AnyPool) -> None:
    """Function, arguments, keywords, callback, error callback, in this order."""
    results: list[object] = []
    errors: list[BaseException] = []
    call = (tasks.told, (1,), {"a": 2}, results.append, errors.append)
    assert pool.apply_async(*call).get(tasks.PATIENCE) == ((1,), {"a": 2})
    assert results == [((1,), {"a": 2})]
    assert errors == []


def test_keywords(pool: AnyPool) -> None:
    """All five have their names."""
    results: list[object] = []
    handle = pool.apply_async(
        error_callback=None, callback=results.append, kwds={"a": 2}, args=[1], func=tasks.told
    )
    assert handle.get(tasks.PATIENCE) == ((1,), {"a": 2})
    assert results == [((1,), {"a": 2})]


def test_no_arguments(pool: AnyPool) -> None:
    """A function alone is called with nothing."""
    assert pool.apply_async(tasks.told).get(tasks.PATIENCE) == ((), {})


def test_many_at_once(pool: AnyPool) -> None:
    """Each handle has the result of its own call."""
    handles = [pool.apply_async(tasks.square, (number,)) for number in range(200)]
    assert [handle.get(tasks.PATIENCE) for handle in handles] == [n**2 for n in range(200)]


def test_handles_in_any_order(pool: AnyPool) -> None:
    """The last may be asked first."""
    handles = [pool.apply_async(tasks.square, (number,)) for number in range(20)]
    results = [handle.get(tasks.PATIENCE) for handle in reversed(handles)]
    assert results == [number**2 for number in reversed(range(20))]


def test_different_functions_at_once(pool: AnyPool) -> None:
    """Calls that have nothing to do with each other share the workers."""
    handles = [
        pool.apply_async(tasks.square, (3,)),
        pool.apply_async(tasks.add, ("a", "b")),
        pool.apply_async(len, ([1, 2],)),
        pool.apply_async(dict, (), {"a": 1}),
    ]
    assert [handle.get(tasks.PATIENCE) for handle in handles] == [9, "ab", 2, {"a": 1}]


def test_it_does_not_wait(pool: AnyPool, shared_dir: Path) -> None:
    """The handle is there before the call has returned."""
    path = shared_dir / "file"
    handle = pool.apply_async(tasks.wait_for, (str(path),))
    assert not handle.ready()
    path.touch()
    assert handle.get(tasks.PATIENCE) == str(path)


def test_an_error_is_raised_by_get(pool: AnyPool) -> None:
    """Not by the call, and by each `get`."""
    handle = pool.apply_async(tasks.divide, (0,))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            handle.get(tasks.PATIENCE)
