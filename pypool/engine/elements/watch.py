"""Watching elements: what a good answer of the scheduler means for each of them.

Absence means nothing by itself, and what the scheduler says of an element need not be about the
agent that said hello: another one may be in the queue in its place.
"""

from collections.abc import Collection, Iterator, Mapping

from pypool.engine.elements.arrays import Submission
from pypool.engine.elements.cancelling import Cancelling
from pypool.engine.elements.early_ends import Ends
from pypool.engine.elements.looks import Looks, States
from pypool.engine.elements.news import Ended, Listed, News
from pypool.engine.elements.waiting import Waiting
from pypool.errors import PoolError
from pypool.schedulers.base import Element, ElementState, Pending, Scheduler

OVERDUE_BEATS = 1.5
"""So long after the last one a beat is overdue: then a requeued element has no agent any more."""

REQUEUED_ANSWERS = 2
"""Good answers in a row by which an element is in the queue again."""

NOT_TAKEN_YET = ElementState("pending", "", "the scheduler has not answered the submission")
SOMEWHERE = ElementState("running", "")


class Watch:
    """See the module.

    Parameters
    ----------
    submissions : mapping
        Those of which an element may live.
    overdue : float
        Seconds of silence after which an agent that may be gone is gone.
    """

    def __init__(
        self,
        submissions: Mapping[str, Submission],
        scheduler: Scheduler,
        looks: Looks,
        cancelling: Cancelling,
        waiting: Waiting,
        ends: Ends,
        overdue: float,
    ) -> None:
        self._submissions = submissions
        self._scheduler = scheduler
        self._looks = looks
        self._cancelling = cancelling
        self._waiting = waiting
        self._ends = ends
        self.overdue = overdue
        self._looking_back: Pending[States] | None = None

    @property
    def in_command(self) -> bool:
        return self._looking_back is not None

    def take(self, states: States, awaited: Collection[str], now: float) -> Iterator[News]:
        """What a good answer of the scheduler means."""
        listed: dict[str, str] = {}
        absent: list[Element] = []
        pending: list[tuple[str, ElementState]] = []
        silent = False
        for submission in list(self._submissions.values()):
            submission.pending = False
            self._cancel_what_is_too_much(submission, states)
            for index in range(submission.elements):
                if index in submission.over:
                    continue
                key = submission.key(index)
                state = self._state(submission, index, states)
                if self._is_in_queue_again(submission, index, state, now):
                    yield from self._end_if_silent(submission, index, state, now)
                elif state is None:
                    absent += [(job, index) for job in submission.jobs]
                elif state.phase == "ended":
                    yield from self._end(submission, index, state, now)
                else:
                    listed[key] = state.phase
                    if state.phase == "pending":
                        submission.pending = True
                        pending.append((submission.job or "", state._replace(node="")))
                    elif key in awaited:
                        silent = True
                    elif state.node and submission.said_hello(index):
                        self._ends.well(state.node)
        self._waiting.take(pending, silent, now)
        if absent and self._looking_back is None:
            self._looking_back = self._scheduler.ends(absent)
        yield Listed(listed)

    def _state(self, submission: Submission, index: int, states: States) -> ElementState | None:
        if self._was_looked_for(submission):
            return submission.state(index, states)
        # nobody has asked for it, so its absence means nothing
        return SOMEWHERE if submission.said_hello(index) else NOT_TAKEN_YET

    def _was_looked_for(self, submission: Submission) -> bool:
        return bool(submission.jobs) and self._looks.jobs.issuperset(submission.jobs)

    def _cancel_what_is_too_much(self, submission: Submission, states: States) -> None:
        """Who waits in the queue for an element that has another one, or is over."""
        if not self._was_looked_for(submission):
            return
        surplus: list[Element] = []
        for index in range(submission.elements) if len(submission.jobs) > 1 else ():
            surplus += submission.surplus(index, states)
        for index in list(submission.watched):
            elements = [(job, index) for job in submission.jobs]
            found = [(each, states[each].phase) for each in elements if each in states]
            surplus += [each for each, phase in found if phase == "pending"]
            link = submission.links.get(index)
            fresh = link is None or self._looks.began_at > link.heard
            if fresh and all(phase == "ended" for _, phase in found):
                submission.watched.discard(index)
        submission.dropped |= set(surplus)
        self._cancelling.cancel_pending(sorted(set(surplus)))

    def _is_in_queue_again(
        self, submission: Submission, index: int, state: ElementState | None, now: float
    ) -> bool:
        """Whether the scheduler speaks of a newcomer in the place of an agent that said hello.

        From then on the end of that one says nothing of the agent, which may live on: a node that
        was thought to be lost works on.
        """
        link = submission.links.get(index)
        if link is None or not link.met or self._looks.began_at <= link.met_at:
            return index in submission.requeued
        if state is not None and state.phase == "pending":
            count = submission.requeued.get(index, 0) + 1
            submission.requeued[index] = count
            if count >= REQUEUED_ANSWERS:
                elements = [(job, index) for job in submission.jobs]
                self._cancelling.cancel_pending(elements)
        return index in submission.requeued

    def _end_if_silent(
        self, submission: Submission, index: int, state: ElementState | None, now: float
    ) -> Iterator[News]:
        """While the agent is heard it lives, whatever is in the queue."""
        waits = state is not None and state.phase == "pending"
        sure = not waits or submission.requeued[index] >= REQUEUED_ANSWERS
        link = submission.links[index]
        if sure and now - link.heard > self.overdue:
            del submission.requeued[index]
            submission.over.add(index)
            if waits:
                submission.watched.add(index)
            yield Ended(submission.key(index), "requeued", "the scheduler has put it back")

    def look_back(self, now: float) -> Iterator[News]:
        """What has left the queue, and how, if the scheduler has been asked for that."""
        if self._looking_back is None or not self._looking_back.done():
            return
        looking, self._looking_back = self._looking_back, None
        try:
            ends = looking.value()
        except PoolError:  # whoever is absent for long is lost without it
            return
        for submission in list(self._submissions.values()):
            for index in range(submission.elements):
                state = submission.state(index, ends)
                done = index in submission.over or index in submission.requeued
                if state is not None and not done:
                    yield from self._end(submission, index, state, now)

    def _end(
        self, submission: Submission, index: int, state: ElementState, now: float
    ) -> Iterator[News]:
        """It is over, unless it was another one that found the place taken, or went by the way."""
        link = submission.links.get(index)
        met = link is not None and link.met
        heard = link is not None and now - link.heard <= self.overdue
        job = submission.owner(index) or submission.job or ""
        cause = self._ends.take(job, index, state, early=not met)
        if met and (cause.intruder or (cause.how == "launch failed" and heard)):
            submission.requeued.setdefault(index, REQUEUED_ANSWERS)
            return
        submission.over.add(index)
        how = "requeued" if cause.intruder else cause.how
        yield Ended(submission.key(index), how, self._ends.words(state, cause))
