"""What Grid Engine's commands print, and what it means to us.

Grid Engine counts tasks from 1, pypool counts indexes from 0.
"""

import logging
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from pypool.errors import SubmitError
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

# sge_status(5). A state is a string of letters: the first row of which it has one decides
LETTERS: tuple[tuple[str, Phase, str], ...] = (
    ("E", "pending", "error state"),
    ("d", "running", "being deleted"),  # it may run on for long if its node does not answer
    ("h", "pending", "held"),
    ("q", "pending", "qw"),
    ("sST", "suspended", ""),
    ("rtR", "running", ""),
)

# A request that has been sent may have been taken, though none was ever seen to be
UNCLEAR = ("failed receiving gdi request response", "got send error", "got read error")
NEVER_SENT = ("got select error", "can't resolve host name", "Unable to initialize environment")
TEMPORARY = (
    "unable to send message to qmaster",
    "unable to contact qmaster",
    "failed receiving gdi request response",
    "Qmaster is going down",
    "jobs are allowed per",
)
FOR_GOOD = ("access denied",)
TOO_MANY = ("you tried to submit a job with more than",)
TRY_LATER = 25
"""qsub's exit code for a limit on the number of jobs, for one."""

NOTHING_TO_CANCEL = ("does not exist", "comprises no tasks", "already in deletion")
CANCELLED = ("has deleted", "has registered")

STAMP = r"\S+ \S+ \[\d+:\d+\]: (?:error: )?"
"""In front of a reason: when, and what process of whom found it."""

GPUS = ("gpu", "gpus", "ngpus", "GPU")
"""What sites call the resource of which a job gets GPUs."""

PREFERRED = ("smp", "shm", "threaded", "openmp")
EXPLAINED_ELEMENTS = 5

ENFORCED = "37"
"""The code of an element that was killed for h_rt, h_cpu or h_vmem."""

OTHER_ENDS = {"19": "node failure", "25": "requeued"}
"""Codes of what its tasks have nothing to do with: 19 if Grid Engine's shepherd was killed."""

OF_ENDS: tuple[tuple[str, str], ...] = (
    (
        r"failed 26\b|can't open output file|can't chdir to",
        (
            "a directory is not there on the host, or not writable: see work_dir= and where the "
            "program was started"
        ),
    ),
    (r"failed 27\b", "the shell of the job script is not there on the host"),
    (r"failed 21\b|failed 28\b", "the host does not know the user, or his home directory"),
    (r"failed 100\b", "the shell of the job script was killed on its host, or the job deleted"),
)
"""What Grid Engine's words for an end mean: the reason of an error, or its accounts."""

_unknown_states: set[str] = set()


# ---- qsub


def read_submission(done: Completed, script: str, elements: int) -> str:
    """The job id that `qsub -terse` printed, with the range: qsub takes some for another one."""
    found = re.findall(r"^(\d+)\.(\d+-\d+:\d+)$", done.stdout, re.MULTILINE)
    if done.code == 0 and len(found) == 1:
        job, tasks = found[0]
        if tasks == f"1-{elements}:1":
            return str(job)
        raise SubmitError(
            f"Grid Engine took another array than was asked for. What was run:\n{done.told()}\n"
            f"Delete it with: qdel {job}"
        )
    if done.not_run and done.not_run not in SHORTAGES:
        raise SubmitError(
            f"Grid Engine's qsub is missing on this machine. What was run:\n{done.told()}\n"
            "Start the program where jobs are submitted, usually a login node, or load the "
            "module that brings Grid Engine's commands."
        )
    error = SubmitError(
        f"Grid Engine did not take the job. What was run:\n{done.told()}\n"
        f"The job script is {script}: correct the options of the pool, or try by hand."
    )
    _classify(error, done)
    raise error


