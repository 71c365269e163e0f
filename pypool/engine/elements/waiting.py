"""Saying what is waited for: what can never run at once, the rest after a minute, then each minute.

Waiting goes on whatever is said: the user may release what is held, or raise a limit.
"""

import logging
from collections import Counter
from collections.abc import Iterable

from pypool.errors import PoolError
from pypool.rundir import names
from pypool.schedulers.base import ElementState, Pending, Scheduler

log = logging.getLogger("pypool")

SAY_AFTER = 60.0
NO_HELLO = "elements run but have not said hello yet"


class Waiting:
    """See the module.

    Attributes
    ----------
    say_at : float
        When something is to be said at the latest.
    """

    def __init__(self, scheduler: Scheduler, run: str) -> None:
        self._scheduler = scheduler
        self._logs = f"{run}/{names.SCHEDULER}"
        self._began: float | None = None
        self._advised: dict[str, float] = {}
        self._asked_why: dict[str, float] = {}
        self._asking: tuple[str, Pending[str]] | None = None
        self.say_at = 0.0

    def begins(self, now: float) -> None:
        """Elements have been asked for."""
        self._began = now
        self.say_at = now + SAY_AFTER

    @property
    def in_command(self) -> bool:
        return self._asking is not None

    def take(self, pending: Iterable[tuple[str, ElementState]], silent: bool, now: float) -> None:
        """A good answer.

        Parameters
        ----------
        pending : iterable
            Job and state of each element that waits.
        silent : bool
            Others run and have not said hello.
        """
        waiting = Counter(pending)
        reasons = {NO_HELLO} if silent else set()
        unclear: set[str] = set()
        for (job, state), count in waiting.items():
            advice = self._scheduler.advice(state, job)
            if advice:
                self._advise(job, count, state.reason, advice, now)
            else:
                reasons.add(state.reason or "no reason given")
                unclear.add(job)
        self._ask_why(unclear, now)
        if reasons and now >= self.say_at and self._began is not None:
            self.say_at = now + SAY_AFTER
            log.warning(
                "waits for %s since %.0f s: %s; logs are in %s",
                self._scheduler.name,
                now - self._began,
                ", ".join(sorted(reasons)),
                self._logs,
            )

    def _advise(self, job: str, count: int, reason: str, advice: str, now: float) -> None:
        if now < self._advised.get(f"{job} {reason}", now):
            return
        self._advised[f"{job} {reason}"] = now + SAY_AFTER
        log.warning(
            "waits for %s: %d of job %s pending, %s. %s",
            self._scheduler.name,
            count,
            job,
            reason,
            advice,
        )

    def _ask_why(self, jobs: set[str], now: float) -> None:
        """Whether a job that waits can ever run: of one of them at a time, once a minute each."""
        due = sorted(job for job in jobs if job and now >= self._asked_why.get(job, now))
        if due and self._asking is None:
            self._asked_why[due[0]] = now + SAY_AFTER
            self._asking = (due[0], self._scheduler.why_not(due[0]))

    def advance(self, now: float) -> None:
        """Looks whether the scheduler has said why a job does not run."""
        if self._asking is None or not self._asking[1].done():
            return
        (job, asked), self._asking = self._asking, None
        try:
            why = asked.value()
        except PoolError:  # the looks at the queue will tell
            return
        if why:
            log.warning(
                "waits for %s: job %s can never run as it is: %s",
                self._scheduler.name,
                job,
                why,
            )
