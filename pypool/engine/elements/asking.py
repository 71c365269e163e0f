"""Asking the scheduler for one array, and asking again where that makes sense.

What is refused for good is an end: in words that nobody knows it is believed once the queue does
not have the token. If the scheduler cannot be reached, the same submission is tried again later.
If it may have taken the array although its command failed, the queue is asked for the token first:
twice nothing there, some time apart, before anything is submitted again. Even then the first array
may turn up later, see `doubles`.
"""

import logging
from collections.abc import Collection

from pypool.engine.elements.away import Away, Pauses, Seldom
from pypool.errors import PoolError, SubmitError
from pypool.schedulers.base import Pending, Scheduler, wait

log = logging.getLogger("pypool")

BETWEEN_EMPTY_ANSWERS = 10.0
EMPTY_ANSWERS = 2
"""An array was seen to turn up after its command had given up: one look is no evidence."""


class NeverSubmitted(PoolError):
    """Twice the queue did not know the token, and nobody submits it again."""


class Asking:
    """One array, from its first submission to its job id.

    Parameters
    ----------
    avoid : collection of str
        Nodes on which it is not to run, if the scheduler takes it so.
    submits : bool
        Else it has been submitted in an earlier life, or not: it is only looked for.

    Attributes
    ----------
    in_doubt : bool
        The scheduler may have taken the array, though it has given no job id.
    ever_in_doubt : bool
        That was so at some time: agents of it may turn up.
    may_be_double : bool
        It was submitted again after that.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        script: str,
        token: str,
        elements: int,
        away: Away,
        avoid: Collection[str] = (),
        submits: bool = True,
    ) -> None:
        self._scheduler = scheduler
        self._script = script
        self._token = token
        self._elements = elements
        self._avoid = avoid
        self._away = away
        self._submits = submits
        self._submitting: Pending[str] | None = None
        self._finding: Pending[list[str]] | None = None
        self._next_at = 0.0
        self._pauses = Pauses()
        self._empty_answers = 0
        self._refused_nodes = Seldom()
        self._refusal: SubmitError | None = None
        self.in_doubt = self.ever_in_doubt = not submits
        self.may_be_double = False
        if submits:
            self._submit()

    @property
    def in_command(self) -> bool:
        """A command is running whose end should be noticed soon."""
        return self._submitting is not None or self._finding is not None

    def _submit(self) -> None:
        self.may_be_double = self.ever_in_doubt
        self._submitting = self._scheduler.submit(
            self._script, self._token, self._elements, self._avoid
        )

    def advance(self, now: float) -> list[str]:
        """The job ids, once there are any: as a rule one.

        Raises
        ------
        SubmitError
            If it makes no sense to try the same again.
        NeverSubmitted
            If it is not there, and is not to be submitted.
        """
        if self._submitting is not None:
            return self._take_answer(self._submitting, now)
        if self._finding is not None:
            return self._take_found(self._finding, now)
        if now >= self._next_at and self.in_doubt:
            self._finding = self._find()
        elif now >= self._next_at:
            self._submit()
        return []

    def _find(self) -> Pending[list[str]]:
        """What was refused has had no time to run and end."""
        return self._scheduler.find(self._token, queued_only=self._refusal is not None)

    def _take_answer(self, submitting: Pending[str], now: float) -> list[str]:
        if not submitting.done():
            return []
        self._submitting = None
        try:
            job = submitting.value()
        except SubmitError as error:
            if error.temporary or error.unclear:
                self.in_doubt = error.unclear
                self.ever_in_doubt |= error.unclear
                self._empty_answers = 0
                self._wait(now, error.words or str(error), str(error))
            elif error.unknown:
                self._refusal = error
                self.in_doubt = self.ever_in_doubt = True
                self._finding = self._find()
            else:
                self._take_refusal(error, now)
            return []
        self._away.answered(now)
        return [job]

    def _take_refusal(self, error: SubmitError, now: float) -> None:
        if not self._avoid or error.too_many:
            raise error
        self._go_without_choice(now, error)

    def _go_without_choice(self, now: float, error: SubmitError) -> None:
        """With nodes that are to be left out it is refused, so that they are not left out."""
        self._refused_nodes.warn(
            now,
            "%s takes no array that leaves out %s, where elements ended early: %s; they are not "
            "left out",
            self._scheduler.name,
            ", ".join(sorted(self._avoid)),
            error.words or str(error),
        )
        self._avoid = ()
        self._submit()

    def _take_found(self, finding: Pending[list[str]], now: float) -> list[str]:
        if not finding.done():
            return []
        self._finding = None
        try:
            jobs = finding.value()
        except PoolError as error:
            self._wait(now, getattr(error, "words", "") or str(error), str(error))
            return []
        self._away.answered(now)
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            self._take_second_opinion(refusal, jobs, now)
        elif not jobs:
            self._empty_answers += 1
            if self._empty_answers >= EMPTY_ANSWERS and not self._submits:
                raise NeverSubmitted(f"{self._scheduler.name} does not know {self._token}")
            self.in_doubt = self._empty_answers < EMPTY_ANSWERS
            self._next_at = now + (BETWEEN_EMPTY_ANSWERS if self.in_doubt else 0.0)
        return jobs

    def _take_second_opinion(self, refusal: SubmitError, jobs: list[str], now: float) -> None:
        """What the queue says of an array that seems to have been refused."""
        if jobs:
            log.warning(
                "%s has taken the array, though its command said: %s",
                self._scheduler.name,
                refusal.words or str(refusal),
            )
            return
        self.in_doubt = False
        self._take_refusal(refusal, now)

    def _wait(self, now: float, words: str, told: str) -> None:
        pause = self._pauses.next()
        self._away.failed(now, words, pause, told)
        self._next_at = now + pause

    def last_word(self, patience: float) -> list[str]:
        """At the end of the run: waits for the command in flight, and submits nothing more."""
        try:
            if self._submitting is not None:
                job = wait(self._submitting, patience)
                self.in_doubt = job is None
                return [] if job is None else [job]
        except SubmitError as error:
            self.in_doubt = error.unclear or error.unknown
        if not self.in_doubt:
            return []
        try:
            return wait(self._finding or self._find(), patience) or []
        except PoolError:
            return []
