"""Slurm's commands: sbatch, squeue, scancel; sacct only to explain.

Written against Slurm 22.05; the options used are in sbatch(1), squeue(1) and scancel(1) of all
versions since 20.02.
"""

import logging
import shutil
from typing import ClassVar

from pypool.errors import SubmitError
from pypool.schedulers.base import (
    Command,
    CommandError,
    Completed,
    Element,
    ElementState,
    Pending,
    Phase,
    Scheduler,
    clean_environment,
)

log = logging.getLogger("pypool")

# squeue(1), JOB STATE CODES: what each word means to us, and how to call an end
STATES: dict[str, tuple[Phase, str]] = {
    "PENDING": ("pending", ""),
    "CONFIGURING": ("pending", ""),
    "REQUEUED": ("pending", ""),
    "REQUEUE_FED": ("pending", ""),
    "REQUEUE_HOLD": ("pending", ""),
    "RESV_DEL_HOLD": ("pending", ""),
    "SPECIAL_EXIT": ("pending", ""),
    "RUNNING": ("running", ""),
    "COMPLETING": ("running", ""),
    "RESIZING": ("running", ""),
    "SIGNALING": ("running", ""),
    "STAGE_OUT": ("running", ""),
    "SUSPENDED": ("suspended", ""),
    "STOPPED": ("suspended", ""),
    "COMPLETED": ("ended", "completed"),
    "FAILED": ("ended", "failed"),
    "OUT_OF_MEMORY": ("ended", "out of memory"),
    "TIMEOUT": ("ended", "time limit"),
    "DEADLINE": ("ended", "deadline"),
    "CANCELLED": ("ended", "cancelled"),
    "PREEMPTED": ("ended", "preempted"),
    "NODE_FAIL": ("ended", "node failure"),
    "BOOT_FAIL": ("ended", "node failure"),
    "REVOKED": ("ended", "revoked"),
}

_unknown_words: set[str] = set()


class Slurm(Scheduler):
    """See the module."""

    name: ClassVar[str] = "slurm"

    def submit(self, script: str, token: str, elements: int) -> Pending[str]:
        argv = [
            "sbatch",
            "--parsable",
            f"--array=0-{elements - 1}",
            f"--job-name=pypool-{token}",
            script,
            token,
        ]
        return Command(argv, clean_environment(), lambda done: read_submission(done, script))

    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        argv = [
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            "--format=%F|%K|%T|%r",
            f"--jobs={','.join(jobs)}",
        ]
        return Command(argv, clean_environment(), read_queue)

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        argv = ["scancel", *jobs, *(f"{job}_{index}" for job, index in elements)]
        return Command(argv, clean_environment(), read_cancellation)

    def explain(self, job: str) -> Pending[str]:
        argv = ["sacct", "-X", "-n", "-P", "-j", job, "-o", "JobID,State,ExitCode,NodeList,Reason"]
        return Command(argv, clean_environment(), read_explanation, timeout=5.0)


def installed() -> bool:
    """Whether Slurm's commands are on this machine."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def read_submission(done: Completed, script: str) -> str:
    """The job id that `sbatch --parsable` printed."""
    job = done.stdout.strip().split(";")[0]
    if done.code == 0 and job.isdigit():
        return job
    error = SubmitError(
        f"Slurm did not take the job. What was run:\n{done.told()}\n"
        f"The job script is {script}: correct the options of the pool, or try by hand."
    )
    # after a time-out on the wire an array was seen to run all the same
    error.unclear = done.code is None or "timed out" in done.stderr
    raise error


def read_queue(done: Completed) -> dict[Element, ElementState]:
    """States by element. Jobs that Slurm has forgotten are missing."""
    if done.code != 0:
        if "Invalid job id specified" in done.stderr:
            return {}
        raise CommandError(f"Slurm gives no answer. What was run:\n{done.told()}")
    states = {}
    for line in done.stdout.splitlines():
        if not line.strip() or line.startswith("CLUSTER: "):
            continue  # with SLURM_CLUSTERS each cluster's rows have a title
        row = line.split("|", 3)
        if len(row) < 4:
            raise CommandError(f"Slurm's answer cannot be read. What was run:\n{done.told()}")
        job, index, word, reason = row
        if index.isdecimal():
            states[job, int(index)] = element_state(word, reason)
    return states


def element_state(word: str, reason: str) -> ElementState:
    """What a state word of squeue means. One that nobody knows is no evidence of an end."""
    found = STATES.get(word)
    if found is None:
        if word not in _unknown_words:
            _unknown_words.add(word)
            log.warning("Slurm says %s of a job, which pypool does not know; it waits", word)
        return ElementState("running", word, reason)
    return ElementState(found[0], found[1] or word, "" if reason == "None" else reason)


def read_cancellation(done: Completed) -> None:
    if done.code != 0:
        raise CommandError(f"Slurm did not cancel. What was run:\n{done.told()}")


def read_explanation(done: Completed) -> str:
    return done.stdout.strip() if done.code == 0 else ""
