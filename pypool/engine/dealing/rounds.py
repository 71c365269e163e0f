"""Rounds of dealing: who gets which tasks next.

Everybody with idle slots comes first, then everybody gets one share more in hand, so that nobody
waits for the next one. How large a share is, is said by `sizes`.
"""

from collections import Counter
from heapq import nsmallest
from math import ceil

from pypool.engine.dealing.actions import Action, DealShare
from pypool.engine.dealing.books import AgentBook, BatchBook, Line, ShareBook
from pypool.engine.dealing.estimates import Estimates
from pypool.engine.dealing.givebacks import GiveBacks
from pypool.engine.dealing.needs import USUAL, Need, fits, largest_first
from pypool.engine.dealing.ranges import Range, Ranges
from pypool.engine.dealing.recalls import Recalls
from pypool.engine.dealing.roster import Roster
from pypool.engine.dealing.sizes import share_size


class Rounds:
    """See the module.

    Parameters
    ----------
    batches : dict of int to BatchBook
        Those that are not over.
    deals_all : bool
        Everything is dealt at once, each agent its fair part: the driver may go.

    Attributes
    ----------
    share_number : int
        Of the last share.
    """

    def __init__(
        self,
        batches: dict[int, BatchBook],
        estimates: Estimates,
        roster: Roster,
        recalls: Recalls,
        givebacks: GiveBacks,
        actions: list[Action],
        deals_all: bool = False,
    ) -> None:
        self._batches = batches
        self._deals_all = deals_all
        self._estimates = estimates
        self._roster = roster
        self._recalls = recalls
        self._givebacks = givebacks
        self._actions = actions
        self._waiting: set[int] = set()
        self._hungry: dict[str, AgentBook] = {}
        self._at_a_loss: dict[str, AgentBook] = {}
        self._functions_known = 0
        self.share_number = 0

    def has_waiting(self, book: BatchBook) -> None:
        """The batch may have tasks that can be dealt."""
        self._waiting.add(book.number)
        self._reconsider()

    def was_heard(self, agent: AgentBook) -> None:
        """The agent may take more now."""
        self._hungry[agent.key] = agent

    def forget(self, agent: AgentBook) -> None:
        self._hungry.pop(agent.key, None)
        self._at_a_loss.pop(agent.key, None)

    def _reconsider(self) -> None:
        """Those for whom nothing was in reserve may get something now."""
        self._hungry.update(self._at_a_loss)
        self._at_a_loss.clear()

    def dry(self, now: float) -> int:
        """Agents with idle slots, if there is nothing that they could be dealt."""
        if self._waiting_batches():
            return 0
        return sum(agent.idle_slots > 0 for agent in self._able_agents(now))

    def deal_out(self, now: float) -> None:
        """First to everybody who has idle slots, then one share more in hand."""
        waiting = self._waiting_batches()
        if self._functions_known != self._estimates.functions:
            self._functions_known = self._estimates.functions
            self._reconsider()
        if not waiting or not self._hungry:
            return
        able = self._able_agents(now)
        while waiting and (dry := [agent for agent in able if agent.idle_slots]):
            busy = [agent for agent in able if not agent.idle_slots]
            able = busy + self._deal_round(dry, waiting, now)
            waiting = self._waiting_batches()
        if waiting:
            able = [agent for agent in able if not agent.has_enough and not agent.alone]
            self._deal_round(able, waiting, now)

    def _waiting_batches(self) -> list[BatchBook]:
        """Those with tasks that could be dealt to somebody who is there, the oldest first."""
        found = [self._batches.get(number) for number in sorted(self._waiting)]
        waiting = [batch for batch in found if batch is not None and batch.waiting]
        self._waiting = {batch.number for batch in waiting}
        return [batch for batch in waiting if batch.waits_for(self._roster.needs)]

    def _able_agents(self, now: float) -> list[AgentBook]:
        """Those that may be dealt something, the one heard last first."""
        able = []
        for key, agent in list(self._hungry.items()):
            absent = agent.late or self._roster.playing.get(key) is not agent
            if absent or agent.alone or agent.has_enough:
                del self._hungry[key]  # it will be heard of before it is hungry again
            elif not (agent.asked or (agent.could_not and self._givebacks.rests(agent, now))):
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
        able = []
        for agent in agents:
            if self._deal_to(agent, waiting, parts, drained, now):
                able.append(agent)
                if not any(batch.waiting for batch in waiting):
                    break
        return able

    def _drained(self, agents: list[AgentBook], waiting: list[BatchBook]) -> set[str]:
        """Agents that get nothing, so that they run dry for the suspects, which go alone."""
        found: set[str] = set()
        if not any(batch.lost for batch in waiting):
            return found
        counts: Counter[Need] = Counter()
        for batch in waiting:
            for need, line in batch.lost.items():
                counts[need] += len(line.suspects)
        if not counts.total():
            return found
        free = [agent for agent in agents if not agent.shares]
        players = self._roster.playing.values()
        busy = [agent for agent in players if agent.shares and not (agent.alone or agent.late)]
        for need in largest_first(counts):
            taken = [agent for agent in free if fits(agent.need, need)][: counts[need]]
            free = [agent for agent in free if agent not in taken]
            able = (a for a in busy if a.key not in found and fits(a.need, need))
            missing = nsmallest(counts[need] - len(taken), able, key=lambda each: each.in_hand)
            found.update(agent.key for agent in missing)
        return found

    def _deal_to(
        self,
        agent: AgentBook,
        waiting: list[BatchBook],
        parts: dict[int, float],
        drained: set[str],
        now: float,
    ) -> bool:
        if not agent.shares:
            for batch in waiting:
                for line in lines_for(agent, batch):
                    if line.suspects:
                        self.give(agent, batch, line.suspects.take(1), now, alone=True)
                        return False
        if agent.key in drained:
            return False
        if agent.need != USUAL:
            for batch in waiting:
                if self._deal_again(agent, batch, now):
                    return True
        for batch in waiting:
            if self._deal_again(agent, batch, now):
                return True
            if batch.todo and (count := self._count(agent, batch, parts)):
                self.give(agent, batch, batch.todo.take(count), now)
                return True
        return False

    def _deal_again(self, agent: AgentBook, batch: BatchBook, now: float) -> bool:
        for line in lines_for(agent, batch):
            if line.again and (which := self._givebacks.take(agent, batch, line, now)):
                self.give(agent, batch, which, now)
                return True
        return False

    def _count(self, agent: AgentBook, batch: BatchBook, parts: dict[int, float]) -> int:
        """How many tasks that may go to anybody.

        Who is wanted for others has none in reserve, nor who could not begin the last one.
        """
        if agent.need != USUAL or agent.could_not:
            return agent.idle_slots * batch.chunk
        if self._deals_all:
            fair = ceil(parts[batch.number] * agent.slots)
            return ceil(fair / batch.chunk) * batch.chunk
        seconds = self._estimates.get(batch.function)
        if seconds is None and not agent.idle_slots:
            self._at_a_loss[agent.key] = agent  # not looked at each time until that is known
            self._hungry.pop(agent.key, None)
            return 0
        players = len(self._roster.playing)
        way = self._estimates.way
        return share_size(batch, seconds, agent, parts[batch.number], players, way)

    def give(
        self, agent: AgentBook, batch: BatchBook, which: Range, now: float, alone: bool = False
    ) -> None:
        first, last = which
        self.share_number += 1
        number = self.share_number
        loss = batch.losses.get(first)
        attempt = 1 + loss.charged + loss.free if loss else 1
        silent = Ranges()
        silent.add(first, last)
        was_dry = not agent.shares and agent.knows == batch.number
        if not agent.shares:
            agent.spoke_at = now
        agent.shares[number] = ShareBook(
            number, batch, first, last, attempt, alone, now, silent, was_dry
        )
        batch.unanswered_shares += 1
        seconds = self._estimates.get(batch.function) or 0.0
        self._actions.append(
            DealShare(agent.key, number, batch.number, first, last, attempt, seconds)
        )
        self._recalls.at_once()


def lines_for(agent: AgentBook, batch: BatchBook) -> list[Line]:
    """What was lost before and may go to this agent; what few others can take stands first."""
    if not batch.lost:
        return []
    return [batch.lost[need] for need in largest_first(batch.lost) if fits(agent.need, need)]
