"""The loop of short tasks: what is laid by is sent, whatever comes behind it."""

import gc
import os
import pickle
import time
import weakref
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pypool import task
from pypool.pickling import loads_error
from pypool.rundir import values
from pypool.rundir.batch import APPLY, MAP, STARMAP, BatchDamaged, BatchReader
from pypool.rundir.messages import ERROR, VALUE, Share
from pypool.task import current_task
from pypool.worker.laid_by import DATA_BYTES, most_in_column
from pypool.worker.page import Page
from pypool.worker.short import TOGETHER_SECONDS, ShortTasks

from . import jobs

MESSAGE = 7
BATCH = cast("BatchReader", SimpleNamespace(call=MAP, index_in_call=int, seed=b""))


class Told:
    """What the loop had to say."""

    def __init__(self) -> None:
        self.page = Page()
        self.sent: list[tuple[int, int]] = []
        self.alone: list[tuple[int, int]] = []
        self.values: dict[int, Any] = {}
        self.errors: list[Any] = []
        self.loop = ShortTasks(self.page, self.call, self.send, self.answer, slot=0)

    def call(self, *_: Any) -> tuple[int, bytes]:
        raise BatchDamaged("it is not what was written")

    def send(self, start: float, seconds: float) -> None:
        _, first, count = self.page.laid_by.place
        if count:
            self.sent.append((first, count))
            loaded = values.loads(self.page.laid_by.body(count), count)
            self.values |= dict(enumerate(loaded, first))

    def answer(self, index: int, attempt: int, outcome: int, body: Any, *_: Any) -> None:
        self.alone.append((index, outcome))
        if outcome == ERROR:
            self.errors.append(loads_error(body))

    def run(
        self,
        function: Any,
        items: list[Any],
        seconds: float = 1e-6,
        watched: bool = False,
    ) -> int:
        """Tasks 10, 11, ..., which are expected to take so long each; gives where it stopped."""
        has_printed = (lambda: False) if watched else None
        share = Share(1, 1, 0, 10, 10 + len(items), seconds=seconds)
        are_values = bool(items) and not isinstance(items[0], bytes)
        self.page.reads(MESSAGE, share.last)
        return self.loop.run(BATCH, share, MESSAGE, items, function, are_values, has_printed)


def pickled(*items: Any) -> list[bytes]:
    return [pickle.dumps(item) for item in items]


@pytest.mark.parametrize("seconds", [1e-6, 1e-3])
@pytest.mark.parametrize("items", [[1, 2, 3], pickled(1, 2, 3)])
@pytest.mark.parametrize("value", [None, 1, 2.0, "text"])
def test_values_are_sent_at_the_end(items: list[Any], value: Any, seconds: float) -> None:
    """All tasks were at work, in their order, and each knew which one it was."""
    told = Told()
    begun = []

    def note(_: int) -> Any:
        own = current_task()
        begun.append((told.page.at_work, own and own.index))
        return value

    told.page.begins(1, 10, time.monotonic())
    told.run(note, items, seconds=seconds)
    assert sum(count for _, count in told.sent) == 3
    assert [(seen and seen[:2], own) for seen, own in begun] == [
        ((1, index), index) for index in (10, 11, 12)
    ]
    assert told.alone == []


def test_while_values_are_sent_what_is_not_told_of_is_at_work() -> None:
    """If the worker dies then, that task is not run again as if it had not been begun."""
    told = Told()
    run: list[int] = []
    at_work: list[tuple[int | None, int | None]] = []

    def function(item: int) -> int:
        run.append(9 + item)
        return 1 // (item % 10)

    def send(start: float, seconds: float) -> None:
        Told.send(told, start, seconds)
        _, first, count = told.page.laid_by.place
        behind = run[-1] if run and run[-1] >= first + count else None
        seen = told.page.at_work
        at_work.append((seen and seen[1], behind))

    told.loop._send = send
    told.run(function, [*range(1, 50)])
    assert len(at_work) > 4
    assert [seen for seen, _ in at_work] == [behind for _, behind in at_work]
    assert at_work[-1] == (None, None)


@pytest.mark.parametrize("seconds", [1e-6, 1e-3])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("value", [None, 1, "text"])
def test_what_is_behind_a_bar_is_not_begun(value: Any, watched: bool, seconds: float) -> None:
    """Whenever it is set: what was done before it is told, and no task is at work then."""
    told = Told()
    begun = []

    def function(item: int) -> Any:
        begun.append(item)
        if item == 3:
            told.page.bar.lower(MESSAGE, 15)
        return value

    assert told.run(function, [*range(10)], seconds, watched) == 15
    assert begun == [*range(5)]
    assert told.values == dict.fromkeys(range(10, 15), value)
    assert told.page.at_work is None
    assert told.page.reached(MESSAGE) == 15


def test_a_bar_is_for_one_message() -> None:
    told = Told()
    told.page.bar.lower(MESSAGE - 1, 0)
    assert told.run(str, [*range(10)]) == 20
    assert told.page.reached(MESSAGE) == 20
    assert told.page.reached(MESSAGE - 1) is None


