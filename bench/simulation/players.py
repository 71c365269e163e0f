"""An agent, made up: it plays by the real rules of when to look and when to tell.

Nobody tells it that time passes. It catches up when the driver looks at its outbox, which is the
only way anybody could know the difference; looks that can find nothing are counted and not played.
"""

from collections import deque
from heapq import heappop, heappush
from typing import NamedTuple

from bench.simulation.disks import Disk
from pypool.rundir.messages import beat_seconds
from pypool.worker.polling import IDLE_AFTER, Looking, Telling

BYTES = 60
"""Of the outcome of a task without a result to speak of."""

NEVER = float("inf")


class Told(NamedTuple):
    """A record in the outbox.

    Attributes
    ----------
    seen_at : float
        When others see it.
    kind : str
        "hello", "answered", "returned" or "beat".
    number : int
        That of the request, or how far the inbox was read.
    tasks : list of int
        Those that it speaks of.
    shares : list of int
        Those that the agent holds, in a beat.
    """

    seen_at: float
    kind: str
    number: int
    tasks: list[int]
    shares: list[int]


class Asked(NamedTuple):
    """A record in the inbox: a share, or a request to return what has not begun."""

    seen_at: float
    number: int
    first: int = 0
    last: int = 0


class Player:
    """See the module.

    Parameters
    ----------
    tasks : list of float
        What each takes.
    agents : int
        How many there may be.
    hello : float
        When it says hello.
    """

    def __init__(
        self, key: str, slots: int, tasks: list[float], disk: Disk, agents: int, hello: float
    ) -> None:
        self.key = key
        self.inbox: deque[Asked] = deque()
        self.outbox: deque[Told] = deque()
        self._tasks = tasks
        self._disk = disk
        self._slots = slots
        self._looking = Looking(agents, hello)
        self._telling = Telling(agents, by_pipe=False, now=hello)
        self._beat_every = beat_seconds(agents)
        self._beat_at = hello + self._beat_every
        self._running: list[tuple[float, int, int]] = []
        self._todo: deque[list[int]] = deque()
        self._left: dict[int, int] = {}
        self._done: list[int] = []
        self._share_done = False
        self._read_to = 0
        self._now = hello
        self._write("hello", 0, [])

    def catch_up(self, now: float) -> None:
        """Plays until then."""
        while True:
            ends = self._running[0][0] if self._running else NEVER
            tells = self._telling.at if self._done else NEVER
            at = min(ends, tells, self._beat_at, self._looking.due)
            if at > now:
                return
            at = self._now = max(at, self._now)
            if at == self._looking.due:
                self._look(min(ends, tells, self._beat_at, now))
            elif ends <= at:
                self._finish(at)
            elif self._beat_at <= at:
                self._beat(at)
            elif tells <= at:
                self._write("answered", 0, [])
            self._tell_if_due(self._now)
            if not self._has_enough():
                self._looking.look_sooner(self._now)
            if self._looking.due < self._now:
                self._looking.due = self._now

    def _has_enough(self) -> bool:
        return self._looking.has_enough(bool(self._todo), len(self._running) == self._slots)

    def _look(self, until: float) -> None:
        """Looks, and again and again as long as it can find nothing before that time."""
        now = self._now
        found = False
        if not self.inbox or self.inbox[0].seen_at > now:
            self._look_in_vain(now, min(until, self.inbox[0].seen_at if self.inbox else NEVER))
            return
        took = self._disk.open("agents", now)
        self._now = now = now + took
        while self.inbox and self.inbox[0].seen_at <= now:
            found = True
            self._take(self.inbox.popleft())
        if found:
            self._looking.active = now
        self._looking.looked(now, self._has_enough(), took)

    def _look_in_vain(self, now: float, until: float) -> None:
        enough = self._has_enough()
        every = self._looking.sleep(now - self._looking.active, enough)
        settled = enough or every >= self._looking.longest
        if not enough and now - self._looking.active <= IDLE_AFTER:
            until = min(until, self._looking.active + IDLE_AFTER)
        count = int((until - now) / every) if settled and until > now + every else 1
        if count > 1:
            self._disk.open_often("agents", now, count, every)
            self._now = now + (count - 1) * every
            took = self._looking.took
        else:
            took = self._disk.open("agents", now)
            self._now = now + took
        self._looking.looked(self._now, enough, took)

    def _take(self, asked: Asked) -> None:
        if asked.last:
            self._read_to = asked.number
            self._left[asked.number] = asked.last - asked.first
            self._todo.append([asked.first, asked.last, asked.number])
            self._feed(self._now)
            return
        unbegun: list[int] = []
        while self._todo:
            first, last, share = self._todo.popleft()
            unbegun += range(first, last)
            self._count(share, last - first)
        self._write("returned", asked.number, unbegun)

    def _feed(self, now: float) -> None:
        while self._todo and len(self._running) < self._slots:
            piece = self._todo[0]
            heappush(self._running, (now + self._tasks[piece[0]], piece[0], piece[2]))
            piece[0] += 1
            if piece[0] == piece[1]:
                self._todo.popleft()

    def _finish(self, now: float) -> None:
        _, index, share = heappop(self._running)
        self._done.append(index)
        self._count(share, 1)
        self._feed(now)
        self._looking.finished(now, lambda: (self._slots - len(self._running), self._slots))

    def _count(self, share: int, tasks: int) -> None:
        self._left[share] -= tasks
        if not self._left[share]:
            del self._left[share]
            self._share_done = True

    def _beat(self, now: float) -> None:
        """It reads what the driver's file says, then tells what it holds."""
        self._beat_at = now + self._beat_every
        self._now += self._disk.open("agents", now)
        self._write("beat", self._read_to, [])

    def _tell_if_due(self, now: float) -> None:
        if not self._done:
            return
        dry = not self._todo and len(self._running) < self._slots
        if self._telling.is_due(now, dry, self._share_done, False, BYTES * len(self._done)):
            self._write("answered", 0, [])

    def _write(self, kind: str, number: int, tasks: list[int]) -> None:
        """What was done stands before all other news."""
        seen_at = self._now + self._disk.open("agents", self._now) + self._disk.delay()
        self._share_done = False
        if self._done:
            done, self._done = sorted(self._done), []
            self.outbox.append(Told(seen_at, "answered", 0, done, []))
        if kind != "answered":
            self.outbox.append(Told(seen_at, kind, number, tasks, list(self._left)))
        self._telling.told(self._now)
