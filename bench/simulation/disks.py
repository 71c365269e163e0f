"""Shared file systems, made up: how long a file takes to open, and when others see what is in it.

Of each file that is opened, read or written, and closed the time is drawn from a lognormal
distribution given by its median and its 99th percentile; what was written is seen by others after
a delay drawn in the same way. Whether the server bears the load is not simulated: it is counted,
by the second, and has to be compared with what the server bears.
"""

from collections import Counter
from dataclasses import dataclass
from math import exp, log
from random import Random

DRAWN = 4096
P99 = 2.326
"""So many standard deviations above the median lies the 99th percentile."""


@dataclass(frozen=True)
class Kind:
    """A kind of file system; seconds as median and 99th percentile.

    Attributes
    ----------
    opened : tuple of float
        What it takes to open, read or write, and close a file.
    seen : tuple of float
        After so long what was written is seen elsewhere.
    bears : float
        Opens a second that a server of this kind serves without trouble.
    """

    opened: tuple[float, float]
    seen: tuple[float, float]
    bears: float


KINDS = {
    "local": Kind((0.00005, 0.0002), (0.00001, 0.00002), 200_000.0),
    "nfs": Kind((0.002, 0.02), (0.005, 0.09), 5_000.0),
    "lustre": Kind((0.015, 0.1), (0.005, 0.05), 5_000.0),
}


class Disk:
    """One of these; counts what is opened, by whom and in which second."""

    def __init__(self, kind: Kind, random: Random) -> None:
        self.opens: dict[str, Counter[int]] = {"agents": Counter(), "driver": Counter()}
        self._opened = _drawn(kind.opened, random)
        self._seen = _drawn(kind.seen, random)
        self._next = 0

    def open(self, who: str, now: float) -> float:
        """A file is opened; gives the seconds until it is closed again."""
        self.opens[who][int(now)] += 1
        self._next = (self._next + 1) % DRAWN
        return self._opened[self._next]

    def open_often(self, who: str, now: float, count: int, every: float) -> None:
        """Files are opened one by one in equal distances."""
        seconds = self.opens[who]
        for number in range(count):
            seconds[int(now + number * every)] += 1

    def delay(self) -> float:
        """Until what was just written is seen elsewhere."""
        self._next = (self._next + 1) % DRAWN
        return self._seen[self._next]


def _drawn(times: tuple[float, float], random: Random) -> list[float]:
    median, high = times
    sigma = log(high / median) / P99
    return [median * exp(random.gauss(0, sigma)) for _ in range(DRAWN)]
