"""Resuming: what earlier lives of a run have done is not done again.

A call is known by its number and the name of its function, its tasks by their indexes and by
digests of what the function is called with. A task that has returned is answered at once. One that
is in the hands of an agent is waited for. Everything else is sent anew, and so is what raised an
exception: the program may have been mended.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections.abc import Iterator

from pypool.engine.calls import Batch, Call, Calls, Part, Portion
from pypool.engine.dealing.deal import Deal
from pypool.engine.dealing.ranges import Ranges
from pypool.engine.links import Link
from pypool.engine.outcomes import Outcomes
from pypool.engine.runs.recovery import Answer, OldBatch, OldCall, OldElement, OldRun, OldSubmission
from pypool.errors import RunDirectoryError
from pypool.rundir import messages, names, records
from pypool.rundir.batch import Place
from pypool.rundir.mailbox import FileWriter, OutboxReader
from pypool.rundir.messages import VALUE, Entry
from pypool.rundir.records import Record
from pypool.rundir.run import RunDirectory

log = logging.getLogger("pypool")

NOBODY_LEFT = ("terminate", "done")
"""What the journal says at last of a life that has ended all its elements."""


class Resumed:
    """See the module.

    Parameters
    ----------
    old : OldRun
        What was found.
    deal, calls, outcomes
        Of this life.
    """

    def __init__(self, old: OldRun, deal: Deal, calls: Calls, outcomes: Outcomes) -> None:
        self._old = old
        self._deal = deal
        self._calls = calls
        self._outcomes = outcomes
        self._batches: dict[int, Batch] = {}
        self._held: dict[int, Ranges] | None = None
        self._compared: dict[int, _Comparison] = {}
        self._asked_back = False
        self._dismissed = self._living() if old.is_others else []
        if old.ended in NOBODY_LEFT or old.is_others:
            for element in old.elements.values():
                element.left = True
        deal.lives.go_on(old.requests)
        self._give_back()

    # -- what is there

    @property
    def last_batch(self) -> int:
        """The highest number of a batch."""
        return max(self._old.batches, default=0)

    def places(self) -> Iterator[tuple[int, Place, int, bytes]]:
        """Number, place, chunk and function of each batch."""
        for batch in self._old.batches.values():
            place = Place(batch.number, batch.file, batch.offset)
            yield batch.number, place, batch.chunk, bytes.fromhex(batch.digest)

    def submissions(self) -> Iterator[tuple[OldSubmission, dict[int, OutboxReader]]]:
        """Those of which an element may live, with the outboxes of such."""
        for submission in self._old.submissions.values():
            elements = [
                self._old.elements[f"{submission.token}/{index}"]
                for index in range(submission.elements)
            ]
            outboxes = {i: each.outbox for i, each in enumerate(elements) if not each.left}
            if outboxes:
                yield submission, outboxes

    def _give_back(self) -> None:
        """Elements that may live have what they had; of a task dealt twice the last one counts."""
        shares = [
            (number, element, share)
            for element in self._living()
            for number, share in element.shares.items()
            if element.silent[number]
        ]
        given: dict[int, Ranges] = {}
        for number, element, share in sorted(shares, key=_number, reverse=True):
            silent = element.silent[number]
            taken = given.setdefault(share.batch, Ranges())
            for first, last in taken:
                silent.remove(first, last)
            for first, last in silent:
                taken.add(first, last)

    def _living(self) -> list[OldElement]:
        return [element for element in self._old.elements.values() if not element.left]

    def dismiss(self, run: RunDirectory) -> None:
        """Agents that are of no use are told to leave; those that have not begun find that."""
        for element in self._dismissed:
            name = names.inbox(element.directory)
            inbox = FileWriter.resume(run.open_file, name, run.mark, run.life)
            inbox.put(records.STOP)
            inbox.flush()

    def introduce(self, link: Link, now: float) -> None:
        """The link learns who is at its other end, as far as the agent has said."""
        element = self._old.elements[link.key]
        if element.said_hello:
            link.meet(element.host, element.job or None, now)

    def adopt(self, now: float) -> None:
        """The dealer learns who there may be, and what is in their hands."""
        lives = self._deal.lives
        for element in self._living():
            need = self._old.submissions[element.key.split("/")[0]].need
            slots = element.slots if element.said_hello else None
            lives.adopt_agent(element.key, slots, need, now)
            for number, share in sorted(element.shares.items()):
                batch = self._old.batches.get(share.batch)
                silent = element.silent[number]
                if batch is not None and silent:
                    self._deal.lives.adopt_batch(
                        batch.number, batch.count, batch.function, batch.chunk
                    )
                    self._deal.lives.adopt_share(
                        element.key, number, share.batch, share.first, share.last, silent, now
                    )

    def new_round(self) -> None:
        """What agents hold may have changed."""
        self._held = None

    # -- what the program asks for

    def claim(self, portion: Portion, now: float) -> list[Portion]:
        """Answers and takes up what can be; gives what has to be computed."""
        call = portion.call
        old = self._old.calls.get(call.number)
        if old is None:
            return [portion]
        if old.function != call.name:
            self._ask_back(now)
            return [portion]
        compared = self._compared.setdefault(call.number, _Comparison())
        open_ones = [
            position
            for position, digest in enumerate(portion.digests)
            if not self._take_up(call, portion.first + position, digest, old, compared)
        ]
        if compared.new:
            self._ask_back(now)
        if portion.final:
            compared.tell(call)
        return [portion.part(start, end) for start, end in _runs(open_ones)]

    def _ask_back(self, now: float) -> None:
        """Once: the program has changed, and may never ask for what agents are to do next."""
        if not self._asked_back:
            self._asked_back = True
            self._deal.lives.ask_back_unwanted(now)

    def _take_up(
        self, call: Call, index: int, digest: bytes, old: OldCall, compared: _Comparison
    ) -> bool:
        """Whether the task has an answer, or somebody is at it."""
        found = old.find(index)
        if found is None:
            compared.open += 1
            return False
        if not digest or found[0].digest_of(found[1]) != digest:
            compared.new += 1
            return False
        batch, task = found
        answer = batch.answers.get(task)
        if answer is not None and answer.entry.outcome == VALUE:
            answered = self._answer(call, index, answer)
            compared.answered += answered
            compared.open += not answered
            return answered
        if answer is None and task in self._in_hands().get(batch.number, ()):
            compared.held += 1
            self._wait_for(call, index, batch, task)
            return True
        compared.open += 1
        return False

    def _answer(self, call: Call, index: int, answer: Answer) -> bool:
        try:
            success, value = self._outcomes.decode(answer, answer.entry, call, index)
        except RunDirectoryError:
            return False
        if not success:  # it is damaged, or of a class that is not there any more
            return False
        self._calls.answer(call, index, value)
        return True

    def _in_hands(self) -> dict[int, Ranges]:
        if self._held is None:
            self._held = self._deal.lives.in_hands()
        return self._held

    def _wait_for(self, call: Call, index: int, old: OldBatch, task: int) -> None:
        batch = self._batches.setdefault(old.number, Batch(old.number))
        if not any(part.call is call for part in batch.parts):
            for each in self._old.calls[call.number].stretches:
                if each.batch is old:
                    insort(batch.parts, Part(each.start, call, each.first), key=_start)
        batch.left += 1
        self._calls.adopt(batch)
        self._deal.reopen(old.number, old.count, old.function, old.chunk, task)

    # -- what agents say

    def note(self, link: Link, record: Record) -> None:
        """Results: those of tasks that the program has not asked for yet may be asked for later."""
        batch = self._old.batches.get(record.key)
        if batch is not None:
            for entry in messages.entries_of_tasks(record.payload):
                self._note(batch, link, entry)

    def _note(self, batch: OldBatch, link: Link, entry: Entry) -> None:
        known = batch.answers.get(entry.index)
        if known is None or known.entry.outcome != VALUE:
            batch.answers[entry.index] = Answer(link.element, link.host, entry)


class _Comparison:
    """What was found of one call."""

    def __init__(self) -> None:
        self.answered = self.held = self.open = self.new = 0

    def tell(self, call: Call) -> None:
        count = self.answered + self.held + self.open + self.new
        if not count:
            return
        level = logging.INFO
        line = "call %d (%s): of %d tasks %d have been done before, %d are with workers"
        words: list[object] = [call.number, call.name, count, self.answered, self.held]
        if 2 * self.new > count:
            level = logging.WARNING
            line += (
                "; %d ARE NEW OR HAVE CHANGED since the run was last begun and are computed. "
                "If that is not meant, stop now and look at what the function is called with"
            )
            words.append(self.new)
        log.log(level, line, *words)


def _runs(positions: list[int]) -> list[tuple[int, int]]:
    """Stretches start, end of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for position in positions:
        if found and found[-1][1] == position:
            found[-1] = found[-1][0], position + 1
        else:
            found.append((position, position + 1))
    return found


def _number(share: tuple[int, object, object]) -> int:
    return share[0]


def _start(part: Part) -> int:
    return part.start
