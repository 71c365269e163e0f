"""Dealing: a pure function. State, events and a clock reading give a new state and actions.

Nothing here reads a file, a clock or a scheduler. The dispatcher tells what it saw by calling
the event methods with the time at which it saw it, then asks `decide` what to do next. The
simulator and the property tests drive the very same code.

Rules: every task is delivered once, or fails with a reason. A task that was lost is started
again, `retries` times at its own expense, `FREE_LOSSES` times if it was not its fault. The
first answer of a task counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from pypool.engine.books import (
    CLOSED,
    Again,
    AgentBook,
    BatchBook,
    Estimates,
    Loss,
    ShareBook,
)
from pypool.engine.ranges import Range, Ranges

FREE_LOSSES = 10
EARLY_DEATHS = 3
LEAST_SECONDS = 10e-6
"""What a task costs at least, whatever its function takes."""

LEAST_SHARE_SECONDS = 0.002
SHARE_SECONDS = 0.25
SUSPECTS_PER_SLOT = 16
"""A slot is fed at most this far ahead, so no more of its tasks can have been running."""

SUBMIT_AGAIN_SECONDS = 30.0
FRESH_SECONDS = 5.0
"""An element submitted this short a time ago is counted as if it were there."""

CHARGED_ENDS = frozenset({"failed", "out of memory"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user and the backend want.

    Attributes
    ----------
    processes : int
        Workers at most, in all elements.
    slots : int
        Workers of one element.
    retries : int
        How often a task may be lost at its own expense and be started again.
    time : float or None
        Seconds that an element lives.
    lease : float
        Seconds of silence after which an agent is no longer trusted to live.
    start_timeout : float
        Seconds that a running element has until its hello.
    recall_seconds : float
        Work worth asking back, and how long a share may be out before it is asked for whatever
        the estimate says: more than a round trip takes.
    submits : bool
        Elements can be asked for; else there are those that there are.
    """

    processes: int
    slots: int = 1
    retries: int = 2
    time: float | None = None
    lease: float = 60.0
    start_timeout: float = 600.0
    recall_seconds: float = 0.05
    submits: bool = True


class Submit(NamedTuple):
    """Ask the scheduler for this many elements."""

    elements: int


class DealShare(NamedTuple):
    """Write a share into the agent's inbox."""

    agent: str
    number: int
    batch: int
    first: int
    last: int
    attempt: int
    seconds: float


class AskBack(NamedTuple):
    """Ask the agent to return what it has not begun."""

    agent: str
    number: int


class Fail(NamedTuple):
    """Tell the caller that this task was lost for good."""

    batch: int
    task: int
    loss: Loss


class GiveUp(NamedTuple):
    """No element lives to say hello: tell all callers."""

    why: str


class Cancel(NamedTuple):
    """Cancel this element: it holds its place but no longer says anything."""

    agent: str


class Remove(NamedTuple):
    """Nobody will read this batch again."""

    batch: int


Action = Submit | DealShare | AskBack | Fail | GiveUp | Cancel | Remove


