"""Cancelling: what the scheduler does not do now is tried again, ever less often."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pypool.engine.elements.away import Away, Pauses
from pypool.errors import PoolError
from pypool.printable import printable
from pypool.schedulers.base import Answered, Element, Pending, Scheduler, Then

log = logging.getLogger("pypool")

AT_THE_END = 1.0
"""Seconds between two tries when the run is about to end."""

TICK = 0.01


@dataclass(slots=True)
class _Cancellation:
    """One command, and what it is about."""

    ask: Callable[[], Pending[None]]
    elements: frozenset[Element]
    asked: Pending[None] | None
    pauses: Pauses = field(default_factory=Pauses)
    next_at: float = 0.0


class Cancelling:
    """All cancellations of a run."""

    def __init__(
        self,
        scheduler: Scheduler,
        away: Away,
        token_of: Callable[[str], str | None] = lambda job: None,
    ) -> None:
        self._token_of = token_of
        self._scheduler = scheduler
        self._away = away
        self._open: list[_Cancellation] = []

    def cancel(self, jobs: list[str], elements: list[Element]) -> None:
        """Whole jobs and single elements."""
        if jobs or elements:
            self._begin(lambda: self._cancel_ours(jobs, elements), elements)

    def cancel_pending(self, elements: list[Element]) -> None:
        """Those of these elements that wait in the queue, and nobody who runs."""
        busy = {element for each in self._open for element in each.elements}
        new = [element for element in elements if element not in busy]
        if new:
            self._begin(lambda: self._scheduler.cancel_pending(new), new)

    def _cancel_ours(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        """Not what has got the id of a job of ours since that is gone: its name tells."""
        ids = sorted({*jobs, *(job for job, _ in elements)})

        def is_another(job: str, name: str | None) -> bool:
            token = self._token_of(job)
            return token is not None and name is not None and token not in name

        def cancel(names: dict[str, str]) -> Pending[None]:
            others = {job for job in ids if is_another(job, names.get(job))}
            for job in others:
                log.warning(
                    "job %s is now called %r: it is another one and is not cancelled",
                    job,
                    printable(names[job]),
                )
            left = [job for job in jobs if job not in others]
            single = [element for element in elements if element[0] not in others]
            return self._scheduler.cancel(left, single) if left or single else Answered(None)

        asked = Then(self._scheduler.names_of(ids), cancel)
        asked.done()  # what is known at once is done at once
        return asked

    def _begin(self, ask: Callable[[], Pending[None]], elements: list[Element]) -> None:
        self._open.append(_Cancellation(ask, frozenset(elements), ask()))

    @property
    def in_command(self) -> bool:
        return any(each.asked is not None for each in self._open)

    def advance(self, now: float) -> None:
        """Looks what has become of them, and tries again what is due."""
        self._open = [each for each in self._open if not self._is_over(each, now)]

    def _is_over(self, each: _Cancellation, now: float, longest: float | None = None) -> bool:
        if each.asked is None:
            if now >= each.next_at:
                each.asked = each.ask()
            return False
        if not each.asked.done():
            return False
        asked, each.asked = each.asked, None
        try:
            asked.value()
        except PoolError as error:
            pause = each.pauses.next() if longest is None else longest
            each.next_at = now + pause
            self._away.failed(now, getattr(error, "words", str(error)), pause, str(error))
            return False
        self._away.answered(now)
        return True

    def finish(self, deadline: float) -> bool:
        """Waits until all is cancelled; tries again, but not beyond the deadline."""
        for each in self._open:
            each.next_at = 0.0
        while self._open:
            now = time.monotonic()
            if now > deadline:
                return False
            left = [each for each in self._open if not self._is_over(each, now, AT_THE_END)]
            self._open = left
            if left:
                time.sleep(TICK)
        return True
