"""What a task of a function takes, and the way to an agent, learned from those that have run."""

from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

LEAST_SECONDS = 2e-6
"""What a task costs at least, whatever its function takes."""


class Done(NamedTuple):
    """Tasks first, ..., last - 1 were run, and took so many seconds each."""

    first: int
    last: int
    seconds: float


def tasks_in(done: Iterable[Done]) -> int:
    """How many tasks they are."""
    return sum(last - first for first, last, _ in done)


def seconds_in(done: Iterable[Done]) -> float:
    """How many seconds they took together."""
    return sum((last - first) * seconds for first, last, seconds in done)


class Estimates:
    """Run times by function: the median of the last ones, kept between calls.

    One history for all functions was seen to double the makespan of long tasks after a run of
    no-ops.

    Attributes
    ----------
    functions : int
        How often a function became known.
    way : float
        Seconds for which an agent without work waits for a share and for its answer to be read;
        the shortest of the last ones, for whatever else makes an answer late is not the way.
    """

    REMEMBERED = 64
    SAMPLES = 16
    FUNCTIONS = 1000
    WAYS = 8
    LONGEST_WAY = 2.0

    def __init__(self) -> None:
        self.functions = 0
        self.way = 0.0
        self._ways: deque[float] = deque(maxlen=self.WAYS)
        self._seconds: dict[str, deque[float]] = {}
        self._medians: dict[str, float] = {}

    def add(self, function: str, done: Sequence[Done]) -> None:
        """Some of these tasks, evenly, are remembered."""
        if function not in self._seconds and len(self._seconds) >= self.FUNCTIONS:
            oldest = next(iter(self._seconds))
            del self._seconds[oldest]
            self._medians.pop(oldest, None)
        self.functions += function not in self._seconds
        history = self._seconds.setdefault(function, deque(maxlen=self.REMEMBERED))
        history.extend(_each_of(done, max(1, tasks_in(done) // self.SAMPLES)))
        self._medians.pop(function, None)

    def add_way(self, seconds: float) -> None:
        """How long an agent was without work on its way."""
        self._ways.append(min(seconds, self.LONGEST_WAY))
        if len(self._ways) == self.WAYS:
            self.way = max(min(self._ways), 0.0)

    def get(self, function: str) -> float | None:
        """Seconds that a task of this function takes, if one was ever seen."""
        found = self._medians.get(function)
        if found is None and function in self._seconds:
            found = self._medians[function] = median(self._seconds[function])
        return found


def _each_of(done: Iterable[Done], step: int) -> list[float]:
    """What every so many-th task took, from the first one on."""
    found: list[float] = []
    skipped = 0
    for first, last, seconds in done:
        picked = range(first + skipped, last, step)
        found += [seconds] * len(picked)
        skipped = first + skipped + len(picked) * step - last
    return found
