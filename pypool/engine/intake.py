"""Intake: from what agents write to the dealer's events, and from results to their callers.

Whether an answer counts is the dealer's decision; what it says is read by `outcomes`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from pypool.engine.calls import LIGHT, Batch, Calls
from pypool.engine.dealing.deal import Deal
from pypool.engine.dealing.estimates import Done, tasks_in
from pypool.engine.dealing.ranges import numbers
from pypool.engine.journal import Journal
from pypool.engine.links import Link
from pypool.engine.outcomes import Outcomes, how_it_died, initializer_failed, short_of
from pypool.errors import PoolError, VersionMismatchError
from pypool.printable import printable
from pypool.rundir import messages, records
from pypool.rundir.messages import Entry
from pypool.rundir.records import Record

log = logging.getLogger("pypool")

_GREETINGS = (records.HELLO, records.BEAT)


class Intake:
    """Takes records.

    Parameters
    ----------
    deal : Deal
        Is told what happened.
    calls : Calls
        Those that are open; their callers are told.
    outcomes, journal
        Read results; write down what was done with each task.
    linger : callable
        Seconds that an agent is to stay without work, by the seconds its element waited.

    Attributes
    ----------
    refusals : dict of str to PoolError
        What agents said that cannot serve, where it is more than a failed start.
    grace : float
        Seconds between the signal that announces the end of an element and its end; 0 if unknown.
    """

    def __init__(
        self,
        deal: Deal,
        calls: Calls,
        outcomes: Outcomes,
        journal: Journal,
        linger: Callable[[float], float],
    ) -> None:
        self._deal = deal
        self._calls = calls
        self._outcomes = outcomes
        self._journal = journal
        self._linger = linger
        self.refusals: dict[str, PoolError] = {}
        self.grace = 0.0

    def take(self, link: Link, record: Record, now: float) -> bool:
        """Takes one record; False if it was the agent's last one."""
        if link.key not in self._deal.agents and record.kind not in _GREETINGS:
            return True  # its element was given up before it said a word
        if record.kind == records.RESULTS:
            self._results(link, record, now)
            return True
        self._outcomes.settle(link)
        words: dict[str, Any] = {
            name: printable(word) if isinstance(word, str) else word
            for name, word in messages.unpack(record.payload).items()
        }
        match record.kind:
            case records.HELLO:
                link.meet(words["host"], words["job"], now)
                self._deal.hello(link.key, words["slots"], now, words.get("time"))
                self._welcome(link)
            case records.BEAT:
                self._deal.beat(link.key, words["read"], numbers(words["held"]), now)
            case records.RETURNED:
                self._returned(link, words, record.key, now)
            case records.DEATH:
                asked = self._deal.policy.memory_of(self._deal.agents[link.key].need)
                how, lack = how_it_died(words, asked), short_of(words, asked)
                self._deal.death(link.key, words["batch"], words["index"], how, now, lack)
            case records.GOODBYE:
                link.left_by = words["reason"]
                self._deal.goodbye(link.key, words["reason"], words["cut"], now)
                return False
            case records.REFUSED:
                self._refused(link, words)
                return False
        return True

    def _returned(self, link: Link, words: dict[str, Any], asked: int, now: float) -> None:
        why = words["why"]
        if self._deal.returned(link.key, words["ranges"], why, asked, now, late=words["late"]):
            log.warning(
                "the agent on %s cannot begin what it is dealt and is sent away, others go on: %s",
                link.host,
                why,
            )

    def learn_grace(self, seconds: float, links: Iterable[Link]) -> None:
        """Who has said hello before that was known is told now."""
        self.grace = seconds
        for link in links:
            agent = self._deal.agents.get(link.key)
            if agent is not None and agent.plays and link.met_at > link.since:
                self._welcome(link)  # not to agents of an earlier life, who know it

    def _welcome(self, link: Link) -> None:
        """What an agent has to know of its own life."""
        need = self._deal.agents[link.key].need
        words = {
            "linger": self._linger(link.met_at - link.since),
            "time": self._deal.policy.time_of(need),
            "grace": self.grace,
        }
        link.send(records.WELCOME, messages.pack(words))

    def _results(self, link: Link, record: Record, now: float) -> None:
        batch = record.key
        entries = list(messages.entries(record.payload))
        done = [Done(entry.index, entry.index + entry.count, entry.seconds) for entry in entries]
        counts = self._deal.answered(link.key, batch, done, now)
        waiting = self._calls.batch(batch)
        if waiting is None:
            return
        if sum(last - first for first, last in counts) < tasks_in(done):
            entries = _those_of(numbers(counts), record.payload)  # some were answered before
        self._journal.tasks(batch, [entry.head for entry in entries])
        for entry in entries:
            self._tell(link, waiting, entry)

    def _tell(self, link: Link, waiting: Batch, entry: Entry) -> None:
        """Tells the callers what an entry says."""
        if entry.outcome == messages.VALUES:
            values = self._outcomes.values(entry)
            if values is not None:
                self._calls.tell_all(waiting, entry.index, values)
                return
        for part in entry.parts() if entry.outcome == messages.VALUES else (entry,):
            success, value = self._outcomes.decode(link, part, *waiting.task(part.index))
            if success and part.elsewhere is None and len(part.body) <= LIGHT:
                self._calls.tell_all(waiting, part.index, [value])
            else:
                self._calls.tell(waiting, part.index, success, value)

    def _refused(self, link: Link, words: dict[str, Any]) -> None:
        why = words["why"]
        if words["mismatch"]:
            self.refusals[why] = VersionMismatchError(why)
        if words["initializer"]:
            self.refusals[why] = initializer_failed(words, link.host)
        self._deal.unfit(link.key, why, for_all=words["initializer"])


def _those_of(tasks: set[int], payload: bytes) -> list[Entry]:
    """The first entry of each of these tasks."""
    found = []
    for entry in messages.entries_of_tasks(payload):
        if entry.index in tasks:
            tasks.remove(entry.index)
            found.append(entry)
    return found
