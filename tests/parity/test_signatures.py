"""Signatures: what is the standard library's is pypool's, in the same place, with the same default.

What pypool has beside that is given by keyword.
"""

import inspect
import multiprocessing
import multiprocessing.pool
from collections.abc import Callable
from typing import Any

import pytest

import pypool

from .kinds import PYPOOL

POOLS = {"Pool": pypool.Pool, **{kind: getattr(pypool, kind).Pool for kind in PYPOOL}}
METHODS = [
    name
    for name, value in vars(multiprocessing.pool.Pool).items()
    if inspect.isfunction(value) and not name.startswith("_")
]

Parameter = tuple[str, Any, Any]


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def positional(function: Callable[..., Any]) -> list[Parameter]:
    """Name, kind and default of each parameter that can be given by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [(p.name, p.kind, p.default) for p in parameters(function) if p.kind in kinds]


def assert_takes_the_same(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    """The same parameters by position; all others by keyword, with defaults."""
    assert positional(ours) == positional(theirs)
    others = [
        p
        for p in parameters(ours)
        if p.name not in dict.fromkeys(name for name, _, _ in positional(ours))
    ]
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in others)
    assert all(p.default is not p.empty for p in others if p.kind is p.KEYWORD_ONLY)


def test_there_is_something_to_compare() -> None:
    """The standard library's methods have been found."""
    assert {"apply", "apply_async", "imap", "imap_unordered", "map", "starmap"} <= set(METHODS)
    assert {"close", "join", "terminate"} <= set(METHODS)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", METHODS)
def test_methods(pool: str, name: str) -> None:
    """Each public method of the standard library's pool."""
    assert_takes_the_same(getattr(POOLS[pool], name), getattr(multiprocessing.pool.Pool, name))


@pytest.mark.parametrize("pool", POOLS)
def test_constructor(pool: str) -> None:
    """Both of the class and of the function that users call."""
    assert_takes_the_same(POOLS[pool].__init__, multiprocessing.pool.Pool.__init__)
    by_hand = positional(multiprocessing.Pool)
    assert positional(POOLS[pool])[: len(by_hand)] == by_hand


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", ["__enter__", "__reduce__"])
def test_special_methods(pool: str, name: str) -> None:
    """Those that take nothing."""
    assert_takes_the_same(getattr(POOLS[pool], name), getattr(multiprocessing.pool.Pool, name))


@pytest.mark.parametrize("name", ["get", "wait", "ready", "successful"])
def test_handles(name: str) -> None:
    """What `map_async` and `apply_async` return has the same methods."""
    theirs = getattr(multiprocessing.pool.AsyncResult, name)
    assert_takes_the_same(getattr(pypool.AsyncResult, name), theirs)


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_iterators(name: str) -> None:
    """What `imap` returns has the same `next`."""
    with pypool.local.Pool(1) as pool:
        results = getattr(pool, name)(abs, [])
        theirs = multiprocessing.pool.IMapIterator.next
        expected = positional(theirs)[1:]  # one is bound, the other is not
        assert positional(results.next) == expected
        assert list(results) == []
