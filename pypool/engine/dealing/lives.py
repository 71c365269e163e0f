"""Lives: a run that outlives its driver is left to its agents, and taken up again by another one.

Before the driver goes, all that waits is dealt, to elements that have not begun, too. Who takes
the run up learns who holds what; a task of an earlier life is open only once somebody asks for it.
"""

from heapq import nsmallest
from math import ceil

from pypool.engine.dealing.books import OPEN, AgentBook, BatchBook, ShareBook
from pypool.engine.dealing.needs import Need, fits
from pypool.engine.dealing.ranges import Range, Ranges
from pypool.engine.dealing.recalls import Recalls
from pypool.engine.dealing.roster import Roster
from pypool.engine.dealing.rounds import Rounds


class Lives:
    """See the module.

    Parameters
    ----------
    batches : dict of int to BatchBook
        Those that are not over.
    """

    def __init__(
        self, batches: dict[int, BatchBook], roster: Roster, rounds: Rounds, recalls: Recalls
    ) -> None:
        self._batches = batches
        self._roster = roster
        self._rounds = rounds
        self._recalls = recalls

    # -- taking up

    def go_on(self, number: int) -> None:
        """Shares and requests are counted on from that number."""
        self._rounds.share_number = self._recalls.number = number

    def adopt_agent(self, key: str, slots: int | None, need: Need, now: float) -> None:
        """There may be this agent; without `slots` its element has not begun."""
        self._roster.adopted(key, need, now)
        if slots is not None:
            agent = self._roster.plays(key, slots, now)
            self._roster.is_in_doubt(agent)
            self._rounds.was_heard(agent)

    def adopt_batch(self, number: int, count: int, function: str, chunk: int) -> BatchBook:
        """A batch of an earlier life; nobody asks for its tasks yet."""
        book = self._batches.get(number)
        if book is None:
            book = self._batches[number] = BatchBook.new(number, count, function, chunk)
            book.close_all()
            book.kept = True
        return book

    def adopt_share(
        self, key: str, number: int, batch: int, first: int, last: int, silent: Ranges, now: float
    ) -> None:
        """The agent was dealt these tasks, and has said nothing of those that are `silent`."""
        book = self._batches[batch]
        share = ShareBook(number, book, first, last, 1, False, now, silent)
        self._roster.agents[key].shares[number] = share
        book.unanswered_shares += 1

    def in_hands(self) -> dict[int, Ranges]:
        """By batch: tasks that agents have, or will have once they begin."""
        held: dict[int, Ranges] = {}
        for agent in self._roster.agents.values():
            for share in () if agent.lost else agent.shares.values():
                ranges = held.setdefault(share.batch.number, Ranges())
                for first, last in share.silent:
                    ranges.add(first, last)
        return held

    def reopen(self, book: BatchBook, task: int) -> None:
        """Somebody asks for a task that is in an agent's hands."""
        book.state[task] = OPEN
        book.left += 1

    def ask_back_unwanted(self, now: float) -> None:
        """The program asks for other things than before: what nobody wants is not begun."""
        for agent in self._roster.playing.values():
            if any(share.batch.kept and not _open(share) for share in agent.shares.values()):
                self._recalls.at_any_rate(agent, now)

    # -- leaving

    def deal_everything(self, now: float) -> None:
        """All that waits, in equal parts to all slots that there are or will be.

        What does not come out even goes to those with least in hand: with single calls it is all.
        """
        agents = [each for each in self._roster.agents.values() if not (each.lost or each.late)]
        in_hand = {agent.key: agent.in_hand for agent in agents}
        for book in self._batches.values():
            self._spread(book, [book.todo], agents, in_hand, now)
            for need, line in book.lost.items():
                able = [agent for agent in agents if fits(agent.need, need)]
                self._spread(book, line.kinds, able, in_hand, now)

    def _spread(
        self,
        book: BatchBook,
        waiting: list[Ranges],
        agents: list[AgentBook],
        in_hand: dict[str, int],
        now: float,
    ) -> None:
        slots = sum(agent.slots for agent in agents)
        chunks = ceil(sum(map(len, waiting)) / book.chunk)
        if not slots or not chunks:
            return
        parts = {agent.key: chunks * agent.slots // slots for agent in agents}
        rest = chunks - sum(parts.values())
        for agent in nsmallest(rest, agents, key=lambda each: in_hand[each.key] / each.slots):
            parts[agent.key] += 1
        for agent in agents:
            for which in _taken(waiting, parts[agent.key] * book.chunk):
                self._rounds.give(agent, book, which, now)
                in_hand[agent.key] += which[1] - which[0]


def _open(share: ShareBook) -> int:
    """Tasks of it of which nothing was said, and that somebody asks for."""
    return sum(share.batch.state.count(OPEN, first, last) for first, last in share.silent)


def _taken(waiting: list[Ranges], count: int) -> list[Range]:
    """So many of the tasks."""
    found: list[Range] = []
    for ranges in waiting:
        while count and ranges:
            first, last = ranges.take(count)
            found.append((first, last))
            count -= last - first
    return found
