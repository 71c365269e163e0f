"""How many workers the open tasks can use: more are not asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from math import ceil, exp

from pypool.engine.dealing.books import OPEN, AgentBook, BatchBook
from pypool.engine.dealing.estimates import LEAST_SECONDS, Estimates
from pypool.engine.dealing.needs import Need
from pypool.engine.dealing.sizes import LEAST_SHARE_SECONDS

WORTH_SECONDS = 1.0
"""Work for one more worker: to start one takes the scheduler about as long."""

RECENT_SECONDS = 30.0
"""What was done in about this time counts as work to come.

A program that calls `map` a thousand times with a little work each needs its workers all the
time; that is also how long agents stay without work at least.
"""


class Demand:
    """Counts work by what tasks are known to take."""

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates
        self._recent = 0.0
        self._since = 0.0

    def done(self, seconds: float, now: float) -> None:
        """Tasks were run that took so long together."""
        self._recent = self._recent_work(now) + seconds
        self._since = now

    def workers(
        self,
        batches: Iterable[BatchBook],
        leaving: Iterable[AgentBook],
        coming: Mapping[str, int],
        now: float,
    ) -> int:
        """Workers that can be used for what is not in the hands of agents about to leave.

        A task of an unknown function may be long: it is worth a worker of its own.

        Parameters
        ----------
        coming : mapping of str to int
            How many tasks of which functions are about to come.
        """
        held = _open_tasks_held(leaving)
        unknown = known = 0
        work = self._recent_work(now)
        there = ((each.function, each.left - held.get(each.number, 0)) for each in batches)
        for function, tasks in chain(there, coming.items()):
            seconds = self._estimates.get(function)
            if seconds is None:
                unknown += tasks
                continue
            seconds = max(seconds, LEAST_SECONDS)
            work += tasks * seconds
            known += min(tasks, ceil(tasks * seconds / LEAST_SHARE_SECONDS))
        return unknown + min(known, ceil(work / WORTH_SECONDS))

    def larger(self, batches: Iterable[BatchBook]) -> dict[Need, int]:
        """By need: workers that the tasks can use that wait for a larger element than usual."""
        batches = [batch for batch in batches if batch.lost]
        if not batches:
            return {}
        unknown: Counter[Need] = Counter()
        known: Counter[Need] = Counter()
        work: Counter[Need] = Counter()
        for batch in batches:
            for need, tasks in batch.needing_more().items():
                seconds = self._estimates.get(batch.function)
                if seconds is None:
                    unknown[need] += tasks
                else:
                    known[need] += tasks
                    work[need] += ceil(tasks * max(seconds, LEAST_SECONDS) / WORTH_SECONDS)
        return {need: unknown[need] + min(known[need], work[need]) for need in unknown | known}

    def _recent_work(self, now: float) -> float:
        return self._recent * exp(min(self._since - now, 0.0) / RECENT_SECONDS)


def _open_tasks_held(agents: Iterable[AgentBook]) -> dict[int, int]:
    """By batch: tasks in these agents' hands."""
    held: dict[int, int] = {}
    for agent in agents:
        for share in agent.shares.values():
            book = share.batch
            count = sum(book.state.count(OPEN, first, last) for first, last in share.silent)
            held[book.number] = held.get(book.number, 0) + count
    return held
