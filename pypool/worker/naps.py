"""Naps: an agent whose slots have enough to do need not hear of each task at once.

To be woken for each outcome costs more than to take some together, as much as a twentieth of a
task of a millisecond. So the agent sleeps for a moment without listening to its workers, if each
of them has work in reserve for that long, by what its tasks have taken so far. If one runs dry all
the same, or has filled its pipe and waits, naps are shorter until they have proved right again.
"""

from __future__ import annotations

LONGEST = 0.02
"""What a wake-up costs, a quarter of a millisecond with cold caches, is little beside that; results
wait no longer than they do anyway until they are told."""

SHORTEST = 0.0005
"""Less does not pay."""

SHORTER = 1 / 80
LONGER = 1.05
"""What naps are multiplied by when a worker had to wait in one, and after each other wait."""


class Naps:
    """How long the next one may be."""

    __slots__ = ("_longest",)

    def __init__(self) -> None:
        self._longest = LONGEST

    def next(self, reserve: float) -> float:
        """Seconds of the next nap, 0 if there is to be none.

        Parameters
        ----------
        reserve : float
            Seconds of work that each worker has, at least, behind the task that it is at.
        """
        nap = min(reserve, self._longest)
        return nap if nap >= SHORTEST else 0.0

    def learn(self, waited: bool) -> None:
        """Whether a worker had to wait for the agent in a nap, at the end of any wait."""
        self._longest = min(self._longest * (SHORTER if waited else LONGER), LONGEST)
