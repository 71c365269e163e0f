"""A Slurm that takes only small arrays: a pool has all its workers nevertheless."""

import logging
from pathlib import Path

import pytest

import pypool

from .conftest import StartSlurm

PATIENCE = 60.0  # seconds


def meet(directory: str, index: int, count: int) -> tuple[str, str]:
    """Returns once `count` tasks are in here at the same time: array and index."""
    import os
    import time
    from pathlib import Path

    Path(directory, str(index)).touch()
    deadline = time.monotonic() + 60
    while len(list(Path(directory).iterdir())) < count:
        if time.monotonic() > deadline:
            raise RuntimeError("not all have come")
        time.sleep(0.01)
    return os.environ["SLURM_ARRAY_JOB_ID"], os.environ["SLURM_ARRAY_TASK_ID"]


def commands(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """Those that were run."""
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith(f"runs {name} ")]


def sizes(found: list[tuple[str, str]]) -> list[int]:
    """How many elements each array has, the oldest first."""
    arrays = [int(array) for array, _ in found]
    return [arrays.count(array) for array in sorted(set(arrays))]


def test_more_workers_than_an_array_may_have(
    start_slurm: StartSlurm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All come, in several arrays; that is said once, and Slurm is asked once for its limit."""
    caplog.set_level(logging.DEBUG, "pypool")
    start_slurm(MaxArraySize=3)
    place = tmp_path / "meeting"
    place.mkdir()
    with pypool.slurm.Pool(8, work_dir=tmp_path / "work") as pool:
        handle = pool.map_async(lambda index: meet(str(place), index, 8), range(8))
        found = handle.get(PATIENCE)
    assert sorted(sizes(found)) == [2, 3, 3]  # which sbatch is served first is open
    assert {int(index) for _, index in found} == {0, 1, 2}
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["slurm takes at most 3 elements in one array: several arrays are submitted"]
    assert len(commands(caplog, "scontrol")) == 1
    assert len(commands(caplog, "sbatch")) == 4  # the first one was refused
