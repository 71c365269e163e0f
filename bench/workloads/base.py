"""What all workloads have in common: which peers they are for, what they measure."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from bench.known import ARRAYS, FLOOR, LOCAL, OURS, SLURM, STANDARD, Known
from bench.seats import Seat


class Measure(NamedTuple):
    """A figure that a workload gives.

    Attributes
    ----------
    compared : bool
        Whether its ratio to the reference says something.
    share : bool
        Whether that is told the other way round, as a share of the reference's speed.
    """

    name: str
    unit: str
    compared: bool = True
    share: bool = False


class Choice(NamedTuple):
    """What the number of a workload is.

    Attributes
    ----------
    least : float
        The smallest that makes sense.
    whole : bool
        Whether it must be a whole number.
    """

    what: str
    least: float = 1
    whole: bool = True


class Workload(ABC):
    """Work that each peer is given in its turn.

    Parameters
    ----------
    number : float
        The one thing about it that can be chosen.

    Attributes
    ----------
    label : str
        What it is called in tables.
    choice : Choice
        What that number is.
    tells_chunks : bool
        Whether peers that need it are told how large chunks are.
    """

    tells_chunks: ClassVar[bool] = False
    choice: ClassVar[Choice] = Choice("tasks")
    defaults: ClassVar[tuple[float, ...]]
    measures: ClassVar[tuple[Measure, ...]]

    def __init__(self, number: float) -> None:
        self.number = number

    @property
    @abstractmethod
    def label(self) -> str: ...

    @property
    def tasks(self) -> int:
        """In its largest map."""
        return 16

    def takes(self, peer: Known, backend: str) -> bool:
        """Whether it means anything to this peer. All pools, unless a workload says otherwise."""
        return backend in peer.backends and peer.name not in (ARRAYS, FLOOR)

    def reference(self, backend: str) -> str:
        """The peer that the others are compared with."""
        return STANDARD

    @abstractmethod
    def measure(self, seat: Seat) -> dict[str, float]:
        """A turn: figures by the names of the measures, as far as they are to be had."""


def is_ours(peer: Known) -> bool:
    return peer.name == OURS


def asks_for_jobs(peer: Known, backend: str) -> bool:
    """On Slurm some peers are only there to be compared with, and run beside it."""
    return backend == LOCAL or peer.backends == (SLURM,) or is_ours(peer)


def counted(count: float) -> str:
    return f"{count:,.0f}"
