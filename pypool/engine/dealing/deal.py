"""Dealing: a pure function. State, events and a clock reading give a new state and actions.

Nothing here reads a file, a clock or a scheduler. The dispatcher tells what it saw by calling
the event methods with the time at which it saw it, then asks `decide` what to do next. The
simulator and the property tests drive the very same code.

Rules: every task is delivered once, or fails with a reason. A task that was lost is started
again, `retries` times at its own expense, `FREE_LOSSES` times if it was not its fault. The
first answer of a task counts. Who is there is known to the `roster`; who gets how much is said by
`rounds`, how many elements are asked for by `demand`.
"""

from collections.abc import Collection, Iterable, Sequence

from pypool.engine.dealing.actions import (
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
from pypool.engine.dealing.books import CLOSED, AgentBook, BatchBook, Loss, ShareBook
from pypool.engine.dealing.demand import Demand
from pypool.engine.dealing.estimates import Estimates
from pypool.engine.dealing.losses import FREE_LOSSES, costs_an_attempt, goes_alone, suspects
from pypool.engine.dealing.ranges import Range, Ranges, runs
from pypool.engine.dealing.recalls import Recalls
from pypool.engine.dealing.roster import WITHDRAWN_SECONDS, Roster
from pypool.engine.dealing.rounds import Rounds

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
        self._answered = False
        self._actions: list[Action] = []
        self._roster = Roster(policy, self._actions)
        self.agents = self._roster.agents
        self._recalls = Recalls(policy, self.estimates, self._roster.playing, self._actions)
        self._rounds = Rounds(
            self.batches, self.estimates, self._roster, self._recalls, self._actions
        )
        self._demand = Demand(self.estimates)

    # -- events: the caller's side

    def open_batch(self, number: int, count: int, function: str, chunk: int = 1) -> None:
        """A new batch of `count` tasks."""
        book = BatchBook.new(number, count, function, chunk)
        self.batches[number] = book
        self.open_tasks += count
        self._rounds.has_waiting(book)
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

    def withdrawn(self, agents: Iterable[str], now: float, at_once: bool = False) -> None:
        """The scheduler takes fewer elements: these will not come.

        Others are asked for later, or `at_once` if it was their number in one array that counted.
        """
        self._roster.withdrawn(agents, now if at_once else now + WITHDRAWN_SECONDS)

    def hello(self, key: str, slots: int, now: float) -> None:
        """The agent has started."""
        self._rounds.was_heard(self._roster.plays(key, slots, now))

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

    def forgotten(self, key: str) -> None:
        """Nobody will read the agent's outbox any more."""
        agent = self.agents.get(key)
        if agent is not None:
            self._leaves(agent)

    def unfit(self, key: str, why: str, for_all: bool = False) -> None:
        """The agent says that it cannot serve, and has left.

        What it says may hold `for_all`; not so if a task was ever answered.
        """
        agent = self.agents.get(key)
        if agent is not None:
            self._leaves(agent)
        self._roster.has_trouble(why, hopeless=for_all and not self._answered)

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
        self._answered = True
        book = self.batches.get(batch)
        if book is None:
            self.duplicates += len(indexes)
            return []
        self.estimates.add(book.function, seconds)
        self._demand.done(seconds, now)
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
        self,
        key: str,
        ranges: Iterable[tuple[int, int, int]],
        why: str,
        asked: int,
        now: float,
        late: bool = False,
    ) -> None:
        """Tasks that the agent has not begun; with a reason if it could not.

        Who is late in its life begins nothing more: it is dealt nothing more.
        """
        agent = self.agents[key]
        self._heard(agent, now)
        if late:
            self._roster.is_late(agent)
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
        self._rounds.deal_out(now)
        self._recall(now)
        self._roster.order(self.open_tasks, lambda: self._workers(now), now)
        actions = self._actions[:]
        self._actions.clear()
        return actions

    def _workers(self, now: float) -> int:
        return self._demand.workers(self.batches.values(), self._roster.late, now)

    @property
    def awaited(self) -> Collection[str]:
        """Elements that have not said hello."""
        return self._roster.awaited

    def asks_scheduler(self, now: float) -> bool:
        """Whether the scheduler may know what the disk does not tell."""
        return self._roster.asks_scheduler(self.open_tasks, now)

    def _recall(self, now: float) -> None:
        if not self.open_tasks:
            return
        self._recalls.from_hoards(now)
        if self._recalls.may_help(now):
            self._recalls.for_dry(self._rounds.dry(), now)

    # -- bookkeeping

    def _heard(self, agent: AgentBook, now: float) -> None:
        agent.was_heard(now)
        if agent.plays:
            self._rounds.was_heard(agent)

    def _close(self, book: BatchBook, first: int, last: int) -> int:
        count = book.close(first, last)
        self.open_tasks -= count
        return count

    def _wait(self, book: BatchBook, first: int, last: int, alone: bool = False) -> None:
        book.wait(first, last, alone)
        self._rounds.has_waiting(book)

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
        loss.told.append(why if charged else f"{why} (this does not count)")
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
        self._rounds.forget(agent)
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
