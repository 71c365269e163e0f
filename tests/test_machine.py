"""What this process may use of its machine, and in whose allocation it is."""

import os
from pathlib import Path

import pytest

from pypool import machine

IN_SLURM = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"}
IN_GRID_ENGINE = {"SGE_ROOT": "/sge", "JOB_ID": "7", "NSLOTS": "3"}


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight CPUs and no control group."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_cgroup_limit", lambda: None)


# ---- CPUs


@pytest.mark.parametrize(
    ("affinity", "limit", "usable"),
    [(8, None, 8), (8, 3, 3), (2, 16, 2), (4, 0, 4)],
)
def test_affinity_and_container_both_limit_the_cpus(
    affinity: int, limit: int | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaller of the two, and at least one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(machine, "_cgroup_limit", lambda: limit)
    assert machine.usable_cpus({}) == usable


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_both_kinds_of_control_groups_are_read(
    files: dict[str, str], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota is rounded up; none, or no control groups, is no limit."""

    def read_text(path: Path) -> str:
        if path.name not in files:
            raise FileNotFoundError(path)
        return files[path.name]

    monkeypatch.setattr(Path, "read_text", read_text)
    assert machine._cgroup_limit() == limit


@pytest.mark.parametrize(
    ("variables", "usable"),
    [
        (IN_SLURM | {"SLURM_CPUS_ON_NODE": "4"}, 4),
        (IN_SLURM | {"SLURM_CPUS_ON_NODE": "64"}, 8),
        (IN_SLURM | {"SLURM_CPUS_ON_NODE": "4(x2)"}, 8),
        (IN_SLURM | {"SLURM_CPUS_ON_NODE": "0"}, 8),
        (IN_SLURM | {"SLURM_CPUS_ON_NODE": "4", "NSLOTS": "2"}, 4),
        (IN_SLURM, 8),
        (IN_GRID_ENGINE, 3),
        ({"SLURM_CPUS_ON_NODE": "4", "NSLOTS": "2"}, 8),
    ],
)
def test_an_allocation_limits_the_cpus(
    eight_cpus: None, variables: dict[str, str], usable: int
) -> None:
    """What its own scheduler has granted counts, and only inside of it."""
    assert machine.usable_cpus(variables) == usable


# ---- allocations


@pytest.mark.parametrize(
    ("variables", "scheduler"),
    [
        (IN_SLURM, "slurm"),
        (IN_GRID_ENGINE, "sge"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_CPUS_PER_NODE": "4"}, "slurm"),
        ({"SLURM_JOB_ID": "7"}, None),
        ({"SLURM_JOB_ID": "", "SLURMD_NODENAME": "n1"}, None),
        ({"JOB_ID": "7", "NSLOTS": "3"}, None),
        ({"SGE_ROOT": "/sge"}, None),
        ({}, None),
    ],
)
def test_an_allocation_is_known_by_its_variables(
    variables: dict[str, str], scheduler: str | None
) -> None:
    """`salloc` gives one to a shell on a login node; programs may have a JOB_ID, too."""
    found = machine.allocation(variables)
    assert (found and found.scheduler) == scheduler


@pytest.mark.parametrize(
    "variables",
    [
        IN_SLURM | {"SLURM_JOB_CPUS_PER_NODE": "4", "SLURM_CPUS_ON_NODE": "4"},
        IN_SLURM | {"SLURM_CPUS_ON_NODE": "4"},
        IN_GRID_ENGINE | {"NSLOTS": "4"},
    ],
)
def test_an_allocation_of_this_node_needs_no_launcher(
    eight_cpus: None, variables: dict[str, str]
) -> None:
    """Processes are children of this one."""
    found = machine.allocation(variables)
    assert found is not None
    assert (found.cpus, found.nodes, found.launchers) == ((4,), 1, ((),))


def test_all_nodes_of_an_allocation_are_used(eight_cpus: None) -> None:
    """Each by the launcher that starts something there, with all its CPUs."""
    found = machine.allocation(IN_SLURM | {"SLURM_JOB_CPUS_PER_NODE": "72(x2),36"})
    assert found is not None
    assert (found.cpus, found.nodes) == ((72, 72, 36), 3)
    for node, (cpus, launcher) in enumerate(zip(found.cpus, found.launchers, strict=True)):
        assert launcher[0] == "srun"
        assert {"--jobid=7", f"--relative={node}", f"--cpus-per-task={cpus}"} <= {*launcher}


def test_an_allocation_held_on_a_login_node_is_used_by_its_launcher() -> None:
    """The login node itself is not to compute."""
    found = machine.allocation({"SLURM_JOB_ID": "7", "SLURM_JOB_CPUS_PER_NODE": "4"})
    assert found is not None
    assert [launcher[:1] for launcher in found.launchers] == [("srun",)]


def test_hosts_that_cannot_be_reached_are_counted() -> None:
    """Grid Engine's other hosts: whoever uses the allocation can say so."""
    found = machine.allocation(IN_GRID_ENGINE | {"NHOSTS": "3"})
    assert found is not None
    assert (found.nodes, len(found.launchers)) == (3, 1)
