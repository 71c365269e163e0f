"""Callbacks: called once, with what `get` gives or raises, before it does."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool
from .methods import by

WITH_CALLBACKS = ("apply_async", "map_async", "starmap_async")


def begin(
    method: str, pool: AnyPool, function: Callable[[Any], Any], item: Any, **callbacks: Any
) -> Any:
    """One call on one item; its result is in a list, but for `apply_async`."""
    if method == "apply_async":
        return pool.apply_async(function, (item,), **callbacks)
    if method == "map_async":
        return pool.map_async(function, [item], **callbacks)
    return pool.starmap_async(function, [(item,)], **callbacks)


@by(*WITH_CALLBACKS)
def test_called_once_with_the_result(pool: AnyPool, method: str) -> None:
    """It has been called when `get` returns, with what `get` returns."""
    results: list[Any] = []
    errors: list[Any] = []
    callbacks = {"callback": results.append, "error_callback": errors.append}
    result = begin(method, pool, tasks.square, 3, **callbacks).get(tasks.PATIENCE)
    assert len(results) == 1
    assert results[0] is result
    assert errors == []


@by(*WITH_CALLBACKS)
def test_called_once_with_the_error(pool: AnyPool, method: str) -> None:
    """It has been called when `get` raises, with what `get` raises."""
    results: list[Any] = []
    errors: list[Any] = []
    callbacks = {"callback": results.append, "error_callback": errors.append}
    handle = begin(method, pool, tasks.divide, 0, **callbacks)
    with pytest.raises(ZeroDivisionError) as caught:
        handle.get(tasks.PATIENCE)
    assert len(errors) == 1
    assert errors[0] is caught.value
    assert results == []


@by("map_async", "starmap_async")
@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_called_once_for_all_items(pool: AnyPool, method: str, chunksize: int | None) -> None:
    """Not for each item, not for each chunk: once, with the list of results."""
    rows: list[Any] = list(range(10)) if method == "map_async" else [(n,) for n in range(10)]
    results: list[Any] = []
    getattr(pool, method)(tasks.square, rows, chunksize, results.append).get(tasks.PATIENCE)
    assert results == [[number**2 for number in range(10)]]


@by("map_async", "starmap_async")
def test_called_once_for_several_errors(pool: AnyPool, method: str) -> None:
    """With one of them."""
    rows: list[Any] = list(range(10)) if method == "map_async" else [(n,) for n in range(10)]
    errors: list[Any] = []
    handle = getattr(pool, method)(tasks.refuse_odd, rows, 1, None, errors.append)
    with pytest.raises(ValueError, match="odd") as caught:
        handle.get(tasks.PATIENCE)
    assert len(errors) == 1
    assert errors[0] is caught.value


@by("map_async", "starmap_async")
def test_not_called_for_no_items(pool: AnyPool, method: str) -> None:
    """Where there is nothing to do, there is nobody to call."""
    results: list[Any] = []
    assert getattr(pool, method)(tasks.square, [], None, results.append).get(tasks.PATIENCE) == []
    begin(method, pool, tasks.square, 1, callback=results.append).get(tasks.PATIENCE)
    assert results == [[1]]


@by(*WITH_CALLBACKS)
def test_not_ready_before_the_callback_has_returned(pool: AnyPool, method: str) -> None:
    """The handle becomes ready behind the callback."""
    handles: list[Any] = []
    begun = threading.Event()
    ready = []

    def look(_: Any) -> None:
        begun.wait(tasks.PATIENCE)
        ready.append(handles[0].ready())

    handles.append(begin(method, pool, tasks.square, 3, callback=look))
    begun.set()
    handles[0].get(tasks.PATIENCE)
    assert ready == [False]
    assert handles[0].ready()


@by(*WITH_CALLBACKS)
def test_one_thread_calls_them_all(pool: AnyPool, method: str) -> None:
    """Results and errors, of whatever call: the same thread, and not the caller's."""
    threads: list[int] = []

    def note(_: Any) -> None:
        threads.append(threading.get_ident())

    callbacks = {"callback": note, "error_callback": note}
    handles = [begin(method, pool, tasks.divide, n % 3, **callbacks) for n in range(12)]
    for handle in handles:
        handle.wait(tasks.PATIENCE)
    assert len(threads) == 12
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


@by(*WITH_CALLBACKS)
def test_in_the_order_of_arrival(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """The call that ends first is told first, though it was begun last."""
    path = shared_dir / "file"
    order: list[Any] = []

    def note_and_release(result: Any) -> None:
        order.append(result)
        path.touch()

    slow = begin(method, pool, tasks.wait_for_some, str(path), callback=order.append)
    begin(method, pool, tasks.wait_for_some, "", callback=note_and_release)
    result = slow.get(tasks.PATIENCE)
    assert order == (["", result] if method == "apply_async" else [[""], result])


@by(*WITH_CALLBACKS)
def test_a_callback_may_call(pool: AnyPool, method: str) -> None:
    """A callback can begin the next call."""
    done = threading.Event()
    results: list[Any] = []

    def go_on(result: Any) -> None:
        results.append(result)
        if len(results) == 3:
            done.set()
        else:
            begin(method, pool, tasks.square, len(results) + 1, callback=go_on)

    begin(method, pool, tasks.square, 1, callback=go_on)
    assert done.wait(tasks.PATIENCE)
    assert results == ([1, 4, 9] if method == "apply_async" else [[1], [4], [9]])


@by(*WITH_CALLBACKS)
def test_a_callback_sees_the_list_itself(pool: AnyPool, method: str) -> None:
    """What a callback changes in a result is changed for `get`."""

    def change(result: Any) -> None:
        result.append("changed")

    result = begin(method, pool, list, "ab", callback=change).get(tasks.PATIENCE)
    assert result[-1] == "changed"