class Deal:
    """All that is known of tasks and agents, and the rules.

    Attributes
    ----------
    duplicates : int
        Answers dropped because the task had one.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.batches: dict[int, BatchBook] = {}
        self.agents: dict[str, AgentBook] = {}
        self.estimates = Estimates()
        self.duplicates = 0
        self._actions: list[Action] = []
        self._share_number = 0
        self._ask_number = 0
        self._early_deaths = 0
        self._submit_not_before = 0.0
        self._now = 0.0

    # -- events: the caller's side

    def open_batch(self, number: int, count: int, function: str, chunk: int = 1) -> None:
        """A new batch of `count` tasks."""
        todo = Ranges()
        todo.add(0, count)
        self.batches[number] = BatchBook(
            number, count, function, chunk, bytearray(count), count, todo
        )

    def drop_batches(self) -> None:
        """Nobody waits for any result any more."""
        for batch in list(self.batches.values()):
            batch.todo = Ranges()
            batch.again.clear()
            batch.close_all()
            self._maybe_remove(batch)

    # -- events: elements

    def submitted(self, agents: Iterable[str], now: float) -> None:
        """These elements have been asked for."""
        for key in agents:
            self.agents[key] = AgentBook(key, self.policy.slots, now)

    def refused(self, agents: Iterable[str], why: str, now: float) -> None:
        """The scheduler did not take the submission."""
        for key in agents:
            self.agents.pop(key, None)
        self._submits_later(why, now)

    def hello(self, key: str, slots: int, now: float) -> None:
        agent = self.agents.setdefault(key, AgentBook(key, slots, now))
        agent.said_hello = True
        agent.slots = slots
        self._early_deaths = 0
        self._heard(agent, now)

    def listed(self, states: dict[str, str], now: float) -> None:
        """A good answer of the scheduler: "pending", "running" or "suspended" by element."""
        for key, agent in self.agents.items():
            state = states.get(key)
            agent.absent = agent.absent + 1 if state is None else 0
            if state == "suspended":
                agent.heard = now
            if state == "running" and agent.running_since is None:
                agent.running_since = now

    def ended(self, key: str, how: str, now: float) -> None:
        """The element is over, and its outbox has been read to the end after that was known."""
        agent = self.agents.get(key)
        if agent is None or agent.lost:
            return
        if agent.said_hello:
            self._lose_agent(agent, how)
        else:
            self._early_death(agent, how)

    def unfit(self, key: str, why: str) -> None:
        """The agent says that it cannot serve, and has left."""
        agent = self.agents.pop(key, None)
        if agent is not None:
            self._requeue_all(agent)
        self._submits_later(why, self._now)

    # -- events: what agents say

    def beat(self, key: str, read_to: int, held: Iterable[int], now: float) -> None:
        """A beat: of the shares up to `read_to`, the agent still works at `held`."""
        agent = self.agents[key]
        still = set(held)
        self._heard(agent, now)
        if agent.lost:
            self._revive(agent, still)
        for share in list(agent.shares.values()):
            if share.number <= read_to and share.number not in still:
                self._close_share(agent, share)
                self._requeue(share.batch, share.first, share.last, share.alone)
                self._maybe_remove(share.batch)

    def answered(
        self, key: str, batch: int, indexes: Sequence[int], seconds: list[float], now: float
    ) -> list[int]:
        """Tasks that the agent has run.

        Returns
        -------
        list of int
            Positions in `indexes` of those whose answer counts.
        """
        agent = self.agents[key]
        self._heard(agent, now)
        book = self.batches.get(batch)
        if book is None:
            self.duplicates += len(indexes)
            return []
        self.estimates.add(book.function, seconds)
        counts: list[int] = []
        for position, first, last in runs(indexes):
            self._spoken_of(agent, book, first, last)
            if book.state.count(CLOSED, first, last):
                counts += [
                    position + index - first
                    for index in range(first, last)
                    if book.close(index, index + 1)
                ]
            else:
                book.close(first, last)
                counts += range(position, position + last - first)
        self.duplicates += len(indexes) - len(counts)
        self._maybe_remove(book)
        return counts

    def returned(
        self, key: str, ranges: Iterable[tuple[int, int, int]], why: str, asked: int, now: float
    ) -> None:
        """Tasks that the agent has not begun; with a reason if it could not."""
        agent = self.agents[key]
        self._heard(agent, now)
        if asked and asked == agent.asked:
            agent.asked = 0
            agent.not_before = now + self.policy.recall_seconds
        for number, first, last in ranges:
            book = self.batches.get(number)
            if book is None:
                continue
            self._spoken_of(agent, book, first, last)
            if why:
                for index in range(first, last):
                    self._lose(book, index, charged=False, why=why)
            else:
                self._requeue(book, first, last)
            self._maybe_remove(book)

    def death(self, key: str, batch: int, index: int, why: str, now: float) -> None:
        """A worker died with this task; the agent is well."""
        agent = self.agents[key]
        self._heard(agent, now)
        book = self.batches.get(batch)
        if book is not None:
            self._spoken_of(agent, book, index, index + 1)
            self._lose(book, index, charged=True, why=why)
            self._maybe_remove(book)

    def goodbye(
        self, key: str, reason: str, cut: Iterable[tuple[int, int, float]], now: float
    ) -> None:
        """The agent has left: what it cut off is charged by the reason, the rest was not begun."""
        agent = self.agents.pop(key)
        for number, index, seconds in cut:
            book = self.batches.get(number)
            if book is None:
                continue
            self._spoken_of(agent, book, index, index + 1)
            limit = self.policy.time
            charged = reason == "time" and limit is not None and seconds > limit / 2
            why = f"cut off after {seconds:.1f} s: its element left ({reason})"
            self._lose(book, index, charged, why)
            self._maybe_remove(book)
        self._requeue_all(agent)

    # -- what to do next

    def decide(self, now: float) -> list[Action]:
        """What follows from all that happened, at this time."""
        self._now = now
        self._judge(now)
        if any(batch.waiting for batch in self.batches.values()):
            self._deal_out(now)
        self._recall(now)
        self._order(now)
        actions, self._actions = self._actions, []
        return actions

    def asks_scheduler(self, now: float) -> bool:
        """Whether the scheduler may know what the disk does not tell."""
        return any(
            agent.pending or self._silent(agent, now)
            for agent in self.agents.values()
            if not agent.lost
        )

    @property
    def open_tasks(self) -> int:
        return sum(batch.left for batch in self.batches.values())

    def _judge(self, now: float) -> None:
        """Agents whose lease is over, elements that do not start."""
        for agent in list(self.agents.values()):
            if agent.lost:
                continue
            if agent.pending:
                since = agent.running_since
                timeout = self.policy.start_timeout
                if since is not None and now - since > timeout:
                    self._actions.append(Cancel(agent.key))
                    self._early_death(agent, f"ran for {timeout:.0f} s without saying hello")
                elif agent.absent >= 3 and now - agent.heard > self.policy.lease:
                    self._early_death(agent, "vanished from the queue without a word")
            elif self._silent(agent, now):
                if agent.absent >= 3:
                    self._lose_agent(agent, "vanished from the queue")
                elif now - agent.heard > 2 * self.policy.lease:
                    self._actions.append(Cancel(agent.key))
                    self._lose_agent(agent, "silent for too long")

    def _silent(self, agent: AgentBook, now: float) -> bool:
        return agent.plays and now - agent.heard > self.policy.lease

    def _deal_out(self, now: float) -> None:
        """First a share for everybody who has none, then one more in hand."""
        for shares in (0, 1):
            agents = [
                agent
                for agent in self.agents.values()
                if agent.plays and not agent.asked and len(agent.shares) == shares
            ]
            agents.sort(key=lambda agent: -agent.heard)
            fair: dict[int, float] = {}
            for agent in agents:
                if not self._deal_to(agent, shares, fair, now):
                    break

    def _deal_to(self, agent: AgentBook, shares: int, fair: dict[int, float], now: float) -> bool:
        """Deals one share to the agent; False if there is nothing for anybody."""
        if any(share.alone for share in agent.shares.values()):
            return True
        something = False
        for batch in self.batches.values():
            if not batch.waiting:
                continue
            something = True
            again = self._next_again(batch, shares)
            if again is not None:
                self._give(agent, batch, (again.index, again.index + 1), again, now)
                return True
            if any(each.alone for each in batch.again) and shares:
                continue  # somebody has to run dry for the suspect
            known = self.estimates.get(batch.function) is not None
            if not batch.todo or (shares and not known):
                continue
            part = fair.setdefault(batch.number, len(batch.todo) / self._expected_slots(now))
            count = self._share_size(batch, part * agent.slots, agent.slots)
            self._give(agent, batch, batch.todo.take(count), None, now)
            return True
        return something

    def _next_again(self, batch: BatchBook, shares: int) -> Again | None:
        """The next task that was lost before, if it may be dealt on top of so many shares."""
        for _ in range(len(batch.again)):
            again = batch.again.popleft()
            if batch.state[again.index] == CLOSED:
                continue
            if not (again.alone and shares):
                return again
            batch.again.append(again)
        return None

    def _share_size(self, batch: BatchBook, fair: float, slots: int) -> int:
        """How many tasks an agent with so many slots is dealt at once."""
        known = self.estimates.get(batch.function)
        if known is None:
            count = ceil(fair / 2)
        else:
            known = max(known, LEAST_SECONDS)
            enough = slots * max(SHARE_SECONDS, len(self.agents) / 200) / known
            count = max(ceil(min(enough, fair)), ceil(LEAST_SHARE_SECONDS / known), 1)
        return ceil(count / batch.chunk) * batch.chunk

    def _expected_slots(self, now: float) -> int:
        return sum(
            agent.slots
            for agent in self.agents.values()
            if agent.plays or (agent.pending and now - agent.heard < FRESH_SECONDS)
        )

    def _give(
        self, agent: AgentBook, batch: BatchBook, which: Range, again: Again | None, now: float
    ) -> None:
        first, last = which
        self._share_number += 1
        attempt = again.attempt if again else 1
        alone = again.alone if again else False
        silent = Ranges()
        silent.add(first, last)
        agent.shares[self._share_number] = ShareBook(
            self._share_number, batch, first, last, attempt, alone, now, silent
        )
        batch.unanswered_shares += 1
        seconds = self.estimates.get(batch.function) or 0.0
        self._actions.append(
            DealShare(agent.key, self._share_number, batch.number, first, last, attempt, seconds)
        )

    def _recall(self, now: float) -> None:
        """If somebody is dry and nothing is left to deal, those with most in hand are asked."""
        if any(batch.waiting for batch in self.batches.values()):
            return
        players = [agent for agent in self.agents.values() if agent.plays]
        dry = sum(agent.in_hand < agent.slots for agent in players)
        dry -= sum(agent.asked > 0 for agent in players)
        if dry <= 0:
            return
        able = [
            (work, agent)
            for agent in players
            if not agent.asked and now >= agent.not_before
            if (work := self._work_to_recall(agent, now)) > 0
        ]
        able.sort(key=lambda each: -each[0])
        for _, agent in able[:dry]:
            self._ask_number += 1
            agent.asked = self._ask_number
            self._actions.append(AskBack(agent.key, self._ask_number))

    def _work_to_recall(self, agent: AgentBook, now: float) -> float:
        """Seconds of work that the agent has not begun, if asking is worth the way."""
        unstarted = agent.in_hand - agent.slots
        if unstarted <= 0:
            return 0.0
        share = next(iter(agent.shares.values()))
        estimate = max(self.estimates.get(share.batch.function) or 0.0, LEAST_SECONDS)
        work = unstarted * estimate / agent.slots
        if work > self.policy.recall_seconds:
            return work
        out = now - max(share.since, agent.not_before)
        return out if out > 2 * self.policy.recall_seconds + work else 0.0

    def _order(self, now: float) -> None:
        """Elements for what the open tasks can use, up to `processes` workers."""
        if not self.policy.submits or now < self._submit_not_before:
            return
        wanted = min(self.policy.processes, self.open_tasks)
        there = sum(agent.slots for agent in self.agents.values() if agent.plays or agent.pending)
        if wanted > there:
            self._actions.append(Submit(ceil((wanted - there) / self.policy.slots)))

    # -- bookkeeping

    def _heard(self, agent: AgentBook, now: float) -> None:
        agent.heard = now
        agent.absent = 0

    def _spoken_of(self, agent: AgentBook, book: BatchBook, first: int, last: int) -> None:
        """The agent has nothing more to say of these tasks, and they are not to be dealt."""
        for share in [*agent.shares.values(), *agent.lost_shares.values()]:
            if share.batch is book and share.silent.remove(first, last) and not share.silent:
                self._close_share(agent, share)
        book.todo.remove(first, last)

    def _close_share(self, agent: AgentBook, share: ShareBook) -> None:
        agent.lost_shares.pop(share.number, None)
        if agent.shares.pop(share.number, None) is not None:
            share.batch.unanswered_shares -= 1

    def _maybe_remove(self, book: BatchBook) -> None:
        """Forgets a batch that is over; its file goes once nobody reads it any more."""
        if book.left or book.unanswered_shares:
            return
        if self.batches.pop(book.number, None) is not None and not book.kept:
            self._actions.append(Remove(book.number))

    def _lose(
        self, book: BatchBook, index: int, charged: bool, why: str, alone: bool = False
    ) -> None:
        """A task was lost: it is dealt again, by itself, or has failed."""
        if book.state[index] == CLOSED:
            return
        loss = book.losses.setdefault(index, Loss())
        loss.told.append(why)
        loss.charged += charged
        loss.free += not charged
        if loss.charged > self.policy.retries or loss.free > FREE_LOSSES:
            book.close(index, index + 1)
            self._actions.append(Fail(book.number, index, loss))
        elif self._free(book, index, index + 1):
            book.again.append(Again(index, 1 + loss.charged, alone))

    def _requeue(self, book: BatchBook, first: int, last: int, alone: bool = False) -> None:
        """What of this range is open and in nobody's hands is dealt again, uncharged."""
        free = self._free(book, first, last)
        for index in [index for index in book.losses if first <= index < last]:
            if free.remove(index, index + 1):
                book.again.appendleft(Again(index, 1 + book.losses[index].charged, alone))
        for begin, end in free:
            book.todo.add(begin, end)

    def _free(self, book: BatchBook, first: int, last: int) -> Ranges:
        """Open tasks that no agent holds and that do not wait to be dealt."""
        free = Ranges()
        for begin, end in book.open_in(first, last):
            free.add(begin, end)
        for begin, end in book.todo:
            free.remove(begin, end)
        for again in book.again:
            free.remove(again.index, again.index + 1)
        for agent in self.agents.values():
            for share in agent.shares.values():
                if share.batch is book:
                    for begin, end in share.silent:
                        free.remove(begin, end)
        return free

    def _requeue_all(self, agent: AgentBook) -> None:
        for share in list(agent.shares.values()):
            self._close_share(agent, share)
            self._requeue(share.batch, share.first, share.last, share.alone)
            self._maybe_remove(share.batch)

    def _lose_agent(self, agent: AgentBook, how: str) -> None:
        """Its element ended without goodbye, or it is no longer trusted to live."""
        agent.lost = True
        agent.asked = 0
        shares, agent.shares = agent.shares, {}
        suspects = self._suspects(shares.values(), SUSPECTS_PER_SLOT * agent.slots)
        for book, index in suspects:
            charged = len(suspects) == 1 and how in CHARGED_ENDS
            self._lose(book, index, charged, f"its element {how}", alone=True)
        for share in shares.values():
            agent.lost_shares[share.number] = share
            share.batch.unanswered_shares -= 1
            share.batch.kept = True
            self._requeue(share.batch, share.first, share.last)
            self._maybe_remove(share.batch)

    def _suspects(self, shares: Iterable[ShareBook], limit: int) -> list[tuple[BatchBook, int]]:
        """Tasks in an agent's hands that may have been running: those dealt first."""
        found: list[tuple[BatchBook, int]] = []
        for share in shares:
            for first, last in share.silent:
                for begin, end in share.batch.open_in(first, last):
                    some = range(begin, min(end, begin + limit - len(found)))
                    found += [(share.batch, index) for index in some]
        return found

    def _revive(self, agent: AgentBook, held: set[int]) -> None:
        """It beats again: what is open and in nobody else's hands stays its own."""
        agent.lost = False
        for number, share in list(agent.lost_shares.items()):
            del agent.lost_shares[number]
            if number not in held:
                continue
            for first, last in share.silent:
                share.batch.todo.remove(first, last)
            agent.shares[number] = share
            share.batch.unanswered_shares += 1

    def _early_death(self, agent: AgentBook, how: str) -> None:
        """An element ended before hello: another one is asked for, but not for ever."""
        del self.agents[agent.key]
        self._early_deaths += 1
        if self._early_deaths >= EARLY_DEATHS:
            self._early_deaths = 0
            self._submits_later(f"{EARLY_DEATHS} elements ended before hello: {how}", self._now)

    def _submits_later(self, why: str, now: float) -> None:
        """Submitting makes no sense now. If nobody is there or comes, the callers are told."""
        self._submit_not_before = now + SUBMIT_AGAIN_SECONDS
        if not any(agent.plays or agent.pending for agent in self.agents.values()):
            self._submit_not_before = now
            self._actions.append(GiveUp(why))


def runs(indexes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Position, first, last of each stretch of consecutive indexes."""
    start = 0
    while start < len(indexes):
        first = indexes[start]
        end = start + 1
        while end < len(indexes) and indexes[end] == first + end - start:
            end += 1
        yield start, first, first + end - start
        start = end
