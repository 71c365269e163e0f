"""Slurm's commands: sbatch, squeue, scancel, scontrol; sacct only to explain.

Written against Slurm 22.05; the options used are in sbatch(1), squeue(1) and scancel(1) of all
versions since 20.02. What they print is read in `slurm_output`.

An element that could not be launched, or that ended while the controller was away, may come back
as held in the queue for ever. It never runs by itself, so whoever finds it cancels it and calls it
ended.
"""

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from pypool.errors import SubmitError
from pypool.schedulers import causes
from pypool.schedulers import slurm_output as output
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

EXPLAIN_TIMEOUT = 5.0

States = dict[Element, ElementState]


class Slurm(Scheduler):
    """See the module."""

    name: ClassVar[str] = "slurm"

    def __init__(self) -> None:
        self._config: Command[str] | None = None
        self._looked_up: States = {}

    def submit(
        self, script: str, token: str, elements: int, avoid: Collection[str] = ()
    ) -> Pending[str]:
        argv = [
            "sbatch",
            "--parsable",
            f"--array=0-{elements - 1}",
            f"--job-name={self.job_name(token)}",
            *_exclude(script, avoid),
            script,
            token,
        ]
        return Command(argv, self.environment(), lambda done: output.read_submission(done, script))

    def find(self, token: str, queued_only: bool = False) -> Pending[list[str]]:
        """A job that was refused may be there for a while, as one that has failed."""
        name = f"--name={self.job_name(token)}"
        states = [] if queued_only else ["--states=all"]
        argv = ["squeue", "--noheader", *states, name, "--format=%F"]
        return Command(argv, clean_environment(), output.read_found)

    def queue(self, jobs: list[str]) -> Pending[States]:
        argv = [
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            f"--format={output.QUEUE_FORMAT}",
            f"--jobs={','.join(jobs)}",
        ]
        asked = Command(argv, clean_environment(), output.read_queue)
        return Then(Then(asked, self._look_up), _bury)

    def _look_up(self, states: States) -> Pending[States]:
        """How failed elements have failed: squeue does not tell their exit codes."""
        failed = [each for each, state in states.items() if state.word == "failed"]
        new = {each for each in failed if each not in self._looked_up}

        def follow(found: States) -> Pending[States]:
            self._looked_up |= {each: found.get(each, states[each]) for each in new}
            known = {each: self._looked_up[each] for each in failed if each in self._looked_up}
            return Answered(states | known)

        return Then(_details(sorted({job for job, _ in new})), follow)

    def forget(self, job: str) -> None:
        self._looked_up = {each: end for each, end in self._looked_up.items() if each[0] != job}

    def names_of(self, jobs: list[str]) -> Pending[dict[str, str]]:
        listed = f"--jobs={','.join(jobs)}"
        argv = ["squeue", "--noheader", "--states=all", listed, "--format=%F|%j"]
        return Command(argv, clean_environment(), output.read_job_names)

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        argv = ["scancel", *jobs, *_names(elements)]
        return Command(argv, clean_environment(), output.read_cancellation)

    def cancel_pending(self, elements: list[Element]) -> Pending[None]:
        argv = ["scancel", "--state=PENDING", *_names(elements)]
        return Command(argv, clean_environment(), output.read_cancellation)

    def cancel_by_hand(self, token: str) -> str:
        return f"scancel --name={self.job_name(token)}"

    def advice(self, state: ElementState, job: str) -> str:
        return output.advice(state, job)

    def cause(self, state: ElementState, log: str) -> Cause:
        return causes.of(state, log, output.OF_ENDS)

    def explain(self, job: str) -> Pending[str]:
        """From the controller, which has no accounts and forgets; else from the accounts."""

        def follow(details: States) -> Pending[str]:
            said = output.explanation(details)
            argv = ["sacct", "-X", "-n", "-P", "-j", job]
            argv += ["-o", "JobID,State,ExitCode,NodeList,Reason"]
            return (
                Answered(said)
                if said
                else Command(argv, clean_environment(), output.read_explanation, EXPLAIN_TIMEOUT)
            )

        return Then(_details([job]), follow)

    def limit(self) -> Pending[int | None]:
        return Mapped(self._settings(), output.read_limit)

    def grace(self) -> Pending[float]:
        return Mapped(self._settings(), output.read_grace)

    def _settings(self) -> Command[str]:
        """Asked once, unless there was no answer."""
        asked = self._config
        if asked is None or (asked.done() and asked.failed):
            argv = ["scontrol", "show", "config"]
            asked = self._config = Command(argv, clean_environment(), output.read_config)
        return asked

    def ping(self) -> Pending[bool]:
        argv = ["squeue", "--noheader", "--jobs=1"]
        return Command(argv, clean_environment(), output.read_ping)

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


def _names(elements: list[Element]) -> list[str]:
    return [f"{job}_{index}" for job, index in elements]


def _exclude(script: str, avoid: Collection[str]) -> list[str]:
    """The option takes the place of the one in the script, so it has to say that, too."""
    if not avoid:
        return []
    try:
        own = output.excluded(Path(script).read_text(errors="replace"))
    except OSError:  # sbatch will say so
        own = []
    return [f"--exclude={','.join([*own, *sorted(avoid)])}"]


def _details(jobs: list[str]) -> Pending[States]:
    """One command after the other: scontrol takes one job."""
    if not jobs:
        return Answered({})
    job, *others = jobs
    argv = ["scontrol", "--oneliner", "show", "job", job]
    asked = Command(argv, clean_environment(), output.read_details, EXPLAIN_TIMEOUT)
    return Then(asked, lambda found: Mapped(_details(others), lambda more: found | more))


def _bury(states: States) -> Pending[States]:
    """Cancels elements whose launch failed, and calls them ended."""
    dead = [each for each, state in states.items() if output.launch_failed(state)]
    if not dead:
        return Answered(states)
    argv = ["scancel", "--state=PENDING", *_names(dead)]
    deletion = Command(argv, clean_environment(), output.is_cancelled)

    def follow(gone: bool) -> Pending[States]:
        """What could not be cancelled is still in the queue, and the next look tries again."""
        ends = {each: states[each]._replace(phase="ended", word="launch failed") for each in dead}
        return Answered(states | ends if gone else states)

    return Then(deletion, follow)
