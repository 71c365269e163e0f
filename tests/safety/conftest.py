"""The pools of `tests/pool`, and what another user has left."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pool.conftest import (
    _queues_are_left_empty,
    backend,
    driver,
    make_pool,
    shared_dir,
    warm_directories,
    warm_pools,
)

from pypool.rundir.run import RunDirectory

__all__ = [
    "_queues_are_left_empty",
    "backend",
    "driver",
    "make_pool",
    "shared_dir",
    "warm_directories",
    "warm_pools",
]

FOREIGN = "PYPOOL_TEST_FOREIGN"

Foreign = Callable[[str, Path], Path]
"""Puts a "file", "fifo", "directory" or "link" of another user to a path."""


@pytest.fixture
def foreign(shared_home: Path) -> Foreign:
    """What is put below `shared_home`. An ordinary user takes what root has prepared."""
    prepared = os.environ.get(FOREIGN)
    if prepared is None:
        pytest.skip("nobody has prepared files of another user: tests/clusters/run-tests does")

    def put(kind: str, path: Path) -> Path:
        assert path.is_relative_to(shared_home)
        for candidate in sorted(Path(prepared).glob(f"{kind}.*")):
            with suppress(FileNotFoundError):  # another test was quicker
                candidate.rename(path)
                assert path.lstat().st_uid != os.geteuid()
                return path
        pytest.fail(f"nothing is left of the prepared {kind}s")

    return put


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    """A new run in the test's own directory, with one element."""
    yield from _new_run(tmp_path)


@pytest.fixture
def run_at_home(shared_home: Path) -> Iterator[RunDirectory]:
    """The same on the disk on which `foreign` lies."""
    yield from _new_run(shared_home)


def _new_run(place: Path) -> Iterator[RunDirectory]:
    made = RunDirectory.create(str(place), {})
    for name in ("elements/token", "elements/token/0"):
        made.make_directory(name)
    yield made
    made.close()
