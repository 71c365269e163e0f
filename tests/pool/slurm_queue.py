"""What Slurm has in its queue for this user."""

import getpass
import os
import subprocess
import time
from collections.abc import Set as AbstractSet
from functools import cache

import pytest

EMPTIES_WITHIN = 15.0  # seconds


@cache
def slurm_answers() -> bool:
    if os.environ.get("PYPOOL_TEST_CLUSTERS") == "no":
        return False
    try:
        return (
            subprocess.run(["sinfo"], capture_output=True, timeout=5, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def jobs_in_queue() -> set[str]:
    """Ids of jobs that are pending, running or completing; an array counts once."""
    # The environment is a test's own: it may hold what changes squeue's output.
    clean = {name: os.environ[name] for name in ("PATH", "SLURM_CONF") if name in os.environ}
    squeue = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%F"]
    done = subprocess.run(squeue, env=clean, capture_output=True, text=True, timeout=30, check=True)
    return set(done.stdout.split())


def await_empty_queue(but: AbstractSet[str] = frozenset()) -> None:
    """Fails if a job is still there after some seconds, and cancels it for the next test."""
    deadline = time.monotonic() + EMPTIES_WITHIN
    while left := jobs_in_queue() - but:
        if time.monotonic() > deadline:
            subprocess.run(["scancel", *left], timeout=30, check=False)
            pytest.fail(f"jobs still queued (cancelled now): {sorted(left)}", pytrace=False)
        time.sleep(0.1)
