"""What is played: how many agents, how many tasks, how long, on what disk, by which rules."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import exp
from random import Random
from typing import Any

from bench.simulation.disks import KINDS
from bench.simulation.pools import Outcome, Pool
from pypool.engine import polling as of_driver
from pypool.engine.dealing import sizes
from pypool.worker import polling as of_agents

STARTS_PER_SECOND = 200.0
"""So many elements the scheduler starts."""

SPREAD = 0.5
"""Standard deviation of the logarithm of run times: one task in 40 takes 2.3 times the mean."""


@dataclass(frozen=True)
class Scenario:
    """See the module.

    Attributes
    ----------
    work : float
        Seconds that each slot is to work.
    spread : float
        Standard deviation of the logarithm of run times.
    as_few : bool
        By the rules of few agents, whatever their number.
    """

    agents: int
    tasks: int
    disk: str
    work: float
    spread: float = SPREAD
    slots: int = 1
    as_few: bool = False
    seed: int = 1

    @property
    def mean(self) -> float:
        """Seconds of a task."""
        return self.work * self.agents * self.slots / self.tasks

    def play(self) -> Outcome:
        random = Random(self.seed)
        scale = self.mean / exp(self.spread**2 / 2)
        tasks = [scale * random.lognormvariate(0, self.spread) for _ in range(self.tasks)]
        last = max(self.agents / STARTS_PER_SECOND, 0.1)
        hellos = sorted(random.uniform(0, last) for _ in range(self.agents))
        with rules_of_few() if self.as_few else rules():
            return Pool(tasks, self.slots, hellos, KINDS[self.disk], self.seed).run()


def row(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    """All of it, for a file."""
    return asdict(scenario) | {"mean": scenario.mean} | asdict(outcome) | {"ratio": outcome.ratio}


@contextmanager
def rules() -> Iterator[None]:
    """As they are."""
    yield


@contextmanager
def rules_of_few() -> Iterator[None]:
    """Nobody counts as many."""
    modules: list[Any] = [of_driver, of_agents, sizes]
    before = [module.FEW for module in modules]
    for module in modules:
        module.FEW = 1 << 60
    try:
        yield
    finally:
        for module, few in zip(modules, before, strict=True):
            module.FEW = few