def _classify(error: SubmitError, done: Completed) -> None:
    killed = done.code is None or done.code < 0
    lines = [line.strip() for line in done.stderr.splitlines()]
    error.words = one_line("\n".join(line for line in lines if line != "Exiting."))
    if killed:
        error.words = f"qsub was killed before it gave an answer {error.words}".strip()
    if _says(done, FOR_GOOD):
        return
    maybe_sent = _says(done, UNCLEAR) and not _says(done, NEVER_SENT)
    no_words = done.code == 0 and not error.words  # so it reads where SIGCHLD is ignored
    error.unclear = killed or no_words or maybe_sent
    later = bool(done.not_run) or done.code == TRY_LATER or _says(done, TEMPORARY)
    error.temporary = not error.unclear and later
    error.too_many = not error.unclear and _says(done, TOO_MANY)
    error.unknown = not (done.not_run or error.unclear or error.temporary or error.too_many)


def _says(done: Completed, texts: tuple[str, ...]) -> bool:
    return any(text in done.stderr for text in texts)


# ---- qstat


def read_queue(done: Completed, jobs: list[str]) -> dict[Element, ElementState]:
    """States by element. What has ended is missing: Grid Engine forgets it at once."""
    states: dict[Element, ElementState] = {}
    for row in _rows(done):
        job = row.get("JB_job_number", "")
        if job not in jobs or "tasks" not in row:
            continue  # somebody else's, or no array
        _, _, node = row.get("queue_name", "").partition("@")
        state = element_state(row.get("state", ""))._replace(node=node)
        try:
            numbers = list(_numbers(row["tasks"]))
        except ValueError:
            raise _unreadable(done) from None
        states |= {(job, number - 1): state for number in numbers}
    return states


def read_ping(done: Completed) -> bool:
    """Whether there are jobs or not."""
    list(_rows(done))
    return True


def read_job_names(done: Completed) -> dict[str, str]:
    """Names by job id."""
    return {row.get("JB_job_number", ""): row.get("JB_name", "") for row in _rows(done)}


def read_found(done: Completed, name: str) -> list[str]:
    """The ids of the jobs of that name, the oldest first."""
    jobs = {row.get("JB_job_number", "") for row in _rows(done) if row.get("JB_name") == name}
    if not all(job.isdecimal() for job in jobs):
        raise _unreadable(done)
    return sorted(jobs, key=int)


def _rows(done: Completed) -> Iterator[dict[str, str]]:
    """What qstat says of each running element and of each group of pending ones."""
    if done.code != 0:
        raise _no_answer(done)
    try:
        root = ElementTree.fromstring(done.stdout)
    except ElementTree.ParseError:
        raise _unreadable(done) from None
    if root.tag != "job_info":  # errors of the connection come as a document too
        raise _unreadable(done)
    for row in root.iter("job_list"):
        yield {field.tag: (field.text or "").strip() for field in row}


def _no_answer(done: Completed) -> CommandError:
    return CommandError(
        f"Grid Engine gives no answer. What was run:\n{done.told()}",
        done.words().removesuffix(" / Exiting."),
    )


def _unreadable(done: Completed) -> CommandError:
    return CommandError(
        f"Grid Engine's answer cannot be read. What was run:\n{done.told()}",
        f"{done.argv[0]}: an answer that cannot be read",
    )


def _numbers(tasks: str) -> Iterator[int]:
    """The task ids of `5,10-14:1,16-20:2`."""
    for part in tasks.split(","):
        ends, _, step = part.partition(":")
        first, _, last = ends.partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def element_state(letters: str) -> ElementState:
    """What a state of qstat means. One that nobody knows is no evidence of an end."""
    for row, phase, reason in LETTERS:
        if any(letter in letters for letter in row):
            return ElementState(phase, letters, reason)
    if letters not in _unknown_states:
        _unknown_states.add(letters)
        log.warning("Grid Engine says %s of a job, which pypool does not know; it waits", letters)
    return ElementState("running", letters)


