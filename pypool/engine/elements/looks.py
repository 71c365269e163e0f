"""When the queue is looked at, and what comes of it.

One command for all jobs of the run; ever less often, and less often still while the scheduler
gives no answer.
"""

from pypool.engine.elements.away import Away, Pauses
from pypool.errors import PoolError
from pypool.schedulers.base import Element, ElementState, Pending, Scheduler

LONGEST_INTERVAL = 6.0
"""The queue is looked at ever less often, down to this many times the first interval."""

States = dict[Element, ElementState]


class Looks:
    """See the module.

    Attributes
    ----------
    next_at : float
        When the next one is due.
    began_at : float
        When the last one began: what it tells is not older.
    jobs : set of str
        Whom it asked for.
    """

    def __init__(self, scheduler: Scheduler, interval: float, away: Away) -> None:
        self._scheduler = scheduler
        self._first_interval = interval
        self._interval = interval
        self._away = away
        self._pauses = Pauses()
        self._looking: Pending[States] | None = None
        self.next_at = 0.0
        self.began_at = 0.0
        self.jobs: set[str] = set()

    @property
    def in_command(self) -> bool:
        return self._looking is not None

    def often(self, now: float) -> None:
        """Something new is in the queue."""
        self._interval = self._first_interval
        self.next_at = now + self._interval

    def soon(self, now: float) -> None:
        """The next one is worth more than usual."""
        self.next_at = min(self.next_at, now + self._first_interval)

    def begin(self, jobs: list[str], not_after: float, now: float) -> None:
        """Looks, if there is anything to look at; and again at that time at the latest."""
        self.next_at = now + self._interval
        self._interval = min(self._interval * 1.5, LONGEST_INTERVAL * self._first_interval)
        if self.next_at > not_after > now:
            self.next_at = not_after
        if jobs:
            self.jobs = set(jobs)
            self.began_at = now
            self._looking = self._scheduler.queue(jobs)

    def take(self, now: float) -> States | None:
        """The answer, if a good one has come."""
        if self._looking is None or not self._looking.done():
            return None
        looking, self._looking = self._looking, None
        try:
            states = looking.value()
        except PoolError as error:
            pause = self._pauses.next()
            self.next_at = now + pause
            self._away.failed(now, getattr(error, "words", str(error)), pause, str(error))
            return None
        self._away.answered(now)
        self._pauses.reset()
        return states
