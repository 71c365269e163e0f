"""Dealing: a pure function. State, events and a clock reading give a new state and actions.

Nothing here reads a file, a clock or a scheduler. The dispatcher tells what it saw by calling
the event methods with the time at which it saw it, then asks `decide` what to do next. The
simulator and the property tests drive the very same code.

Rules: every task is delivered once, or fails with a reason. A task that was lost is started
again, `retries` times at its own expense, `FREE_LOSSES` times if it was not its fault. The
first answer of a task counts. Who is there is known to the `roster`; how much an agent gets is
said by `sizes`.
"""

from collections.abc import Collection, Iterable, Sequence
from heapq import nsmallest

from pypool.engine.actions import (
    Action,
    AskBack,
    Cancel,
    DealShare,
    Fail,
    GiveUp,
    Policy,
    Remove,
    Submit,
)
from pypool.engine.books import CLOSED, AgentBook, BatchBook, Loss, ShareBook
from pypool.engine.estimates import Estimates
from pypool.engine.losses import FREE_LOSSES, costs_an_attempt, goes_alone, suspects
from pypool.engine.ranges import Range, Ranges, runs
from pypool.engine.recalls import Recalls
from pypool.engine.roster import Roster
from pypool.engine.sizes import share_size

__all__ = [
    "FREE_LOSSES",
    "Action",
    "AskBack",
    "Cancel",
    "Deal",
    "DealShare",
    "Fail",
    "GiveUp",
    "Policy",
    "Remove",
    "Submit",
]


