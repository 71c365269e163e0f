"""At the end of a run: nothing of it may stay in the queue.

What was cancelled is gone by the scheduler's own word. But elements may come into the queue again,
after a time in which the scheduler was away, or requeued by the site; and of a submission in doubt
an array may turn up. Then a good answer on all jobs of the run is waited for, and what is pending
in it is cancelled.
"""

import time
from collections.abc import Collection, Sequence
from typing import TypeVar

from pypool.errors import PoolError
from pypool.schedulers.base import Element, Pending, Scheduler, wait

T = TypeVar("T")

PAUSE = 0.5


class LastLook:
    """See the module.

    Parameters
    ----------
    jobs : sequence of str
        All jobs of the run.
    tokens : sequence of str
        Of submissions of which more jobs may turn up.
    watched : collection of Element
        Elements of which it is not enough that they run: they may come back.
    all_leave : bool
        That holds for all of them.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        jobs: Sequence[str],
        tokens: Sequence[str],
        watched: Collection[Element],
        all_leave: bool,
    ) -> None:
        self._scheduler = scheduler
        self._jobs = set(jobs)
        self._tokens = tokens
        self._watched = set(watched)
        self._all_leave = all_leave

    def see_to_it(self, deadline: float) -> bool:
        """Whether nothing is left in the queue by a good answer."""
        while True:
            try:
                if self._is_clean(deadline):
                    return True
            except PoolError:
                pass
            if time.monotonic() + PAUSE > deadline:
                return False
            time.sleep(PAUSE)

    def _is_clean(self, deadline: float) -> bool:
        for token in self._tokens:
            self._jobs |= set(_answer(self._scheduler.find(token, queued_only=True), deadline))
        if not self._jobs:
            return True
        states = _answer(self._scheduler.queue(sorted(self._jobs)), deadline)
        pending = [each for each, state in states.items() if state.phase == "pending"]
        if pending:
            wait(self._scheduler.cancel_pending(pending), _left(deadline))
            return False
        there = {each for each, state in states.items() if state.phase != "ended"}
        return not (there if self._all_leave else there & self._watched)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.0)


def _answer(pending: Pending[T], deadline: float) -> T:
    answer = wait(pending, _left(deadline))
    if answer is None:
        raise PoolError("no answer in time")
    return answer
