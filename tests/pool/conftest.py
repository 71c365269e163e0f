"""Pools to test, on each backend: a warm one for each module, and fresh ones.

Tests on a cluster may leave the jobs of their module's warm pool in the queue, no others; and
these are gone at the module's end.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pypool

from .queues import await_empty_queue, jobs_in_queue, schedulers_of
from .scripts import Driver

SIZES = {"local": 2, "shell": 2, "slurm": 4, "sge": 4}

BACKENDS = [
    pytest.param("local"),
    pytest.param("shell"),
    pytest.param("slurm", marks=pytest.mark.slurm),
    pytest.param("sge", marks=pytest.mark.sge),
]
CLUSTERS = {"slurm", "sge"}

MakePool = Callable[..., pypool.Pool]


def new_pool(backend: str, place: Path, **options: Any) -> pypool.Pool:
    """A pool of the size that suits the backend, unless told otherwise."""
    options.setdefault("processes", SIZES[backend])
    if backend != "local":
        options.setdefault("work_dir", place)
    pool: pypool.Pool = getattr(pypool, backend).Pool(**options)
    return pool


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend's name in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def warm_directories() -> Iterator[dict[str, Path]]:
    """Work directories of warm pools, in the home directory, which every node sees."""
    directories: dict[str, Path] = {}
    yield directories
    for directory in directories.values():
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def warm_pools(warm_directories: dict[str, Path]) -> Iterator[dict[str, pypool.Pool]]:
    """The module's pools by backend, each made when first wanted."""
    pools: dict[str, pypool.Pool] = {}
    yield pools
    for pool in pools.values():
        pool.close()
        pool.join()
    for scheduler in CLUSTERS & pools.keys():
        await_empty_queue(scheduler)


@pytest.fixture
def pool(
    backend: str, warm_directories: dict[str, Path], warm_pools: dict[str, pypool.Pool]
) -> pypool.Pool:
    """The module's pool on this backend: its workers stay from test to test."""
    if backend not in warm_pools:
        directory = Path(tempfile.mkdtemp(prefix="pypool-test-", dir=Path.home()))
        warm_directories[backend] = directory
        warm_pools[backend] = new_pool(backend, directory)
    return warm_pools[backend]


@pytest.fixture
def shared_dir(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty directory which driver and workers see."""
    if backend not in CLUSTERS:
        return tmp_path
    directory: Path = request.getfixturevalue("shared_home")
    return directory


@pytest.fixture
def make_pool(backend: str, shared_dir: Path) -> Iterator[MakePool]:
    """Makes pools of this test alone; they are terminated at its end."""
    made = []

    def make(**options: Any) -> pypool.Pool:
        made.append(new_pool(backend, shared_dir / "work", **options))
        return made[-1]

    yield make
    for pool in made:
        pool.terminate()


@pytest.fixture
def driver(backend: str, shared_dir: Path) -> Iterator[Driver]:
    """Runs programs that use a pool of this backend."""
    driver = Driver(backend, SIZES[backend], shared_dir, mark=uuid.uuid4().hex)
    yield driver
    driver.end()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory for this process."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", os.fspath(directory))
    return directory


@pytest.fixture(autouse=True)
def _queues_are_left_empty(
    request: pytest.FixtureRequest, warm_pools: dict[str, pypool.Pool]
) -> Iterator[None]:
    """As for all other tests, but for the jobs of the warm pool."""
    schedulers = schedulers_of(request)
    warm = "pool" in request.fixturenames
    before = {name: jobs_in_queue(name) for name in schedulers if name in warm_pools}
    yield
    if not warm:
        for scheduler in schedulers:
            await_empty_queue(scheduler, but=before.get(scheduler, ()))
