"""Needs: how much more than the user asked for an element or a task has to have.

A task that ran out of time or memory may be started again with twice as much, up to what the
user allows at most. All else goes by what was asked for at first, which is `Need()`.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Need(NamedTuple):
    """How often the time and the memory that were asked for are doubled."""

    time: int = 0
    memory: int = 0


USUAL = Need()
"""What the user asked for."""


def fits(agent: Need, task: Need) -> bool:
    """Whether a task with this need may go to an agent whose element has that."""
    return agent.time >= task.time and agent.memory >= task.memory


def fits_one(agents: Iterable[Need], task: Need) -> bool:
    """Whether one of the agents will do."""
    return any(fits(agent, task) for agent in agents)


def largest_first(needs: Iterable[Need]) -> list[Need]:
    """What is hardest to come by stands first."""
    return sorted(needs, key=lambda need: (need.time + need.memory, need), reverse=True)


def doublings(asked: float | None, most: float | None) -> int:
    """How often what was asked for can be doubled, the last time maybe by less, up to `most`."""
    times = 0
    while asked is not None and most is not None and amount(asked, times, most) < most:
        times += 1
    return times


def amount(asked: float, doubled: int, most: float | None) -> float:
    """What that need comes to: doubled so often, but at most `most`."""
    if not doubled or most is None:
        return asked
    return float(min(asked * 2**doubled, most))
