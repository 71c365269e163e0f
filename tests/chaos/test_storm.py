"""A map in a storm: every result, each once, and nothing left.

make chaos                                   three minutes, another seed each time
make chaos CHAOS_SECONDS=1800 CHAOS_SEED=7   half an hour; the same faults again

`PYPOOL_TEST_CHAOS_KEEP=directory` keeps the run and the logs of the daemons there, to see what has
happened, and judges nothing.
"""

import os
import random
import shutil
import time
from collections.abc import Iterator

import pytest
from faults.clusters import Cluster
from faults.places import on_own

from .plan import by_kind, duration, plan
from .storm import Storm

NODES, CPUS = 3, 2
BUSY = 0.9
"""So much of the time workers are expected to work, in a storm."""


@pytest.fixture
def seconds() -> float:
    return float(os.environ.get("PYPOOL_TEST_CHAOS_SECONDS") or 180)


@pytest.fixture
def seed() -> int:
    return int(
        os.environ.get("PYPOOL_TEST_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000)
    )


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    """Prints past pytest."""

    def past(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", flush=True)

    return past  # type: ignore[return-value]


def tasks_for(seconds: float, workers: int) -> int:
    """So many that they take as long as the storm lasts."""
    count, work = 0, 0.0
    while work < seconds * workers * BUSY:
        work += duration(count)
        count += 1
    return count


@pytest.mark.faults
@pytest.mark.timeout(0)
@on_own("slurm", nodes=NODES, cpus=CPUS, KillWait=2, SlurmdTimeout=10)
def test_storm(cluster: Cluster, seconds: float, seed: int, say) -> None:  # type: ignore[no-untyped-def]
    """Whatever breaks: the output is exact, tasks are repeated only where they were hit."""
    workers = NODES * CPUS
    count = tasks_for(seconds, workers)
    say(f"chaos: seed={seed} seconds={seconds:.0f} tasks={count} workers={workers}")
    kept = os.environ.get("PYPOOL_TEST_CHAOS_KEEP")
    storm = Storm(cluster, cluster.daemons, workers, count, keep="all" if kept else "failed")
    try:
        spent = storm.rage(plan(seed, seconds), patience=3 * seconds + 300)
        results = storm.results
    finally:
        storm.end()
    left = leaked(cluster)
    expected = [index * index for index in range(count)]
    lost = len(set(expected) - set(results))
    duplicated = max(0, len(results) - len(set(results)))
    too_often = storm.too_often()
    slowest = sorted(storm.notices(), reverse=True)[:3]
    kinds = [strike.kind for strike in storm.happened]
    say(
        f"faults={len(kinds)} ({by_kind(kinds)}) lost={lost} duplicated={duplicated} "
        f"false_failures={len(storm.false_failures)} leaked={len(left)} "
        f"max_notice={slowest[0][0] if slowest else 0.0:.1f}"
    )
    say(f"chaos: {spent:.0f} s, {len(too_often)} tasks started more often than faults explain")
    for seconds_to, why in slowest:
        say(f"chaos: noticed after {seconds_to:.1f} s: {why}")
    if too_often or os.environ.get("PYPOOL_TEST_CHAOS_STORY"):
        say("\n".join([storm.story(), *map(storm.life_of, too_often)]))
    if kept:
        shutil.copytree(cluster.place, f"{kept}/storm", dirs_exist_ok=True)
        shutil.copytree(cluster.daemons.place / "log", f"{kept}/log", dirs_exist_ok=True)
        return
    words = storm.output.read_text()[-4000:]
    assert not storm.false_failures, storm.false_failures
    assert results == expected, words
    assert not too_often, (too_often, words)
    assert not left
    assert not cluster.files_left()


def leaked(cluster: Cluster) -> list[str]:
    """Processes and jobs that are still there half a minute later."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [*cluster.processes().values(), *(f"job {job}" for job in cluster.jobs_left())]
        if not left:
            return []
        time.sleep(0.2)
    return left
