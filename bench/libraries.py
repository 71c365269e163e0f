"""Seconds that emcee, dynesty and scipy take with warm pools, beside `multiprocessing.Pool`.

    python -m bench.libraries --backend slurm --workers 4

A call of the likelihood sleeps for 2 ms. Four workers that compute would share the CPUs of the
machine, two perhaps, and the figures would tell of these; asleep they tell of the pools. Whatever
sleeps wakes late, some 0.1 ms, in each pool alike.

The pools take turns, in another order each round, so that the ratios mean something where the
seconds do not. With the same seed all must find the same.
"""

import argparse
import importlib.util
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pypool
from bench import queue
from bench.options import Parser, end_by_signals, number, refuse

Point = NDArray[np.float64]

CALL = 0.002
"""Seconds that a call of the likelihood takes."""

DIMENSIONS = 5
STANDARD = "multiprocessing"


def log_likelihood(point: Point) -> float:
    time.sleep(CALL)
    return float(-0.5 * np.sum(point**2))


def cost(point: Point) -> float:
    return -log_likelihood(point)


def prior_transform(unit: Point) -> Point:
    return 10.0 * unit - 5.0


class InOrder:
    """No pool: calls one after the other, and counts them.

    Attributes
    ----------
    maps, items : int
        How many maps there were, and items in them.
    """

    def __init__(self) -> None:
        self.maps = self.items = 0

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        results = [function(item) for item in items]
        self.maps += 1
        self.items += len(results)
        return results


# ---- what is done with a pool of some workers


def run_emcee(pool: Any, workers: int) -> Point:
    """16 walkers, 200 steps: maps of 8 items, a call each."""
    import emcee

    sampler = emcee.EnsembleSampler(16, DIMENSIONS, log_likelihood, pool=pool)
    sampler.random_state = np.random.RandomState(1).get_state()
    sampler.run_mcmc(np.random.default_rng(2).normal(size=(16, DIMENSIONS)), 200)
    chain: Point = sampler.get_chain()
    return chain


def run_dynesty(pool: Any, workers: int) -> Point:
    """50 live points: maps of as many items as there are workers, some calls each."""
    import dynesty

    sampler = dynesty.NestedSampler(
        log_likelihood,
        prior_transform,
        DIMENSIONS,
        nlive=50,
        sample="rwalk",
        walks=10,
        rstate=np.random.default_rng(3),
        pool=pool,
        queue_size=workers,
    )
    sampler.run_nested(dlogz=5.0, print_progress=False)
    samples: Point = sampler.results.samples
    return samples


def run_scipy(pool: Any, workers: int) -> Point:
    """20 generations of 75: maps of 75 items, a call each."""
    from scipy.optimize import differential_evolution

    found = differential_evolution(
        cost,
        [(-5, 5)] * DIMENSIONS,
        rng=4,
        workers=pool.map,
        updating="deferred",
        maxiter=20,
        tol=0,
        polish=False,
    )
    population: Point = found.population
    return population


LIBRARIES = {"emcee": run_emcee, "dynesty": run_dynesty, "scipy": run_scipy}

# ---- measuring


class Round(NamedTuple):
    """Seconds by the pool's name, of one library in one round."""

    seconds: dict[str, float]

    def ratio(self, name: str) -> float:
        return self.seconds[name] / self.seconds[STANDARD]


def turns(names: list[str], number: int) -> list[str]:
    """Another one begins in each round."""
    first = number % len(names)
    return names[first:] + names[:first]


def play(
    run: Callable[[Any, int], Point], pools: dict[str, Any], workers: int, number: int
) -> Round:
    """Each pool once. What is found must be the same with all of them."""
    seconds, found = {}, {}
    for name in turns(list(pools), number):
        start = time.perf_counter()
        found[name] = run(pools[name], workers)
        seconds[name] = time.perf_counter() - start
    for name, each in found.items():
        if not np.array_equal(each, found[STANDARD]):
            raise SystemExit(f"{run.__name__}: {name} has found something else than {STANDARD}")
    return Round(seconds)


def warm(library: str, pools: dict[str, Any], workers: int) -> None:
    """All workers have started and imported what they need before the clock does."""
    for pool in pools.values():
        pool.map(import_and_wait, [library] * 4 * workers)


def import_and_wait(library: str) -> None:
    importlib.import_module(library)
    time.sleep(0.1)


def main() -> None:
    end_by_signals()
    parser = Parser(
        prog="python -m bench.libraries", description="emcee, dynesty and scipy with warm pools."
    )
    count = number(1, whole=True)
    parser.add_argument("--backend", choices=["slurm", "sge", "shell"], default="slurm")
    parser.add_argument("--workers", type=count, default=4, metavar="N")
    parser.add_argument("--rounds", type=count, default=5, metavar="N")
    options = parser.parse_args()
    if options.backend == "slurm" and (trouble := queue.trouble()):
        refuse(parser, f"Slurm cannot be measured: {trouble}. --backend shell needs none")
    work_dir = Path(tempfile.mkdtemp(prefix="pypool-bench-", dir=Path.home()))
    try:
        measure(options, work_dir)
    finally:
        shutil.rmtree(work_dir)


def measure(options: argparse.Namespace, work_dir: Path) -> None:
    workers = options.workers
    print(
        f"pypool {pypool.__version__}, Python {sys.version.split()[0]}, {workers} workers, "
        f"median of {options.rounds} rounds, in brackets that of the ratios to {STANDARD}"
    )
    cluster = getattr(pypool, options.backend)
    with ExitStack() as stack:
        pools = {
            STANDARD: stack.enter_context(multiprocessing.Pool(workers)),
            "local": stack.enter_context(pypool.local.Pool(workers)),
            options.backend: stack.enter_context(
                cluster.Pool(workers, work_dir=work_dir, linger="10m")
            ),
        }
        for library, run in LIBRARIES.items():
            if importlib.util.find_spec(library) is None:
                print(f"{library} is not installed")
                continue
            warm(library, pools, workers)
            in_order = InOrder()
            rounds = [
                play(run, {"serial": in_order, **pools}, workers, number)
                for number in range(options.rounds)
            ]
            maps, items = in_order.maps // len(rounds), in_order.items // len(rounds)
            print(f"{library} {version(library)}: {maps} maps, {items} items")
            show(["serial", *pools], rounds)


def show(names: list[str], rounds: list[Round]) -> None:
    for name in names:
        seconds = [each.seconds[name] for each in rounds]
        ratio = statistics.median(each.ratio(name) for each in rounds)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"  {name:16} {statistics.median(seconds):6.2f} s  ({ratio:.2f})  {spread}")


if __name__ == "__main__":
    main()
