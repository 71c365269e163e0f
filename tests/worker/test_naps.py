"""Naps of the agent: as long as all workers have enough to do, shorter when that was wrong."""

import fcntl
import os
import time

import pytest

from pypool.rundir.messages import Share
from pypool.worker.agent import Agent
from pypool.worker.arrival import Arrival
from pypool.worker.naps import LONGEST, SHORTEST, Naps
from pypool.worker.slots import FEW_TIMED, NO_RESERVE, Held, Piece, Slot

from .conftest import Play
from .player import ELEMENT


@pytest.mark.parametrize(
    ("reserve", "nap"),
    [(0.0, 0.0), (SHORTEST / 2, 0.0), (SHORTEST, SHORTEST), (1.0, LONGEST)],
)
def test_as_long_as_there_is_enough_to_do(reserve: float, nap: float) -> None:
    """But not for longer than results may wait; and not if it does not pay."""
    assert Naps().next(reserve) == nap


def test_after_a_mistake_they_are_short_for_a_while() -> None:
    """Tasks have become shorter than was thought: workers are not to wait for the agent."""
    some = Naps()
    some.learn(waited=True)
    assert some.next(1.0) == 0.0
    rounds = 0
    while not some.next(1.0):
        some.learn(waited=False)
        rounds += 1
    assert rounds > 5
    for _ in range(1000):
        some.learn(waited=False)
    assert some.next(1.0) == LONGEST


def test_the_task_at_work_is_no_reserve(slot: Slot) -> None:
    """Nor is what is not known, or is done sooner than is thought."""

    def reserve(tasks: int, seconds: float) -> float:
        slot.outstanding.clear()
        held = Held(1, Share(1, 1, 0, 0, tasks, seconds=seconds))
        slot.outstanding.extend(Piece(held, index, index + 1) for index in range(tasks))
        return slot.reserve()

    assert reserve(0, 1.0) == 0.0
    assert reserve(1, 1.0) == 0.0
    assert reserve(3, 1.0) == 2.0
    assert reserve(3, 0.0) == 0.0
    assert reserve(1000, NO_RESERVE) == 0.0


def test_the_first_calls_say_nothing_of_a_reserve(slot: Slot) -> None:
    """They may have had much to import; the others are done before the agent wakes up."""
    held = Held(1, Share(1, 1, 0, 0, 100))
    slot.outstanding.append(Piece(held, 0, 100))
    for _ in range(FEW_TIMED):
        held.learn(0.001, 1)
        assert slot.reserve() == 0.0
    held.learn(0.001, 1)
    assert slot.reserve() > 0.0


@pytest.mark.parametrize("reserve", [0, 4])
def test_in_a_nap_no_worker_is_listened_to(play_pipes: Play, slot: Slot, reserve: int) -> None:
    """If each has enough in reserve; afterwards all of them are."""
    player = play_pipes(starts=False)
    arrival = Arrival(player.run, ELEMENT, os.pipe())
    arrival.wake, arrival.wakeup = os.pipe()
    sleepy = Agent(arrival)
    sleepy._slots = [slot]
    slot.ready = True
    slot.outcomes, writing = os.pipe()
    os.write(writing, b"something of an outcome")
    held = Held(1, Share(1, 1, 0, 0, 100, seconds=0.001))
    slot.outstanding.extend(Piece(held, index, index + 1) for index in range(1 + reserve))
    sleepy._todo.append(Piece(held, 50, 100))
    came, ready = sleepy._wait(time.monotonic())
    assert came == []
    assert ready == (None if reserve else [slot.outcomes])
    for fd in (writing, arrival.wake, arrival.wakeup, *(arrival.mail.pipes or ())):
        os.close(fd)


def test_who_found_a_pipe_full_naps_for_shorter(play_pipes: Play, slot: Slot) -> None:
    """Its worker has waited for room; a user's pipes may be small, and results large."""
    player = play_pipes(starts=False)
    sleepy = Agent(Arrival(player.run, ELEMENT, os.pipe()))
    sleepy._slots = [slot]
    slot.outcomes, writing = os.pipe()
    os.set_blocking(slot.outcomes, False)
    slot._room = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    for size, filled in ((slot._room, True), (100, False)):
        os.write(writing, bytes(size))
        assert len(slot._read()) == size
        assert sleepy._some_waited() == filled
    for fd in (writing, *(sleepy._mail.pipes or ())):
        os.close(fd)
