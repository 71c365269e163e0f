"""What a pool is made with: processes, an initializer, the life of workers."""

from collections import Counter
from typing import Any

import pytest

from . import tasks
from .kinds import SIZES, MakePool, on_processes


@pytest.mark.parametrize("processes", [0, -1])
def test_a_pool_has_a_process(make_pool: MakePool, processes: int) -> None:
    """Less than one is refused."""
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        make_pool(processes)


def test_an_initializer_can_be_called(make_pool: MakePool) -> None:
    """What cannot is refused when the pool is made."""
    with pytest.raises(TypeError, match="initializer must be a callable"):
        make_pool(1, "initializer")


@on_processes
@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_a_worker_does_a_task(make_pool: MakePool, bad: Any) -> None:
    """`maxtasksperchild` is a positive int, or None."""
    with pytest.raises(ValueError, match="maxtasksperchild must be a positive int or None"):
        make_pool(1, None, (), bad)


def test_processes_and_initializer_by_position(make_pool: MakePool) -> None:
    """Processes, initializer, its arguments, in this order; globals of a module meet the tasks."""
    pool = make_pool(1, tasks.initialize, (1, 20))
    assert pool.map(tasks.add_state, [0, 1]) == [21, 22]
    assert pool.apply(tasks.add_state, (2,)) == 23


@on_processes
def test_by_keyword(make_pool: MakePool, kind: str) -> None:
    """All have their names. Each worker calls the initializer once, before its first task."""
    pool = make_pool(
        processes=SIZES[kind],
        initializer=tasks.initialize,
        initargs=[2, 30],
        maxtasksperchild=1000,
        **({"context": None} if kind != "multiprocessing" else {}),
    )
    assert pool.map(tasks.add_state, range(20)) == [32 + number for number in range(20)]
    assert pool.map(tasks.initialized_with, range(20)) == [[(2, 30)]] * 20


def test_an_initializer_without_arguments(make_pool: MakePool) -> None:
    """Then it is called with none."""
    assert make_pool(initializer=tasks.initialize).map(tasks.add_state, [1, 2]) == [1, 2]


def test_none_means_the_default(make_pool: MakePool) -> None:
    """Each argument may be None, but the initializer's."""
    assert make_pool(None, None, ()).apply(tasks.square, (3,)) == 9


# ---- the life of workers


@on_processes
def test_workers_are_replaced(make_pool: MakePool) -> None:
    """After so many tasks a worker is followed by another one, which calls the initializer."""
    pool = make_pool(1, tasks.mark_worker, (), 2)
    results = pool.map(tasks.count_call, range(6), 1)
    assert [calls for _, calls in results] == [1, 2] * 3
    assert sorted(Counter(worker for worker, _ in results).values()) == [2, 2, 2]


@on_processes
def test_a_chunk_counts_once(make_pool: MakePool) -> None:
    """With a chunksize the chunk is what is counted."""
    pool = make_pool(processes=1, maxtasksperchild=1)
    results = pool.map(tasks.worker, range(6), chunksize=3)
    assert results[0] == results[1] == results[2]
    assert results[3] == results[4] == results[5]
    assert results[0] != results[3]


@on_processes
def test_a_worker_for_each_call(make_pool: MakePool) -> None:
    """`apply` and `imap` count as well."""
    pool = make_pool(processes=1, maxtasksperchild=1)
    workers = [pool.apply(tasks.worker) for _ in range(3)]
    workers += pool.imap(tasks.worker, range(3))
    assert len(set(workers)) == 6


@on_processes
def test_workers_stay_otherwise(make_pool: MakePool) -> None:
    """Without `maxtasksperchild` one worker does all, call after call."""
    pool = make_pool(processes=1)
    workers = pool.map(tasks.worker, range(20), 1) + [pool.apply(tasks.worker) for _ in range(3)]
    assert len(set(workers)) == 1
