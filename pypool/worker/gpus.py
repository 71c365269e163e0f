"""Which of an element's GPUs the worker in a slot sees."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "GPU_DEVICE_ORDINAL",
)
"""By these the libraries of NVIDIA, AMD and Intel, and Slurm for them, name visible devices."""

BELOW = "ROCR_VISIBLE_DEVICES"
CHOOSE_AMONG_THOSE = frozenset({"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"})
"""On AMD's devices these count those that BELOW has left: only one of the two may be cut."""

ASSIGNED = "SGE_HGR_gpu"
"""Some Grid Engines name the devices that they have assigned, separated by blanks."""


def own_devices(slot: int, info: Mapping[str, Any], element: str) -> Mapping[str, str]:
    """What to put into the environment of the worker in this slot.

    Elements that are processes of one machine share its devices; on several nodes they are
    placed in turn.
    """
    if info["gpus"] is None:
        return {}
    if info["scheduler"] == "shell":
        before = int(element.rpartition("/")[2]) // info["nodes"]
        slot += before * info["workers_per_element"]
    return devices_of(slot, info["gpus"], os.environ)


def devices_of(slot: int, gpus: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which a worker sees its own devices only.

    Parameters
    ----------
    slot : int
        The worker's number among those that share the devices.
    gpus : int
        Devices per worker.
    environment : mapping
        The element's. A variable in it names the element's devices; without any these are
        0, 1, ..., which is so on a machine of one's own.
    """
    named = {name: environment[name].split(",") for name in VARIABLES if environment.get(name)}
    if not CHOOSE_AMONG_THOSE.isdisjoint(named):
        named.pop(BELOW, None)
    if not named:
        assigned = environment.get(ASSIGNED, "").split()
        first = assigned or [str(number) for number in range((slot + 1) * gpus)]
        named = {VARIABLES[0]: first}
    own = slice(slot * gpus, (slot + 1) * gpus)
    return {name: ",".join(map(str.strip, devices[own])) for name, devices in named.items()}
