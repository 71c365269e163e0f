"""The eight methods that call a function on items, behind one signature: items in, results out."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from .kinds import PATIENCE, AnyPool

Results = list[Any]


def _apply(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return [pool.apply(function, (item,)) for item in items]


def _apply_async(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    handles = [pool.apply_async(function, (item,)) for item in items]
    return [handle.get(PATIENCE) for handle in handles]


def _map(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return pool.map(function, items)


def _map_async(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return pool.map_async(function, items).get(PATIENCE)


def _starmap(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return pool.starmap(function, ((item,) for item in items))


def _starmap_async(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return pool.starmap_async(function, ((item,) for item in items)).get(PATIENCE)


def _imap(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return list(pool.imap(function, items))


def _imap_unordered(pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]) -> Results:
    return list(pool.imap_unordered(function, items))


CALLS: dict[str, Callable[[AnyPool, Callable[..., Any], Iterable[Any]], Results]] = {
    "apply": _apply,
    "apply_async": _apply_async,
    "map": _map,
    "map_async": _map_async,
    "starmap": _starmap,
    "starmap_async": _starmap_async,
    "imap": _imap,
    "imap_unordered": _imap_unordered,
}


def by(*methods: str) -> pytest.MarkDecorator:
    """The test is made with each of these methods; all eight, if none is named."""
    return pytest.mark.parametrize("method", methods or list(CALLS))


def results_of(
    method: str, pool: AnyPool, function: Callable[..., Any], items: Iterable[Any]
) -> Results:
    """One result per item; in any order from `imap_unordered`."""
    return CALLS[method](pool, function, items)


def assert_same(method: str, found: Results, expected: Results) -> None:
    """The same results; in the same order, if the method has one."""
    if method == "imap_unordered":
        found, expected = sorted(found, key=repr), sorted(expected, key=repr)
    assert found == expected
