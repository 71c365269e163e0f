"""GPUs: each worker sees its own, and no other worker sees those."""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from pypool.worker import gpus

from . import tasks
from .conftest import MakePool

on_slurm = pytest.mark.parametrize(
    "backend", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True
)
on_this_machine = pytest.mark.parametrize("backend", ["local", "shell"], indirect=True)


@cache
def gpus_of_a_node() -> int:
    """How many each node of the test Slurm has."""
    sinfo = ["sinfo", "--noheader", "--partition=main", "--format=%G"]
    found = subprocess.run(sinfo, capture_output=True, text=True, check=True).stdout.split()
    numbers = [word.split("(")[0].split(":")[-1] for word in found if word.startswith("gpu")]
    return int(numbers[0]) if numbers else 0


def devices(directory: str, index: int, count: int) -> list[str]:
    """Those that this worker sees, once `count` workers are here."""
    tasks.meet(directory, index, count)
    return os.environ["CUDA_VISIBLE_DEVICES"].split(",")


def all_devices(make_pool: MakePool, place: Path, processes: int, **options: object) -> list[str]:
    """The devices of all workers at the same time, each worker's behind another's."""
    meeting = place / "meeting"
    meeting.mkdir()
    pool = make_pool(processes=processes, **options)
    items = [(str(meeting), index, processes) for index in range(processes)]
    found = pool.starmap(devices, items)
    assert [len(each) for each in found] == [options["gpus"]] * processes
    return sorted(device for each in found for device in each)


@pytest.fixture(autouse=True)
def _nobody_has_dealt_out_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*gpus.VARIABLES, gpus.ASSIGNED):
        monkeypatch.delenv(name, raising=False)


@on_this_machine
def test_workers_of_one_machine_share_its_devices(make_pool: MakePool, shared_dir: Path) -> None:
    """They are counted, since nobody has named them."""
    assert all_devices(make_pool, shared_dir, 2, gpus=2) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("backend", ["shell"], indirect=True)
def test_elements_of_several_workers_share_them_too(make_pool: MakePool, shared_dir: Path) -> None:
    """Two elements, two workers each."""
    found = all_devices(make_pool, shared_dir, 4, gpus=1, workers_per_element=2)
    assert found == ["0", "1", "2", "3"]


@on_this_machine
def test_devices_that_the_program_has_are_shared(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an allocation it has some of the node's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,6,7")
    assert all_devices(make_pool, shared_dir, 2, gpus=2) == ["2", "5", "6", "7"]


@on_this_machine
def test_a_worker_in_the_place_of_a_dead_one_has_its_devices(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """They go with the slot."""
    pool = make_pool(processes=1, gpus=2)
    mark = str(shared_dir / "mark")
    pool.starmap(tasks.die_once, [(mark, "SIGKILL", 0)])
    assert pool.map(tasks.environment, ["CUDA_VISIBLE_DEVICES"]) == ["0,1"]


@on_this_machine
def test_without_gpus_the_variable_is_left_alone(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who shares one device among many workers may do so."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert set(make_pool().map(tasks.environment, ["CUDA_VISIBLE_DEVICES"] * 8)) == {"3"}


@on_slurm
def test_slurm_s_devices_are_shared_by_the_workers_of_an_element(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """Four of one element for two workers: two each, all different."""
    if gpus_of_a_node() < 4:
        pytest.skip("the nodes of this Slurm have no four GPUs")
    found = all_devices(make_pool, shared_dir, 2, gpus=2, workers_per_element=2)
    assert found == ["0", "1", "2", "3"]


@on_slurm
def test_slurm_gives_an_element_what_it_was_asked_for(make_pool: MakePool) -> None:
    """One worker, one device."""
    if gpus_of_a_node() < 1:
        pytest.skip("the nodes of this Slurm have no GPU")
    (seen,) = make_pool(processes=1, gpus=1).map(tasks.environment, ["CUDA_VISIBLE_DEVICES"])
    assert len(seen.split(",")) == 1
