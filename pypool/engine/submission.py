"""Elements on a cluster: asking the scheduler for them, looking after them, cancelling them.

Everything that has a name on disk is there before the scheduler is asked. Nothing here waits
for the scheduler: `advance` looks whether an answer has come.
"""

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pypool.config import Options
from pypool.engine.journal import Journal
from pypool.engine.links import FileLink, Link
from pypool.errors import PoolError
from pypool.rundir import names
from pypool.rundir.run import RunDirectory
from pypool.schedulers.base import Element, ElementState, Pending, Scheduler, wait

log = logging.getLogger("pypool")

LONGEST_INTERVAL = 6.0
"""The queue is looked at ever less often, down to this many times the first interval."""

SUBMIT_PATIENCE = 10.0
CANCEL_PATIENCE = 10.0
SAY_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The scheduler did not take a submission."""

    keys: list[str]
    error: PoolError


@dataclass(frozen=True, slots=True)
class Listed:
    """A good answer of the scheduler, by element."""

    states: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """The scheduler, or the system, says that an element is over."""

    key: str
    how: str


News = Refused | Listed | Ended


@dataclass(slots=True)
class Submission:
    """One array.

    Attributes
    ----------
    job : str or None
        The scheduler's id, once it has given one.
    """

    token: str
    elements: int
    answer: Pending[str]
    job: str | None = None
    over: set[int] = field(default_factory=set)

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
        self._cancelling: list[Pending[None]] = []
        self._first_interval = scheduler.interval or options.scheduler_interval
        self._interval = self._first_interval
        self._look_at = 0.0
        self._say_at = 0.0
        self._waiting_since: float | None = None
        self._last_end = ""
        self._last_over: Submission | None = None
        agents = -(-options.processes // options.workers_per_element)
        self._longest_sleep = min(max(agents / 500, 0.02), 20.0)

    # -- asking for elements

    def submit(self, elements: int, now: float) -> list[Link]:
        """Makes the elements' directories and asks the scheduler for them."""
        token = os.urandom(4).hex()
        links: list[Link] = []
        self._run.make_directory(f"{names.ELEMENTS}/{token}")
        for index in range(elements):
            element = names.element(token, index)
            self._run.make_directory(element)
            self._run.make_file(names.inbox(element))
            self._run.make_file(names.outbox(element, 1))
            links.append(FileLink(self._run, f"{token}/{index}", self._longest_sleep, now))
        self._journal.submitting(token, elements)
        script = f"{self._run.path}/{names.JOB_SCRIPT}"
        answer = self._scheduler.submit(script, token, elements)
        self._submissions[token] = Submission(token, elements, answer)
        self._interval = self._first_interval
        self._look_at = now + self._interval
        self._waiting_since = now
        self._say_at = now + SAY_AFTER
        return links

    def advance(self, now: float, asks: bool, awaited: Collection[str] = ()) -> Iterator[News]:
        """What has become known.

        Parameters
        ----------
        asks : bool
            Somebody wants the queue to be looked at.
        awaited : collection of str
            Elements that have not said hello.
        """
        for submission in list(self._submissions.values()):
            if submission.job is None and submission.answer.done():
                yield from self._take_answer(submission)
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

    @property
    def next_look(self) -> float:
        """When `advance` has something to do, if nothing happens before."""
        return self._look_at

    @property
    def waits_for_command(self) -> bool:
        """A command is running whose end should be noticed soon."""
        return (
            self._looking is not None
            or bool(self._cancelling)
            or any(each.job is None for each in self._submissions.values())
        )

    def _take_answer(self, submission: Submission) -> Iterator[News]:
        try:
            submission.job = submission.answer.value()
        except PoolError as error:
            del self._submissions[submission.token]
            if not getattr(error, "unclear", False):
                self._run.remove_tree(f"{names.ELEMENTS}/{submission.token}")
            yield Refused(submission.keys, error)
        else:
            self._journal.submitted(submission.token, submission.job)

    def _look(self, now: float) -> None:
        jobs = [each.job for each in self._submissions.values() if each.job is not None]
        self._look_at = now + self._interval
        self._interval = min(self._interval * 1.5, LONGEST_INTERVAL * self._first_interval)
        if self._look_at > self._say_at > now:
            self._look_at = self._say_at  # nobody waits for longer without a word
        if jobs:
            self._looking = self._scheduler.queue(jobs)

    def _take_states(
        self, states: dict[Element, ElementState], awaited: Collection[str], now: float
    ) -> Iterator[News]:
        listed: dict[str, str] = {}
        reasons: set[str] = set()
        for submission in list(self._submissions.values()):
            for index in range(submission.elements):
                state = states.get((submission.job or "", index))
                if state is None or index in submission.over:
                    continue
                if state.phase == "ended":
                    submission.over.add(index)
                    self._last_end = f"{state.word} {state.reason}".strip()
                    yield Ended(submission.key(index), state.word)
                else:
                    key = submission.key(index)
                    listed[key] = state.phase
                    if state.phase == "pending":
                        reasons.add(state.reason or "no reason given")
                    elif key in awaited:
                        reasons.add("elements run but have not said hello yet")
            self._drop_if_over(submission)
        self._say_what_is_waited_for(reasons, now)
        yield Listed(listed)

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

    def _drop_if_over(self, submission: Submission) -> None:
        if len(submission.over) == submission.elements:
            self._submissions.pop(submission.token, None)
            self._last_over = submission

    def end(self, keys_pending: list[str], at_once: bool) -> None:
        """At the end of the run: cancels what is pending, or everything, and waits for that."""
        for submission in self._submissions.values():
            if submission.job is None:
                self._await_job(submission)
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

    def _await_job(self, submission: Submission) -> None:
        """A submission in flight is waited for; after that its elements find `stop` and leave."""
        try:
            submission.job = wait(submission.answer, SUBMIT_PATIENCE)
        except PoolError:
            return
        if submission.job is None:
            log.warning(
                "the scheduler has not answered a submission for %.0f s; if it took it, the job is "
                "called pypool-%s and ends by itself",
                SUBMIT_PATIENCE,
                submission.token,
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
