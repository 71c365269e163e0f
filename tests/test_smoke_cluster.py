"""The test clusters themselves: what every other cluster test takes for granted."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.slurm
def test_a_slurm_array_runs_as_the_ordinary_user_who_submitted_it(shared_home: Path) -> None:
    sbatch = ["sbatch", "--wait", "--array=0-3", "--output=%a.out", "--wrap", "id -u"]
    subprocess.run(sbatch, cwd=shared_home, check=True, capture_output=True, timeout=60)
    outputs = sorted(shared_home.glob("*.out"))
    assert [path.read_text() for path in outputs] == [f"{os.getuid()}\n"] * 4
    assert os.getuid() != 0


@pytest.mark.slurm
def test_there_are_four_nodes_and_two_queues() -> None:
    sinfo = ["sinfo", "--noheader", "--format", "%R %D"]
    answer = subprocess.run(sinfo, check=True, capture_output=True, text=True, timeout=30).stdout
    assert sorted(answer.split("\n")) == ["", "main 4", "short 4"]


@pytest.mark.slurm
def test_two_graphics_cards_are_told_by_number(shared_home: Path) -> None:
    sbatch = ["sbatch", "--wait", "--gres=gpu:2", "--output=out", "--wrap", "env"]
    subprocess.run(sbatch, cwd=shared_home, check=True, capture_output=True, timeout=60)
    assert "CUDA_VISIBLE_DEVICES=0,1" in (shared_home / "out").read_text().splitlines()


@pytest.mark.sge
def test_a_grid_engine_array_runs_as_the_ordinary_user_who_submitted_it(shared_home: Path) -> None:
    where = ["-cwd", "-j", "y", "-o", "$TASK_ID.out"]
    qsub = ["qsub", "-sync", "y", "-t", "1-4", *where, "-b", "y", "id", "-u"]
    subprocess.run(qsub, cwd=shared_home, check=True, capture_output=True, timeout=60)
    outputs = sorted(shared_home.glob("*.out"))
    assert [path.read_text() for path in outputs] == [f"{os.getuid()}\n"] * 4
    assert os.getuid() != 0


@pytest.mark.sge
@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        (["-q", "short.q", "-l", "h_rt=600"], ["-q", "short.q", "-l", "h_rt=601"]),
        (["-pe", "smp", "16"], ["-pe", "smp", "21"]),
        (["-l", "gpu=4"], ["-l", "gpu=5"]),
        (["-l", "h_vmem=500M"], ["-l", "h_vmem=100G"]),
        (["-P", "physics"], ["-P", "nosuch"]),
    ],
)
def test_what_may_be_asked_of_grid_engine(accepted: list[str], refused: list[str]) -> None:
    def verified(options: list[str]) -> bool:
        qsub = ["qsub", "-w", "v", *options, "-b", "y", "true"]
        done = subprocess.run(qsub, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode == 0 and "found suitable queue" in done.stdout

    assert verified(accepted)
    assert not verified(refused)


@pytest.mark.sge
def test_a_job_that_asks_for_no_memory_is_not_limited(shared_home: Path) -> None:
    (shared_home / "job.sh").write_text("#!/bin/bash\nulimit -v\n")
    qsub = ["qsub", "-sync", "y", "-cwd", "-j", "y", "-o", "out", "job.sh"]
    subprocess.run(qsub, cwd=shared_home, check=True, capture_output=True, timeout=60)
    assert (shared_home / "out").read_text() == "unlimited\n"
