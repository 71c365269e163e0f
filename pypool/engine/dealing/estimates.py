"""What a task of a function takes, learned from those that have run."""

from collections import deque
from statistics import median

LEAST_SECONDS = 2e-6
"""What a task costs at least, whatever its function takes."""


class Estimates:
    """Run times by function: the median of the last ones, kept between calls.

    One history for all functions was seen to double the makespan of long tasks after a run of
    no-ops.

    Attributes
    ----------
    functions : int
        How often a function became known.
    """

    REMEMBERED = 64
    FUNCTIONS = 1000

    def __init__(self) -> None:
        self.functions = 0
        self._seconds: dict[str, deque[float]] = {}
        self._medians: dict[str, float] = {}

    def add(self, function: str, seconds: list[float]) -> None:
        if function not in self._seconds and len(self._seconds) >= self.FUNCTIONS:
            oldest = next(iter(self._seconds))
            del self._seconds[oldest]
            self._medians.pop(oldest, None)
        self.functions += function not in self._seconds
        history = self._seconds.setdefault(function, deque(maxlen=self.REMEMBERED))
        history.extend(seconds[:: max(1, len(seconds) // 16)])
        self._medians.pop(function, None)

    def get(self, function: str) -> float | None:
        """Seconds that a task of this function takes, if one was ever seen."""
        found = self._medians.get(function)
        if found is None and function in self._seconds:
            found = self._medians[function] = median(self._seconds[function])
        return found
