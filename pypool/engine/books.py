"""What the dealer has written down: batches, agents, shares, losses, run times.

Plain data with the smallest operations that keep it consistent; the rules are in `deal`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from pypool.engine.ranges import Range, Ranges

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
    """

    charged: int = 0
    free: int = 0
    told: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Again:
    """A task to be dealt once more, by itself.

    Attributes
    ----------
    alone : bool
        It is suspected of having killed an element: its agent gets nothing else meanwhile.
    """

    index: int
    attempt: int
    alone: bool


@dataclass(slots=True)
class BatchBook:
    """One batch.

    Attributes
    ----------
    chunk : int
        Shares are multiples of this many tasks.
    state : bytearray
        OPEN or CLOSED for each task.
    left : int
        Tasks that are OPEN.
    todo : Ranges
        OPEN tasks that nobody holds and that were never lost.
    again : deque of Again
        OPEN tasks that nobody holds and that were.
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
    todo: Ranges
    again: deque[Again] = field(default_factory=deque)
    losses: dict[int, Loss] = field(default_factory=dict)
    unanswered_shares: int = 0
    kept: bool = False

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
        return count

    def close_all(self) -> None:
        self.close(0, self.count)

    @property
    def waiting(self) -> int:
        """Tasks that could be dealt."""
        return len(self.todo) + len(self.again)


@dataclass(slots=True)
class ShareBook:
    """A share in an agent's hands.

    Attributes
    ----------
    silent : Ranges
        Tasks of it of which the agent has said nothing yet.
    since : float
        When it was dealt.
    """

    number: int
    batch: BatchBook
    first: int
    last: int
    attempt: int
    alone: bool
    since: float
    silent: Ranges


@dataclass(slots=True)
class AgentBook:
    """One array element, from its submission to its goodbye.

    Attributes
    ----------
    said_hello : bool
        Its agent has been heard; before that the element is pending.
    lost : bool
        It ended without goodbye, or is no longer trusted to live. It may still speak.
    heard : float
        When something of it was last read; before hello, when it was submitted.
    running_since : float or None
        When the scheduler first called it running.
    absent : int
        Good answers of the scheduler in a row that did not list it.
    asked : int
        The number of the request to return work that it has not answered, or 0.
    not_before : float
        When it may be asked again.
    """

    key: str
    slots: int
    heard: float
    said_hello: bool = False
    lost: bool = False
    running_since: float | None = None
    absent: int = 0
    asked: int = 0
    not_before: float = 0.0
    shares: dict[int, ShareBook] = field(default_factory=dict)
    lost_shares: dict[int, ShareBook] = field(default_factory=dict)

    @property
    def plays(self) -> bool:
        """It can be dealt to."""
        return self.said_hello and not self.lost

    @property
    def pending(self) -> bool:
        return not self.said_hello

    @property
    def in_hand(self) -> int:
        """Tasks of which it has said nothing yet."""
        return sum(len(share.silent) for share in self.shares.values())


class Estimates:
    """Run times by function: the median of the last ones, kept between calls.

    One history for all functions was seen to double the makespan of long tasks after a run of
    no-ops.
    """

    REMEMBERED = 64
    FUNCTIONS = 1000

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._medians: dict[str, float] = {}

    def add(self, function: str, seconds: list[float]) -> None:
        if function not in self._seconds and len(self._seconds) >= self.FUNCTIONS:
            oldest = next(iter(self._seconds))
            del self._seconds[oldest]
            self._medians.pop(oldest, None)
        history = self._seconds.setdefault(function, deque(maxlen=self.REMEMBERED))
        history.extend(seconds[:: max(1, len(seconds) // 16)])
        self._medians.pop(function, None)

    def get(self, function: str) -> float | None:
        """Seconds that a task of this function takes, if one was ever seen."""
        found = self._medians.get(function)
        if found is None and function in self._seconds:
            found = self._medians[function] = median(self._seconds[function])
        return found
