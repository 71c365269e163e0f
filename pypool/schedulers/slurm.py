"""Slurm's commands: sbatch, squeue, scancel; sacct only to explain.

Written against Slurm 22.05; the options used are in sbatch(1), squeue(1) and scancel(1) of all
versions since 20.02.
"""

import logging
import re
import shlex
from typing import ClassVar

from pypool.errors import SubmitError
from pypool.schedulers.base import (
    SHORTAGES,
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

# sbatch's words, slurm_errno.c. After a time-out on the wire an array was seen to run all the same
UNCLEAR = (
    "timed out",
    "Zero Bytes were transmitted or received",
    "Connection reset by peer",
    "Broken pipe",
)
TEMPORARY = (
    "Unable to contact slurm controller",
    "Resource temporarily unavailable",
    "Slurm temporarily unable to accept job",
    "Slurm backup controller in standby mode",
)
TOO_MANY = (
    "Invalid job array specification",  # more than MaxArraySize
    "MaxArraySize",
    "QOSMaxSubmitJob",
    "QOSGrpSubmitJob",
    "AssocMaxSubmitJobLimit",
    "AssocGrpSubmitJobsLimit",
    "Job violates accounting/QOS policy",
)

_unknown_words: set[str] = set()


class Slurm(Scheduler):
    """See the module."""

    name: ClassVar[str] = "slurm"

    def submit(self, script: str, token: str, elements: int) -> Pending[str]:
        argv = [
            "sbatch",
            "--parsable",
            f"--array=0-{elements - 1}",
            f"--job-name={self.job_name(token)}",
            script,
            token,
        ]
        return Command(argv, self.environment(), lambda done: read_submission(done, script))

    def find(self, token: str) -> Pending[str | None]:
        name = f"--name={self.job_name(token)}"
        argv = ["squeue", "--noheader", "--states=all", name, "--format=%F"]
        return Command(argv, clean_environment(), read_found)

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

    def cancel_by_hand(self, token: str) -> str:
        return f"scancel --name={self.job_name(token)}"

    def explain(self, job: str) -> Pending[str]:
        argv = ["sacct", "-X", "-n", "-P", "-j", job, "-o", "JobID,State,ExitCode,NodeList,Reason"]
        return Command(argv, clean_environment(), read_explanation, timeout=5.0)

    def limit(self) -> Pending[int | None]:
        return Command(["scontrol", "show", "config"], clean_environment(), read_limit)

    def ping(self) -> Pending[bool]:
        return Command(["squeue", "--noheader", "--jobs=1"], clean_environment(), read_ping)

    def log_pattern(self, logs: str) -> str:
        """Slurm fills in no pattern that has a backslash."""
        if "\\" in logs:
            raise SubmitError(
                f"{logs!r} has a backslash: Slurm cannot write log files there. "
                "Choose another work_dir"
            )
        return logs.replace("%", "%%") + "/%A_%a.out"

    def directive(self, value: str) -> str:
        """sbatch reads directives like a shell, but takes a backslash between quotes as one too."""
        return shlex.quote(value).replace("\\", "\\\\")


def read_submission(done: Completed, script: str) -> str:
    """The job id that `sbatch --parsable` printed."""
    job = done.stdout.strip().split(";")[0]
    if done.code == 0 and job.isdigit():
        return job
    if done.not_run and done.not_run not in SHORTAGES:
        raise SubmitError(
            f"Slurm's sbatch is missing on this machine. What was run:\n{done.told()}\n"
            "Start the program where jobs are submitted, usually a login node, or load the "
            "module that brings Slurm's commands."
        )
    error = SubmitError(
        f"Slurm did not take the job. What was run:\n{done.told()}\n"
        f"The job script is {script}: correct the options of the pool, or try by hand."
    )
    _classify(error, done)
    raise error


def _classify(error: SubmitError, done: Completed) -> None:
    killed = done.code is None or done.code < 0
    error.words = " / ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
    if killed:
        error.words = f"sbatch was killed before it gave an answer {error.words}".strip()
    error.unclear = killed or (done.code != 0 and _says(done, UNCLEAR))
    error.temporary = not error.unclear and (bool(done.not_run) or _says(done, TEMPORARY))
    error.too_many = not error.unclear and _says(done, TOO_MANY)


def _says(done: Completed, texts: tuple[str, ...]) -> bool:
    return any(text in done.stderr for text in texts)


def read_found(done: Completed) -> str | None:
    """The id of the job that squeue was asked for by its name: of several the oldest."""
    if done.code != 0:
        raise CommandError(f"Slurm gives no answer. What was run:\n{done.told()}")
    words = [line.strip() for line in done.stdout.splitlines()]
    jobs = {word for word in words if word and not word.startswith("CLUSTER: ")}
    if not all(job.isdecimal() for job in jobs):
        raise CommandError(f"Slurm's answer cannot be read. What was run:\n{done.told()}")
    return min(jobs, key=int, default=None)


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


def read_ping(done: Completed) -> bool:
    read_queue(done)
    return True


def read_cancellation(done: Completed) -> None:
    if done.code != 0:
        raise CommandError(f"Slurm did not cancel. What was run:\n{done.told()}")


def read_explanation(done: Completed) -> str:
    return done.stdout.strip() if done.code == 0 else ""


def read_limit(done: Completed) -> int | None:
    """How many indexes an array has: MaxArraySize is one more than the largest, the first is 0."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)\s*$", done.stdout, re.MULTILINE)
    return int(found[1]) or None if done.code == 0 and found else None