def test_where_a_worker_is_can_be_seen_at_any_time() -> None:
    """Not before the task that it is at, nor behind it."""
    told = Told()
    seen = []

    def send(start: float, seconds: float) -> None:
        Told.send(told, start, seconds)
        seen.append(told.page.reached(MESSAGE))

    def function(item: int) -> int:
        seen.append(told.page.reached(MESSAGE))
        return 1 // (item % 5)

    told.loop._send = send
    assert told.run(function, [*range(1, 20)]) == 29
    assert None not in seen
    assert seen == sorted(seen)  # type: ignore[type-var]
    assert {*seen} == {*range(10, 30)}


def test_what_is_sent_alone_is_at_work_until_then() -> None:
    told = Told()
    at_work = []

    def answer(*_: Any) -> None:
        at_work.append(told.page.at_work)

    told.loop._answer = answer
    told.run(jobs.odd, [1, 100_000, 2, 3, 100_000])
    assert [seen and seen[:2] for seen in at_work] == [(1, 11), (1, 14)]


def test_what_it_takes_to_send_is_no_part_of_the_next_task() -> None:
    """Of a large value, to a slow disk."""
    told = Told()
    seconds: list[float] = []

    def answer(*words: Any) -> None:
        seconds.append(words[-1])
        time.sleep(0.5)

    told.loop._answer = answer
    told.run(jobs.odd, [100_000] * 3)
    assert max(seconds) < 0.5


def test_what_took_long_does_not_wait_for_others() -> None:
    """Not even the first value, with which others might go."""
    told = Told()
    told.run(time.sleep, [2 * TOGETHER_SECONDS, 2 * TOGETHER_SECONDS, 0.0], seconds=0.001)
    assert told.sent[:2] == [(10, 1), (11, 1)]


def test_what_stands_alone_comes_behind_what_was_laid_by() -> None:
    told = Told()
    told.run(jobs.odd, pickled(1, "x", 2, 100_000, 3))
    assert [first for first, _ in told.sent] == [10, 12, 14]
    assert told.alone == [(11, ERROR), (13, VALUE)]


ANY_KIND: dict[str, list[Any]] = {
    "floats": [0.5, -1.5],
    "integers": [1, 2, 3],
    "large integers": [1, 2**63, 2, -(2**70), 3],
    "bools": [True, False],
    "nothing": [None, None],
    "texts": ["a", "b"],
    "numpy's floats": list(np.arange(3.0)),
    "numpy's integers": list(np.arange(3)),
    "numpy's bools": [np.bool_(True), np.bool_(False)],
    "tuples": [(1, 2.0), (3, 4.0)],
    "other tuples": [(1, 2.0), (3, 2**63), (1, 2), (), ("text",), (1, 2.0)],
    "mixed": [1, 2.0, True, None, "a", 1, 2],
    "numbers, then others": [1, 2, 3, "a", "b", 4, 5],
    "others, then numbers": ["a", 1, 2, 3],
}


@pytest.mark.parametrize("name", ANY_KIND)
@pytest.mark.parametrize("are_values", [True, False])
def test_values_of_any_kind(name: str, are_values: bool) -> None:
    """Each is what the task has returned, and none goes alone."""
    told, expected = Told(), ANY_KIND[name]
    items = range(len(expected))
    told.run(expected.__getitem__, [*items] if are_values else pickled(*items))
    found = [told.values[index] for index in sorted(told.values)]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))
    assert told.alone == []


@pytest.mark.parametrize("later", [[1, 2, 3], [0.5] * 3, ["a", "b", "c"], [None] * 3, [1, "a", 2]])
def test_what_tasks_have_returned_before_is_a_guess(later: list[Any]) -> None:
    """Whatever it was, the next message's values go together."""
    told = Told()
    told.run(abs, [1, 2, 3])
    told.sent.clear()
    told.run(later.__getitem__, [0, 1, 2])
    assert [told.values[index] for index in (10, 11, 12)] == later
    assert len(told.sent) == 1 + (len(set(map(type, later))) - 1)
    assert told.alone == []


