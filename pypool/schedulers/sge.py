"""Grid Engine's commands: qsub, qstat, qdel, qalter; qacct for what has ended, qconf for limits.

Written against Son of Grid Engine 8.1.9; the options used are in qsub(1) of all versions since
6.2. Grid Engine counts tasks from 1, pypool counts indexes from 0: both meet in this
file and in `sge_output`, which reads the answers.

An element whose start failed (state Eqw: no log folder, no shell ...) stays in the queue until
somebody deletes it. It never runs by itself, so whoever finds it deletes it and calls it ended.
"""

import logging
import os
import pwd
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pypool.errors import SubmitError
from pypool.schedulers import causes
from pypool.schedulers import sge_output as output
from pypool.schedulers.base import (
    Answered,
    Cause,
    Command,
    Element,
    ElementState,
    Mapped,
    Pending,
    Scheduler,
    Then,
    clean_environment,
)

log = logging.getLogger("pypool")

EXPLAIN_TIMEOUT = 4.0

INEXPRESSIBLE = "'\"#"
"""What no option in a job script can hold."""

LONGEST_VARIABLE = 9999
"""Bytes of `NAME=value`: `qsub -V` cuts off the rest without a word."""

_long_variables: set[str] = set()


class Sge(Scheduler):
    """See the module."""

    name: ClassVar[str] = "sge"

    def submit(
        self, script: str, token: str, elements: int, avoid: Collection[str] = ()
    ) -> Pending[str]:
        argv = [
            "qsub",
            "-terse",
            *("-b", "n"),  # as a binary, by a site's default, the script's options were not read
            *("-t", f"1-{elements}"),
            *("-N", self.job_name(token)),
            *_exclude(script, avoid),
            script,
            token,
        ]
        environment = self.environment()
        _warn_of_long_variables(environment)
        return Command(
            argv, environment, lambda done: output.read_submission(done, script, elements)
        )

    def find(self, token: str, queued_only: bool = False) -> Pending[list[str]]:
        """In the queue, and in the accounts: what has ended is in the latter only."""
        name = self.job_name(token)
        listed = Command(_qstat(), clean_environment(), lambda done: output.read_found(done, name))
        if queued_only:
            return listed

        def look_back(jobs: list[str]) -> Pending[list[str]]:
            argv = ["qacct", "-j", name]
            accounted = Command(
                argv, clean_environment(), lambda done: output.read_accounted(done, name)
            )
            return Mapped(accounted, lambda more: sorted({*jobs, *more}, key=int))

        return Then(listed, look_back)

    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        states = Command(_qstat(), clean_environment(), lambda done: output.read_queue(done, jobs))
        return Then(states, _bury)

    def ends(self, elements: list[Element]) -> Pending[dict[Element, ElementState]]:
        """From the accounts, which may come some seconds late: then the next look finds them."""
        return _ends(sorted({job for job, _ in elements}), set(elements))

    def names_of(self, jobs: list[str]) -> Pending[dict[str, str]]:
        return Command(_qstat(), clean_environment(), output.read_job_names)

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        return Command(_qdel(jobs, elements), clean_environment(), output.read_cancellation)

    def cancel_by_hand(self, token: str) -> str:
        return f"qdel {self.job_name(token)}"

    def advice(self, state: ElementState, job: str) -> str:
        return output.advice(state, job)

    def why_not(self, job: str) -> Pending[str]:
        """By asking whether it would run if the cluster were empty; nothing is changed by that."""
        argv = ["qalter", "-w", "v", job]
        return Command(argv, clean_environment(), output.read_verification, EXPLAIN_TIMEOUT)

    def cause(self, state: ElementState, log: str) -> Cause:
        return causes.of(state, log, output.OF_ENDS)

    def grace(self) -> Pending[float]:
        """As long as no element has asked for a notice there is none."""
        return Command(["qconf", "-sq", "*"], clean_environment(), output.read_grace)

    def explain(self, job: str) -> Pending[str]:
        environment, ours = clean_environment(), self.job_name("")
        reasons = Command(["qstat", "-j", job], environment, output.read_reasons, EXPLAIN_TIMEOUT)
        ends = Command(
            ["qacct", "-j", job],
            environment,
            lambda done: output.read_explanation(done, ours),
            EXPLAIN_TIMEOUT,
        )
        return Then(
            ends,
            lambda told: Then(reasons, lambda found: Answered(output.explanation(told, found))),
        )

    def limit(self) -> Pending[int | None]:
        return Command(["qconf", "-sconf"], clean_environment(), output.read_limit)

    def parallel_environment(self) -> Pending[str | None]:
        names = Command(["qconf", "-spl"], clean_environment(), output.read_names)
        return Then(names, _first_on_one_host)

    def gpu_request(self, gpus: int, slots: int) -> Pending[str]:
        resources = Command(["qconf", "-sc"], clean_environment(), output.read_gpu_resource)
        return Then(resources, lambda found: Answered(gpu_request(gpus, slots, found)))

    def ping(self) -> Pending[bool]:
        return Command(_qstat(), clean_environment(), output.read_ping)

    def log_file(self, job: str, index: int) -> str:
        return f"{job}.{index + 1}.out"

    def log_pattern(self, logs: str) -> str:
        """A `$$` stands for `$`; what is in front of the first colon would be a host."""
        found = [character for character in INEXPRESSIBLE + "," if character in logs]
        if found:
            raise SubmitError(
                f"{logs!r} has {' '.join(found)}: Grid Engine cannot write log files there. "
                "Choose another work_dir"
            )
        return ":" + logs.replace("$", "$$") + "/$JOB_ID.$TASK_ID.out"

    def directive(self, value: str) -> str:
        """Quotes if need be. From the first quote on, all to the end of the line is one value.

        Quotes are taken away wherever they stand, a `#` begins a comment even between quotes,
        and there is no character that would protect the next one.
        """
        found = [character for character in INEXPRESSIBLE if character in value]
        if found or not value:
            raise SubmitError(
                f"{value!r} cannot stand in an option of a Grid Engine script: "
                + (f"it has {' '.join(found)}" if found else "it is empty")
            )
        return f"'{value}'" if any(character.isspace() for character in value) else value


