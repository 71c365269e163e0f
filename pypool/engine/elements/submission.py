"""Elements on a cluster: asking the scheduler for them, looking after them, cancelling them.

Everything that has a name on disk is there before the scheduler is asked. Nothing here waits
for the scheduler before the end of the run: `advance` looks whether an answer has come.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping

from pypool.engine.dealing.needs import USUAL, Need
from pypool.engine.elements.array_limit import ArrayLimit
from pypool.engine.elements.arrays import Submission
from pypool.engine.elements.asking import Asking, NeverSubmitted
from pypool.engine.elements.away import LONGEST_PAUSE, Away, Seldom
from pypool.engine.elements.cancelling import Cancelling
from pypool.engine.elements.doubles import Doubles
from pypool.engine.elements.early_ends import Ends
from pypool.engine.elements.last_look import LastLook
from pypool.engine.elements.looks import Looks
from pypool.engine.elements.news import Ended, Grace, Listed, News, Refused, Shrunk
from pypool.engine.elements.waiting import Waiting
from pypool.engine.elements.watch import OVERDUE_BEATS, Watch
from pypool.engine.hands import HANDS, Hands
from pypool.engine.journal import Journal
from pypool.engine.links import FileLink, Link
from pypool.engine.polling import FEW
from pypool.engine.runs.recovery import OldSubmission
from pypool.errors import PoolError, SubmitError
from pypool.options import Options
from pypool.rundir import names
from pypool.rundir.mailbox import OutboxReader
from pypool.rundir.messages import beat_seconds
from pypool.rundir.run import RunDirectory
from pypool.schedulers.base import Pending, Scheduler, abandon, wait

__all__ = ["ClusterElements", "Ended", "Grace", "Listed", "News", "Refused", "Shrunk"]

log = logging.getLogger("pypool")

SUBMIT_PATIENCE = 10.0
CANCEL_PATIENCE = 10.0

LONG_RUN = 60.0
"""Seconds: in a run that is longer the scheduler may have been away though nobody asked it."""


class ClusterElements:
    """The elements of one run under a scheduler."""

    def __init__(
        self,
        run: RunDirectory,
        scheduler: Scheduler,
        options: Options,
        journal: Journal,
        write_script: Callable[[Need], object] | None = None,
    ) -> None:
        """`write_script` writes the job script of elements with another need than usual."""
        self._write_script = write_script
        self._written = {USUAL}
        self._run = run
        self._scheduler = scheduler
        self._options = options
        self._journal = journal
        self._submissions: dict[str, Submission] = {}
        self._past: dict[str, Submission] = {}
        self._away = Away(scheduler.name)
        interval = scheduler.interval or options.scheduler_interval
        self._looks = Looks(scheduler, interval, self._away)
        self._cancelling = Cancelling(scheduler, self._away, self._token_of)
        self._waiting = Waiting(scheduler, run.path)
        self._ends = Ends(run, scheduler)
        overdue = OVERDUE_BEATS * beat_seconds(options.elements)
        self._watch = Watch(
            self._submissions,
            scheduler,
            self._looks,
            self._cancelling,
            self._waiting,
            self._ends,
            overdue,
        )
        self._refusals = Seldom()
        self._limit = ArrayLimit(scheduler)
        self._limit_said = False
        self._grace: Pending[float] | None = None
        self._grace_at: float | None = None
        self._began = time.monotonic()

    # -- asking for elements

    def submit(self, elements: int, now: float, need: Need = USUAL) -> list[Link]:
        """Makes the elements' directories and asks the scheduler for them."""
        if self._write_script is not None and need not in self._written:
            self._write_script(need)
            self._written.add(need)
        links: list[Link] = []
        for size in self._limit.split(elements):
            links += self._array(size, now, need)
        self._looks.often(now)
        self._waiting.begins(now)
        return links

    def _array(self, elements: int, now: float, need: Need) -> list[FileLink]:
        token = names.token(self._run.life, os.urandom(4).hex())
        self._run.make_directory(f"{names.ELEMENTS}/{token}")
        submission = Submission(token, elements, elements, None, need)
        self._make_places(token, elements)
        for index in range(elements):
            key = submission.key(index)
            submission.links[index] = FileLink(self._run, key, self._options.elements, now)
        submission.asking = self._ask(submission)
        self._submissions[token] = submission
        return list(submission.links.values())

    def _make_places(self, token: str, elements: int) -> None:
        """All their files, of many elements several at the same time: each takes three calls."""

        def make(index: int) -> None:
            element = names.element(token, index)
            self._run.make_directory(element)
            self._run.make_file(names.inbox(element))
            self._run.make_file(names.outbox(element, 1))

        if elements <= FEW:
            for index in range(elements):
                make(index)
            return
        hands = Hands(HANDS)
        try:
            hands.all(make, range(elements))
        finally:
            hands.close()

    def _ask(self, submission: Submission) -> Asking:
        token, elements, need = submission.token, submission.elements, submission.need
        self._journal.submitting(token, elements, need)
        script = f"{self._run.path}/{names.job_script(need, self._run.life)}"
        avoid = self._ends.leave_out()
        return Asking(self._scheduler, script, token, elements, self._away, avoid)

    def adopt(
        self, old: OldSubmission, outboxes: Mapping[int, OutboxReader], now: float
    ) -> list[FileLink]:
        """An array of an earlier life; `outboxes` of those of its elements that may live.

        If no job id is known, the array may not have been submitted: it is looked for by its
        token, and never submitted again.
        """
        token, size = old.token, old.elements
        submission = Submission(token, size, size, None, old.need)
        submission.over = set(range(size)) - set(outboxes)
        submission.links = {
            index: FileLink(self._run, submission.key(index), self._options.elements, now, outbox)
            for index, outbox in outboxes.items()
        }
        if old.job is not None:
            submission.add(old.job)
            submission.doubles = Doubles(self._scheduler, token, self._away, now)
        else:
            script = ""
            submission.asking = Asking(
                self._scheduler, script, token, size, self._away, submits=False
            )
        self._submissions[token] = submission
        self._grace_at = now if self._grace_at is None else self._grace_at
        self._looks.often(now)
        self._waiting.begins(now)
        return list(submission.links.values())

    def leave(self) -> None:
        """The driver goes and nothing is cancelled: only what is being asked for is waited for."""
        for submission in self._submissions.values():
            if submission.asking is not None:
                self._await_jobs(submission, submission.asking)
                for job in submission.jobs:
                    self._journal.submitted(submission.token, job)
        abandon()

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
            elif submission.doubles is not None:
                self._look_for_doubles(submission, submission.doubles, now)
        self._cancelling.advance(now)
        self._waiting.advance(now)
        yield from self._ask_for_grace(now)
        states = self._looks.take(now)
        if states is not None:
            yield from self._watch.take(states, awaited, now)
        elif now >= self._looks.next_at and (asks or self._looks_by_itself):
            self._look(now)
        yield from self._watch.look_back(now)
        for submission in list(self._submissions.values()):
            self._drop_if_over(submission)

    @property
    def next_look(self) -> float:
        """When `advance` has something to do, if nothing happens before."""
        return self._looks.next_at

    @property
    def _looks_by_itself(self) -> bool:
        """An element that may come back into the queue, or is there again, is looked after."""
        return any(each.watched or each.requeued for each in self._submissions.values())

    @property
    def waits_for_command(self) -> bool:
        """A command is running whose end should be noticed soon."""
        return (
            self._looks.in_command
            or self._watch.in_command
            or self._limit.in_command
            or self._cancelling.in_command
            or self._waiting.in_command
            or any(
                (each.asking and each.asking.in_command)
                or (each.doubles and each.doubles.in_command)
                for each in self._submissions.values()
            )
        )

    def _go_on_asking(self, submission: Submission, asking: Asking, now: float) -> Iterator[News]:
        if self._drop_if_over(submission):
            return
        try:
            jobs = asking.advance(now)
        except NeverSubmitted as error:
            yield from self._take_absence(submission, str(error), now)
        except PoolError as error:
            yield from self._take_refusal(submission, asking, error, now)
        else:
            if asking.in_doubt and not jobs and self._scheduler.agents_know_job:
                jobs = submission.told_by_agents()
            if jobs:
                self._take_jobs(submission, asking, jobs, now)

    def _take_jobs(
        self, submission: Submission, asking: Asking, jobs: list[str], now: float
    ) -> None:
        submission.asking = None
        if asking.may_be_double or asking.ever_in_doubt:
            submission.doubles = Doubles(self._scheduler, submission.token, self._away, now)
        for job in jobs:
            self._add_job(submission, job)
        if self._grace_at is None:
            self._grace_at = now
        if submission.why_fewer:
            log.warning(
                "%s takes %d of %d elements at once: %s; the others are asked for later",
                self._scheduler.name,
                submission.elements,
                submission.wanted,
                submission.why_fewer,
            )

    def _add_job(self, submission: Submission, job: str) -> None:
        if not submission.add(job):
            return
        self._journal.submitted(submission.token, job)
        if len(submission.jobs) > 1:
            log.warning(
                "%s has taken a submission twice, as jobs %s: of each element the agent that came "
                "first stays",
                self._scheduler.name,
                " and ".join(submission.jobs),
            )

    def _look_for_doubles(self, submission: Submission, doubles: Doubles, now: float) -> None:
        """As soon as there are two, what is too much is looked for."""
        before = len(submission.jobs)
        for job in doubles.advance(now, submission.pending):
            self._add_job(submission, job)
        if len(submission.jobs) > before:
            self._looks.next_at = now
        self._drop_if_over(submission)

    def _take_absence(self, submission: Submission, why: str, now: float) -> Iterator[News]:
        """An earlier life was about to submit it, and did not, as far as anybody knows."""
        submission.asking = None
        submission.doubles = Doubles(self._scheduler, submission.token, self._away, now)
        for index in range(submission.elements):
            if index not in submission.over and not submission.said_hello(index):
                submission.over.add(index)
                yield Ended(submission.key(index), "never submitted", why)
        self._drop_if_over(submission)

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
        if asking.ever_in_doubt:
            self._past[submission.token] = submission
        else:
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
            submission.asking = self._ask(submission)
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

    def _ask_for_grace(self, now: float) -> Iterator[News]:
        """Once, after the first array has been taken; again later if that cannot be known now."""
        if self._grace is None:
            if self._grace_at is not None and now >= self._grace_at:
                self._grace = self._scheduler.grace()
            return
        if self._grace_at == float("inf") or not self._grace.done():
            return
        try:
            seconds = self._grace.value()
        except PoolError:
            self._grace, self._grace_at = None, now + LONGEST_PAUSE
            return
        self._grace_at = float("inf")
        yield Grace(seconds)

    # -- looking after them

    def _look(self, now: float) -> None:
        if self._looks.in_command:
            return
        for submission in self._submissions.values():
            if submission.in_doubt and self._scheduler.agents_know_job:
                for job in submission.told_by_agents():
                    self._add_job(submission, job)
        jobs = [job for each in self._submissions.values() for job in each.jobs]
        self._looks.begin(jobs, self._waiting.say_at, now)

    # -- cancelling

    def cancel(self, keys: list[str]) -> None:
        """Cancels single elements."""
        elements = []
        for key in keys:
            token, index = key.split("/")
            submission = self._submissions.get(token)
            if submission is not None:
                elements += [(job, int(index)) for job in submission.jobs]
        self._cancelling.cancel([], elements)

    def _token_of(self, job: str) -> str | None:
        """By which the name of a job of ours is known."""
        submissions = [*self._submissions.values(), *self._past.values()]
        return next((each.token for each in submissions if job in each.jobs), None)

    def forget(self, key: str) -> None:
        """The element has said goodbye.

        If it left at a signal it may come into the queue again.
        """
        token, number = key.split("/")
        submission = self._submissions.get(token)
        if submission is None:
            return
        index = int(number)
        submission.over.add(index)
        submission.requeued.pop(index, None)
        link = submission.links.get(index)
        if link is not None and link.left_by == "signal" and self._scheduler.agents_know_job:
            submission.watched.add(index)
            self._looks.soon(link.heard)
        self._drop_if_over(submission)

    def _drop_if_over(self, submission: Submission) -> bool:
        if not submission.is_over or submission.token not in self._submissions:
            return False
        del self._submissions[submission.token]
        submission.links.clear()
        self._past[submission.token] = submission
        for job in submission.jobs:
            self._scheduler.forget(job)
        return True

    # -- the end

    def end(self, keys_pending: list[str], at_once: bool) -> None:
        """At the end of the run: cancels what is pending, or everything, and waits for that."""
        for submission in self._submissions.values():
            if submission.asking is not None:
                self._await_jobs(submission, submission.asking)
        deadline = time.monotonic() + CANCEL_PATIENCE
        if at_once:
            jobs = [job for each in self._submissions.values() for job in each.jobs]
            self._cancelling.cancel(jobs, [])
        else:
            self.cancel(keys_pending)
        cancelled = self._cancelling.finish(deadline)
        if not (self._see_to_it(deadline) and cancelled):
            self._say_what_to_cancel()
        wait(self._scheduler.settle(), CANCEL_PATIENCE)
        abandon()

    def _see_to_it(self, deadline: float) -> bool:
        """If elements may have come into the queue behind our back: whether none is left there."""
        submissions = [*self._past.values(), *self._submissions.values()]
        tokens = [each.token for each in submissions if each.in_doubt]
        watched = [
            (job, index) for each in submissions for job in each.jobs for index in each.watched
        ]
        is_long = time.monotonic() - self._began > LONG_RUN and self._scheduler.agents_know_job
        if not (tokens or watched or self._away.ever or is_long):
            return True
        jobs = [job for each in submissions for job in each.jobs]
        look = LastLook(self._scheduler, jobs, tokens, watched, all_leave=self._away.ever)
        return look.see_to_it(deadline)

    def _say_what_to_cancel(self) -> None:
        submissions = [*self._past.values(), *self._submissions.values()]
        by_hand = [self._scheduler.cancel_by_hand(each.token) for each in submissions if each.jobs]
        if by_hand:
            log.warning(
                "%s gave no good answer at the end of the run: elements may still be in the "
                "queue. To cancel them:\n    %s",
                self._scheduler.name,
                "\n    ".join(by_hand),
            )

    def _await_jobs(self, submission: Submission, asking: Asking) -> None:
        """A submission in flight is waited for; after that its elements find `stop` and leave."""
        for job in asking.last_word(SUBMIT_PATIENCE):
            submission.add(job)
        if not submission.jobs and asking.in_doubt:
            log.warning(
                "%s has not answered a submission; if it took the job, its elements leave by "
                "themselves as soon as they start. To cancel them before:\n    %s",
                self._scheduler.name,
                self._scheduler.cancel_by_hand(submission.token),
            )

    # -- for messages

    def pardon_nodes(self) -> None:
        """Elements that ended early have met something that is the same on all nodes."""
        self._ends.pardon_nodes()

    def explain(self) -> str:
        """The end of an element's log, and what the scheduler has to add."""
        submissions = [*list(self._past.values())[-1:], *self._submissions.values()]
        last = submissions[-1] if submissions else None
        jobs = last.jobs if last is not None else []
        elements = last.elements if last is not None else 0
        need = last.need if last is not None else USUAL
        return self._ends.explain(jobs, elements, names.job_script(need, self._run.life))
