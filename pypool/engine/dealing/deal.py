"""Dealing: a pure function. State, events and a clock reading give a new state and actions.

Nothing here reads a file, a clock or a scheduler. The dispatcher tells what it saw by calling
the event methods with the time at which it saw it, then asks `decide` what to do next. The
simulator and the property tests drive the very same code.

Rules: every task is delivered once, or fails with a reason. A task that was lost is started
again, `retries` times at its own expense, `FREE_LOSSES` times if it was not its fault. The
first answer of a task counts. Who is there is known to the `roster`; who gets how much is said by
`rounds`, how many elements are asked for by `demand`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from pypool.engine.dealing.actions import (
    Action,
    AskBack,
    Cancel,
    DealShare,
    Dismiss,
    Fail,
    GiveUp,
    Policy,
    Remove,
    Submit,
)
from pypool.engine.dealing.books import CLOSED, AgentBook, BatchBook, Loss, ShareBook
from pypool.engine.dealing.demand import Demand
from pypool.engine.dealing.estimates import Done, Estimates, seconds_in, tasks_in
from pypool.engine.dealing.givebacks import GiveBacks
from pypool.engine.dealing.lives import Lives
from pypool.engine.dealing.losses import (
    FREE_LOSSES,
    LEFT,
    SHORT_OF,
    costs_an_attempt,
    goes_alone,
    suspects,
)
from pypool.engine.dealing.needs import USUAL, Need, fits, fits_one
from pypool.engine.dealing.ranges import Range, Ranges, joined
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
    "Dismiss",
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
        self._roster = Roster(policy, self._actions, self._let_go_all)
        self.agents = self._roster.agents
        self._recalls = Recalls(policy, self.estimates, self._roster.playing, self._actions)
        self._givebacks = GiveBacks(self.batches, self._roster, self._actions)
        self._rounds = Rounds(
            self.batches,
            self.estimates,
            self._roster,
            self._recalls,
            self._givebacks,
            self._actions,
            policy.deals_all,
        )
        self._demand = Demand(self.estimates)
        self._coming: Counter[str] = Counter()
        self.lives = Lives(self.batches, self._roster, self._rounds, self._recalls)

    # -- events: the caller's side

    def open_batch(self, number: int, count: int, function: str, chunk: int = 1) -> None:
        """A new batch of `count` tasks."""
        book = BatchBook.new(number, count, function, chunk)
        self.batches[number] = book
        self.open_tasks += count
        self._rounds.has_waiting(book)
        self._maybe_remove(book)

    def expect(self, count: int, function: str) -> None:
        """So many tasks are about to come: elements for them are asked for already, but once."""
        self._coming[function] += count

    def reopen(self, number: int, count: int, function: str, chunk: int, task: int) -> None:
        """Somebody asks for a task of an earlier life, which is in an agent's hands."""
        self.lives.reopen(self.lives.adopt_batch(number, count, function, chunk), task)
        self.open_tasks += 1

    def leave(self, now: float) -> list[Action]:
        """The driver goes, the run goes on: all that waits is dealt."""
        self.lives.deal_everything(now)
        return self._taken_actions()

    def drop_batches(self) -> None:
        """Nobody waits for any result any more."""
        for batch in list(self.batches.values()):
            self._close(batch, 0, batch.count)
            self._maybe_remove(batch)

    # -- events: elements

    def submitted(self, agents: Iterable[str], now: float, need: Need = USUAL) -> None:
        """These elements have been asked for, with that need."""
        self._roster.submitted(agents, now, need)

    def refused(self, agents: Iterable[str], why: str, now: float, for_now: bool = False) -> None:
        """The scheduler did not take the submission; `for_now`, it may take it later.

        If larger elements were asked for, only the tasks that need those have failed by it.
        """
        keys = list(agents)
        needs = {self.agents[key].need for key in keys if key in self.agents} - {USUAL}
        if needs and for_now and self._roster.somebody_else(keys):
            self.withdrawn(keys, now)
            return
        self._roster.refused(keys, "" if needs else why)
        self._roster.hopeless += [(need, why) for need in needs]

    def withdrawn(self, agents: Iterable[str], now: float, at_once: bool = False) -> None:
        """The scheduler takes fewer elements: these will not come.

        Others are asked for later, or `at_once` if it was their number in one array that counted.
        """
        self._roster.withdrawn(agents, now if at_once else now + WITHDRAWN_SECONDS)

    def hello(self, key: str, slots: int, now: float, lives: float | None = None) -> None:
        """The agent has started; `lives`: the seconds that its element lives, if it knows."""
        agent = self._roster.plays(key, slots, now)
        agent.lives = lives
        self._rounds.was_heard(agent)

    def listed(self, states: dict[str, str], now: float) -> None:
        """A good answer of the scheduler: "pending", "running" or "suspended" by element."""
        self._roster.listed(states, now)

    def ended(self, key: str, how: str, now: float, words: str = "") -> None:
        """The element is over, and its outbox has been read to the end after that was known.

        `words` is what a person should read of it.
        """
        agent = self.agents.get(key)
        if agent is None or agent.lost:
            return
        if agent.pending:
            self._roster.early_death(agent, how, now, words)
        else:
            self._lose_agent(agent, how, now, words)

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

    def answered(self, key: str, batch: int, done: Sequence[Done], now: float) -> list[Range]:
        """Tasks that the agent has run.

        Returns
        -------
        list of Range
            Those whose answer counts.
        """
        agent = self.agents[key]
        self._heard(agent, now)
        agent.spoke(now)
        if agent.could_not:
            agent.could()
        self._answered = True
        book = self.batches.get(batch)
        if book is None:
            self.duplicates += tasks_in(done)
            return []
        self._learn_way(agent, book, done, now)
        self.estimates.add(book.function, done)
        self._demand.done(seconds_in(done), now)
        counts: list[Range] = []
        for first, last in joined((each.first, each.last) for each in done):
            agent.spoke_of(book, first, last)
            if not book.state.count(CLOSED, first, last):
                self._close(book, first, last)
                counts.append((first, last))
                continue
            for index in range(first, last):
                if self._close(book, index, index + 1):
                    counts.append((index, index + 1))
        self.duplicates += tasks_in(done) - sum(last - first for first, last in counts)
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
    ) -> bool:
        """Tasks that the agent has not begun; with a reason if it could not.

        Who is late in its life begins nothing more: it is dealt nothing more.

        Returns
        -------
        bool
            The agent is sent away, for it begins nothing of what it is dealt, and others do.
        """
        agent = self.agents[key]
        self._heard(agent, now)
        if late:
            self._roster.is_late(agent)
        returned = list(ranges)
        could_not = False
        for number, first, last in returned:
            book = self.batches.get(number)
            if book is not None:
                its_own = agent.spoke_of(book, first, last)
                could_not = could_not or bool(why and its_own)
                self._take_back(agent, book, its_own, why, now)
        self._recalls.answered(agent, asked, bool(returned), now)
        return could_not and self._givebacks.by(agent, now)

    def death(
        self, key: str, batch: int, index: int, why: str, now: float, short_of: str = ""
    ) -> None:
        """A worker died with this task; the agent is well.

        `short_of` is "memory" if it died for want of that.
        """
        agent = self.agents[key]
        self._heard(agent, now)
        agent.spoke(now)
        agent.could()
        self._cut_off(agent, batch, index, True, why, short_of)

    def goodbye(
        self, key: str, reason: str, cut: Iterable[tuple[int, int, float]], now: float
    ) -> None:
        """The agent has left: what it cut off is charged by the reason, the rest was not begun."""
        agent = self.agents.get(key)
        if agent is None:
            return
        limit = self._lives(agent)
        for number, index, seconds in cut:
            charged = reason == "time" and limit is not None and seconds > limit / 2
            of = f" of {limit:.0f} s that its element lives" if charged else ""
            left = LEFT.get(reason, f"({reason})")
            why = f"cut off after {seconds:.1f} s{of}: its element left {left}"
            self._cut_off(agent, number, index, charged, why, "time" if charged else "")
        self._leaves(agent)

    # -- what to do next

    def decide(self, now: float) -> list[Action]:
        """What follows from all that happened, at this time."""
        for agent, how in self._roster.judge(now):
            self._lose_agent(agent, how, now)
        while self._roster.hopeless:
            need, why = self._roster.hopeless.pop()
            self._fail_needing(need, f"{self._larger(need)} cannot be had: {why}")
        for book in self._givebacks.settle(now):
            self._rounds.has_waiting(book)
        self._rounds.deal_out(now)
        self._recall(now)
        self._roster.order(
            self.open_tasks + self._coming.total(),
            lambda: self._workers(now),
            self._demand.larger(self.batches.values()),
            now,
        )
        self._coming.clear()
        return self._taken_actions()

    def deal_at_once(self, now: float) -> list[Action]:
        """What waits is dealt, and whatever else there is to do is left to the next `decide`."""
        self._rounds.deal_out(now)
        return self._taken_actions()

    def _taken_actions(self) -> list[Action]:
        actions = self._actions[:]
        self._actions.clear()
        return actions

    def _workers(self, now: float) -> int:
        batches, leaving = self.batches.values(), self._roster.late
        return self._demand.workers(batches, leaving, self._coming, now)

    @property
    def awaited(self) -> Collection[str]:
        """Elements that have not said hello."""
        return self._roster.awaited

    def silent(self, now: float) -> list[str]:
        """Agents of which a beat is overdue."""
        return [
            agent.key
            for agent in self._roster.playing.values()
            if self._roster.is_overdue(agent, now)
        ]

    def expects(self, key: str) -> float:
        """Seconds that the agent's oldest share should take; 0 if nobody knows."""
        agent = self.agents.get(key)
        if agent is None or not agent.shares:
            return 0.0
        share = next(iter(agent.shares.values()))
        seconds = self.estimates.get(share.batch.function) or 0.0
        return len(share.silent) * seconds / min(agent.slots, share.chunks or 1)

    def asks_scheduler(self, now: float) -> bool:
        """Whether the scheduler may know what the disk does not tell."""
        return self._roster.asks_scheduler(self.open_tasks, now)

    def _recall(self, now: float) -> None:
        if not self.open_tasks:
            return
        self._recalls.from_hoards(now)
        self._recalls.from_those_at_long_ones(now)
        if self._recalls.may_help(now):
            self._recalls.for_dry(self._rounds.dry(now), now)

    # -- bookkeeping

    def _heard(self, agent: AgentBook, now: float) -> None:
        agent.was_heard(now)
        if agent.plays:
            self._rounds.was_heard(agent)

    def _learn_way(
        self, agent: AgentBook, book: BatchBook, done: Sequence[Done], now: float
    ) -> None:
        """From the first answer of an agent that had nothing to do when it was dealt something."""
        agent.knows = book.number
        share = next(iter(agent.shares.values()), None)
        if share is not None and share.was_dry and share.batch is book:
            share.was_dry = False
            at_work = seconds_in(done) / min(agent.slots, tasks_in(done) or 1)
            self.estimates.add_way(now - share.since - at_work)

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
        self,
        book: BatchBook,
        index: int,
        charged: bool,
        why: str,
        alone: bool = False,
        short_of: str = "",
        need: Need = USUAL,
    ) -> None:
        """A task was lost: it is dealt again, by itself, or has failed.

        Parameters
        ----------
        short_of : str
            "time" or "memory", if there was too little of that.
        need : Need
            What the element had where it was lost.
        """
        loss = book.losses.setdefault(index, Loss())
        loss.told.append(why if charged else f"{why} (this does not count)")
        loss.charged += charged
        loss.free += not charged
        if charged:
            loss.short_of = short_of
        if charged and short_of:
            loss.need = self.policy.next_need(loss.need, need, short_of)
        if loss.charged > self.policy.retries or loss.free > FREE_LOSSES:
            self._close(book, index, index + 1)
            self._actions.append(Fail(book.number, index, loss))
        else:
            self._wait(book, index, index + 1, alone)

    def _take_back(
        self, agent: AgentBook, book: BatchBook, ranges: list[Range], why: str, now: float
    ) -> None:
        """These tasks have not begun: that costs nothing, unless there was a reason."""
        for first, last in ranges:
            if not why:
                self._wait(book, first, last)
                continue
            for index in range(first, last):
                self._lose(book, index, charged=False, why=why)
                self._givebacks.pause(agent, book, index, now)
        self._maybe_remove(book)

    def _fail_needing(self, need: Need, why: str) -> None:
        """Nobody with that need will come: tasks that wait for one have failed."""
        players = self._roster.needs
        for book in list(self.batches.values()):
            for other, line in book.lost.items():
                if not fits(other, need) or fits_one(players, other):
                    continue
                waiting = [each for kind in line.kinds for each in kind]
                for index in [index for first, last in waiting for index in range(first, last)]:
                    loss = book.losses[index]
                    loss.told.append(why)
                    self._close(book, index, index + 1)
                    self._actions.append(Fail(book.number, index, loss))
            self._maybe_remove(book)

    def _larger(self, need: Need) -> str:
        """An element with that need, in words."""
        time, memory = self.policy.time_of(need), self.policy.memory_of(need)
        of = [f"{time:.0f} s"] if need.time and time is not None else []
        if need.memory and memory is not None:
            of.append(f"{memory >> 20} MiB for each worker")
        return f"an element with {' and '.join(of)}"

    def _lives(self, agent: AgentBook) -> float | None:
        """Seconds that its element lives, if anybody knows."""
        return agent.lives or self.policy.time_of(agent.need)

    def _cut_off(
        self,
        agent: AgentBook,
        batch: int,
        index: int,
        charged: bool,
        why: str,
        short_of: str = "",
    ) -> None:
        """The agent lost this task. If it had been given up before, that was counted then."""
        book = self.batches.get(batch)
        if book is not None:
            for begin, _ in agent.spoke_of(book, index, index + 1):
                self._lose(book, begin, charged, why, short_of=short_of, need=agent.need)
            self._maybe_remove(book)

    def _let_go(self, agent: AgentBook, share: ShareBook) -> None:
        """The agent does not have this share, or has not begun the rest of it."""
        agent.close_share(share)
        for first, last in share.silent:
            self._wait(share.batch, first, last, share.alone)
        self._maybe_remove(share.batch)

    def _let_go_all(self, agent: AgentBook) -> None:
        for share in list(agent.shares.values()):
            self._let_go(agent, share)

    def _leaves(self, agent: AgentBook) -> None:
        self._rounds.forget(agent)
        self._roster.remove(agent)

    def _lose_agent(self, agent: AgentBook, how: str, now: float, words: str = "") -> None:
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
            charged = len(found) == 1 and costs_an_attempt(how, out, self._lives(agent))
            alone = goes_alone(how, lost_before=index in book.losses)
            short_of = SHORT_OF.get(how, "")
            why = f"its element was lost: {words or how}{self._had(agent, short_of)}"
            self._lose(book, index, charged, why, alone, short_of, agent.need)
        for share in agent.lost_shares.values():
            self._maybe_remove(share.batch)

    def _had(self, agent: AgentBook, short_of: str) -> str:
        """What there was of that in its element, in words."""
        memory, lives = self.policy.memory_of(agent.need), self._lives(agent)
        if short_of == "memory" and memory is not None:
            return f" ({memory * agent.slots >> 20} MiB for {agent.slots} workers)"
        return f" ({lives:.0f} s)" if short_of == "time" and lives is not None else ""

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
