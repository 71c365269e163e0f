"""What happens in a storm, and when: decided by a seed before it begins."""

import random
from collections import Counter
from typing import NamedTuple

KINDS = {
    "worker": 8,
    "agent": 3,
    "scancel": 3,
    "requeue": 2,
    "slurmd": 1,
    "slurmctld stopped": 2,
    "slurmctld killed": 1,
    "driver": 2,
}
"""How often each, in parts of all."""

AWAY = {
    "slurmd": (5.0, 20.0),
    "slurmctld stopped": (3.0, 15.0),
    "slurmctld killed": (1.0, 10.0),
    "driver": (0.5, 3.0),
}
"""Seconds until it comes back, from and to."""

GAP = 3.0
"""Seconds between two faults, on average."""


class Fault(NamedTuple):
    """One of them.

    Attributes
    ----------
    at : float
        Seconds since the storm has begun.
    pick : float
        Whom it hits: a place among those who can be hit, from 0 to 1.
    away : float
        Seconds until what was hit comes back, if it does.
    """

    at: float
    kind: str
    pick: float
    away: float


def plan(seed: int, seconds: float) -> list[Fault]:
    """The faults of a storm that lasts so long."""
    dice = random.Random(seed)
    faults = []
    at = dice.expovariate(1 / GAP)
    while at < seconds:
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        away = dice.uniform(*AWAY.get(kind, (0.0, 0.0)))
        faults.append(Fault(at, kind, dice.random(), away))
        at += dice.expovariate(1 / GAP)
    return faults


def duration(index: int) -> float:
    """Seconds that a task takes: most are short, some are not."""
    dice = random.Random(index)
    return dice.choice((0.02, 0.1, 0.1, 0.5, 1.0, 2.0)) * dice.uniform(0.5, 1.5)


def by_kind(kinds: list[str]) -> str:
    """As in `agent:3,worker:8`."""
    counts = Counter(kind.replace(" ", "-") for kind in kinds)
    return ",".join(f"{kind}:{counts[kind]}" for kind in sorted(counts)) or "none"
