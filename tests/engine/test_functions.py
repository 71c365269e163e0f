"""What is remembered of functions: packed again only if something has changed."""

import functools
import pickle
import sys
import threading
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
import pytest

from pypool.engine import functions
from pypool.engine.functions import Functions
from pypool.packing import OUT_OF_BAND, Packed, digest, flat, loads_flat
from pypool.pickling import CannotPickle, pack


def of(data: Any) -> Callable[[Any], Any]:
    """A function that travels by value, with what it has closed over."""

    def inner(_: Any) -> Any:
        return data

    return inner


def large() -> Any:
    return np.zeros(OUT_OF_BAND // 8)


def contents(packed: bytes | Packed) -> bytes:
    return packed if isinstance(packed, bytes) else b"".join(map(bytes, flat(packed)))


def returned(packed: bytes | Packed) -> Any:
    """What the function returns."""
    return loads_flat(contents(packed))(0)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(of([1, 2]), id="light"),
        pytest.param(of(large()), id="heavy"),
        pytest.param(functools.partial(itemgetter(0), [large()]), id="by name"),
    ],
)
def test_one_that_stays_is_packed_once(
    function: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same object then; and what it would be without all this."""
    known = Functions()
    packed, name = known.pack(function, "f", copies=False)
    assert name == digest(packed) == digest(pack(function))
    monkeypatch.setattr(functions, "packed_once", None)
    for copies in (False, True):
        again, same = known.pack(function, "f", copies)
        assert again is packed
        assert same == name


class Once:
    """A callable that can be pickled no second time."""

    def __init__(self, size: int) -> None:
        self.data: Any = np.zeros(size)

    def __reduce__(self) -> Any:
        data, self.data = self.data, None
        if data is None:
            raise RuntimeError("it has been pickled")
        return functools.partial, (max, data)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("size", [10, 1000, OUT_OF_BAND])
def test_one_that_can_be_imported_is_pickled_once(size: int, copies: bool) -> None:
    """Whatever it carries."""
    packed, name = Functions().pack(Once(size), "f", copies)
    assert len(loads_flat(contents(packed)).args[0]) == size
    assert name == digest(packed)


@pytest.mark.parametrize("copies", [False, True])
def test_what_is_not_kept_is_copied_if_need_be(
    copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller says whether it may be changed at once."""
    monkeypatch.setattr(functions, "LARGE", 1000)
    data = large()
    packed, _ = Functions().pack(functools.partial(max, data), "f", copies)
    data[:] = 1
    assert loads_flat(contents(packed)).args[0].any() is np.bool_(not copies)


@pytest.mark.parametrize("place", [0, 1, 5000, -1])
def test_memory_is_compared(place: int) -> None:
    """Whatever element has changed; and it may change back."""
    data = large()
    function, known = of(data), Functions()
    packed, name = known.pack(function, "f", copies=False)
    data[place] = 1
    changed, new = known.pack(function, "f", copies=False)
    assert new == digest(changed) != name
    assert returned(changed)[place] == 1
    data[place] = 0
    back, old = known.pack(function, "f", copies=False)
    assert old == name
    assert back is packed


def test_what_is_kept_are_copies() -> None:
    """The caller may change the original at once, and it is written as it was."""
    data = large()
    known = Functions()
    packed, name = known.pack(of(data), "f", copies=False)
    data[:] = 7
    assert not returned(packed).any()
    assert digest(packed) == name


def test_the_end_of_memory_counts() -> None:
    """An array that has become shorter, or longer, is another one."""
    known = Functions()
    digests = {known.pack(of(np.zeros(size)), "f", False)[1] for size in (9000, 9001, 18000)}
    assert len(digests) == 3


def test_a_small_one_by_name_is_not_kept() -> None:
    """To look for it would take longer."""
    known = Functions()
    assert known.pack(itemgetter(0), "f", False)[0] == pickle.dumps(itemgetter(0), 5)
    assert known._known == ()


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes; and what is larger than all that is not copied."""
    data = [large() + number for number in range(5)]
    for limit in ("MOST_BYTES", "LARGE"):
        monkeypatch.setattr(functions, limit, 3 * data[0].nbytes)
    known = Functions()
    for number, each in enumerate(data):
        known.pack(of(each), f"f{number}", False)
    assert [returned(each.function)[0] for each in known._known] == [4, 3]
    huge = np.zeros(4 * len(data[0]))
    packed, name = known.pack(of(huge), "f", False)
    assert isinstance(packed, Packed)
    assert np.shares_memory(np.frombuffer(packed.buffers[0]), huge)
    assert name == digest(packed)
    assert len(known._known) == 2


def test_a_large_one_is_kept_when_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that needs it for one call pays for no copy."""
    monkeypatch.setattr(functions, "LARGE", 1000)
    function, known = of(large()), Functions()
    assert [len(known._known) for _ in range(3) if known.pack(function, "f", False)] == [0, 1, 1]
    assert known.pack(function, "f", False)[0] is known._known[0].function


def test_so_many_are_kept() -> None:
    """A program that makes ever new functions holds the latest alone."""
    known = Functions()
    for number in range(3 * functions.MOST):
        known.pack(of(number), f"f{number}", False)
    assert len(known._known) == functions.MOST


def test_one_that_changes_all_the_time_is_not_looked_at_for_long() -> None:
    """To write its state would be in vain; when it stays as it is, that is seen after a while."""
    data = [0]
    function, known = of(data), Functions()
    asked = []
    states = known._states
    state_of = states.of
    states.of = lambda *args: asked.append(data[0]) or state_of(*args)  # type: ignore[method-assign,func-returns-value]
    for number in range(1000):
        data[0] = number
        assert returned(known.pack(function, "f", False)[0]) == [number]
    assert 5 < len(asked) < 200
    known.pack(of(0), "g", False)
    assert asked[-1] == 999  # another one is
    for _ in range(functions.LONGEST_REST + 2):
        assert returned(known.pack(function, "f", False)[0]) == [999]
    asked.clear()
    packed = [known.pack(function, "f", False)[0] for _ in range(10)]
    assert len(asked) == 10
    assert len(set(map(id, packed))) == 1


def test_names_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no reason to hold ever more."""
    monkeypatch.setattr(functions, "MOST_NAMES", 10)
    known = Functions()
    for number in range(100):
        known.pack(of(number), f"f{number}", False)
    assert len(known._resting) <= 10


def test_what_cannot_be_sent_says_so_each_time() -> None:
    """And once it can be sent, it is."""
    data: list[Any] = [threading.Lock()]
    function, known = of(data), Functions()
    for _ in range(5):
        with pytest.raises(CannotPickle):
            known.pack(function, "f", False)
    data[0] = 1
    assert returned(known.pack(function, "f", False)[0]) == [1]


def test_one_that_changes_while_it_is_packed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what it was not would be taken for what it was."""
    data = [0]
    function, known = of(data), Functions()
    packed_once = functions.packed_once

    def change(*args: Any) -> Any:
        data[0] = 1
        return packed_once(*args)

    monkeypatch.setattr(functions, "packed_once", change)
    assert returned(known.pack(function, "f", False)[0]) == [1]
    monkeypatch.setattr(functions, "packed_once", packed_once)
    data[0] = 0
    assert returned(known.pack(function, "f", False)[0]) == [0]


def test_threads_ask_at_the_same_time() -> None:
    """Each gets its own function as it is."""
    known, wrong = Functions(), []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def ask(number: int) -> None:
        data = [number, 0]
        function = of(data)
        for turn in range(300):
            data[1] = turn // 3
            found = returned(known.pack(function, f"f{number}", False)[0])
            wrong.extend([found] if found != data else [])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