class Deal:
    """All that is known of tasks and agents, and the rules.

    Attributes
    ----------
    duplicates : int
        Answers dropped because the task had one.
    open_tasks : int
        Tasks that were neither delivered nor have failed.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.batches: dict[int, BatchBook] = {}
        self.estimates = Estimates()
        self.duplicates = 0
        self.open_tasks = 0
        self._actions: list[Action] = []
        self._roster = Roster(policy, self._actions)
        self.agents = self._roster.agents
        self._waiting: set[int] = set()
        self._hungry: dict[str, AgentBook] = {}
        self._share_number = 0
        self._recalls = Recalls(policy, self.estimates, self._roster.playing, self._actions)

    # -- events: the caller's side

    def open_batch(self, number: int, count: int, function: str, chunk: int = 1) -> None:
        """A new batch of `count` tasks."""
        book = BatchBook.new(number, count, function, chunk)
        self.batches[number] = book
        self.open_tasks += count
        self._waiting.add(number)
        self._maybe_remove(book)

    def drop_batches(self) -> None:
        """Nobody waits for any result any more."""
        for batch in list(self.batches.values()):
            self._close(batch, 0, batch.count)
            self._maybe_remove(batch)

    # -- events: elements

    def submitted(self, agents: Iterable[str], now: float) -> None:
        """These elements have been asked for."""
        self._roster.submitted(agents, now)

    def refused(self, agents: Iterable[str], why: str, now: float) -> None:
        """The scheduler did not take the submission."""
        self._roster.refused(agents, why)

    def hello(self, key: str, slots: int, now: float) -> None:
        """The agent has started."""
        self._hungry[key] = self._roster.plays(key, slots, now)

    def listed(self, states: dict[str, str], now: float) -> None:
        """A good answer of the scheduler: "pending", "running" or "suspended" by element."""
        self._roster.listed(states, now)

    def ended(self, key: str, how: str, now: float) -> None:
        """The element is over, and its outbox has been read to the end after that was known."""
        agent = self.agents.get(key)
        if agent is None or agent.lost:
            return
        if agent.pending:
            self._roster.early_death(agent, how)
        else:
            self._lose_agent(agent, how, now)

    def unfit(self, key: str, why: str) -> None:
        """The agent says that it cannot serve, and has left."""
        agent = self.agents.get(key)
        if agent is not None:
            self._leaves(agent)
        self._roster.has_trouble(why)

    # -- events: what agents say

    def beat(self, key: str, read_to: int, held: Iterable[int], now: float) -> None:
        """A beat: of the shares up to `read_to`, the agent still works at `held`."""
        still = set(held)
        agent = self.agents.get(key)
        if agent is None or not agent.plays:
            agent = self._roster.plays(key, None, now)
            self._take_back_up(agent, read_to, still)
        self._heard(agent, now)
        for share in list(agent.shares.values()):
            if share.number <= read_to and share.number not in still:
                self._let_go(agent, share)
        self._recalls.beat(agent, now)

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
            agent.spoke_of(book, first, last)
            if not book.state.count(CLOSED, first, last):
                self._close(book, first, last)
                counts += range(position, position + last - first)
                continue
            for index in range(first, last):
                if self._close(book, index, index + 1):
                    counts.append(position + index - first)
        self.duplicates += len(indexes) - len(counts)
        self._maybe_remove(book)
        return counts

    def returned(
        self, key: str, ranges: Iterable[tuple[int, int, int]], why: str, asked: int, now: float
    ) -> None:
        """Tasks that the agent has not begun; with a reason if it could not."""
        agent = self.agents[key]
        self._heard(agent, now)
        returned = list(ranges)
        for number, first, last in returned:
            book = self.batches.get(number)
            if book is not None:
                self._take_back(book, agent.spoke_of(book, first, last), why)
        self._recalls.answered(agent, asked, bool(returned), now)

    def death(self, key: str, batch: int, index: int, why: str, now: float) -> None:
        """A worker died with this task; the agent is well."""
        agent = self.agents[key]
        self._heard(agent, now)
        self._cut_off(agent, batch, index, True, why)

    def goodbye(
        self, key: str, reason: str, cut: Iterable[tuple[int, int, float]], now: float
    ) -> None:
        """The agent has left: what it cut off is charged by the reason, the rest was not begun."""
        agent = self.agents.get(key)
        if agent is None:
            return
        limit = self.policy.time
        for number, index, seconds in cut:
            charged = reason == "time" and limit is not None and seconds > limit / 2
            why = f"cut off after {seconds:.1f} s: its element left ({reason})"
            self._cut_off(agent, number, index, charged, why)
        self._leaves(agent)

    # -- what to do next

    def decide(self, now: float) -> list[Action]:
        """What follows from all that happened, at this time."""
        for agent, how in self._roster.judge(now):
            self._lose_agent(agent, how, now)
        self._deal_out(now)
        self._recall(now)
        self._roster.order(self.open_tasks, now)
        actions = self._actions[:]
        self._actions.clear()
        return actions

    @property
    def awaited(self) -> Collection[str]:
        """Elements that have not said hello."""
        return self._roster.awaited

    def asks_scheduler(self, now: float) -> bool:
        """Whether the scheduler may know what the disk does not tell."""
        return self._roster.asks_scheduler(self.open_tasks, now)

    # -- dealing

    def _deal_out(self, now: float) -> None:
        """First to everybody who has idle slots, then one share more in hand."""
        waiting = self._waiting_batches()
        if not waiting or not self._hungry:
            return
        able = self._able_agents()
        while waiting and (dry := [agent for agent in able if agent.idle_slots]):
            busy = [agent for agent in able if not agent.idle_slots]
            able = busy + self._deal_round(dry, waiting, now)
            waiting = self._waiting_batches()
        able = [agent for agent in able if not agent.has_spare and not agent.alone]
        self._deal_round(able, waiting, now)

    def _waiting_batches(self) -> list[BatchBook]:
        """Those with tasks that could be dealt, the oldest first."""
        found = [self.batches.get(number) for number in sorted(self._waiting)]
        waiting = [batch for batch in found if batch is not None and batch.waiting]
        self._waiting = {batch.number for batch in waiting}
        return waiting

    def _able_agents(self) -> list[AgentBook]:
        """Those that may be dealt something, the one heard last first."""
        able = []
        for key, agent in list(self._hungry.items()):
            if key not in self._roster.playing or agent.alone or agent.has_spare:
                del self._hungry[key]  # it will be heard of before it is hungry again
            elif not agent.asked:
                able.append(agent)
        able.sort(key=lambda agent: -agent.heard)
        return able

    def _deal_round(
        self, agents: list[AgentBook], waiting: list[BatchBook], now: float
    ) -> list[AgentBook]:
        """One share to each of these, if there is one for it; gives those that may get more."""
        if not agents or not waiting:
            return []
        slots = self._roster.expected_slots(now)
        parts = {batch.number: len(batch.todo) / slots for batch in waiting}
        drained = self._drained(agents, waiting)
        return [agent for agent in agents if self._deal_to(agent, waiting, parts, drained, now)]

    def _drained(self, agents: list[AgentBook], waiting: list[BatchBook]) -> set[str]:
        """Agents that get nothing, so that they run dry for the suspects, which go alone."""
        suspects = sum(len(batch.suspects) for batch in waiting)
        suspects -= sum(not agent.shares for agent in agents)
        if suspects <= 0:
            return set()
        players = self._roster.playing.values()
        busy = [agent for agent in players if agent.shares and not agent.alone]
        return {agent.key for agent in nsmallest(suspects, busy, key=lambda each: each.in_hand)}

    def _deal_to(
        self,
        agent: AgentBook,
        waiting: list[BatchBook],
        parts: dict[int, float],
        drained: set[str],
        now: float,
    ) -> bool:
        for batch in waiting:
            if batch.suspects and not agent.shares:
                self._give(agent, batch, batch.suspects.take(1), now, alone=True)
                return False
        if agent.key in drained:
            return False
        for batch in waiting:
            if batch.again:
                self._give(agent, batch, batch.again.take(1), now)
                return True
            seconds = self.estimates.get(batch.function)
            if batch.todo and (agent.idle_slots or seconds is not None):
                players = len(self._roster.playing)
                count = share_size(batch, seconds, agent, parts[batch.number], players)
                self._give(agent, batch, batch.todo.take(count), now)
                return True
        return False

    def _give(
        self, agent: AgentBook, batch: BatchBook, which: Range, now: float, alone: bool = False
    ) -> None:
        first, last = which
        self._share_number += 1
        number = self._share_number
        loss = batch.losses.get(first)
        attempt = 1 + loss.charged + loss.free if loss else 1
        silent = Ranges()
        silent.add(first, last)
        agent.shares[number] = ShareBook(number, batch, first, last, attempt, alone, now, silent)
        batch.unanswered_shares += 1
        seconds = self.estimates.get(batch.function) or 0.0
        self._actions.append(
            DealShare(agent.key, number, batch.number, first, last, attempt, seconds)
        )
        self._recalls.at_once()

    def _recall(self, now: float) -> None:
        if not self.open_tasks:
            return
        self._recalls.from_hoards(now)
        if not self._waiting_batches() and self._recalls.may_help(now):
            dry = sum(agent.idle_slots > 0 for agent in self._able_agents())
            self._recalls.for_dry(dry, now)

    # -- bookkeeping

    def _heard(self, agent: AgentBook, now: float) -> None:
        agent.was_heard(now)
        if agent.plays:
            self._hungry[agent.key] = agent

    def _close(self, book: BatchBook, first: int, last: int) -> int:
        count = book.close(first, last)
        self.open_tasks -= count
        return count

    def _wait(self, book: BatchBook, first: int, last: int, alone: bool = False) -> None:
        book.wait(first, last, alone)
        self._waiting.add(book.number)

    def _maybe_remove(self, book: BatchBook) -> None:
        """Forgets a batch that is over; its file goes once nobody reads it any more."""
        if book.left or book.unanswered_shares:
            return
        if self.batches.pop(book.number, None) is not None and not book.kept:
            self._actions.append(Remove(book.number))

    # -- losses

    def _lose(
        self, book: BatchBook, index: int, charged: bool, why: str, alone: bool = False
    ) -> None:
        """A task was lost: it is dealt again, by itself, or has failed."""
        loss = book.losses.setdefault(index, Loss())
        loss.told.append(why)
        loss.charged += charged
        loss.free += not charged
        if loss.charged > self.policy.retries or loss.free > FREE_LOSSES:
            self._close(book, index, index + 1)
            self._actions.append(Fail(book.number, index, loss))
        else:
            self._wait(book, index, index + 1, alone)

    def _take_back(self, book: BatchBook, ranges: list[Range], why: str) -> None:
        """These tasks have not begun: that costs nothing, unless there was a reason."""
        for first, last in ranges:
            if not why:
                self._wait(book, first, last)
                continue
            for index in range(first, last):
                self._lose(book, index, charged=False, why=why)
        self._maybe_remove(book)

    def _cut_off(self, agent: AgentBook, batch: int, index: int, charged: bool, why: str) -> None:
        """The agent lost this task. If it had been given up before, that was counted then."""
        book = self.batches.get(batch)
        if book is not None:
            for begin, _ in agent.spoke_of(book, index, index + 1):
                self._lose(book, begin, charged, why)
            self._maybe_remove(book)

    def _let_go(self, agent: AgentBook, share: ShareBook) -> None:
        """The agent does not have this share, or has not begun the rest of it."""
        agent.close_share(share)
        for first, last in share.silent:
            self._wait(share.batch, first, last, share.alone)
        self._maybe_remove(share.batch)

    def _leaves(self, agent: AgentBook) -> None:
        for share in list(agent.shares.values()):
            self._let_go(agent, share)
        self._roster.remove(agent)

    def _lose_agent(self, agent: AgentBook, how: str, now: float) -> None:
        """Its element ended without goodbye, or it is no longer trusted to live."""
        found = suspects(agent, self.estimates, len(self._roster.playing))
        self._roster.lose(agent)
        for share in list(agent.shares.values()):
            agent.close_share(share)
            agent.lost_shares[share.number] = share
            share.batch.kept = True
            for first, last in share.silent:
                self._wait(share.batch, first, last)
        for share, index in found:
            book = share.batch
            book.take_from_waiting(index, index + 1)
            out = now - share.since
            charged = len(found) == 1 and costs_an_attempt(how, out, self.policy.time)
            alone = goes_alone(how, lost_before=index in book.losses)
            self._lose(book, index, charged, f"its element was lost: {how}", alone)
        for share in agent.lost_shares.values():
            self._maybe_remove(share.batch)

    def _take_back_up(self, agent: AgentBook, read_to: int, held: set[int]) -> None:
        """It beats again: what is open and in nobody else's hands stays its own."""
        lost_shares, agent.lost_shares = agent.lost_shares, {}
        for number, share in lost_shares.items():
            if number in held or number > read_to:
                mine = Ranges()
                for first, last in share.silent:
                    for begin, end in share.batch.take_from_waiting(first, last):
                        mine.add(begin, end)
                share.silent = mine
                if mine:
                    agent.shares[number] = share
                    share.batch.unanswered_shares += 1