def read_reasons(done: Completed) -> dict[Element, str]:
    """`error reason` by element, as `qstat -j` tells it of one job or several. It may be none."""
    reasons = {}
    job = ""
    for line in done.stdout.splitlines():
        number = re.fullmatch(r"job_number:\s+(\d+)\s*", line)
        reason = re.fullmatch(rf"error reason\s+(\d+):\s+(?:{STAMP})?(.*)", line)
        if number:
            job = number[1]
        elif reason:
            reasons[job, int(reason[1]) - 1] = one_line(reason[2])
    return reasons


def advice(state: ElementState, job: str) -> str:
    """What to do about a pending element that will not run by itself."""
    if state.phase == "pending" and state.reason == "held":
        return f"It is held; to release it: qrls {job}"
    return ""


NEVER_RUNS = "no suitable queues"
EXPLAINED_REASONS = 2


def read_verification(done: Completed) -> str:
    """Why `qalter -w v` says that a job would not run on an empty cluster."""
    if NEVER_RUNS not in done.stdout + done.stderr:
        return ""
    found = re.findall(r"^Job \d+ (.*cannot run .+)$", done.stdout, re.MULTILINE)
    reasons = list(dict.fromkeys(one_line(each) for each in found))[:EXPLAINED_REASONS]
    return "; ".join(reasons) or NEVER_RUNS


# ---- qdel


def is_cancelled(done: Completed) -> bool:
    """Nothing of it is left, or soon will be. qdel's errors are on its standard output."""
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    fine = CANCELLED + NOTHING_TO_CANCEL
    return done.code == 0 or (
        done.code == 1
        and bool(lines)
        and all(any(text in line for text in fine) for line in lines)
        and not done.stderr.strip()
    )


def read_cancellation(done: Completed) -> None:
    if not is_cancelled(done):
        raise CommandError(
            f"Grid Engine did not cancel. What was run:\n{done.told()}", done.words()
        )


# ---- qacct


