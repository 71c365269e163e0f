"""Looking for a second array with one token.

A submission that was in doubt and was made again may have worked twice: the first array was only
late. Both have the same elements, and whoever comes first to one owns it.
"""

from pypool.engine.elements.asking import BETWEEN_EMPTY_ANSWERS
from pypool.engine.elements.away import Away, Pauses
from pypool.errors import PoolError
from pypool.schedulers.base import Pending, Scheduler

LOOKS = 2


class Doubles:
    """Asks for all jobs with the token, twice at least, and as long as elements are pending."""

    def __init__(self, scheduler: Scheduler, token: str, away: Away, now: float) -> None:
        self._scheduler = scheduler
        self._token = token
        self._away = away
        self._finding: Pending[list[str]] | None = None
        self._looks = 0
        self._pauses = Pauses()
        self._next_at = now + BETWEEN_EMPTY_ANSWERS

    @property
    def in_command(self) -> bool:
        return self._finding is not None

    @property
    def enough(self) -> bool:
        """It has been looked for often enough, if nobody waits in the queue."""
        return self._looks >= LOOKS and self._finding is None

    def advance(self, now: float, pending: bool) -> list[str]:
        """The jobs that have been found with this look, if there was one."""
        if self._finding is None:
            if now >= self._next_at and (pending or not self.enough):
                self._finding = self._scheduler.find(self._token)
            return []
        if not self._finding.done():
            return []
        finding, self._finding = self._finding, None
        pause = max(self._pauses.next(), BETWEEN_EMPTY_ANSWERS)
        self._next_at = now + pause
        try:
            jobs = finding.value()
        except PoolError as error:
            self._away.failed(now, getattr(error, "words", str(error)), pause, str(error))
            return []
        self._looks += 1
        return jobs