def _exclude(script: str, avoid: Collection[str]) -> list[str]:
    """The option takes the place of the one in the script, so it has to say that, too.

    A job that no host may run would be taken, and wait for ever: it is to be refused.
    """
    if not avoid:
        return []
    try:
        own = output.hosts_asked(Path(script).read_text(errors="replace"))
    except OSError:  # qsub will say so
        own = []
    hosts = "&".join([*(f"({each})" for each in own), *(f"!{each}" for each in sorted(avoid))])
    return ["-w", "e", "-l", f"hostname={hosts}"]


def _warn_of_long_variables(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if name not in _long_variables and len(os.fsencode(f"{name}={value}")) > LONGEST_VARIABLE:
            _long_variables.add(name)
            log.warning(
                "Grid Engine hands only the first %d bytes of the variable %s to the elements",
                LONGEST_VARIABLE - len(os.fsencode(name)) - 1,
                name,
            )


def _qstat() -> list[str]:
    """Whose jobs and in which states is said, or somebody's defaults could ask for others."""
    try:
        whose = ["-u", pwd.getpwuid(os.getuid()).pw_name]
    except KeyError:  # whoever knows the names does not answer just now
        whose = []
    return ["qstat", *whose, "-s", "prs", "-xml"]


def _qdel(jobs: list[str], elements: Iterable[Element]) -> list[str]:
    """One command. `-t 1,5` would be taken for `1-5:4`, and a range beside it for an error."""
    tasks: dict[str, set[int]] = {}
    for job, index in elements:
        if job not in jobs:
            tasks.setdefault(job, set()).add(index + 1)
    ranges = [f"{job}.{each}" for job, numbers in tasks.items() for each in _ranges(numbers)]
    return ["qdel", *jobs, *ranges]


def _ranges(numbers: set[int]) -> Iterator[str]:
    """`1`, `3-5`: the numbers as few ranges."""
    starts = sorted(each for each in numbers if each - 1 not in numbers)
    ends = sorted(each for each in numbers if each + 1 not in numbers)
    for first, last in zip(starts, ends, strict=True):
        yield f"{first}-{last}" if last > first else str(first)


def _ends(jobs: list[str], wanted: set[Element]) -> Pending[dict[Element, ElementState]]:
    """One command after the other: qacct takes one job."""
    if not jobs:
        return Answered({})
    job, *others = jobs
    ends = Command(
        ["qacct", "-j", job], clean_environment(), lambda done: output.read_ends(done, job)
    )
    return Then(
        ends,
        lambda found: Then(
            _ends(others, wanted),
            lambda more: Answered(
                more | {each: state for each, state in found.items() if each in wanted}
            ),
        ),
    )


# ---- elements whose start failed


def _bury(states: dict[Element, ElementState]) -> Pending[dict[Element, ElementState]]:
    """Asks why elements could not be started, deletes them, and calls them ended."""
    dead = [element for element, state in states.items() if "E" in state.word]
    if not dead:
        return Answered(states)
    jobs = sorted({job for job, _ in dead}, key=int)
    reasons = Command(["qstat", "-j", ",".join(jobs)], clean_environment(), output.read_reasons)

    def delete(why: dict[Element, str]) -> Pending[dict[Element, ElementState]]:
        deletion = Command(_qdel([], dead), clean_environment(), output.is_cancelled)
        return Then(deletion, lambda gone: Answered(states | _buried(dead, why, gone)))

    return Then(reasons, delete)


def _buried(
    dead: list[Element], why: dict[Element, str], gone: bool
) -> dict[Element, ElementState]:
    """What could not be deleted is still in the queue, and the next look tries again."""
    reasons = {element: why.get(element, "") for element in dead}
    if gone:
        return {each: ElementState("ended", "error state", why) for each, why in reasons.items()}
    return {
        each: ElementState("pending", "Eqw", f"error state {why}".strip())
        for each, why in reasons.items()
    }


def _first_on_one_host(names: list[str]) -> Pending[str | None]:
    if not names:
        return Answered(None)
    name, *others = names
    asked = Command(["qconf", "-sp", name], clean_environment(), output.read_rule)
    return Then(
        asked, lambda rule: Answered(name) if rule == "$pe_slots" else _first_on_one_host(others)
    )


def gpu_request(gpus: int, slots: int, resource: tuple[str, bool]) -> str:
    """What stands behind `-l` for an element with so many GPUs and slots."""
    name, each_slot = resource
    if each_slot and gpus % slots:
        raise SubmitError(
            f"Here Grid Engine counts {name} for each slot: {gpus} GPUs with {slots} slots cannot "
            "be asked for. Take as many cpus as gpus, or ask by directives= in this site's words."
        )
    return f"{name}={gpus // slots if each_slot else gpus}"
