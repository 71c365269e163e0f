"""What can be called can be mapped; what it is called with and returns arrives whole."""

import functools
import math
import operator
import threading
from collections.abc import Callable
from fractions import Fraction
from multiprocessing.pool import MaybeEncodingError
from typing import Any

import numpy as np
import pytest

from . import tasks
from .kinds import PYPOOL, AnyPool, by_value, on, on_processes, parameter
from .methods import assert_same, by, results_of

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "function": (tasks.square, [1, 2, 3]),
    "decorated function": (tasks.decorated, [1, 2, 3]),
    "partial": (functools.partial(tasks.add, 10), [1, 2, 3]),
    "partial with a keyword": (functools.partial(int, base=2), ["1", "10", "11"]),
    "bound method": (tasks.Line(3).at, [1, 2, 3]),
    "method of a class": (tasks.Line.name_at, [1, 2, 3]),
    "static method": (tasks.Line.nothing_at, [1, 2, 3]),
    "instance that can be called": (tasks.Line(3), [1, 2, 3]),
    "class": (Fraction, ["1/2", "1/3"]),
    "named tuple": (tasks.Point, [1, 2]),
    "builtin": (abs, [-1, -2]),
    "function in C": (math.sqrt, [1.0, 4.0]),
    "builtin type": (str, [1, None]),
    "method of a builtin type": (str.upper, ["a", "b"]),
    "bound method of a value": ("-".join, ["ab", "cde"]),
    "operator": (operator.itemgetter(1), ["ab", (1, 2)]),
    "ufunc": (np.sqrt, [1.0, 4.0]),
    "function of numpy": (np.sum, [[1, 2], [3, 4]]),
}


@by()
@pytest.mark.parametrize("name", FUNCTIONS)
def test_callables_of_all_kinds(pool: AnyPool, method: str, name: str) -> None:
    """The results are those of the call without a pool."""
    function, items = FUNCTIONS[name]
    expected = [function(item) for item in items]
    assert_same(method, results_of(method, pool, function, items), expected)


# ---- functions without a name


@by()
@by_value
def test_lambdas_and_inner_functions(pool: AnyPool, method: str) -> None:
    """What multiprocessing cannot pickle, threads can call, and so can pypool."""
    factor = 3

    def inner(number: int) -> int:
        return factor * number

    assert_same(method, results_of(method, pool, inner, [1, 2]), [3, 6])
    assert_same(method, results_of(method, pool, lambda number: number + factor, [1, 2]), [4, 5])


@by()
@on("multiprocessing")
def test_multiprocessing_cannot_pickle_lambdas(pool: AnyPool, method: str) -> None:
    """The reason for leaving it out above; when this fails, it can come in."""
    with pytest.raises(Exception, match="pickle"):
        results_of(method, pool, lambda number: number, [1])


# ---- what cannot be pickled


@by()
@on_processes
def test_an_item_that_cannot_be_pickled(pool: AnyPool, method: str) -> None:
    """The error of pickle itself, told by `get` at the latest; the pool goes on."""
    with pytest.raises(TypeError, match="cannot pickle"):
        results_of(method, pool, tasks.same, [threading.Lock()])
    assert_same(method, results_of(method, pool, tasks.same, [1, 2]), [1, 2])


@by()
@on_processes
def test_a_result_that_cannot_be_pickled(pool: AnyPool, method: str) -> None:
    """An error that says what was to be sent, and why it was not; the pool goes on."""
    with pytest.raises(MaybeEncodingError, match=r"Error sending result: '.*generator") as caught:
        results_of(method, pool, tasks.a_generator, [0])
    assert "cannot pickle 'generator' object" in caught.value.exc
    assert "generator object" in caught.value.value
    assert_same(method, results_of(method, pool, tasks.same, [1, 2]), [1, 2])


@by()
@on("threads")
def test_threads_hand_over_the_thing_itself(pool: AnyPool, method: str) -> None:
    """The reason for leaving them out above: nothing is pickled."""
    lock = threading.Lock()
    assert results_of(method, pool, tasks.same, [lock]) == [lock]


# ---- values

VALUES: dict[str, Any] = {
    "None": None,
    "numbers": [0, -1, 2**100, 0.1, 1e308, 1 + 2j, True],
    "strings": ["", "a\0b", "漢\U0001f600", b"\0\xff", "pypool"],
    "nested": {"list": [1, [2, [3, {"a": (4, {5}, frozenset({6}))}]]], ("t", 1): None},
    "own class": tasks.Box([tasks.Box(1), tasks.Point(1, 2)]),
    "exception": [ValueError],
    "types": [int, tasks.Box, type(None)],
    "functions": [tasks.square, len, tasks.Line.name_at],
    "many small": list(range(10_000)),
}


@by()
@pytest.mark.parametrize("name", VALUES)
def test_items_and_results_arrive(pool: AnyPool, method: str, name: str) -> None:
    """There and back again, nothing is changed."""
    value = VALUES[name]
    found = results_of(method, pool, tasks.same, [value, value])
    assert found == [value, value]
    assert [type(one) for one in found] == [type(value)] * 2


@by()
def test_exceptions_as_results(pool: AnyPool, method: str) -> None:
    """An exception that is returned is a value: nobody raises it."""
    (found,) = results_of(method, pool, tasks.same, [ValueError("a", 1)])
    assert type(found) is ValueError
    assert found.args == ("a", 1)


@by()
def test_arrays(pool: AnyPool, method: str) -> None:
    """Arrays keep type, shape and content; those of objects too."""
    arrays = [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.array([], dtype=complex),
        np.array(1.5),
        np.array([None, "a"], dtype=object),
        np.zeros((3, 4), order="F")[1:, ::2],
    ]
    for array in arrays:
        (found,) = results_of(method, pool, tasks.same, [array])
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tolist() == array.tolist()


@by()
def test_a_result_can_be_written_to(pool: AnyPool, method: str) -> None:
    """An array that came back is the caller's own."""
    (found,) = results_of(method, pool, tasks.same, [np.zeros(200_000)])
    found += 1
    assert found.sum() == 200_000


@by()
def test_large_results(pool: AnyPool, method: str) -> None:
    """Two results of three megabytes, and small ones among them."""
    sizes = [3_000_000, 1, 3_000_001, 0]
    assert_same(method, [len(one) for one in results_of(method, pool, tasks.zeros, sizes)], sizes)


@by()
def test_large_items(pool: AnyPool, method: str) -> None:
    """Items of three megabytes arrive whole."""
    items = [bytes([number]) * 3_000_000 for number in range(3)]
    found = results_of(method, pool, tasks.same, items)
    assert_same(method, [one[:1] + one[-1:] for one in found], [b"\0\0", b"\1\1", b"\2\2"])
    assert {len(one) for one in found} == {3_000_000}


# ---- where it runs


@by()
@pytest.mark.parametrize(
    ("kind", "here"),
    [
        parameter("multiprocessing", False),
        parameter("threads", True),
        *[parameter(kind, False) for kind in PYPOOL],
    ],
    indirect=["kind"],
)
def test_workers_are_other_processes(pool: AnyPool, method: str, here: bool) -> None:
    """Threads work in this process, all others do not."""
    expected = {True} if here else {False}
    own = tasks.pid()
    assert {found == own for found in results_of(method, pool, tasks.pid, range(6))} == expected
