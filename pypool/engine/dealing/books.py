"""What the dealer has written down: batches, agents, shares, losses.

Plain data with the smallest operations that keep it consistent; the rules are in `deal`,
`roster` and `sizes`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pypool.engine.dealing.needs import USUAL, Need, fits_one
from pypool.engine.dealing.ranges import Range, Ranges

OPEN = 0
CLOSED = 1


@dataclass(slots=True)
class Loss:
    """How often a task was lost, and how.

    Attributes
    ----------
    charged : int
        Losses that cost an attempt.
    free : int
        Losses that were not the task's fault.
    told : list of str
        Each of them in words.
    short_of : str
        What the last one that cost an attempt was for want of: "time", "memory" or nothing.
    need : Need
        What the next attempt has to have.
    not_for : dict of str to float
        Agents that could not begin it, and until when it is not for them if others are there.
    not_before : float
        When it may be dealt again, if it was given back so.
    """

    charged: int = 0
    free: int = 0
    told: list[str] = field(default_factory=list)
    short_of: str = ""
    need: Need = USUAL
    not_for: dict[str, float] = field(default_factory=dict)
    not_before: float = 0.0


@dataclass(slots=True)
class Line:
    """Waiting tasks that were lost before, all of one need; each is dealt by itself.

    Attributes
    ----------
    again : Ranges
        Those that may go to any agent that fits.
    suspects : Ranges
        Those that may have killed an element: their agent gets nothing else meanwhile.
    pausing : Ranges
        Those that are dealt to nobody for a moment.
    """

    again: Ranges = field(default_factory=Ranges)
    suspects: Ranges = field(default_factory=Ranges)
    pausing: Ranges = field(default_factory=Ranges)

    def __len__(self) -> int:
        return len(self.again) + len(self.suspects) + len(self.pausing)

    @property
    def ready(self) -> bool:
        """Some of them may be dealt now."""
        return bool(self.again or self.suspects)

    @property
    def kinds(self) -> list[Ranges]:
        """All of them."""
        return [self.again, self.suspects, self.pausing]


@dataclass(slots=True)
class BatchBook:
    """One batch.

    Every OPEN task either waits, in one set of ranges, or is in the hands of exactly one agent
    that plays.

    Attributes
    ----------
    chunk : int
        Shares are multiples of this many tasks, 1 at least.
    state : bytearray
        OPEN or CLOSED for each task.
    left : int
        Tasks that are OPEN.
    todo : Ranges
        Waiting tasks that were never lost.
    lost : dict of Need to Line
        Waiting tasks that were.
    unanswered_shares : int
        Shares that their agent has not answered to the end, so it may still read the batch.
    kept : bool
        An agent vanished with a share of it: the file stays to the end of the run.
    """

    number: int
    count: int
    function: str
    chunk: int
    state: bytearray
    left: int
    todo: Ranges = field(default_factory=Ranges)
    lost: dict[Need, Line] = field(default_factory=dict)
    losses: dict[int, Loss] = field(default_factory=dict)
    unanswered_shares: int = 0
    kept: bool = False

    @classmethod
    def new(cls, number: int, count: int, function: str, chunk: int) -> "BatchBook":
        """A batch of which every task waits."""
        book = cls(number, count, function, max(chunk, 1), bytearray(count), count)
        book.todo.add(0, count)
        return book

    @property
    def waiting(self) -> int:
        """Tasks that are in nobody's hands."""
        return len(self.todo) + sum(map(len, self.lost.values()))

    def waits_for(self, agents: Collection[Need]) -> bool:
        """Whether there are tasks that could be dealt to such agents."""
        if self.todo:
            return True
        return any(line.ready and fits_one(agents, need) for need, line in self.lost.items())

    def needing_more(self) -> dict[Need, int]:
        """How many tasks wait for an element that is larger than usual."""
        return {need: len(line) for need, line in self.lost.items() if need != USUAL and line}

    def open_in(self, first: int, last: int) -> Iterator[Range]:
        """The OPEN tasks among first, ..., last - 1."""
        while True:
            first = self.state.find(OPEN, first, last)
            if first < 0:
                return
            end = self.state.find(CLOSED, first, last)
            end = last if end < 0 else end
            yield first, end
            first = end

    def close(self, first: int, last: int) -> int:
        """Closes these tasks; gives how many of them were OPEN."""
        count = self.state.count(OPEN, first, last)
        if count:
            self.state[first:last] = bytes([CLOSED]) * (last - first)
            self.left -= count
            self.take_from_waiting(first, last)
        return count

    def close_all(self) -> None:
        self.close(0, self.count)

    def wait(self, first: int, last: int, alone: bool = False) -> None:
        """Those of these tasks that are OPEN are in nobody's hands any more."""
        for begin, end in self.open_in(first, last):
            self.todo.add(begin, end)
            for index in self._lost_before(begin, end):
                self.todo.remove(index, index + 1)
                line = self.lost.setdefault(self.losses[index].need, Line())
                (line.suspects if alone else line.again).add(index, index + 1)

    def pause(self, index: int) -> bool:
        """This task, which was lost, is dealt to nobody for now; false if it does not wait."""
        line = self.lost.get(self.losses[index].need)
        if line is None or not line.again.remove(index, index + 1):
            return False
        line.pausing.add(index, index + 1)
        return True

    def wake(self, index: int) -> None:
        """It may be dealt again, unless it is over or in somebody's hands by now."""
        for line in self.lost.values():
            if line.pausing.remove(index, index + 1):
                line.again.add(index, index + 1)

    def _lost_before(self, first: int, last: int) -> list[int]:
        if len(self.losses) < last - first:
            return [index for index in self.losses if first <= index < last]
        return [index for index in range(first, last) if index in self.losses]

    def take_from_waiting(self, first: int, last: int) -> list[Range]:
        """Takes out those of these tasks that wait, and gives them."""
        kinds = [self.todo]
        for line in self.lost.values():
            kinds += line.kinds
        return [each for kind in kinds if kind for each in kind.remove(first, last)]


