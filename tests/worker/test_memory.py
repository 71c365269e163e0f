"""What is known of workers' memory, by files as kernels of both makes have them."""

import os
from pathlib import Path

import pytest

from pypool.worker import memory

OF_KERNELS = {
    "1": ("4:memory:/slurm/job_7\n2:cpu:/\n0::/\n", "memory/slurm/job_7/memory.oom_control"),
    "2": ("0::/system.slice/job_7\n", "system.slice/job_7/memory.events"),
    "both": ("2:cpu:/\n0::/job_7\n", "unified/job_7/memory.events"),
}


@pytest.fixture(params=OF_KERNELS)
def counter(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Where such a kernel counts."""
    groups, name = OF_KERNELS[request.param]
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(groups)
    file = tmp_path / "groups" / name
    file.parent.mkdir(parents=True)
    file.write_text("oom 3\noom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    monkeypatch.setattr(memory, "PROC", str(tmp_path))
    monkeypatch.setattr(memory, "CGROUPS", str(tmp_path / "groups"))
    return file


def test_a_kill_counts_once(counter: Path) -> None:
    """Those before the agent's time do not count, nor does one that was counted."""
    out_of_memory = memory.OutOfMemory()
    assert out_of_memory.file == str(counter)
    assert not out_of_memory.again()
    counter.write_text("oom_kill 3\n")
    assert out_of_memory.again()
    assert not out_of_memory.again()


def test_a_kernel_that_does_not_count_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No files, or others than expected."""
    monkeypatch.setattr(memory, "PROC", str(tmp_path))
    out_of_memory = memory.OutOfMemory()
    assert out_of_memory.file is None
    assert not out_of_memory.again()


def test_peak_of_a_process() -> None:
    """Of this one it is some megabytes; of none it is not known."""
    assert 1 << 10 < memory.peak(os.getpid()) < 1 << 24
    assert memory.peak(2**22 + 1) == 0
