"""Why elements end without a word: what real shells, Pythons and schedulers said."""

import pytest

from pypool.schedulers.base import ElementState, Scheduler
from pypool.schedulers.sge import Sge
from pypool.schedulers.shell import Shell
from pypool.schedulers.slurm import Slurm

SLURMD = "/var/spool/slurmd/n1/job2110/slurm_script: line 4: "
SGE = "/var/spool/execd/localhost/job_scripts/732: line 2: "


def failed(reason: str = "", code: str = "") -> ElementState:
    return ElementState("ended", "failed", reason, "n1", code)


@pytest.mark.parametrize(
    ("scheduler", "state", "log", "likely"),
    [
        (
            Slurm(),
            failed("NonZeroExitCode", "127:0"),
            SLURMD + "/opt/x/bin/python3.11: No such file or directory",
            "the Python of the job script is not there on the node (/opt/x/bin/python3.11)",
        ),
        (
            Sge(),
            failed("failed 0, exit_status 127", "127"),
            SGE + "exec: python4: not found",
            "the Python of the job script is not there on the node (python4)",
        ),
        (
            Shell(),
            failed("exit code 127", "127"),
            "job.sh: line 3: module: command not found",
            "a program of the job script is not there on the node (module)",
        ),
        (Slurm(), failed("NonZeroExitCode", "127:0"), "", "a program of the job script is not"),
        (
            Slurm(),
            failed("NonZeroExitCode", "2:0"),
            "slurmstepd-n1: error: execve(): bad interpreter(/x/bash): No such file or directory",
            "an interpreter that the node does not have",
        ),
        (
            Shell(),
            failed("exit code 126", "126"),
            "job.sh: line 3: /x/python: /y/python: bad interpreter: No such file or directory",
            "cannot be run on the node",
        ),
        (
            Slurm(),
            failed("NonZeroExitCode", "2:0"),
            "python3: can't open file '/a/pypool/worker/start.py': [Errno 2] No such file",
            "pypool is not there on the node (/a/pypool/worker/start.py)",
        ),
        (
            Slurm(),
            failed("NonZeroExitCode", "1:0"),
            "Traceback (most recent call last):\nModuleNotFoundError: No module named 'pypool'",
            "a module is missing in the node's Python (No module named 'pypool')",
        ),
        (
            Slurm(),
            failed("JobLaunchFailure", "0:53"),
            "",
            "the node could not open the element's log",
        ),
        (
            Slurm(),
            failed("NonZeroExitCode", "3:0"),
            "pypool: /scratch/x/run: No such file or directory",
            "the run directory is not visible on the node",
        ),
        (
            Slurm(),
            failed("NonZeroExitCode", "2:0"),
            SLURMD + "syntax error near unexpected token `('",
            "line 4 of the job script is not in order",
        ),
        (
            Sge(),
            ElementState("ended", "error state", "can't chdir to /x: No such file or directory"),
            "",
            "a directory is not there on the host",
        ),
        (
            Sge(),
            failed("failed 27  : searching requested shell, exit_status 0"),
            "",
            "the shell of the job script is not there",
        ),
        (Slurm(), failed("BadConstraints", "0:0"), "", "no node has what was asked for"),
        (Slurm(), failed("NonZeroExitCode", "1:0"), "Hello\n", ""),
    ],
)
def test_a_likely_cause_is_named(
    scheduler: Scheduler, state: ElementState, log: str, likely: str
) -> None:
    """In one sentence; or none, if nobody can tell."""
    cause = scheduler.cause(state, log)
    assert cause.how == state.word
    assert not cause.intruder
    assert likely in cause.likely
    assert "\n" not in cause.likely
    assert bool(likely) == bool(cause.likely)


@pytest.mark.parametrize(
    "line",
    [
        (
            "slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=2.batch. Some of your "
            "processes may have been killed by the cgroup out-of-memory handler."
        ),
        "slurmstepd: error: StepId=71.batch exceeded memory limit (3 > 1), being killed",
        "slurmstepd: error: Exceeded job memory limit",
    ],
)
def test_memory_is_an_end_of_its_own(line: str) -> None:
    """Also where the state says only that it failed."""
    assert Slurm().cause(failed("JobLaunchFailure", "0:9"), line).how == "out of memory"


@pytest.mark.parametrize(
    ("scheduler", "state", "log"),
    [
        (Slurm(), failed("NonZeroExitCode", "5:0"), ""),
        (Sge(), failed("failed 0, exit_status 5", "5"), ""),
        (Slurm(), failed(), "pypool: elements/0a1b/0 has an owner already, leaving\n"),
    ],
)
def test_who_came_second_is_known(scheduler: Scheduler, state: ElementState, log: str) -> None:
    """By the exit code of our agents, or by what they say last."""
    assert scheduler.cause(state, log).intruder