@dataclass(slots=True)
class ShareBook:
    """A share in an agent's hands.

    Attributes
    ----------
    silent : Ranges
        Tasks of it of which the agent has said nothing yet.
    since : float
        When it was dealt.
    was_dry : bool
        The agent, which knows the batch, had nothing to do then, and has not answered since.
    """

    number: int
    batch: BatchBook
    first: int
    last: int
    attempt: int
    alone: bool
    since: float
    silent: Ranges
    was_dry: bool = False

    @property
    def chunks(self) -> int:
        """How many slots its tasks can keep busy."""
        return -(-len(self.silent) // self.batch.chunk)


@dataclass(slots=True)
class AgentBook:
    """One array element, from its submission to its goodbye.

    Attributes
    ----------
    need : Need
        How much more than usual its element has.
    adopted : bool
        An earlier life has asked for its element.
    lives : float or None
        Seconds that its element lives, as far as the agent knows.
    said_hello : bool
        Its agent has been heard; before that the element is pending.
    lost : bool
        It ended without goodbye, or is no longer trusted to live. It may still speak.
    late : bool
        It begins nothing more and leaves as soon as what it works at is done.
    heard : float
        When something of it was last read; before hello, when it was submitted.
    spoke_at : float
        When it last said something of a task, or was dealt one while it had none.
    at_long_ones : bool
        Since then it is at tasks that take so long that it was asked for what waits for them.
    running_since : float or None
        When the scheduler first called it running.
    absent : int
        Good answers of the scheduler in a row that did not list it.
    asked : int
        The number of the request to return work that it has not answered, or 0.
    asked_at : float
        When that was.
    not_before : float
        When it may be asked again.
    in_vain : int
        How often in a row it was asked and had nothing to return.
    could_not : int
        How often in a row it gave something back that it could not begin.
    gave_back_at : float
        When it last did so.
    rests : int
        How often it was dealt nothing for a while because of that.
    rests_until : float
        How long it is so now.
    shares : dict of int to ShareBook
        What it holds, in the order in which it was dealt.
    lost_shares : dict of int to ShareBook
        What it held when it was lost.
    knows : int
        The batch of which it has last told something.
    """

    key: str
    slots: int
    heard: float
    need: Need = USUAL
    lives: float | None = None
    adopted: bool = False
    said_hello: bool = False
    lost: bool = False
    late: bool = False
    spoke_at: float = 0.0
    at_long_ones: bool = False
    running_since: float | None = None
    absent: int = 0
    asked: int = 0
    asked_at: float = 0.0
    not_before: float = 0.0
    in_vain: int = 0
    could_not: int = 0
    gave_back_at: float = float("-inf")
    rests: int = 0
    rests_until: float = 0.0
    shares: dict[int, ShareBook] = field(default_factory=dict)
    lost_shares: dict[int, ShareBook] = field(default_factory=dict)
    knows: int = 0

    @property
    def plays(self) -> bool:
        """It is there. It can be dealt to, unless it is late in its life."""
        return self.said_hello and not self.lost

    @property
    def pending(self) -> bool:
        return not self.said_hello

    @property
    def has_something_to_say(self) -> bool:
        """It works, was asked for something, or is to begin."""
        return self.pending or bool(self.shares or self.asked)

    @property
    def in_hand(self) -> int:
        """Tasks of which it has said nothing yet."""
        return sum(len(share.silent) for share in self.shares.values())

    @property
    def alone(self) -> bool:
        """It has a suspect in hand."""
        return bool(self.shares) and any(share.alone for share in self.shares.values())

    def comes_to(self, number: int) -> bool:
        """Whether that share is the oldest of those that it holds: its end comes first."""
        return next(iter(self.shares), None) == number

    @property
    def idle_slots(self) -> int:
        """Slots without a task, as far as it has told: a chunk keeps one slot busy."""
        if not self.shares:
            return self.slots
        return max(self.slots - sum(share.chunks for share in self.shares.values()), 0)

    @property
    def has_spare(self) -> bool:
        """It holds a share of which nothing can have begun, so that no slot waits for the next."""
        free = self.slots
        for share in self.shares.values():
            if free <= 0:
                return True
            free -= share.chunks
        return False

    @property
    def has_enough(self) -> bool:
        """It is dealt nothing more before it has told something."""
        return self.has_spare or (self.at_long_ones and not self.idle_slots)

    def unbegun(self) -> Iterator[tuple[ShareBook, int]]:
        """Its shares, each with how many tasks of it cannot have begun."""
        free = self.slots
        for share in self.shares.values():
            chunks = share.chunks
            unbegun = max(chunks - max(free, 0), 0) * share.batch.chunk
            yield share, min(unbegun, len(share.silent))
            free -= chunks

    def was_heard(self, now: float) -> None:
        self.heard = now
        self.absent = 0

    def spoke(self, now: float) -> None:
        """It has done a task."""
        self.spoke_at = now
        self.at_long_ones = False

    def could(self) -> None:
        """It has begun a task."""
        self.could_not = self.rests = 0
        self.rests_until = 0.0

    def spoke_of(self, book: BatchBook, first: int, last: int) -> list[Range]:
        """It has nothing more to say of these tasks. Gives those that it held and that are open.

        Shares of which it has told everything are closed.
        """
        held: list[Range] = []
        for share in list(self.shares.values()):
            if share.batch is book and (told := share.silent.remove(first, last)):
                held += told
                if not share.silent:
                    self.close_share(share)
        for share in self.lost_shares.values():
            if share.batch is book:
                share.silent.remove(first, last)
        return [each for begin, end in held for each in book.open_in(begin, end)]

    def close_share(self, share: ShareBook) -> None:
        """The agent will not read the share's batch again."""
        del self.shares[share.number]
        share.batch.unanswered_shares -= 1
