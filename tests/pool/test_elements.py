"""Several workers to an element: how many elements, and who does what."""

import os
import time
from pathlib import Path

import pytest

import pypool

from . import tasks
from .conftest import MakePool

on_slurm = pytest.mark.parametrize(
    "backend", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True
)
on_clusters = pytest.mark.parametrize(
    "backend",
    [pytest.param("shell"), pytest.param("slurm", marks=pytest.mark.slurm)],
    indirect=True,
)


class Slow:
    """Takes its time to be pickled, until elements have been asked for."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        deadline = time.monotonic() + 10
        while not (found := list(self.work_dir.glob("*/elements/*/0"))):
            assert time.monotonic() < deadline, "nobody has been asked for"
            time.sleep(0.01)
        return str, (found[0].name,)


def test_elements_are_asked_for_before_many_items_are_packed(tmp_path: Path) -> None:
    """They wait in the queue meanwhile."""
    with pypool.shell.Pool(2, work_dir=tmp_path) as pool:
        assert pool.map(tasks.double, [Slow(tmp_path)] + [1] * 1000) == ["00"] + [2] * 1000


Place = tuple[str, int, int]
"""Index of the element, process, slot."""


def place(directory: str, index: int, count: int) -> Place:
    """Where this task runs, once `count` tasks are at work at the same time."""
    tasks.meet(directory, index, count)
    element = os.environ.get("SLURM_ARRAY_TASK_ID") or os.environ["PYPOOL_ELEMENT"]
    slot = Path("/proc/self/fd/1").readlink().suffix[1:]
    return element, os.getpid(), int(slot)


@on_clusters
@pytest.mark.parametrize(
    ("processes", "most", "elements", "workers"),
    [(8, 4, 2, 4), (6, 4, 2, 3), (7, 4, 2, 3), (3, 28, 1, 3), (4, 1, 4, 1)],
)
def test_workers_are_spread_evenly_over_elements(
    make_pool: MakePool, shared_dir: Path, processes: int, most: int, elements: int, workers: int
) -> None:
    """All are at work at the same time, each in a slot of its own."""
    meeting = shared_dir / "meeting"
    meeting.mkdir()
    count = elements * workers
    pool = make_pool(processes=processes, workers_per_element=most)
    items = [(str(meeting), index, count) for index in range(count)]
    found: list[Place] = pool.starmap(place, items)
    indexes = {str(index) for index in range(elements)}
    assert len({process for _, process, _ in found}) == count
    assert {(index, slot) for index, _, slot in found} == {
        (index, slot) for index in indexes for slot in range(workers)
    }


@on_clusters
def test_workers_of_an_element_have_one_agent(make_pool: MakePool, shared_dir: Path) -> None:
    """Eight workers, two agents."""
    meeting = shared_dir / "meeting"
    meeting.mkdir()
    pool = make_pool(processes=8, workers_per_element=4)
    pool.starmap(tasks.meet, [(str(meeting), index, 8) for index in range(8)])
    assert len(set(pool.map(tasks.agent, range(400)))) <= 2


@on_slurm
def test_an_element_is_asked_for_what_its_workers_need(make_pool: MakePool) -> None:
    """Amounts are given for a worker."""
    pool = make_pool(processes=2, workers_per_element=2, cpus=2, memory="100M")
    names = ["SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE"]
    assert pool.map(tasks.environment, names) == ["4", "200"]
