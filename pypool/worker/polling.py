"""When an agent looks at its inbox, and when it writes down what it has done.

No clock is read and no file is opened here: the simulation of thousands of agents plays by the
same rules. Up to `FEW` agents look often, for callers wait for the end of each short share.
More of them share what a file server bears: none looks for work while all its slots are busy,
oftener than it has to look for a request; who has nothing to do looks soon, then ever later.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FEW = 64
"""Up to so many agents are no load for a file server."""

SHORTEST_SLEEP = 0.0001
KEEN_SECONDS = 0.001
"""So long after activity one of few that has no work looks again and again, without a sleep: a
caller may wait for it, and a core that sleeps takes its time to wake up."""

QUICK_LOOK = 0.0002
"""Where a look takes longer, as through a network, it gains nothing by that."""

IDLE_AFTER = 60.0
IDLE_SLEEP = 0.2
MANY_BYTES = 1 << 20

AGENTS_PER_SECOND = 500
"""So many agents look each second, at least, when none expects anything."""

LOOKS_TO_LONGEST = 32
"""Of many agents the shortest sleep is the longest one over this."""

TOOK_TO_SLEEP = 20
LONGEST_FOR_SLOW = 1.0
"""Who has enough to do sleeps so many times as long as a look took, but not longer than this: no
slot is fed meanwhile, so that a slow disk would cost much of what it works."""

CAUTIOUS = 640
"""From so many agents on one without work looks again after as long as it has had none."""

PIPE_SECONDS = 0.02
FILE_SECONDS = 0.1
"""What was done is told after so long at the latest, by a few agents."""


def longest_sleep(agents: int) -> float:
    """Seconds between two looks when nothing is expected."""
    return min(max(agents / AGENTS_PER_SECOND, 0.02), 20.0)


def caution(agents: int) -> float:
    """Part of its silence after which one is looked at again: the more, the fewer looks."""
    return min(max(agents / CAUTIOUS, 0.1), 1.0)


def shortest_sleep(agents: int) -> float:
    """Seconds between two looks right after activity."""
    if agents <= FEW:
        return SHORTEST_SLEEP
    return caution(agents) * longest_sleep(agents) / LOOKS_TO_LONGEST


class Looking:
    """When the inbox is looked at.

    Parameters
    ----------
    agents : int
        How many there may be in the run.

    Attributes
    ----------
    active : float
        When something last came or went.
    due : float
        When to look next.
    longest : float
        The longest sleep while something may come.
    took : float
        Seconds of the last look.
    disturbed : float
        When somebody else last wanted the core.
    """

    __slots__ = ("_caution", "_few", "_shortest", "active", "disturbed", "due", "longest", "took")

    def __init__(self, agents: int, now: float) -> None:
        self.active = self.due = now
        self.longest = longest_sleep(agents)
        self.took = 0.0
        self.disturbed = float("-inf")
        self._few = agents <= FEW
        self._caution = caution(agents)
        self._shortest = shortest_sleep(agents)

    def has_enough(self, waiting: bool, all_busy: bool) -> bool:
        """Whether nothing is needed: all slots are busy, and of a few agents' work is waiting.

        A few look for the next share before the last one is over. Many hold so much that it comes
        in time as a rule, and look when it is over.
        """
        return all_busy and (waiting or not self._few)

    def sleep(self, silence: float, enough: bool) -> float:
        """Short right after activity, then longer; the longest while there is enough to do."""
        if enough:
            return max(self.longest, min(TOOK_TO_SLEEP * self.took, LONGEST_FOR_SLOW))
        if silence > IDLE_AFTER:
            return max(IDLE_SLEEP, self.longest)
        part = silence / 10 if self._few else silence * self._caution
        return min(max(part, self._shortest), self.longest)

    def is_keen(self, now: float) -> bool:
        """Whether one that has no work looks again at once, as long as nobody wants its core."""
        if not self._few or self.took > QUICK_LOOK:
            return False
        return self.disturbed < self.active > now - KEEN_SECONDS

    def finished(self, now: float, count_free: Callable[[], tuple[int, int]]) -> None:
        """A task is over; `count_free` says how many slots have nothing to do, and of how many.

        An agent of many looks for work when its first slot has none, and again when all have none:
        not anew for each one between, or the end of a list would be hard on a file server.
        """
        if not self._few:
            free, slots = count_free()
            if 1 < free < slots:
                return
        self.active = now

    def looked(self, now: float, enough: bool, took: float = 0.0) -> None:
        """It has been looked at, for so many seconds, in which no slot was fed."""
        self.took = took
        self.due = now + self.sleep(now - self.active, enough)

    def look_sooner(self, now: float) -> None:
        """There is not enough to do any more: the longest sleep was for as long as there was."""
        self.due = min(self.due, now + self.sleep(now - self.active, enough=False))


class Telling:
    """When what was done is written.

    Parameters
    ----------
    agents : int
        How many there may be in the run.
    by_pipe : bool
        It costs no file server anything.

    Attributes
    ----------
    every : float
        Seconds after which it is told at the latest.
    """

    __slots__ = ("_few", "_told", "every")

    def __init__(self, agents: int, by_pipe: bool, now: float) -> None:
        self._few = agents <= FEW
        self.every = PIPE_SECONDS if by_pipe else max(FILE_SECONDS, agents / AGENTS_PER_SECOND)
        self._told = now

    def is_due(self, now: float, dry: bool, done: bool, news: bool, size: int) -> bool:
        """Whether to write now what there is.

        Parameters
        ----------
        dry : bool
            A slot has nothing to do.
        done : bool
            A share is done. A few agents hold so little that the next one should soon be dealt.
        news : bool
            There is more to tell than outcomes.
        size : int
            Bytes of outcomes.
        """
        if news or dry or (done and self._few):
            return True
        return now - self._told >= self.every or size > MANY_BYTES

    def told(self, now: float) -> None:
        """It has been written, or was tried."""
        self._told = now

    @property
    def at(self) -> float:
        """When the next group is written, or the last one tried again."""
        return self._told + self.every
