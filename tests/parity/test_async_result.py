"""What a handle says before and after its call is done."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool
from .methods import by
from .test_callbacks import WITH_CALLBACKS, begin

handles = by(*WITH_CALLBACKS)


@handles
def test_before_and_after(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """Not ready, not known whether successful; then both."""
    handle = begin(method, pool, tasks.wait_for, str(shared_dir / "file"))
    assert handle.ready() is False
    with pytest.raises(ValueError, match="not ready"):
        handle.successful()
    (shared_dir / "file").touch()
    assert handle.wait(tasks.PATIENCE) is None
    assert handle.ready() is True
    assert handle.successful() is True


@handles
def test_after_an_error(pool: AnyPool, method: str) -> None:
    """Ready and not successful; waiting raises nothing."""
    handle = begin(method, pool, tasks.divide, 0)
    assert handle.wait(tasks.PATIENCE) is None
    assert handle.ready() is True
    assert handle.successful() is False


@handles
@pytest.mark.parametrize("timeout", [0, 0.05, -1])
def test_get_in_vain(pool: AnyPool, method: str, shared_dir: Path, timeout: float) -> None:
    """A TimeoutError, that of multiprocessing; afterwards the handle is as good as before."""
    path = str(shared_dir / "file")
    handle = begin(method, pool, tasks.wait_for, path)
    with pytest.raises(multiprocessing.TimeoutError) as caught:
        handle.get(timeout)
    assert type(caught.value) is multiprocessing.TimeoutError
    Path(path).touch()
    assert handle.get(timeout=tasks.PATIENCE) == (path if method == "apply_async" else [path])


@handles
def test_wait_in_vain(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """`wait` returns without a word; one has to ask whether it is ready."""
    handle = begin(method, pool, tasks.wait_for, str(shared_dir / "file"))
    assert handle.wait(0.05) is None
    assert handle.wait(timeout=0) is None
    assert not handle.ready()
    (shared_dir / "file").touch()
    handle.get(tasks.PATIENCE)
    assert handle.wait() is None


@handles
def test_get_again(pool: AnyPool, method: str) -> None:
    """The same object each time, also without waiting."""
    handle = begin(method, pool, list, "ab")
    result = handle.get(tasks.PATIENCE)
    assert handle.get() is result
    assert handle.get(0) is result


@handles
def test_raise_again(pool: AnyPool, method: str) -> None:
    """The same exception each time."""
    handle = begin(method, pool, tasks.divide, 0)
    raised: list[Any] = []
    for timeout in (tasks.PATIENCE, None, 0):
        with pytest.raises(ZeroDivisionError) as caught:
            handle.get(timeout)
        raised.append(caught.value)
    assert raised[0] is raised[1] is raised[2]


@by("map_async", "starmap_async")
def test_ready_when_all_are_done(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """One item that is at work keeps the whole call from being ready, also behind an error."""
    path = str(shared_dir / "file")
    items: list[Any] = [tasks.MISSING, path]
    rows = items if method == "map_async" else [(item,) for item in items]
    handle = getattr(pool, method)(tasks.wait_or_refuse, rows, 1)
    handle.wait(0.2)
    assert not handle.ready()
    Path(path).touch()
    with pytest.raises(LookupError):
        handle.get(tasks.PATIENCE)
    assert not handle.successful()
