"""`seed=`, `pypool.rng` and `pypool.current_task`: what a task can know of itself."""

import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pypool
from pypool import Pool

from . import tasks
from .conftest import MakePool

SEEDS = [7, [1, 2, 3], np.random.SeedSequence(7), np.random.SeedSequence([4, 5], spawn_key=(6,))]


def draw(_: Any) -> list[float]:
    return [*pypool.rng().random(2), pypool.rng().random()]


def draw_for(_: Any, __: Any) -> list[float]:
    return draw(None)


def who(_: Any = None) -> tuple[int, int, int, str]:
    task = pypool.current_task()
    assert task is not None
    return task.index, task.attempt, task.slot, task.host


def die_once(path: str) -> tuple[list[float], tuple[int, int, int, str]]:
    if not Path(path).exists():
        Path(path).touch()
        os._exit(1)
    return draw(None), who()


def expected(seed: Any, count: int) -> list[list[float]]:
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(seed)
    fresh = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    return [list(np.random.default_rng(child).random(3)) for child in fresh.spawn(count)]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_task_has_its_own_numbers(pool: Pool, seed: Any) -> None:
    """Those of numpy's own children of the seed, whatever the chunks and the method."""
    wanted = expected(seed, 20)
    assert pool.map(draw, range(20), seed=seed) == wanted
    assert pool.map(draw, range(20), 7, seed=seed) == wanted
    assert pool.map_async(draw, range(20), seed=seed).get(60) == wanted
    assert pool.starmap(draw_for, [(1, 2)] * 20, seed=seed) == wanted
    assert pool.starmap_async(draw_for, [(1, 2)] * 20, seed=seed).get(60) == wanted
    assert list(pool.imap(draw, range(20), seed=seed)) == wanted
    assert list(pool.imap(draw, range(20), 3, buffersize=6, seed=seed)) == wanted
    assert sorted(pool.imap_unordered(draw, range(20), seed=seed)) == sorted(wanted)


def test_without_a_seed_numbers_differ(pool: Pool) -> None:
    """From task to task, and each time."""
    drawn = pool.map(draw, range(10)) + pool.map(draw, range(10)) + [pool.apply(draw, (0,))]
    assert len(set(map(tuple, drawn))) == 21


def test_calls_with_different_seeds_do_not_mix(pool: Pool) -> None:
    """Though their function is the same and they come together."""
    handles = [pool.map_async(draw, range(3), seed=seed) for seed in range(20)]
    for seed, handle in enumerate(handles):
        assert handle.get(60) == expected(seed, 3)


@pytest.mark.parametrize("seed", ["text", 1.5, [1, "a"], object()])
def test_what_is_no_seed_is_refused(pool: Pool, seed: Any) -> None:
    """Before anything is run."""
    with pytest.raises(TypeError, match="seed="):
        pool.map(draw, [1], seed=seed)


def test_a_negative_seed_is_refused(pool: Pool) -> None:
    """As by numpy."""
    with pytest.raises(ValueError, match="negative"):
        pool.imap(draw, [1], seed=-1)


def test_a_task_knows_which_it_is(pool: Pool) -> None:
    """Index in its call, attempt, slot and host; in a chunk, too."""
    found = pool.map(who, range(10), 3)
    assert [index for index, *_ in found] == list(range(10))
    assert {attempt for _, attempt, *_ in found} == {1}
    assert {host for *_, host in found} == {os.uname().nodename}
    assert {slot for _, _, slot, _ in found} <= {0, 1, 2, 3}
    assert [index for index, *_ in pool.imap(who, range(10))] == list(range(10))


def test_single_calls_are_task_0(pool: Pool) -> None:
    """Each of them, though many may be sent together."""
    handles = [pool.apply_async(who) for _ in range(30)]
    assert [handle.get(60)[0] for handle in handles] == [0] * 30


def test_short_tasks_know_who_they_are_too(pool: Pool) -> None:
    """Of many, with something large among them, and with seeds."""
    pool.map(tasks.same, range(2000))
    large = np.zeros(10_000)
    items = [large if index % 5 == 3 else index for index in range(100)]
    for _ in range(3):
        assert [index for index, *_ in pool.map(who, items)] == list(range(100))
    wanted = expected(3, 100)
    for _ in range(2):
        assert pool.map(draw, items, seed=3) == wanted


def test_the_next_attempt_has_the_same_numbers(make_pool: MakePool, shared_dir: Path) -> None:
    """And knows that it is the second."""
    paths = [str(shared_dir / "a"), str(shared_dir / "b")]
    found = make_pool().map(die_once, paths, seed=11)
    assert [numbers for numbers, _ in found] == expected(11, 2)
    assert [(index, attempt) for _, (index, attempt, *_) in found] == [(0, 2), (1, 2)]


def test_outside_of_tasks_there_is_none() -> None:
    """But there are numbers."""
    assert pypool.current_task() is None
    assert pypool.rng().random() != pypool.rng().random()


def test_tasks_of_the_serial_pool_have_all_that() -> None:
    """And after each of them there is none."""
    pool = pypool.serial.Pool()
    assert pool.map(draw, range(3), seed=5) == expected(5, 3)
    assert list(pool.imap(draw, range(3), seed=5)) == expected(5, 3)
    assert [index for index, *_ in pool.map(who, range(3))] == [0, 1, 2]
    assert pypool.current_task() is None


def test_division() -> None:
    """One item for each part."""
    assert pypool.division(3) == [{"idx": i, "N": 3} for i in range(3)]
    assert pypool.division(np.int64(1)) == [{"idx": 0, "N": 1}]
    with pytest.raises(ValueError, match="n=0"):
        pypool.division(0)
    with pytest.raises(TypeError):
        pypool.division(2.0)  # type: ignore[arg-type]


def test_division_divides(pool: Pool) -> None:
    """Code that takes its part of the work gets all parts."""
    parts = pool.map(tasks.part_of_hundred, pypool.division(7))
    assert list(chain.from_iterable(parts)) == list(range(100))
