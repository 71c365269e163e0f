"""Permits: each task is begun by its worker or taken back by the agent, never both."""

import itertools
import os
import random
import threading
from collections.abc import Iterator

import pytest

from pypool.rundir.messages import Share
from pypool.worker import permits
from pypool.worker.permits import Permits


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Of a pipe: where they are read, where they are written."""
    ends = permits.open_pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_a_message_comes_back() -> None:
    """With its number."""
    share = Share(3, 4, 5, 6, 7, attempt=8, seconds=0.5, chunk=9)
    found, number = permits.unpack_message(permits.pack_message(share, 77))
    assert found.pack() == share.pack()
    assert number == 77


@pytest.mark.parametrize(("step", "blocks"), [(1, 7), (3, 3), (7, 1), (50, 1)])
def test_some_tasks_share_one(ends: tuple[int, int], step: int, blocks: int) -> None:
    """All of them are allowed, in order."""
    permits.give(ends[1], 1, 10, 17, step)
    found = list(Permits(ends[0]).of(1))
    assert [index for block in found for index in range(*block)] == [*range(10, 17)]
    assert len(found) == blocks


@pytest.mark.parametrize(
    ("tasks", "seconds", "together"),
    [(2500, 2e-6, 50), (1000, 2e-6, 31), (63, 2e-6, 1), (2, 2e-6, 1), (5, 1e-3, 1)],
)
def test_very_short_tasks_share_one(tasks: int, seconds: float, together: int) -> None:
    """But no large part of a message: the last tasks may be long, and nobody else could do them."""
    assert permits.tasks_of_one(tasks, seconds) == together


def test_there_is_room_for_all_of_a_message_or_for_none(ends: tuple[int, int]) -> None:
    """However many permits it has."""
    given: list[int] = []

    def give_without_end() -> None:
        for number in itertools.count():
            permits.give(ends[1], number, 0, permits.MOST, 1)
            given.append(number)

    with pytest.raises(BlockingIOError):
        give_without_end()
    assert given
    assert permits.take(ends[0]) == {number: [(0, permits.MOST)] for number in given}


def test_what_is_taken_is_not_begun(ends: tuple[int, int]) -> None:
    """Of several messages; adjacent tasks are taken together."""
    worker = Permits(ends[0])
    permits.give(ends[1], 1, 0, 5, 1)
    permits.give(ends[1], 2, 100, 103, 1)
    first = worker.of(1)
    assert next(first) == (0, 1)
    assert permits.take(ends[0]) == {1: [(1, 5)], 2: [(100, 103)]}
    assert list(first) == []
    assert list(worker.of(2)) == []
    permits.give(ends[1], 3, 1, 3, 1)
    assert list(worker.of(3)) == [(1, 2), (2, 3)]


def test_those_of_the_next_message_wait(ends: tuple[int, int]) -> None:
    """And those of one that never came are void."""
    worker = Permits(ends[0])
    for message in (1, 2, 3):
        permits.give(ends[1], message, 0, 2, 1)
    assert list(worker.of(1)) == [(0, 1), (1, 2)]
    assert list(worker.of(3)) == [(0, 1), (1, 2)]


def test_both_at_the_same_time(ends: tuple[int, int]) -> None:
    """Each task is one's or the other's."""
    begun: list[int] = []
    taken: list[int] = []
    over = threading.Event()

    def work() -> None:
        worker = Permits(ends[0])
        for message in range(1, 200):
            begun.extend(first for first, _ in worker.of(message))
            if message % 7 == 0:
                over.wait(0.001)

    def take_back() -> None:
        pick = random.Random(0)
        while not over.is_set():
            for ranges in permits.take(ends[0]).values():
                taken.extend(index for block in ranges for index in range(*block))
            over.wait(pick.random() / 2000)

    for message in range(1, 200):
        permits.give(ends[1], message, 10 * message, 10 * message + 10, 1)
    threads = [threading.Thread(target=work), threading.Thread(target=take_back)]
    for thread in threads:
        thread.start()
    threads[0].join()
    over.set()
    threads[1].join()
    left = [i for ranges in permits.take(ends[0]).values() for b in ranges for i in range(*b)]
    assert begun
    assert taken
    # what the worker passed over was void for it, and was taken by nobody
    assert len({*begun, *taken, *left}) == len(begun) + len(taken) + len(left)
