"""What Slurm's commands print, and what it means to us."""

import logging
import re

from pypool.errors import SubmitError
from pypool.printable import printable
from pypool.schedulers.base import (
    SHORTAGES,
    CommandError,
    Completed,
    Element,
    ElementState,
    Phase,
    one_line,
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

REFUSED = (
    "sbatch: error: ",
    "sbatch: fatal: ",
    "sbatch: unrecognized option ",
    "sbatch: invalid option ",
)
"""So a refusal begins. Where the program ignores SIGCHLD its exit code is not known and reads 0."""

_unknown_words: set[str] = set()


def read_submission(done: Completed, script: str) -> str:
    """The job id that `sbatch --parsable` printed."""
    jobs = re.findall(r"^\s*(\d+)(?:;\S*)?\s*$", done.stdout, re.MULTILINE)
    if done.code == 0 and jobs:
        return str(jobs[-1])  # a site's own words may stand before it
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
    error.words = one_line(done.stderr)
    if killed:
        error.words = f"sbatch was killed before it gave an answer {error.words}".strip()
    no_words = done.code == 0 and not _says(done, REFUSED)
    error.unclear = killed or no_words or _says(done, UNCLEAR)
    error.temporary = not error.unclear and (bool(done.not_run) or _says(done, TEMPORARY))
    error.too_many = not error.unclear and _says(done, TOO_MANY)
    error.unknown = not (done.not_run or error.unclear or error.temporary or error.too_many)


def _says(done: Completed, texts: tuple[str, ...]) -> bool:
    return any(text in done.stderr for text in texts)


def excluded(script: str) -> list[str]:
    """What the job script itself leaves out: an option of the command takes its place."""
    return re.findall(
        r"^#SBATCH\s+(?:.*\s)?(?:--exclude(?:=|\s+)|-x\s*)[\"']?([^\s\"']+)", script, re.MULTILINE
    )


# ---- squeue


def read_job_names(done: Completed) -> dict[str, str]:
    """Names by job id. A name may hold anything: of what is no row of ours nothing is taken."""
    if done.code != 0 and "Invalid job id specified" not in done.stderr:
        raise no_answer(done)
    rows = [line.partition("|") for line in done.stdout.splitlines()]
    return {job: name for job, bar, name in rows if bar and job.isdecimal()}


def read_found(done: Completed) -> list[str]:
    """The ids of the jobs that squeue was asked for by their name, the oldest first."""
    if done.code != 0:
        raise no_answer(done)
    words = [line.strip() for line in done.stdout.splitlines()]
    jobs = {word for word in words if word and not word.startswith("CLUSTER: ")}
    if not all(job.isdecimal() for job in jobs):
        raise unreadable(done)
    return sorted(jobs, key=int)


def no_answer(done: Completed) -> CommandError:
    return CommandError(f"Slurm gives no answer. What was run:\n{done.told()}", done.words())


def unreadable(done: Completed) -> CommandError:
    return CommandError(
        f"Slurm's answer cannot be read. What was run:\n{done.told()}",
        f"{done.argv[0]}: an answer that cannot be read",
    )


QUEUE_FORMAT = "%F|%K|%T|%N|%r"


def read_queue(done: Completed) -> dict[Element, ElementState]:
    """States by element. Jobs that Slurm has forgotten are missing."""
    if done.code != 0:
        if "Invalid job id specified" in done.stderr:
            return {}
        raise no_answer(done)
    states = {}
    for line in done.stdout.splitlines():
        if not line.strip() or line.startswith("CLUSTER: "):
            continue  # with SLURM_CLUSTERS each cluster's rows have a title
        row = line.split("|", 4)
        if len(row) < 5:
            raise unreadable(done)
        job, index, word, node, reason = row
        if index.isdecimal():
            states[job, int(index)] = element_state(word, reason, node)
    return states


def element_state(word: str, reason: str, node: str = "") -> ElementState:
    """What a state word of squeue means. One that nobody knows is no evidence of an end."""
    reason = "" if reason == "None" else one_line(reason)
    found = STATES.get(word)
    if found is None:
        if word not in _unknown_words:
            _unknown_words.add(word)
            log.warning(
                "Slurm says %s of a job, which pypool does not know; it waits", printable(word)
            )
        return ElementState("running", word, reason, node)
    return ElementState(found[0], found[1] or word, reason, node)


# In newer versions these have underscores
LAUNCH_FAILED = ("launch failed requeued held", "JobHoldMaxRequeue")

NEVER = "It can never run so"

# squeue(1), JOB REASON CODES: what does not pass by itself, and what to do about it
ADVICE: tuple[tuple[str, str], ...] = (
    ("PartitionTimeLimit", f"{NEVER}: lower time=, or take another queue="),
    ("PartitionNodeLimit", f"{NEVER}: take another queue="),
    (
        "PartitionConfig|BadConstraints",
        (
            f"{NEVER}, since no node of the partition has what it asks for: lower cpus=, memory=, "
            "gpus= or workers_per_element=, or take another queue="
        ),
    ),
    (
        "ReqNodeNotAvail|.*Nodes required for job are DOWN",
        "It waits for nodes that are down, drained or reserved; `sinfo -R` tells why",
    ),
    ("PartitionDown|PartitionInactive", "Its partition is switched off: wait, or take another"),
    ("DependencyNeverSatisfied", f"{NEVER}: see the dependency in directives="),
    ("JobHeldUser|job requeued in held", "It is held; to release it: scontrol release {job}"),
    ("JobHeldAdmin", "An administrator holds it: ask him"),
    ("InvalidAccount|InvalidQOS|\\w*NotAllowed", f"{NEVER}: see account= and directives="),
    (
        "\\w*PerJob|\\w*MaxWall|\\w*MinCpu|\\w*MaxNodePer|\\w*PerNode",
        f"{NEVER}, it asks for more than a job may have here: lower what it asks for",
    ),
    ("AssocMax|AssocGrp|QOSMax|QOSGrp", "It waits for a limit of the site on your jobs"),
)


def advice(state: ElementState, job: str) -> str:
    """What to do about a pending element that will not run by itself."""
    reason = state.reason.replace("_", " ") if "_" in state.reason else state.reason
    for pattern, what in ADVICE:
        if state.phase == "pending" and re.match(pattern, reason):
            return what.format(job=job)
    return ""


def launch_failed(state: ElementState) -> bool:
    """It has run, or could not be started, and stays in the queue until somebody cancels it."""
    reason = state.reason.replace("_", " ")
    return state.phase == "pending" and reason.startswith(LAUNCH_FAILED)


def read_ping(done: Completed) -> bool:
    read_queue(done)
    return True


# ---- scancel

NOTHING_TO_CANCEL = ("Invalid job id specified", "already completing or completed")
"""Of jobs that are over; with a state asked for, also of those that are in another one."""


def is_cancelled(done: Completed) -> bool:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.code == 0 or (
        done.code is not None
        and done.code > 0
        and bool(lines)
        and all(any(text in line for text in NOTHING_TO_CANCEL) for line in lines)
    )


def read_cancellation(done: Completed) -> None:
    if not is_cancelled(done):
        raise CommandError(f"Slurm did not cancel. What was run:\n{done.told()}", done.words())


# ---- scontrol, sacct


def read_details(done: Completed) -> dict[Element, ElementState]:
    """How ended elements of a job have ended, by `scontrol -o show job`. It may know none."""
    found = {}
    for line in done.stdout.splitlines() if done.code == 0 else ():
        words: dict[str, str] = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", line))
        job, index = words.get("ArrayJobId", ""), words.get("ArrayTaskId", "")
        state = element_state(words.get("JobState", ""), words.get("Reason", ""))
        if index.isdecimal() and state.phase == "ended":
            node, code = words.get("BatchHost", ""), words.get("ExitCode", "")
            found[job, int(index)] = state._replace(node=node, code=code)
    return found


EXPLAINED_ELEMENTS = 5


def explanation(details: dict[Element, ElementState]) -> str:
    """How elements ended, in a line each, the sad ones first."""
    ends = sorted(details.items(), key=lambda end: (end[1].word == "completed", end[0][1]))
    lines = [
        f"element {index}: {state.word} {state.reason} exit code {state.code} on {state.node}"
        for (_, index), state in ends[:EXPLAINED_ELEMENTS]
    ]
    if len(ends) > len(lines):
        lines.append(f"and {len(ends) - len(lines)} more elements")
    return "\n".join(["Slurm says:", *("    " + line for line in lines)]) if lines else ""


def read_explanation(done: Completed) -> str:
    return printable(done.stdout.strip()) if done.code == 0 else ""


def read_limit(config: str) -> int | None:
    """How many indexes an array has: MaxArraySize is one more than the largest, the first is 0."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)\s*$", config, re.MULTILINE)
    return int(found[1]) or None if found else None


def read_grace(config: str) -> float:
    """KillWait: seconds between SIGTERM and SIGKILL."""
    found = re.search(r"^KillWait\s*=\s*(\d+) sec\s*$", config, re.MULTILINE)
    return float(found[1]) if found else 0.0


def read_config(done: Completed) -> str:
    if done.code != 0:
        raise no_answer(done)
    return done.stdout


OF_ENDS: tuple[tuple[str, str], ...] = (
    (
        r"JobLaunchFailure.* 0:53",
        (
            "the node could not open the element's log: the run directory, see work_dir=, is not "
            "visible there or not writable"
        ),
    ),
    (
        "BadConstraints|PartitionConfig",
        (
            "no node has what was asked for: lower cpus=, memory=, gpus= or workers_per_element=, "
            "or take another queue="
        ),
    ),
    (r"JobLaunchFailure.* 0:9\b", "the shell of the job script was killed on its node"),
    (
        "JobLaunchFailure|launch failed",
        "the node could not start the element; its slurmd knows why",
    ),
)
"""What Slurm's words for an end mean: reason and exit code."""
