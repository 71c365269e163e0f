"""Elements on a cluster: asking the scheduler for them, looking after them, cancelling them.

Everything that has a name on disk is there before the scheduler is asked. Nothing here waits
for the scheduler: `advance` looks whether an answer has come.
"""

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from pypool.engine.array_limit import ArrayLimit
from pypool.engine.asking import Asking, Seldom
from pypool.engine.journal import Journal
from pypool.engine.links import FileLink, Link
from pypool.errors import PoolError, SubmitError
from pypool.options import Options
from pypool.rundir import names
from pypool.rundir.run import RunDirectory
from pypool.schedulers.base import Element, ElementState, Pending, Scheduler, wait

log = logging.getLogger("pypool")

LONGEST_INTERVAL = 6.0
"""The queue is looked at ever less often, down to this many times the first interval."""

SUBMIT_PATIENCE = 10.0
CANCEL_PATIENCE = 10.0
SAY_AFTER = 60.0

NOT_TAKEN_YET = ElementState("pending", "", "the scheduler has not answered the submission")


@dataclass(frozen=True, slots=True)
class Refused:
    """The scheduler did not take a submission."""

    keys: list[str]
    error: PoolError


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The scheduler takes fewer elements: these will not come.

    Attributes
    ----------
    in_one_array : bool
        It takes no more in one array, and may take another array at once.
    """

    keys: list[str]
    in_one_array: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A good answer of the scheduler, by element."""

    states: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """The scheduler, or the system, says that an element is over."""

    key: str
    how: str


News = Refused | Shrunk | Listed | Ended


@dataclass(slots=True)
class Submission:
    """One array.

    Attributes
    ----------
    wanted, elements : int
        Elements that were asked for at first, and now.
    asking : Asking or None
        Until the scheduler has given an id.
    job : str or None
        The scheduler's id.
    over : set of int
        Indexes of elements that will not be heard again.
    why_fewer : str
        The scheduler's words if it does not take as many as were wanted.
    refused : str
        Its words if it has refused the size, until its limit is known.
    """

    token: str
    wanted: int
    elements: int
    asking: Asking | None
    job: str | None = None
    over: set[int] = field(default_factory=set)
    why_fewer: str = ""
    refused: str = ""

    def key(self, index: int) -> str:
        return f"{self.token}/{index}"

    @property
    def keys(self) -> list[str]:
        return [self.key(index) for index in range(self.elements)]


