"""Which GPUs a worker sees: its own, however the element was told of them."""

import os
from collections.abc import Mapping

import pytest

from pypool.worker import gpus
from pypool.worker.gpus import devices_of, own_devices

NVIDIA, AMD = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("slot", "count", "devices", "own"),
    [
        (0, 1, "0,1,2,3", "0"),
        (3, 1, "0,1,2,3", "3"),
        (0, 2, "0,1,2,3", "0,1"),
        (1, 2, "0,1,2,3", "2,3"),
        (1, 1, "3,7", "7"),
        (1, 1, "GPU-8932f937,GPU-4a2c", "GPU-4a2c"),
        (1, 2, "0, 1, 2, 3", "2,3"),
        (0, 1, "NoDevFiles", "NoDevFiles"),
    ],
)
def test_each_slot_has_its_part(slot: int, count: int, devices: str, own: str) -> None:
    """By their order, whatever they are called."""
    assert devices_of(slot, count, {NVIDIA: devices}) == {NVIDIA: own}


def test_slots_share_nothing() -> None:
    """Each device belongs to one worker."""
    environment = {NVIDIA: "4,5,6,7,8,9"}
    parts = [devices_of(slot, 2, environment)[NVIDIA] for slot in range(3)]
    assert ",".join(parts) == environment[NVIDIA]


def test_who_comes_too_late_sees_none() -> None:
    """Rather than what belongs to somebody else."""
    assert devices_of(2, 1, {NVIDIA: "0,1"}) == {NVIDIA: ""}
    assert devices_of(1, 2, {NVIDIA: "0,1,2"}) == {NVIDIA: "2"}


@pytest.mark.parametrize("environment", [{}, {NVIDIA: ""}])
def test_where_nobody_says_they_are_counted(environment: Mapping[str, str]) -> None:
    """A machine of one's own."""
    assert devices_of(0, 1, environment) == {NVIDIA: "0"}
    assert devices_of(1, 2, environment) == {NVIDIA: "2,3"}


def test_what_grid_engine_has_assigned_counts() -> None:
    """If no variable of the devices' libraries does."""
    assert devices_of(1, 1, {"SGE_HGR_gpu": "2 3"}) == {NVIDIA: "3"}
    assert devices_of(1, 1, {"SGE_HGR_gpu": "2 3", NVIDIA: "5,6"}) == {NVIDIA: "6"}


@pytest.mark.parametrize("name", gpus.VARIABLES)
def test_every_maker_s_variable_is_cut(name: str) -> None:
    """The one that is set."""
    assert devices_of(1, 1, {name: "0,1"}) == {name: "1"}


def test_all_that_slurm_sets_are_cut_but_one() -> None:
    """AMD's libraries count what ROCR_VISIBLE_DEVICES has left: cut twice, nothing would be."""
    environment = dict.fromkeys([NVIDIA, AMD, "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL"], "0,1")
    assert devices_of(1, 1, environment) == {
        NVIDIA: "1",
        "ZE_AFFINITY_MASK": "1",
        "GPU_DEVICE_ORDINAL": "1",
    }


# ---- in an element


def info(scheduler: str, wanted: int | None = 1) -> dict[str, object]:
    return {"scheduler": scheduler, "gpus": wanted, "workers_per_element": 2, "nodes": 1}


def test_nothing_is_touched_unless_gpus_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for none may have got them by other means."""
    monkeypatch.setenv(NVIDIA, "0,1")
    assert own_devices(1, info("slurm", None), "elements/t/0") == {}


def test_elements_on_one_machine_share_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a scheduler deals out devices each element has its own."""
    for name in gpus.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert os.environ.get(gpus.ASSIGNED) is None
    assert own_devices(1, info("shell"), "elements/t/0") == {NVIDIA: "1"}
    assert own_devices(1, info("shell"), "elements/t/3") == {NVIDIA: "7"}
    assert own_devices(1, info("slurm"), "elements/t/3") == {NVIDIA: "1"}
    assert own_devices(1, info("local"), "elements/local/3") == {NVIDIA: "1"}


def test_elements_on_several_nodes_are_counted_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are placed in turn: with three nodes the fourth element is the second on its node."""
    for name in gpus.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    on_three = info("shell") | {"nodes": 3}
    found = [own_devices(0, on_three, f"elements/t/{index}")[NVIDIA] for index in range(4)]
    assert found == ["0", "0", "0", "2"]
