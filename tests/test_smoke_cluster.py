"""The test cluster itself: what every other cluster test takes for granted."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm


def test_an_array_runs_as_the_ordinary_user_who_submitted_it(slurm_work_dir: Path) -> None:
    sbatch = ["sbatch", "--wait", "--array=0-3", "--output=%a.out", "--wrap", "id -u"]
    subprocess.run(sbatch, cwd=slurm_work_dir, check=True, capture_output=True, timeout=60)
    outputs = sorted(slurm_work_dir.glob("*.out"))
    assert [path.read_text() for path in outputs] == [f"{os.getuid()}\n"] * 4
    assert os.getuid() != 0


def test_there_are_four_nodes_and_two_queues() -> None:
    sinfo = ["sinfo", "--noheader", "--format", "%R %D"]
    answer = subprocess.run(sinfo, check=True, capture_output=True, text=True, timeout=30).stdout
    assert sorted(answer.split("\n")) == ["", "main 4", "short 4"]
