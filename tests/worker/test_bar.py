"""The bar: each task is begun by its worker or taken back by the agent, never both."""

from __future__ import annotations

import os
import random
import time
from mmap import mmap
from typing import Any

import pytest

from pypool.rundir.messages import Share
from pypool.worker import bar
from pypool.worker.bar import SETTLED_SECONDS
from pypool.worker.page import Page
from pypool.worker.short import ShortTasks

from .test_short import BATCH


def test_a_message_comes_back() -> None:
    """With its number."""
    share = Share(3, 4, 5, 6, 7, attempt=8, seconds=0.5, chunk=9)
    found, number = bar.unpack_message(bar.pack_message(share, 77))
    assert found.pack() == share.pack()
    assert number == 77
    assert bar.unpack_stop(bar.pack_stop(77)) == 77


def test_there_is_one_for_a_message_from_a_task_on() -> None:
    """Until it is lifted, or the page is another worker's."""
    page = Page()
    assert page.bar.message == 0
    page.bar.lower(3, 10)
    assert page.bar.message == 3
    assert [page.bar.bars(3, task) for task in (9, 10, 11)] == [False, True, True]
    assert not page.bar.bars(4, 11)
    page.bar.lift()
    assert not page.bar.bars(3, 11)
    page.bar.lower(3, 10)
    page.clear()
    assert page.bar.message == 0


def test_where_a_worker_is_is_read_again_if_it_just_changed_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How many values there are belongs to the task from which on they are counted."""
    page = Page()
    page.reads(3, 100)
    page.laid_by.begin(1, 40, 1, "q")
    page.laid_by.adding("q")(7)
    page.goes_on()
    state, looks = page._state, []

    def goes_on_meanwhile() -> tuple[int, int, int, int]:
        looks.append(state())
        if len(looks) == 1:
            page.laid_by.begin(1, 41, 1, "q")
        return looks[-1]

    monkeypatch.setattr(page, "_state", goes_on_meanwhile)
    assert page.reached(3) == 41
    assert len(looks) == 3


def test_two_processes_at_the_same_time() -> None:
    """Each task is one's or the other's, for thousands of bars that are set at any moment."""
    messages, tasks = 3000, 400
    page = Page()
    began = mmap(-1, messages * tasks)  # by the worker
    stopped = memoryview(mmap(-1, 4 * (messages + 1))).cast("I")
    child = os.fork()
    if not child:
        try:
            work(page, began, stopped, messages, tasks)
        finally:
            os._exit(1)
    pick = random.Random(0)
    taken: list[tuple[int, int, int]] = []
    deadline = time.monotonic() + 60
    for message in range(1, messages + 1):
        while (reached := page.reached(message)) is None:
            assert time.monotonic() < deadline
        for _ in range(pick.randrange(40)):
            reached = page.reached(message) or 0
        first = reached + 1
        page.bar.lower(message, first)
        time.sleep(SETTLED_SECONDS)
        at = page.reached(message)
        assert at is not None
        end = at + 1 if at >= first else first
        taken.append((message, end, tasks))
        while not stopped[message]:
            assert time.monotonic() < deadline
        page.bar.lift()
        stopped[0] = message  # it may go on
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    some = 0
    for message, end, last in taken:
        row = began[(message - 1) * tasks : message * tasks]
        index = stopped[message] - 1
        assert row == b"\x01" * index + bytes(tasks - index)
        assert index <= end
        some += end < last
    assert some > messages / 10


def work(page: Page, began: mmap, stopped: memoryview[Any], messages: int, tasks: int) -> None:
    """The worker's side: message after message, each up to its bar."""
    loop = ShortTasks(page, None, lambda *_: None, None, slot=0)  # type: ignore[arg-type]
    for message in range(1, messages + 1):
        start = (message - 1) * tasks

        def note(item: int, start: int = start) -> int:
            began[start + item] += 1
            return item

        share = Share(message, 1, 0, 0, tasks, seconds=1e-6)
        page.reads(message, tasks)
        page.begins(message, 0, time.monotonic())
        stopped[message] = 1 + loop.run(BATCH, share, message, range(tasks), note, True)
        while stopped[0] < message:
            pass
    os._exit(0)
