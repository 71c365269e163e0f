"""What this process may use of the machine it runs on, and in whose allocation it is."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SRUN = ("srun", "--nodes=1", "--ntasks=1", "--overlap", "--mem=0", "--input=none", "--quiet")
"""Starts one process on one node of an allocation, beside whatever else runs in it."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a scheduler has granted to this process.

    Attributes
    ----------
    scheduler : str
        Whose it is.
    cpus : tuple of int
        On each node that can be used.
    nodes : int
        How many nodes it has; more than can be used if the scheduler has no way to start
        something on the others.
    launchers : tuple of tuple of str
        For each node that can be used, the command that starts something there; an empty one if
        it is this machine.
    """

    scheduler: str
    cpus: tuple[int, ...]
    nodes: int
    launchers: tuple[tuple[str, ...], ...]


def allocation(environment: Mapping[str, str] | None = None) -> Allocation | None:
    """The allocation in which this process runs, or which its shell holds (as after `salloc`)."""
    given = os.environ if environment is None else environment
    if given.get("SLURM_JOB_ID"):
        return _of_slurm(given)
    if _in_grid_engine(given):
        hosts = given.get("NHOSTS", "")
        return Allocation("sge", (usable_cpus(given),), _whole(hosts) or 1, ((),))
    return None


def _of_slurm(given: Mapping[str, str]) -> Allocation | None:
    """By the output environment variables of sbatch(1) and salloc(1)."""
    cpus = _cpus_per_node(given.get("SLURM_JOB_CPUS_PER_NODE", ""))
    on_node = bool(given.get("SLURMD_NODENAME"))
    if on_node and len(cpus) <= 1:
        return Allocation("slurm", (usable_cpus(given),), 1, ((),))
    job = f"--jobid={given['SLURM_JOB_ID']}"
    launchers = tuple(
        (*SRUN, job, f"--relative={node}", f"--cpus-per-task={count}")
        for node, count in enumerate(cpus)
    )
    return Allocation("slurm", cpus, len(cpus), launchers) if cpus else None


def _in_grid_engine(given: Mapping[str, str]) -> bool:
    return bool(given.get("SGE_ROOT") and given.get("JOB_ID") and given.get("NSLOTS"))


def _cpus_per_node(text: str) -> tuple[int, ...]:
    """`72(x2),36`: two nodes with 72 CPUs, one with 36."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return tuple(int(count) for count, times in found for _ in range(int(times or 1)))


def usable_cpus(environment: Mapping[str, str] | None = None) -> int:
    """How many CPUs of this machine this process may use: by affinity, container, allocation."""
    given = os.environ if environment is None else environment
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    limits = [count, _cgroup_limit()]
    if given.get("SLURM_JOB_ID") and given.get("SLURMD_NODENAME"):
        limits.append(_whole(given.get("SLURM_CPUS_ON_NODE", "")))
    elif _in_grid_engine(given):
        limits.append(_whole(given["NSLOTS"]))
    return max(1, min(limit for limit in limits if limit))


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _cgroup_limit() -> int | None:
    """CPUs that the control group of this process allows, rounded up."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text()
            period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return None
    if not quota.strip().isdigit():
        return None  # "max", or -1
    return -(-int(quota) // int(period))
