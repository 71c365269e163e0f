"""`map_async` and `starmap_async`: as `map` and `starmap`, and a handle at once."""

from typing import Any

import pytest

from . import tasks
from .kinds import AnyPool
from .methods import by
from .test_map import CHUNKSIZES

ROWS: dict[str, list[Any]] = {"map_async": [1, 2, 3], "starmap_async": [(1,), (2,), (3,)]}

both = by("map_async", "starmap_async")


@both
def test_positions(pool: AnyPool, method: str) -> None:
    """Function, items, chunksize, callback, error callback, in this order."""
    results: list[object] = []
    errors: list[BaseException] = []
    call = getattr(pool, method)
    handle = call(tasks.square, ROWS[method], 2, results.append, errors.append)
    assert handle.get(tasks.PATIENCE) == [1, 4, 9]
    assert results == [[1, 4, 9]]
    assert errors == []


@both
def test_keywords(pool: AnyPool, method: str) -> None:
    """All five have their names."""
    results: list[object] = []
    handle = getattr(pool, method)(
        error_callback=None,
        callback=results.append,
        chunksize=1,
        iterable=ROWS[method],
        func=tasks.square,
    )
    assert handle.get(tasks.PATIENCE) == [1, 4, 9]
    assert results == [[1, 4, 9]]


@both
@pytest.mark.parametrize("chunksize", CHUNKSIZES, ids=repr)
@pytest.mark.parametrize("count", [0, 1, 10])
def test_any_chunksize(pool: AnyPool, method: str, chunksize: int | None, count: int) -> None:
    """The list is the same with each chunksize."""
    rows = [(number,) if method == "starmap_async" else number for number in range(count)]
    handle = getattr(pool, method)(tasks.square, rows, chunksize)
    assert handle.get(tasks.PATIENCE) == [number**2 for number in range(count)]


@both
def test_no_items(pool: AnyPool, method: str) -> None:
    """Nothing to do is done at once, and well."""
    handle = getattr(pool, method)(tasks.square, [])
    assert handle.ready()
    assert handle.successful()
    assert handle.get(0) == []


@both
def test_it_does_not_wait(pool: AnyPool, method: str, shared_dir: Any) -> None:
    """The handle is there before the calls have returned; then it has all results."""
    path = str(shared_dir / "file")
    rows: list[Any] = [path, ""] if method == "map_async" else [(path,), ("",)]
    handle = getattr(pool, method)(tasks.wait_for_some, rows, 1)
    assert not handle.ready()
    (shared_dir / "file").touch()
    assert handle.get(tasks.PATIENCE) == [path, ""]


@by("starmap_async")
def test_rows_are_unpacked(pool: AnyPool, method: str) -> None:
    """`starmap_async` calls with the elements of each row."""
    rows = [(1, 2), [3, 4], "ab"]
    assert getattr(pool, method)(tasks.add, rows).get(tasks.PATIENCE) == [3, 7, "ab"]


@by("starmap_async")
def test_a_row_that_is_none(pool: AnyPool, method: str) -> None:
    """A number is no row of arguments; told by `get` at the latest."""
    with pytest.raises(TypeError, match="iterable"):
        getattr(pool, method)(tasks.add, [(1, 2), 3]).get(tasks.PATIENCE)
