"""Give-backs: tasks that an agent could not begin, since it cannot read what belongs to them.

That says something of its node or of a file, and nothing of the task, which goes to somebody else,
after a pause that grows. An agent that can begin nothing would take in all there is in no time: it
is dealt nothing for a while, then sent away. All this holds only where there are others.
"""

from collections.abc import Mapping
from heapq import heappop, heappush

from pypool.engine.dealing.actions import Action, Dismiss
from pypool.engine.dealing.books import AgentBook, BatchBook, Line, Loss
from pypool.engine.dealing.needs import fits
from pypool.engine.dealing.ranges import Range
from pypool.engine.dealing.roster import Roster

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds before such a task is dealt again: twice as many each time."""

ELSEWHERE_SECONDS = 60.0
"""So long an agent does not get again what it gave back, if others may take it."""

IN_A_ROW = 5
"""Give-backs without an answer between them after which an agent rests."""

REST_SECONDS = 5.0
LONGEST_REST = 60.0
RESTS = 2
"""An agent that rested so often, each time for twice as long, is sent away the next time."""


class GiveBacks:
    """See the module.

    Parameters
    ----------
    batches : mapping of int to BatchBook
        Those that are not over.
    """

    def __init__(
        self, batches: Mapping[int, BatchBook], roster: Roster, actions: list[Action]
    ) -> None:
        self._batches = batches
        self._roster = roster
        self._actions = actions
        self._pausing: list[tuple[float, int, int]] = []
        self._sent_away: list[AgentBook] = []

    # -- events

    def by(self, agent: AgentBook, now: float) -> bool:
        """The agent gave something back; true if it is sent away for that."""
        agent.gave_back_at = now
        if agent.late or now < agent.rests_until:
            return False
        agent.could_not += 1
        if agent.could_not < IN_A_ROW:
            return False
        agent.rests += 1
        if agent.rests > RESTS and self._somebody_well_plays(agent):
            self._roster.sends_away(agent, now)
            self._sent_away.append(agent)
            return True
        agent.rests_until = now + min(REST_SECONDS * 2 ** (agent.rests - 1), LONGEST_REST)
        return False

    def pause(self, agent: AgentBook, book: BatchBook, index: int, now: float) -> None:
        """The agent gave back this task, which waits again unless it has failed by that."""
        loss = book.losses[index]
        loss.not_for[agent.key] = now + ELSEWHERE_SECONDS
        if book.pause(index):
            loss.not_before = now + min(FIRST_PAUSE * 2 ** (loss.free - 1), LONGEST_PAUSE)
            heappush(self._pausing, (loss.not_before, book.number, index))

    def settle(self, now: float) -> list[BatchBook]:
        """Ends what is over by now; gives the batches with tasks that may be dealt again."""
        woken = []
        while self._pausing and self._pausing[0][0] <= now:
            _, number, index = heappop(self._pausing)
            book = self._batches.get(number)
            if book is not None and book.losses[index].not_before <= now:
                book.wake(index)
                woken.append(book)
        if self._sent_away:
            self._dismiss()
        return woken

    def _dismiss(self) -> None:
        """Those leave that have said something of all that they held."""
        for agent in [each for each in self._sent_away if not (each.plays and each.shares)]:
            self._sent_away.remove(agent)
            if agent.key in self._roster.playing:
                self._actions.append(Dismiss(agent.key))

    # -- who may be dealt what

    def rests(self, agent: AgentBook, now: float) -> bool:
        """It is dealt nothing now."""
        if now >= agent.rests_until:
            return False
        return bool(self._roster.awaited) or self._somebody_well_plays(agent)

    def take(self, agent: AgentBook, book: BatchBook, line: Line, now: float) -> Range | None:
        """Takes out the first task of the line that may go to the agent, if there is one."""
        if now - agent.gave_back_at > ELSEWHERE_SECONDS:
            return line.again.take(1)
        for first, last in line.again:
            for index in range(first, last):
                if self.may_take(agent, book.losses[index], now):
                    line.again.remove(index, index + 1)
                    return index, index + 1
        return None

    def may_take(self, agent: AgentBook, loss: Loss, now: float) -> bool:
        """Whether the agent did not give it back lately, or nobody else may take it."""
        if not _barred(agent, loss, now):
            return True
        awaited = (self._roster.agents[key] for key in self._roster.awaited)
        if any(fits(each.need, loss.need) for each in awaited):
            return False
        return not any(
            fits(each.need, loss.need) and _is_well(each) and not _barred(each, loss, now)
            for each in self._roster.playing.values()
        )

    def _somebody_well_plays(self, but: AgentBook) -> bool:
        return any(_is_well(each) and each is not but for each in self._roster.playing.values())


def _is_well(agent: AgentBook) -> bool:
    return agent.could_not < IN_A_ROW and not agent.late


def _barred(agent: AgentBook, loss: Loss, now: float) -> bool:
    return now < loss.not_for.get(agent.key, now)
