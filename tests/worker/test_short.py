"""The loop of short tasks: what is laid by is sent, whatever comes behind it."""

import os
import pickle
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pypool.rundir.batch import MAP, BatchDamaged, BatchReader
from pypool.rundir.messages import ERROR, VALUE, Share
from pypool.task import current_task
from pypool.worker.page import Page
from pypool.worker.short import ShortTasks

from . import jobs

BATCH = cast("BatchReader", SimpleNamespace(call=MAP, index_in_call=int, seed=b""))


class Told:
    """What the loop had to say."""

    def __init__(self) -> None:
        self.page = Page()
        self.sent: list[tuple[int, int]] = []
        self.alone: list[tuple[int, int]] = []
        self.loop = ShortTasks(self.page, self.call, self.send, self.answer, slot=0)

    def call(self, *_: Any) -> tuple[int, bytes]:
        raise BatchDamaged("it is not what was written")

    def send(self, start: float, seconds: float) -> None:
        _, first, count = self.page.laid_by.place
        if count:
            self.sent.append((first, count))

    def answer(self, index: int, attempt: int, outcome: int, *_: Any) -> None:
        self.alone.append((index, outcome))

    def run(self, function: Any, items: list[bytes]) -> None:
        self.loop.run(BATCH, Share(1, 1, 0, 10, 10 + len(items)), items, function)


def pickled(*items: Any) -> list[bytes]:
    return [pickle.dumps(item) for item in items]


def test_values_are_sent_at_the_end() -> None:
    """All tasks were at work, in their order."""
    told = Told()
    begun = []

    def note(_: int) -> None:
        begun.append(told.page.index[0])

    told.run(note, pickled(1, 2, 3))
    assert sum(count for _, count in told.sent) == 3
    assert begun == [10, 11, 12]
    assert told.alone == []


def test_what_stands_alone_comes_behind_what_was_laid_by() -> None:
    told = Told()
    told.run(jobs.odd, pickled(1, "x", 2, 100_000, 3))
    assert [first for first, _ in told.sent] == [10, 12, 14]
    assert told.alone == [(11, ERROR), (13, VALUE)]


def test_what_was_done_before_a_damaged_item_is_sent() -> None:
    """The item, and those behind it, are for another try."""
    told = Told()
    with pytest.raises(BatchDamaged):
        told.run(jobs.double, [*pickled(1, 2), b"\0damaged", *pickled(3)])
    assert sum(count for _, count in told.sent) == 2
    assert told.page.index[0] == 12


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
