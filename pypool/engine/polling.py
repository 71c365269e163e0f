"""When an agent's outbox is looked at, and how many files a second are opened for it.

No clock is read and no file is opened here: the simulation of thousands of agents plays by the
very same rules. A few agents are looked at often, for callers wait for the end of each short
share. Of many each is looked at when results should be there; what they hold lasts until then.
"""

from math import ceil, floor, log2

from pypool.rundir.messages import beat_seconds
from pypool.worker.polling import FEW, longest_sleep, shortest_sleep

__all__ = ["FEW", "Allowance", "Looks", "Pace"]

IDLE_SLEEP = 1.0
IDLE_LOOKS_PER_SECOND = 16
"""Who has nothing to do says nothing but that it is there, or that it leaves."""

EARLY = 0.8
LATEST_LOOK = 0.02
"""The first look for a share's results is at this part of the time it should take, or then."""

QUICKEST = 0.00025
"""No agent answers sooner, however short the share."""

SHORTEST_LOOK = 0.00005
"""Seconds between two looks right after a share should be over: its caller waits."""

OPENS_PER_SECOND = 500.0
FEW_LINKS = 16
OPENS_PER_SECOND_OF_FEW = 2000.0
"""A caller waits for the end of each short share, and few agents are no load for a server."""

LOOKS_PER_SECOND = 250.0
"""Of many agents so many are looked at each second, at least: the rest is for what is due."""


class Allowance:
    """How many files may be opened: so many a second, after a pause as many at once.

    Attributes
    ----------
    next_at : float
        When the next one may be opened.
    """

    def __init__(self, now: float) -> None:
        self.next_at = now
        self._left = OPENS_PER_SECOND
        self._counted_at = now

    def allows(self, now: float, links: int) -> bool:
        """Whether one may be opened now, if there are so many links; counts it."""
        rate = OPENS_PER_SECOND_OF_FEW if links <= FEW_LINKS else OPENS_PER_SECOND
        self._left += rate * (now - self._counted_at)
        self._left = min(self._left, rate)
        self._counted_at = now
        if self._left < 1:
            self.next_at = now + (1 - self._left) / rate
            return False
        self._left -= 1
        return True


class Pace:
    """How long it takes to open a file these days: on a slow disk several are opened at once."""

    SLOW = 0.004
    REMEMBERED = 16

    def __init__(self) -> None:
        self._seconds = 0.0

    def took(self, seconds: float) -> None:
        """A file was opened, read or written, and closed in so many seconds."""
        self._seconds += (min(seconds, 1.0) - self._seconds) / self.REMEMBERED

    @property
    def is_slow(self) -> bool:
        """One after another would take too long, however few they are."""
        return self._seconds > self.SLOW


def with_others(due: float, sleep: float) -> float:
    """About then: the next tick of a clock that ticks once or twice in that time.

    All who sleep as long are due at once, and the dispatcher wakes once for them.
    """
    tick = 2.0 ** floor(log2(sleep))
    return ceil(due / tick) * tick


class Looks:
    """When one agent's outbox is looked at.

    Parameters
    ----------
    agents : int
        How many there may be in the run.

    Attributes
    ----------
    due : float
        When to look next.
    """

    __slots__ = ("_active", "_few", "_idle", "_longest", "_looked_at", "_shortest", "due")

    def __init__(self, agents: int, now: float) -> None:
        self.due = self._active = self._looked_at = now
        self._few = agents <= FEW
        self._idle = max(IDLE_SLEEP, agents / IDLE_LOOKS_PER_SECOND)
        self._longest = longest_sleep(agents)
        self._shortest = shortest_sleep(agents)
        if not self._few:
            self._longest = agents / LOOKS_PER_SECOND
            self._idle = max(self._longest, 1.1 * beat_seconds(agents))  # there is a beat each time

    def touch(self, now: float) -> None:
        """Something has happened, or is about to: look often again."""
        self._active = self.due = now

    def asked(self, now: float) -> None:
        """The agent was asked for something: it answers once it has looked at its inbox."""
        if self._few:
            self.touch(now)
        else:
            self._active = now
            self.due = min(self.due, now + self._shortest)

    def dealt(self, now: float, work: float, is_first: bool) -> None:
        """A share was sent that is `work` seconds long, maybe the first of those that it has.

        Its end is waited for; to look before it costs an open and brings nothing.
        """
        if self._few:
            self._active = now + min(QUICKEST + EARLY * work, LATEST_LOOK)
            self.due = self._active if is_first else min(self.due, self._active)
        elif is_first:
            self._active = now
            if now - self._looked_at > IDLE_SLEEP:
                work = 0.0  # it may have said goodbye meanwhile
            self.due = now + min(max(work, self._shortest), self._longest)

    def looked(
        self, now: float, found: bool, busy: bool, awaited: int, expected: float = 0.0
    ) -> None:
        """It has been looked at; what is expected decides how soon to look again.

        Parameters
        ----------
        found : bool
            There was something.
        busy : bool
            The agent works, was asked for something, or is to begin.
        awaited : int
            It has not said hello, nor have so many in all; else 0.
        expected : float
            Seconds that the agent's oldest share should take from now on; 0 if nobody knows.
        """
        self._looked_at = now
        if found:
            self._active = now
        silence = now - self._active
        if self._few or awaited:
            if awaited:
                longest = IDLE_SLEEP if self._few else max(IDLE_SLEEP, awaited / LOOKS_PER_SECOND)
                self.due = now + min(max(silence / 50, SHORTEST_LOOK), longest)
            elif busy:
                self.due = now + min(max(silence / 10, SHORTEST_LOOK), self._longest)
            else:
                self.due = with_others(now + self._idle, self._idle)
        elif not busy:
            self.due = now + self._idle
        else:
            sleep = expected if found else silence / 2
            self.due = now + min(max(sleep, self._shortest), self._longest)
