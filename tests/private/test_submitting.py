"""A pool on a Slurm whose controller is stopped in the middle of a submission."""

import logging
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import pypool

from .conftest import StartSlurm

PATIENCE = 100.0  # seconds


def told(directory: str, index: int) -> str:
    """Says in a file that it has run, and by which job."""
    import os
    import time
    from pathlib import Path

    time.sleep(0.05)
    with Path(directory, str(index)).open("a") as file:
        file.write("once\n")
    return os.environ["SLURM_ARRAY_JOB_ID"]


def test_a_submission_that_timed_out_is_made_once(
    start_slurm: StartSlurm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The array runs all the same: it is found, used alone, and nothing stays in the queue."""
    caplog.set_level(logging.DEBUG, "pypool")
    slurm = start_slurm(MessageTimeout=2)
    place = tmp_path / "tasks"
    place.mkdir()
    controller = slurm.daemons["slurmctld"]

    def wake() -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and "no answer of use" not in caplog.text:
            time.sleep(0.1)
        os.kill(controller.pid, signal.SIGCONT)

    with pypool.slurm.Pool(4, work_dir=tmp_path / "work") as pool:
        controller.send_signal(signal.SIGSTOP)
        waker = threading.Thread(target=wake)
        waker.start()
        handle = pool.map_async(lambda index: told(str(place), index), range(40))
        found = handle.get(PATIENCE)
        waker.join()
        lines = [record.getMessage() for record in caplog.records]
        pool.close()
        pool.join()
    assert len(set(found)) == 1
    assert Counter(path.read_text() for path in place.iterdir()) == {"once\n": 40}
    assert len([line for line in lines if line.startswith("runs sbatch ")]) == 1
    deadline = time.monotonic() + 20
    while slurm.jobs() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert slurm.jobs() == []