class ClusterElements:
    """The elements of one run under a scheduler."""

    def __init__(
        self, run: RunDirectory, scheduler: Scheduler, options: Options, journal: Journal
    ) -> None:
        self._run = run
        self._scheduler = scheduler
        self._options = options
        self._journal = journal
        self._submissions: dict[str, Submission] = {}
        self._looking: Pending[dict[Element, ElementState]] | None = None
        self._looking_back: Pending[dict[Element, ElementState]] | None = None
        self._looked_for: set[str] = set()
        self._cancelling: list[Pending[None]] = []
        self._first_interval = scheduler.interval or options.scheduler_interval
        self._interval = self._first_interval
        self._look_at = 0.0
        self._say_at = 0.0
        self._waiting_since: float | None = None
        self._no_answers = Seldom()
        self._refusals = Seldom()
        self._limit = ArrayLimit(scheduler)
        self._limit_said = False
        self._last_end = ""
        self._last_over: Submission | None = None
        self._longest_sleep = min(max(options.elements / 500, 0.02), 20.0)

    # -- asking for elements

    def submit(self, elements: int, now: float) -> list[Link]:
        """Makes the elements' directories and asks the scheduler for them."""
        links = [link for size in self._limit.split(elements) for link in self._array(size, now)]
        self._interval = self._first_interval
        self._look_at = now + self._interval
        self._waiting_since = now
        self._say_at = now + SAY_AFTER
        return links

    def _array(self, elements: int, now: float) -> list[Link]:
        token = os.urandom(4).hex()
        links: list[Link] = []
        self._run.make_directory(f"{names.ELEMENTS}/{token}")
        for index in range(elements):
            element = names.element(token, index)
            self._run.make_directory(element)
            self._run.make_file(names.inbox(element))
            self._run.make_file(names.outbox(element, 1))
            links.append(FileLink(self._run, f"{token}/{index}", self._longest_sleep, now))
        self._submissions[token] = Submission(token, elements, elements, self._ask(token, elements))
        return links

    def _ask(self, token: str, elements: int) -> Asking:
        self._journal.submitting(token, elements)
        script = f"{self._run.path}/{names.JOB_SCRIPT}"
        return Asking(self._scheduler, script, token, elements, self._no_answers)

    def advance(self, now: float, asks: bool, awaited: Collection[str] = ()) -> Iterator[News]:
        """What has become known.

        Parameters
        ----------
        asks : bool
            Somebody wants the queue to be looked at.
        awaited : collection of str
            Elements that have not said hello.
        """
        self._scheduler.tidy()
        if self._limit.came():
            yield from self._ask_for_what_fits()
        for submission in list(self._submissions.values()):
            if submission.asking is not None:
                yield from self._go_on_asking(submission, submission.asking, now)
        self._cancelling = [each for each in self._cancelling if not _is_over(each)]
        if self._looking is not None and self._looking.done():
            looking, self._looking = self._looking, None
            try:
                states = looking.value()
            except PoolError as error:
                log.warning("%s\npypool goes on without; tasks are not affected", error)
            else:
                yield from self._take_states(states, awaited, now)
        elif self._looking is None and asks and now >= self._look_at:
            self._look(now)
        if self._looking_back is not None and self._looking_back.done():
            looking, self._looking_back = self._looking_back, None
            with suppress(PoolError):  # whoever is absent for long is lost without it
                yield from self._take_ends(looking.value())

    @property
    def next_look(self) -> float:
        """When `advance` has something to do, if nothing happens before."""
        return self._look_at

    @property
    def waits_for_command(self) -> bool:
        """A command is running whose end should be noticed soon."""
        return (
            self._looking is not None
            or self._looking_back is not None
            or self._limit.in_command
            or bool(self._cancelling)
            or any(each.asking and each.asking.in_command for each in self._submissions.values())
        )

    def _go_on_asking(self, submission: Submission, asking: Asking, now: float) -> Iterator[News]:
        if self._drop_if_over(submission):
            return
        try:
            job = asking.advance(now)
        except PoolError as error:
            yield from self._take_refusal(submission, asking, error, now)
        else:
            if job is not None:
                self._take_job(submission, job)

    def _take_job(self, submission: Submission, job: str) -> None:
        submission.job, submission.asking = job, None
        self._journal.submitted(submission.token, job)
        if submission.why_fewer:
            log.warning(
                "%s takes %d of %d elements at once: %s; the others are asked for later",
                self._scheduler.name,
                submission.elements,
                submission.wanted,
                submission.why_fewer,
            )

    def _take_refusal(
        self, submission: Submission, asking: Asking, error: PoolError, now: float
    ) -> Iterator[News]:
        """Fewer elements if the scheduler may take those, else none."""
        words = error.words if isinstance(error, SubmitError) and error.words else str(error)
        keys = submission.keys
        if isinstance(error, SubmitError) and error.too_many and submission.elements > 1:
            submission.asking, submission.refused = None, words
            if not self._limit.ask():
                yield from self._ask_for_what_fits()
            return
        del self._submissions[submission.token]
        if not asking.ever_in_doubt:
            self._run.remove_tree(f"{names.ELEMENTS}/{submission.token}")
        if self._submissions:
            self._refusals.warn(
                now,
                "%s refuses more elements: %s; those that are there go on, it is asked again later",
                self._scheduler.name,
                words,
            )
        yield Refused(keys, error)

    def _ask_for_what_fits(self) -> Iterator[News]:
        """After a refusal of the size: as many as one array may have, or else half of them."""
        for submission in [each for each in self._submissions.values() if each.refused]:
            keys = submission.keys
            words, submission.refused = submission.refused, ""
            in_one_array = not self._limit.allows(submission.elements)
            if in_one_array:
                submission.elements = self._limit.value or 1
                self._say_limit()
            else:
                submission.elements //= 2
                submission.why_fewer = words
            submission.asking = self._ask(submission.token, submission.elements)
            yield Shrunk(keys[submission.elements :], in_one_array)

    def _say_limit(self) -> None:
        """Once: several submissions may have been refused for it."""
        if self._limit_said:
            return
        self._limit_said = True
        log.warning(
            "%s takes at most %d elements in one array: several arrays are submitted",
            self._scheduler.name,
            self._limit.value,
        )

    def _look(self, now: float) -> None:
        jobs = [each.job for each in self._submissions.values() if each.job is not None]
        self._look_at = now + self._interval
        self._interval = min(self._interval * 1.5, LONGEST_INTERVAL * self._first_interval)
        if self._look_at > self._say_at > now:
            self._look_at = self._say_at  # nobody waits for longer without a word
        if jobs:
            self._looked_for = set(jobs)
            self._looking = self._scheduler.queue(jobs)

    def _take_states(
        self, states: dict[Element, ElementState], awaited: Collection[str], now: float
    ) -> Iterator[News]:
        listed: dict[str, str] = {}
        absent: list[Element] = []
        reasons: set[str] = set()
        for submission in list(self._submissions.values()):
            for index in range(submission.elements):
                if index in submission.over:
                    continue
                key = submission.key(index)
                state = self._state(submission, index, states)
                if state is None:
                    absent.append((submission.job or "", index))
                    continue
                if state.phase == "ended":
                    yield self._ended(submission, index, state)
                    continue
                listed[key] = state.phase
                if state.phase == "pending":
                    reasons.add(state.reason or "no reason given")
                elif key in awaited:
                    reasons.add("elements run but have not said hello yet")
            self._drop_if_over(submission)
        self._say_what_is_waited_for(reasons, now)
        if absent and self._looking_back is None:
            self._looking_back = self._scheduler.ends(absent)
        yield Listed(listed)

    def _take_ends(self, ends: dict[Element, ElementState]) -> Iterator[News]:
        """What has left the queue, and how."""
        for submission in list(self._submissions.values()):
            for index in range(submission.elements):
                state = ends.get((submission.job or "", index))
                if state is not None and index not in submission.over:
                    yield self._ended(submission, index, state)
            self._drop_if_over(submission)

    def _ended(self, submission: Submission, index: int, state: ElementState) -> Ended:
        submission.over.add(index)
        self._last_end = f"{state.word} {state.reason}".strip()
        return Ended(submission.key(index), state.word)

    def _state(
        self, submission: Submission, index: int, states: dict[Element, ElementState]
    ) -> ElementState | None:
        if submission.job is None or submission.job not in self._looked_for:
            return NOT_TAKEN_YET  # nobody has asked for it, so its absence means nothing
        return states.get((submission.job, index))

    def _say_what_is_waited_for(self, reasons: set[str], now: float) -> None:
        if reasons and now >= self._say_at and self._waiting_since is not None:
            self._say_at = now + SAY_AFTER
            waited = now - self._waiting_since
            log.warning(
                "waits for %s since %.0f s: %s; logs are in %s/%s",
                self._scheduler.name,
                waited,
                ", ".join(sorted(reasons)),
                self._run.path,
                names.SCHEDULER,
            )

    # -- cancelling

    def cancel(self, keys: list[str]) -> None:
        """Cancels single elements."""
        elements = []
        for key in keys:
            token, index = key.split("/")
            submission = self._submissions.get(token)
            if submission is not None and submission.job is not None:
                elements.append((submission.job, int(index)))
        if elements:
            self._cancelling.append(self._scheduler.cancel([], elements))

    def forget(self, key: str) -> None:
        """The element has said goodbye."""
        token, index = key.split("/")
        submission = self._submissions.get(token)
        if submission is not None:
            submission.over.add(int(index))
            self._drop_if_over(submission)

    def _drop_if_over(self, submission: Submission) -> bool:
        asked = submission.asking is not None and submission.asking.in_command
        if asked or len(submission.over) < submission.elements:
            return False
        self._submissions.pop(submission.token, None)
        self._last_over = submission
        if submission.job is not None:
            self._scheduler.forget(submission.job)
        return True

    def end(self, keys_pending: list[str], at_once: bool) -> None:
        """At the end of the run: cancels what is pending, or everything, and waits for that."""
        for submission in self._submissions.values():
            if submission.asking is not None:
                self._await_job(submission, submission.asking)
        jobs = [each.job for each in self._submissions.values() if each.job is not None]
        if at_once:
            if jobs:
                self._cancelling.append(self._scheduler.cancel(jobs, []))
        else:
            self.cancel(keys_pending)
        for pending in self._cancelling:
            try:
                wait(pending, CANCEL_PATIENCE)
            except PoolError as error:
                log.warning("%s\nThe job may still be there: %s", error, " ".join(jobs))
        self._cancelling = []
        wait(self._scheduler.settle(), CANCEL_PATIENCE)

    def _await_job(self, submission: Submission, asking: Asking) -> None:
        """A submission in flight is waited for; after that its elements find `stop` and leave."""
        submission.job = asking.last_word(SUBMIT_PATIENCE)
        if submission.job is None and asking.in_doubt:
            log.warning(
                "%s has not answered a submission; if it took the job, its elements leave by "
                "themselves as soon as they start. To cancel them before:\n    %s",
                self._scheduler.name,
                self._scheduler.cancel_by_hand(submission.token),
            )

    # -- for messages

    def explain(self) -> str:
        """The end of an element's log, and what the scheduler has to add."""
        told = [f"The scheduler's last word: {self._last_end}."] if self._last_end else []
        submissions = [*filter(None, [self._last_over]), *self._submissions.values()]
        for submission in submissions[-1:]:
            for index in range(submission.elements):
                name = self._scheduler.log_file(submission.job or "", index)
                try:
                    text = self._run.read(f"{names.SCHEDULER}/{name}").decode(errors="replace")
                except OSError:
                    continue
                if text.strip():
                    told.append(f"{self._run.path}/{names.SCHEDULER}/{name} ends in:")
                    told += ["    " + line for line in text.strip().splitlines()[-20:]]
                    break
            if submission.job is not None:
                told += filter(None, [wait(self._scheduler.explain(submission.job), 5.0)])
        told.append(f"The job script is {self._run.path}/{names.JOB_SCRIPT}.")
        return "\n".join(told)


def _is_over(pending: Pending[None]) -> bool:
    if not pending.done():
        return False
    try:
        pending.value()
    except PoolError as error:
        log.warning("%s", error)
    return True