def _records(done: Completed) -> Iterator[dict[str, str]]:
    """Each run of each element that qacct knows, in their order."""
    if done.code != 0:
        return
    for block in re.split(r"^=+\s*$", done.stdout, flags=re.MULTILINE):
        pairs = [line.split(None, 1) for line in block.splitlines()]
        record = {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
        if record:
            yield record


def read_accounted(done: Completed, name: str) -> list[str]:
    """The ids of the jobs of that name, the oldest first.

    Many sites keep their accounts where this machine cannot read them: no answer counts as an
    empty one, or a submission in doubt would stay so for ever.
    """
    found = [each for each in _records(done) if each.get("jobname") == name]
    jobs = {job for each in found if (job := each.get("jobnumber", "")).isdecimal()}
    return sorted(jobs, key=int)


def read_ends(done: Completed, job: str) -> dict[Element, ElementState]:
    """How the job's elements ended, by the last record of each."""
    return {
        (job, int(record["taskid"]) - 1): end(record)
        for record in _records(done)
        if record.get("jobnumber") == job and record.get("taskid", "").isdecimal()
    }


def end(record: dict[str, str]) -> ElementState:
    """What a record of an ended element means, see sge_status(5).

    A limit that was enforced was one of time, or of memory: the clock tells which. Who deleted
    the element, or killed its shell, is not in the accounts.
    """
    code = record.get("failed", "").partition(" ")[0]
    status = record.get("exit_status", "").partition(" ")[0]
    node = record.get("hostname", "")
    if code == "0" and status == "0":
        return ElementState("ended", "completed", node=node, code=status)
    if code == ENFORCED:
        limit = re.search(r"\bh_rt=(\d+)", record.get("category", ""))
        seconds = re.match(r"\d+", record.get("ru_wallclock", ""))
        over = limit and seconds and int(seconds[0]) >= int(limit[1])
        return ElementState("ended", "time limit" if over else "out of memory", node=node)
    word = OTHER_ENDS.get(code, "failed")
    return ElementState("ended", word, _end(record), node, status if code == "0" else "")


def read_explanation(done: Completed, ours: str) -> list[str]:
    """How elements ended, in a line each, the sad ones first. The last run of each counts.

    Job ids begin anew some day: jobs are ours by what their names begin with.
    """
    last = {
        int(each["taskid"]) - 1: each
        for each in _records(done)
        if each.get("jobname", "").startswith(ours) and each.get("taskid", "").isdecimal()
    }
    ends = sorted(last.items(), key=lambda end: (_is_well(end[1]), end[0]))
    lines = [f"element {index}: {_end(record)}" for index, record in ends[:EXPLAINED_ELEMENTS]]
    more = len(ends) - len(lines)
    return [*lines, f"and {more} more elements"] if more else lines


def _is_well(record: dict[str, str]) -> bool:
    return record.get("failed") == "0" and record.get("exit_status") == "0"


def _end(record: dict[str, str]) -> str:
    words = {
        "failed": "failed",
        "exit_status": "exit_status",
        "ru_wallclock": "wallclock",
        "maxvmem": "maxvmem",
    }
    return ", ".join(f"{word} {record[key]}" for key, word in words.items() if key in record)


def explanation(ends: list[str], reasons: dict[Element, str]) -> str:
    """Both for a message, if there is anything to say."""
    errors = [f"element {index}: {reason}" for (_, index), reason in reasons.items()]
    lines = [*ends, *errors[:EXPLAINED_ELEMENTS]]
    return "\n".join(["Grid Engine says:", *("    " + line for line in lines)]) if lines else ""


# ---- qconf


def read_limit(done: Completed) -> int | None:
    """max_aj_tasks of the cluster's configuration, where 0 stands for no limit."""
    found = re.search(r"^max_aj_tasks\s+(\d+)\s*$", done.stdout, re.MULTILINE)
    return int(found[1]) or None if done.code == 0 and found else None


def read_names(done: Completed) -> list[str]:
    """The parallel environments, those first whose names promise what is looked for."""
    if done.code != 0 and "no parallel environment defined" in done.stderr + done.stdout:
        return []
    if done.code != 0:
        raise _no_answer(done)
    ranks = {name: rank for rank, name in enumerate(PREFERRED)}
    return sorted(done.stdout.split(), key=lambda name: ranks.get(name, len(ranks)))


def read_rule(done: Completed) -> str:
    """How a parallel environment spreads its slots over hosts."""
    found = re.search(r"^allocation_rule\s+(\S+)", done.stdout, re.MULTILINE)
    if done.code != 0 or not found:
        raise _no_answer(done)
    return found[1]


def read_gpu_resource(done: Completed) -> tuple[str, bool]:
    """Name of the resource, and whether each slot of a job gets what is asked for.

    In complex(5) a consumable is YES, for each slot, or JOB, for all of them together.
    """
    rows = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    known = {row[0]: row[5] for row in rows if len(row) == 8 and row[4] != "NO"}
    name = next((name for name in GPUS if name in known), GPUS[0])
    return name, known.get(name) == "YES"


def read_grace(done: Completed) -> float:
    """The least `notify` of all queues: seconds between SIGUSR2 and SIGKILL."""
    if done.code != 0:
        raise _no_answer(done)
    found = re.findall(r"^notify\s+([\d:]+)", done.stdout, re.MULTILINE)
    return min((_seconds(each) for each in found), default=0.0)


def _seconds(clock: str) -> float:
    """`00:00:60`."""
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part or 0)
    return float(seconds)


# ---- the job script


def hosts_asked(script: str) -> list[str]:
    """Which hosts the job script itself asks for."""
    lines = re.findall(r"^#\$\s(.*)", script, re.MULTILINE)
    options = [option for line in lines for option in re.findall(r"(?:^|\s)-l\s+(\S+)", line)]
    words = [word for option in options for word in option.split(",")]
    pairs = [word.partition("=") for word in words]
    return [value for name, _, value in pairs if name in ("h", "hostname") and value]
