"""A worker dies: its task is done again, by itself, and no other task notices."""

import os
import signal
import time
from collections.abc import Callable

import pytest

import pypool

from . import tasks
from .clusters import Cluster, finish, headline, message
from .conftest import Noticed
from .places import on_site
from .rows import failure
from .tasks import PATIENCE

TASKS = 8
AT_ONCE = 10.0  # seconds: a worker's death is learned from the system, not from a clock
MEBIBYTE = 1 << 20


@failure("A worker is killed")
@on_site("slurm", "sge")
def test_killed(cluster: Cluster, noticed: Noticed) -> None:
    """`kill -9`, as a person or the system does it."""
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    os.kill(victim.worker, signal.SIGKILL)
    hit_at = time.monotonic()
    next_one = cluster.wait_for_reaction(hit_at, AT_ONCE)
    assert next_one.agent == victim.agent
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    assert cluster.executions()[victim.index] == 2
    finish(pool)
    cluster.nothing_is_left()
    noticed("kill -9", "all results; the task was started a second time", next_one.at - hit_at)


def once(cluster: Cluster, function: Callable[..., int]) -> float:
    """The seconds until a task that does itself harm the first time is started again."""
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS, function, str(cluster.place), 3)
    cluster.is_right(handle.get(PATIENCE), TASKS, 3)
    (fault,) = tasks.records(cluster.place, "fault")
    next_one = cluster.wait_for_reaction(fault.at, AT_ONCE)
    assert cluster.executions()[3] == 2
    finish(pool)
    cluster.nothing_is_left()
    assert next_one.at - fault.at < AT_ONCE
    return next_one.at - fault.at


@failure("A task ends its process")
@on_site("slurm", "sge")
def test_exit(cluster: Cluster, noticed: Noticed) -> None:
    """`os._exit`, which no `except` sees."""
    seconds = once(cluster, tasks.exit_once)
    noticed("os._exit(3)", "all results; the task was started a second time", seconds)


@failure("A worker crashes")
@on_site("slurm", "sge")
def test_segfault(cluster: Cluster, noticed: Noticed) -> None:
    """A segmentation fault, as in a library of C."""
    seconds = once(cluster, tasks.segfault_once)
    noticed("ctypes.string_at(0)", "all results; the task was started a second time", seconds)


@failure("A worker takes too much memory")
@on_site("slurm")
def test_memory_of_a_worker(cluster: Cluster, noticed: Noticed) -> None:
    """The system kills it: the error says what it had used, and what was asked for."""
    if not os.access("/sys/fs/cgroup/memory", os.R_OK):
        pytest.skip("no control groups: this Slurm kills the whole element")
    pool = cluster.pool(2, memory="150M", retries=0)
    function = (tasks.eat, str(cluster.place), 1, 600 * MEBIBYTE)
    handle = cluster.starts(pool, 4, *function)
    with pytest.raises(pypool.OutOfMemoryError) as caught:
        handle.get(PATIENCE)
    raised_at = time.monotonic()
    (fault,) = tasks.records(cluster.place, "fault")
    said = message(caught.value)
    assert "task 1 " in said
    assert "memory" in said
    assert "150" in said
    finish(pool)
    cluster.nothing_is_left(files=False)  # what a task was lost with is kept
    noticed("600 MiB where 150 MiB were asked for", headline(said), raised_at - fault.at)


@failure("A worker takes too much memory")
@on_site("sge")
def test_memory_of_a_worker_is_limited(cluster: Cluster, noticed: Noticed) -> None:
    """Grid Engine limits the address space: the task gets a `MemoryError` of its own."""
    pool = cluster.pool(2, memory="400M")
    handle = cluster.starts(pool, 4, tasks.eat, str(cluster.place), 1, 600 * MEBIBYTE)
    with pytest.raises(MemoryError) as caught:
        handle.get(PATIENCE)
    raised_at = time.monotonic()
    (fault,) = tasks.records(cluster.place, "fault")
    assert "task 1 " in message(caught.value)
    finish(pool)
    cluster.nothing_is_left()
    seconds = raised_at - fault.at
    noticed("600 MiB where 400 MiB were asked for", "MemoryError, raised by the task", seconds)
