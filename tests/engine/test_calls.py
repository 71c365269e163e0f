"""Which tasks share a batch, and when a call is over."""

import pickle
from typing import Any

import pytest

from pypool.columns import Column
from pypool.engine.calls import GROUP_BYTES, GROUP_TASKS, Batch, Call, Calls, Portion
from pypool.errors import PoolError


class Waiter:
    """Takes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def set_item(self, index: int, success: bool, value: Any) -> None:
        self.told.append((index, success, value))

    def set_items(self, first: int, values: list[Any]) -> None:
        self.told.append((first, values))

    def fail(self, error: BaseException, quietly: bool = False) -> None:
        self.told.append(error)


def call(function: bytes = b"f", **words: Any) -> Call:
    return Call(
        words.pop("kind", 0), function, function, "f", words.pop("chunk", 1), Waiter(), **words
    )


def single(of: Call, item: bytes = b"x") -> Portion:
    return Portion(of, 0, [item], final=True)


def told(of: Call) -> list[Any]:
    assert isinstance(of.handle, Waiter)
    return of.handle.told


def test_single_calls_of_one_function_share_a_batch() -> None:
    """Each is told of its own task."""
    calls, batch = Calls(), Batch(1)
    those = [call() for _ in range(5)]
    for each in those:
        assert batch.takes(single(each))
        calls.take(single(each))
        batch.add(single(each))
    calls.written(batch)
    assert [each.number for each in those] == [1, 2, 3, 4, 5]
    for index in (3, 0, 4, 1, 2):
        calls.tell(batch, index, True, index)
    assert [told(each) for each in those] == [[(0, True, index)] for index in range(5)]
    assert not calls
    assert calls.batch(1) is None


@pytest.mark.parametrize("other", [{"function": b"g"}, {"kind": 2}, {"chunk": 2}, {"seed": b"1"}])
def test_what_is_called_differently_does_not(other: dict[str, Any]) -> None:
    """A batch has one function, kind, chunk and seed."""
    batch = Batch(1)
    batch.add(single(call()))
    assert batch.takes(single(call()))
    assert not batch.takes(single(call(**other)))


def test_a_batch_has_its_bounds() -> None:
    """In tasks and in bytes, but for what comes as one portion; chunks stay whole."""
    batch = Batch(1)
    assert batch.takes(Portion(call(), 0, [b""] * (2 * GROUP_TASKS), final=True))
    batch.add(Portion(call(), 0, [b""] * (GROUP_TASKS - 1), final=True))
    assert batch.takes(single(call()))
    batch.add(single(call()))
    assert not batch.takes(single(call()))
    batch = Batch(2)
    batch.add(single(call(), bytes(GROUP_BYTES - 1)))
    assert batch.takes(single(call()))
    assert not batch.takes(single(call(), b"xx"))
    batch = Batch(3)
    batch.add(Portion(call(chunk=2), 0, [b"a", b"b", b"c"], final=True))
    assert not batch.takes(single(call(chunk=2)))


def test_portions_that_follow_each_other_are_one_part() -> None:
    """An item that was refused lies between two; numbers stay together."""
    calls, lazy, other = Calls(), call(), call()
    batch = Batch(1)
    numbers = [Column.of(each) for each in ([], [1, 2], [3], [5])]
    firsts = (0, 0, 2, 4)
    for first, portion in zip(firsts, numbers, strict=True):
        items: Any = [] if portion is None else portion
        batch.add(Portion(lazy, first, items, final=False))
        calls.take(Portion(lazy, first, items, final=False))
    assert [(part.start, part.first) for part in batch.parts] == [(0, 0), (3, 4)]
    assert isinstance(batch.items, Column)
    batch.add(single(other))
    calls.take(single(other))
    assert not isinstance(batch.items, Column)
    assert [pickle.loads(each) for each in batch.items[:4]] == [1, 2, 3, 5]
    assert batch.count == len(batch.items) == 5
    assert [batch.task(index) for index in range(5)] == [
        *((lazy, index) for index in (0, 1, 2, 4)),
        (other, 0),
    ]
    calls.written(batch)
    calls.tell_all(batch, 0, ["a"])
    calls.tell_all(batch, 1, ["b", "c", "e", "x"])
    assert told(lazy) == [(0, ["a"]), (1, ["b", "c"]), (4, ["e"])]
    assert told(other) == [(0, ["x"])]
    assert calls.batch(1) is None
    assert [each for each in (lazy, other) if each.left] == []


def test_the_items_of_a_portion_are_not_touched() -> None:
    """They belong to somebody else."""
    items = [b"a"]
    batch = Batch(1)
    for _ in range(3):
        batch.add(Portion(call(), 0, items, final=False))
    assert items == [b"a"]
    assert batch.items == [b"a"] * 3
    assert batch.count == batch.size == 3


def test_a_lazy_call_is_open_until_its_last_portion() -> None:
    """Though no task of it may be open; its indexes go on from batch to batch."""
    calls, lazy = Calls(), call()
    calls.take(Portion(lazy, 0, [], final=False))
    for number, first in enumerate((0, 2), 1):
        portion = Portion(lazy, first, [b"a", b"b"], final=False)
        batch = Batch(number)
        calls.take(portion)
        batch.add(portion)
        calls.written(batch)
        for index in range(2):
            calls.tell(batch, index, True, None)
    assert [index for index, *_ in told(lazy)] == [0, 1, 2, 3]
    assert calls
    assert lazy.function  # it may be needed again
    calls.take(Portion(lazy, 4, [], final=True))
    assert not calls


def test_all_who_wait_are_told_of_the_end() -> None:
    """Once."""
    calls = Calls()
    those = [call(), call()]
    for each in those:
        calls.take(single(each))
    error = ValueError()
    calls.fail_all(error)
    calls.fail_all(error)
    assert [told(each) for each in those] == [[error], [error]]
    assert not calls


def test_a_call_that_cannot_be_begun_fails_alone() -> None:
    """There is no thread left to take its items: who waits for another call hears nothing of it."""

    def begin() -> None:
        raise RuntimeError("can't start new thread")

    calls, lazy, other = Calls(), call(begin=begin), call()
    calls.take(single(other))
    calls.take(Portion(lazy, 0, [], final=False))
    (error,) = told(lazy)
    assert isinstance(error, PoolError)
    assert str(error) == "f cannot be called: can't start new thread"
    assert told(other) == []
    assert calls
