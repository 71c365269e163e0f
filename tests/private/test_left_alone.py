"""A named run whose driver goes while elements of it wait in the queue."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from .conftest import StartSlurm

PROGRAM = """
import sys, time
from pypool.slurm import Pool


def work(number):
    time.sleep(0.5)
    with open(f"{sys.argv[1]}/begun-{number}", "a") as record:
        record.write("x")
    return -number


if __name__ == "__main__":
    with Pool(4, name="survey", work_dir=sys.argv[1] + "/work", linger=1) as pool:
        print(pool.map(work, range(16)), flush=True)
"""


def await_files(place: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(list(place.glob("begun-*"))) < count:
        assert time.monotonic() < deadline, sorted(place.iterdir())
        time.sleep(0.1)


def test_elements_that_wait_get_their_part_before_the_driver_goes(
    start_slurm: StartSlurm, tmp_path: Path
) -> None:
    """Two of four elements run. The others start when those have left, and find their tasks."""
    slurm = start_slurm(cpus=2)
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    place = tmp_path / "place"
    (place / "work").mkdir(parents=True)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    argv = [sys.executable, str(script), str(place)]
    first = subprocess.Popen(argv, env=environment)
    await_files(place, 2)
    first.send_signal(signal.SIGHUP)
    assert first.wait(30) == -signal.SIGHUP
    assert len(slurm.jobs()) == 4
    await_files(place, 16)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=90)
    assert done.stdout == f"{[-number for number in range(16)]}\n", done.stderr
    assert {file.stat().st_size for file in place.glob("begun-*")} == {1}
    assert slurm.jobs() == []
