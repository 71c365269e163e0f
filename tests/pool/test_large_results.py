"""Large results: once the caller has them, nothing of them is left on disk or in memory."""

import os
from pathlib import Path

import pytest

import pypool

from . import tasks
from .conftest import MakePool
from .scripts import memory_directories

pytestmark = pytest.mark.parametrize("backend", ["local", "shell"], indirect=True)

LARGE = 20_000_000


def large_files(directory: Path) -> list[Path]:
    """Those of a run's files that hold more than small results."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path for path in files if path.stat().st_size >= LARGE]


def test_what_was_delivered_is_removed_while_the_pool_is_open(
    make_pool: MakePool, backend: str, shared_dir: Path
) -> None:
    """At once, not only when its slot has written as much again."""
    before = memory_directories(os.getpid())
    sizes = [LARGE, 100_000, 2 * LARGE, 10]
    pool = make_pool()
    assert [len(value) for value in pool.map(tasks.zeros, sizes)] == sizes
    if backend == "local":
        [place] = set(memory_directories(os.getpid())) - set(before)
    else:
        place = shared_dir
    assert list(place.rglob("data.*"))  # small ones share a file, which stays
    assert not large_files(place)


def test_large_results_do_not_add_up(make_pool: MakePool, shared_dir: Path, backend: str) -> None:
    """Results of a few MB share a file, which goes when it is full and all of it was read."""
    before = memory_directories(os.getpid())
    size = 4_000_000
    pool = make_pool(processes=1)
    for _ in range(40):
        assert list(map(len, pool.map(tasks.zeros, [size]))) == [size]
    places = [shared_dir, *set(memory_directories(os.getpid())) - set(before)]
    files = [path for place in places for path in place.rglob("data.*")]
    assert len(files) == 1


def test_a_result_may_raise_anything_when_it_loads(make_pool: MakePool) -> None:
    """The error is of that one task; the pool goes on."""
    pool = make_pool()
    for how in (SystemExit, KeyboardInterrupt):
        handle = pool.map_async(tasks.raises_when_loaded, [how])
        with pytest.raises(pypool.RemoteError, match=how.__name__):
            handle.get(tasks.PATIENCE)
    assert pool.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
