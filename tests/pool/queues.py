"""What the clusters have in their queues for this user. A scheduler is called as its marker is."""

import getpass
import os
import subprocess
import time
from collections.abc import Container
from functools import cache

import pytest

QUESTION = {"slurm": ["sinfo"], "sge": ["qstat"]}  # whoever is there answers
LIST_OF = {  # whose jobs are to be listed comes last; the first word of a line is the job's id
    "slurm": ["squeue", "--noheader", "--format", "%F %i %T %r %j", "--user"],
    "sge": ["qstat", "-u"],
}
CANCEL = {"slurm": ["scancel"], "sge": ["qdel"]}
MISSING = {
    "slurm": "no Slurm: `sudo make clusters` brings one up",
    "sge": "no Grid Engine: `sudo make clusters` brings one up",
}
REACHED_BY = {"PATH", "SLURM_CONF", "SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT"}
EMPTIES_WITHIN = 15.0  # seconds


def schedulers_of(request: pytest.FixtureRequest) -> list[str]:
    """Whose marker the test has. If one of them does not answer, the test is skipped."""
    marked = [name for name in QUESTION if request.node.get_closest_marker(name) is not None]
    for scheduler in marked:
        if not _answers(scheduler):
            pytest.skip(MISSING[scheduler])
    return marked


@cache
def _answers(scheduler: str) -> bool:
    if os.environ.get("PYPOOL_TEST_CLUSTERS") == "no":
        return False
    try:
        done = subprocess.run(QUESTION[scheduler], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def jobs_in_queue(scheduler: str) -> set[str]:
    """Ids of jobs that are pending, running or completing; an array counts once."""
    return set(_lines(scheduler))


def await_empty_queue(scheduler: str, but: Container[str] = frozenset()) -> None:
    """Fails if a job is still there after some seconds, and cancels it for the next test."""
    deadline = time.monotonic() + EMPTIES_WITHIN
    while left := {job: line for job, line in _lines(scheduler).items() if job not in but}:
        if time.monotonic() > deadline:
            subprocess.run(
                [*CANCEL[scheduler], *left], env=_clean(), capture_output=True, timeout=30
            )
            jobs = "\n".join(left.values())
            pytest.fail(f"jobs still queued after the test (cancelled now):\n{jobs}", pytrace=False)
        time.sleep(0.1)


def _lines(scheduler: str) -> dict[str, str]:
    """What the scheduler says of each job, without what is no job (a table's head)."""
    command = [*LIST_OF[scheduler], getpass.getuser()]
    done = subprocess.run(
        command, env=_clean(), capture_output=True, text=True, timeout=30, check=True
    )
    words = {line: line.split() for line in done.stdout.splitlines()}
    return {first[0]: line for line, first in words.items() if first and first[0].isdigit()}


def _clean() -> dict[str, str]:
    """The environment is a test's own: it may hold what changes the output of a command."""
    return {name: os.environ[name] for name in REACHED_BY & os.environ.keys()}
