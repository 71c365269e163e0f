"""Asking the scheduler for one array, and asking again where that makes sense.

What is refused for good is an end. If the scheduler cannot be reached, the same submission is
tried again later. If it may have taken the array although its command failed, the queue is asked
for the token first: twice nothing there, some time apart, before anything is submitted again.
"""

import logging

from pypool.errors import PoolError, SubmitError
from pypool.schedulers.base import Pending, Scheduler, wait

log = logging.getLogger("pypool")

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
"""Seconds until the next try: doubled each time."""

BETWEEN_EMPTY_ANSWERS = 10.0
EMPTY_ANSWERS = 2
"""An array was seen to turn up after its command had given up: one look is no evidence."""

SELDOM = 60.0


class Seldom:
    """Says things of one kind, once a minute at most."""

    def __init__(self) -> None:
        self._not_before = float("-inf")

    def warn(self, now: float, line: str, *words: object) -> None:
        if now >= self._not_before:
            self._not_before = now + SELDOM
            log.warning(line, *words)


class Asking:
    """One array, from its first submission to its job id.

    Attributes
    ----------
    in_doubt : bool
        The scheduler may have taken the array, though it has given no job id.
    ever_in_doubt : bool
        That was so at some time: agents of it may turn up.
    """

    def __init__(
        self, scheduler: Scheduler, script: str, token: str, elements: int, notices: Seldom
    ) -> None:
        self._scheduler = scheduler
        self._what = (script, token, elements)
        self._token = token
        self._notices = notices
        self._submitting: Pending[str] | None = scheduler.submit(*self._what)
        self._finding: Pending[str | None] | None = None
        self._next_at = 0.0
        self._pause = FIRST_PAUSE
        self._empty_answers = 0
        self.in_doubt = False
        self.ever_in_doubt = False

    @property
    def in_command(self) -> bool:
        """A command is running whose end should be noticed soon."""
        return self._submitting is not None or self._finding is not None

    def advance(self, now: float) -> str | None:
        """The job id, once there is one.

        Raises
        ------
        SubmitError
            If it makes no sense to try the same again.
        """
        if self._submitting is not None:
            return self._take_answer(self._submitting, now)
        if self._finding is not None:
            return self._take_found(self._finding, now)
        if now >= self._next_at and self.in_doubt:
            self._finding = self._scheduler.find(self._token)
        elif now >= self._next_at:
            self._submitting = self._scheduler.submit(*self._what)
        return None

    def _take_answer(self, submitting: Pending[str], now: float) -> str | None:
        if not submitting.done():
            return None
        self._submitting = None
        try:
            return submitting.value()
        except SubmitError as error:
            if not (error.temporary or error.unclear):
                raise
            self.in_doubt = error.unclear
            self.ever_in_doubt |= error.unclear
            self._empty_answers = 0
            self._wait(now, error.words or str(error))
        return None

    def _take_found(self, finding: Pending[str | None], now: float) -> str | None:
        if not finding.done():
            return None
        self._finding = None
        try:
            job = finding.value()
        except PoolError as error:
            self._wait(now, str(error))
            return None
        if job is None:
            self._empty_answers += 1
            self.in_doubt = self._empty_answers < EMPTY_ANSWERS
            self._next_at = now + (BETWEEN_EMPTY_ANSWERS if self.in_doubt else 0.0)
        return job

    def _wait(self, now: float, words: str) -> None:
        self._notices.warn(
            now,
            "no answer of use from %s: %s; it is asked again in %.0f s, tasks wait",
            self._scheduler.name,
            words,
            self._pause,
        )
        self._next_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def last_word(self, patience: float) -> str | None:
        """At the end of the run: waits for the command in flight, and submits nothing more."""
        try:
            if self._submitting is not None:
                job = wait(self._submitting, patience)
                self.in_doubt = job is None
                return job
        except SubmitError as error:
            self.in_doubt = error.unclear
        if not self.in_doubt:
            return None
        try:
            return wait(self._finding or self._scheduler.find(self._token), patience)
        except PoolError:
            return None
