"""The driver dies or is told to go: a named run is taken up again, of others nothing is left."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pool.scripts import Driver

from .clusters import Cluster, headline, until
from .conftest import Noticed
from .places import on_site, takes_long
from .rows import failure

TESTS = Path(__file__).parents[1]
TASKS = 24
ENDS_WITHIN = 200.0  # seconds
GONE_WITHIN = 30.0

PROGRAM = """
import functools, signal, sys
sys.path.insert(0, {tests!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run it may be ignored
from faults import tasks

if __name__ == "__main__":
    with {pool} as pool:
        print("begins", flush=True)
        print("results", pool.map(functools.partial({call}), range({count}), chunksize=1))
        pool.close()
        pool.join()
"""

WAIT = "tasks.work, {place!r}"
TAKE_A_SECOND = "tasks.work_for, 1.0, {place!r}"


class Programs:
    """The same program, again and again."""

    def __init__(self, cluster: Cluster, driver: Driver) -> None:
        self._cluster = cluster
        self._driver = driver

    def start(self, call: str, count: int = TASKS, **options: Any) -> subprocess.Popen[str]:
        place = str(self._cluster.place)
        text = PROGRAM.format(
            tests=str(TESTS),
            pool=self._cluster.pool_text(2, **options),
            call=call.format(place=place),
            count=count,
        )
        return self._driver.start(text)


@pytest.fixture
def programs(cluster: Cluster) -> Iterator[Programs]:
    """Programs of their own, which are ended with the test."""
    driver = cluster.driver()
    yield Programs(cluster, driver)
    driver.end()


def output(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How it ended, and what it said."""
    said, errors = process.communicate(timeout=ENDS_WITHIN)
    return process.returncode, said, errors


def is_right(process: subprocess.Popen[str], count: int = TASKS) -> None:
    code, said, errors = output(process)
    assert code == 0, errors
    assert said.splitlines()[-1] == f"results {[index * index for index in range(count)]}"


def all_is_gone(cluster: Cluster, since: float, within: float = GONE_WITHIN) -> float:
    """The seconds until no process and no job is left."""
    until(lambda: not (cluster.processes() or cluster.jobs_left()), within, "not all is gone")
    return time.monotonic() - since


# ---- killed


@failure("The program is killed, and started again")
@takes_long(400)
@on_site("slurm", "sge")
def test_killed_and_resumed(cluster: Cluster, programs: Programs, noticed: Noticed) -> None:
    """A named run: what was done is not done again."""
    first = programs.start(TAKE_A_SECOND, name="survey")
    until(lambda: len(cluster.ended()) >= 6, 60, "no tasks are done")
    first.kill()
    first.wait()
    done = cluster.ended()
    hit_at = time.monotonic()
    is_right(programs.start(TAKE_A_SECOND, name="survey"))
    seconds = time.monotonic() - hit_at
    again = {index for index, times in cluster.executions().items() if times > 1}
    assert len(again) <= 2, f"done again: {again}"
    all_is_gone(cluster, hit_at)
    assert not cluster.files_left()
    saw = f"all results; {len(done)} were done before, {len(again)} were begun again"
    noticed("kill -9 of the program", saw, seconds)


@failure("The program is killed")
@takes_long(400)
@on_site("slurm", "sge")
def test_killed(cluster: Cluster, programs: Programs, noticed: Noticed) -> None:
    """Without a name nobody will come back: agents leave after `orphan_timeout`."""
    process = programs.start(WAIT, orphan_timeout=20)
    cluster.wait_for_begun(2)
    process.kill()
    process.wait()
    seconds = all_is_gone(cluster, time.monotonic(), 120)
    noticed("kill -9 of the program, orphan_timeout=20", "nobody was left", seconds)


# ---- told to go

SIGNALS = pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=["HUP", "TERM"])


@failure("The terminal is closed, or the program is told to end")
@SIGNALS
@on_site("slurm", "sge")
def test_told_to_go(
    cluster: Cluster, programs: Programs, noticed: Noticed, number: signal.Signals
) -> None:
    """SIGHUP, SIGTERM: the program dies of it, and nothing is left of the run."""
    process = programs.start(WAIT)
    cluster.wait_for_begun(2)
    hit_at = time.monotonic()
    process.send_signal(number)
    code, _, errors = output(process)
    assert code == -number, errors
    seconds = all_is_gone(cluster, hit_at)
    noticed(number.name, "the program died of it, nobody was left", seconds)


@failure("The terminal of a named run is closed, or its program is told to end")
@takes_long(400)
@SIGNALS
@on_site("slurm", "sge")
def test_named_run_goes_on(
    cluster: Cluster, programs: Programs, noticed: Noticed, number: signal.Signals
) -> None:
    """The rest is dealt out and done; the next start of the program finds all of it."""
    process = programs.start(TAKE_A_SECOND, name="survey", linger=5)
    until(lambda: len(cluster.ended()) >= 4, 60, "no tasks are done")
    hit_at = time.monotonic()
    process.send_signal(number)
    code, _, errors = output(process)
    assert code == -number, errors
    died_at = time.monotonic()
    until(lambda: len(cluster.ended()) == TASKS, 120, "the rest is not done")
    until(lambda: not (cluster.processes() or cluster.jobs_left()), 60, "agents do not leave")
    is_right(programs.start(TAKE_A_SECOND, name="survey", linger=5))
    assert set(cluster.executions().values()) == {1}
    all_is_gone(cluster, hit_at, 240)
    saw = "all tasks were done without the program; its next start had the results at once"
    noticed(number.name, saw, died_at - hit_at)


@failure("Ctrl-C")
@on_site("slurm", "sge")
def test_interrupted(cluster: Cluster, programs: Programs, noticed: Noticed) -> None:
    """A `KeyboardInterrupt`, and nothing is left."""
    process = programs.start(WAIT)
    cluster.wait_for_begun(2)
    hit_at = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    code, _, errors = output(process)
    assert code == -signal.SIGINT, errors
    assert "KeyboardInterrupt" in errors
    seconds = all_is_gone(cluster, hit_at)
    noticed("Ctrl-C", "KeyboardInterrupt, nobody was left", seconds)


# ---- twice


@failure("A second program takes up the same named run")
@on_site("slurm", "sge")
def test_second_driver(cluster: Cluster, programs: Programs, noticed: Noticed) -> None:
    """It is told who has it; the first one is not disturbed."""
    first = programs.start(WAIT, name="survey")
    cluster.wait_for_begun(2)
    began_at = time.monotonic()
    code, _, errors = output(programs.start(WAIT, name="survey"))
    seconds = time.monotonic() - began_at
    assert code == 1
    assert re.search(rf"\b{first.pid}\b", errors), errors
    assert os.uname().nodename in errors
    cluster.go()
    is_right(first)
    assert set(cluster.executions().values()) == {1}
    all_is_gone(cluster, began_at, 60)
    noticed("the program started twice", headline(errors.strip().splitlines()[-1]), seconds)