def test_an_exception_says_nothing_of_what_others_return() -> None:
    told = Told()
    told.run(abs, [1, 2, 3])
    told.sent.clear()
    told.run(lambda item: 1 // item, [0, 0, 1, 1, 0, 1])
    assert told.alone == [(10, ERROR), (11, ERROR), (14, ERROR)]
    assert told.sent == [(12, 2), (15, 1)]


SMALL_ARRAYS = {
    "of one shape": [np.arange(3.0) + each for each in range(50)],
    "of other shapes": [np.arange(float(1 + each % 3)) for each in range(50)],
    "with others among them": [np.arange(3.0), 1, np.arange(3.0), "text", np.arange(3.0)],
    "too large": [np.arange(1000.0)] * 3,
}


@pytest.mark.parametrize("name", SMALL_ARRAYS)
@pytest.mark.parametrize("printing", [False, True])
def test_arrays(name: str, printing: bool) -> None:
    """Those of one shape go as they lie in memory; what the task does with its own is its own."""
    told, expected = Told(), SMALL_ARRAYS[name]
    told.run(expected.__getitem__, [*range(len(expected))], watched=printing)
    found = [told.values[index] for index in sorted(told.values)]
    assert list(map(type, found)) == list(map(type, expected))
    assert all(map(np.array_equal, found, expected))
    assert told.alone == []
    assert name != "of one shape" or len(told.sent) == 1


def test_values_of_two_kinds_do_not_go_each_by_itself() -> None:
    """After the first of another kind they go together again."""
    told = Told()
    told.run(lambda item: item if item % 2 else float(item), [*range(20)])
    assert told.values == {10 + item: item for item in range(20)}
    assert told.sent[0] == (10, 1)
    assert len(told.sent) < 10


class Sealed:
    """Can be pickled once."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.pickled = 0

    def __reduce__(self) -> tuple[Any, ...]:
        self.pickled += 1
        return bytes, (self.content,)


@pytest.mark.parametrize("size", [10, 5000, DATA_BYTES + 1])
def test_values_are_pickled_once(size: int) -> None:
    """Whether there is room for them or not."""
    told = Told()
    values = [Sealed(bytes(size)) for _ in range(20)]
    told.run(values.__getitem__, [*range(20)])
    assert {each.pickled for each in values} == {1}
    assert len(told.values) + len(told.alone) == 20


def test_what_was_answered_alone_is_not_kept() -> None:
    """A large value is the caller's business from then on."""
    told = Told()
    large = np.zeros(1 << 20)
    kept = weakref.ref(large)
    values = [large]
    told.run(lambda _: values.pop(), [0])
    del large
    gc.collect()
    assert told.alone == [(10, VALUE)]
    assert kept() is None


def test_a_child_that_returns_lays_nothing_by() -> None:
    """It shares the memory: it ends before it touches that."""
    told = Told()
    goes_on, go_on = os.pipe()
    started = []

    def fork_and_return(item: int) -> int:
        if item == 5:
            child = os.fork()
            if not child:
                os.read(goes_on, 1)
                return -1
            started.append(child)
        return item

    def send(start: float, seconds: float) -> None:
        if started:
            os.write(go_on, b".")
            os.waitpid(started.pop(), 0)  # whatever it does has been done
        Told.send(told, start, seconds)

    told.loop._send = send
    told.run(fork_and_return, [*range(10)])
    os.close(goes_on)
    os.close(go_on)
    assert told.values == {10 + item: item for item in range(10)}


def test_a_number_is_not_loaded() -> None:
    """Whatever a task says of what it does: it has been called, and it has raised."""
    told = Told()

    def lie(_: int) -> None:
        task.LOADING[0] = True
        raise LookupError("its own")

    try:
        told.run(lie, [1])
    finally:
        task.LOADING[0] = False
    assert [type(error) for error, _, _ in told.errors] == [LookupError]


def test_a_full_column_is_sent() -> None:
    told = Told()
    count = 2 * most_in_column("q") + 1
    told.run(abs, [*range(count)])
    assert told.values == {10 + item: item for item in range(count)}


@pytest.mark.parametrize("are_values", [True, False])
def test_a_traceback_begins_in_the_function(are_values: bool) -> None:
    """Nothing of the loop stands in it."""
    told = Told()
    told.run(jobs.fail, [7] if are_values else pickled(7))
    ((error, traceback, _),) = told.errors
    assert isinstance(error, LookupError)
    assert "in fail" in traceback
    assert "short.py" not in traceback


def test_items_are_called_with_as_the_batch_says() -> None:
    told = Told()
    for call, items in (
        (STARMAP, pickled((2, 10), (3, 10))),
        (APPLY, pickled(((2,), {"exp": 10}), ((3, 10), {}))),
    ):
        batch = cast("BatchReader", SimpleNamespace(call=call, index_in_call=int, seed=b""))
        told.loop.run(batch, Share(1, 1, 0, 0, 2), iter([(0, 2)]), items, pow, False)
        assert told.values == {0: 1024, 1: 59049}
        told.values.clear()


def test_what_was_done_before_a_damaged_item_is_sent() -> None:
    """The item, and those behind it, are for another try."""
    told = Told()
    with pytest.raises(BatchDamaged):
        told.run(jobs.double, [*pickled(1, 2), b"\0damaged", *pickled(3)])
    assert sum(count for _, count in told.sent) == 2
    assert told.page.at_work is None


def test_a_child_that_a_task_forks_goes_on_being_that_task() -> None:
    """Whatever task its parent is at by then."""
    goes_on, go_on = os.pipe()
    told_by, tell = os.pipe()
    children = []

    def fork_once(item: int) -> None:
        if item == 1:
            child = os.fork()
            if not child:
                os.read(goes_on, 1)
                task = current_task()
                os.write(tell, bytes([255 if task is None else task.index]))
                os._exit(0)
            children.append(child)

    Told().run(fork_once, pickled(0, 1, 2, 3))
    os.write(go_on, b".")
    os.waitpid(children[0], 0)
    assert os.read(told_by, 1) == bytes([11])
    for fd in (goes_on, go_on, told_by, tell):
        os.close(fd)
