"""Digests that are the same at the next start, and differ when data differs."""

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pypool.stable import digest_of, function_digest

SCRIPT = Path(__file__).parent / "stable_script.py"


@functools.cache
def digests(seed: str) -> dict[str, str | None]:
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("seed", ["1", "2", "random"])
def test_equal_at_the_next_start(seed: str) -> None:
    """Two starts with other hashes give the same digests for all kinds of objects."""
    first, second = digests("0"), digests(seed)
    assert {name for name in first if first[name] != second[name]} == set()
    assert {name for name, digest in first.items() if digest is None} == set()


def test_different_data_differs() -> None:
    """No two of these objects have the same digest."""
    names: dict[str | None, list[str]] = {}
    for name, digest in digests("0").items():
        names.setdefault(digest, []).append(name)
    assert [same for same in names.values() if len(same) > 1] == []


def text(*parts: str) -> str:
    """A text that is an object of its own."""
    return "".join(parts)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param(lambda a, b: [a, a], lambda a, b: [a, b], id="list"),
        pytest.param(lambda a, b: {a: a}, lambda a, b: {a: b}, id="dict"),
        pytest.param(lambda a, b: (a, {a}), lambda a, b: (a, {b}), id="set"),
        pytest.param(lambda a, b: {(a, a)}, lambda a, b: {(a, b)}, id="tuples in a set"),
        pytest.param(
            lambda a, b: functools.partial(len, a, x=a),
            lambda a, b: functools.partial(len, a, x=b),
            id="partial",
        ),
    ],
)
@pytest.mark.parametrize("made", [lambda: text("so", "me"), lambda: bytes([1, 2, 3])])
def test_identity_does_not_count(
    one: Callable[..., Any], two: Callable[..., Any], made: Callable[[], Any]
) -> None:
    """Whether equal values are one object or two makes no difference."""
    a, b = made(), made()
    assert a is not b
    assert digest_of(one(a, b)) == digest_of(two(a, b))


def test_identity_of_arrays_and_containers() -> None:
    """The same array twice, and two equal ones; so with lists."""
    a, b = np.arange(5.0), np.arange(5.0)
    assert digest_of([a, a]) == digest_of([a, b])
    assert digest_of([[1], [1]]) == digest_of([[1]] * 2)


def test_identity_of_texts_in_a_loop() -> None:
    """So it is in what refers to itself."""
    a, b = text("so", "me"), text("so", "me")
    one: list[Any] = [a, a]
    two: list[Any] = [a, b]
    one.append(one)
    two.append(two)
    assert digest_of(one) == digest_of(two) is not None
    two[1] = "other"
    assert digest_of(one) != digest_of(two)


def test_layout_of_arrays_does_not_count() -> None:
    """An array and a view with the same elements are equal."""
    array = np.arange(24.0).reshape(4, 6)
    for same in (array.T.copy().T, np.repeat(array, 2, axis=1)[:, ::2], array[::-1][::-1]):
        assert digest_of(array) == digest_of(same)


@pytest.mark.parametrize("container", [list, tuple, lambda made: {"key": list(made)}])
def test_what_cannot_be_pickled(container: Callable[..., Any]) -> None:
    """There is no digest of what has no data."""
    for value in (threading.Lock(), iter(open(os.devnull)), (x for x in "a"), sys.stdout):  # noqa: SIM115, PTH123
        assert digest_of(container([value])) is None


def test_function_with_what_cannot_be_pickled() -> None:
    """So it is with a function that carries such a thing, and with what is in a set."""
    lock = threading.Lock()
    assert function_digest(lambda: lock) is None
    assert function_digest(functools.partial(print, lock)) is None
    assert digest_of({lambda: lock, 1, "a"}) is None


class Broken:
    def __reduce__(self) -> str:
        raise KeyError("fast mode")


def test_what_raises_while_it_is_pickled() -> None:
    assert digest_of([Broken()]) is None


def test_doubling_references() -> None:
    """What is small, but endless when every reference is written out, takes no longer for it."""
    value: list[Any] = ["a"]
    for _ in range(60):
        value = [value, value]
    assert digest_of(value) is not None


def test_loads_little() -> None:
    """Neither numpy nor cloudpickle is loaded for it."""
    code = "import pypool.stable as s, sys; s.digest_of({1.5, 'a'}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "cloudpickle"} & set(done.stdout.split())
