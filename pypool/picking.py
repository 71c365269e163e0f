"""Which scheduler a pool uses, if nobody says: what this machine has, and whether it answers."""

import logging
import os
import shutil
from collections.abc import Mapping

from pypool.errors import PoolError, SubmitError
from pypool.machine import allocation
from pypool.schedulers.base import Scheduler, wait
from pypool.schedulers.sge import Sge
from pypool.schedulers.shell import Shell
from pypool.schedulers.slurm import Slurm

log = logging.getLogger("pypool")

SCHEDULERS: dict[str, type[Scheduler]] = {"sge": Sge, "shell": Shell, "slurm": Slurm}

COMMANDS = {
    "slurm": ("sbatch", "squeue", "scancel"),
    "sge": ("qsub", "qstat", "qdel", "qconf"),
}
"""By these a scheduler is known to be there. PBS has the first three of Grid Engine's, too."""

SUBMITTING = ("sbatch", "qsub", "bsub", "condor_submit")
"""By these it is known that there is a scheduler, of whatever kind."""

PATIENCE = 5.0
"""Seconds within which one of several schedulers must answer."""

_said: list[list[str]] = []


def pick_scheduler(environment: Mapping[str, str] | None = None) -> str:
    """The name of what runs the tasks of `pypool.Pool`.

    Within an allocation that is `shell`, on that allocation; else the scheduler whose commands
    are here; of several the first that answers; without any, `local`. One that is here and does
    not answer is never passed over for local processes: it is waited for, and that is said.

    Raises
    ------
    SubmitError
        If there are several schedulers and none of them answers.
    """
    given = os.environ if environment is None else environment
    if allocation(given) is not None:
        return "shell"
    path = given.get("PATH", os.defpath)
    found = [
        name
        for name, commands in COMMANDS.items()
        if all(shutil.which(command, path=path) for command in commands)
    ]
    if len(found) > 1:
        return _one_that_answers(found)
    if not found:
        _say_what_is_passed_over(path)
    return found[0] if found else "local"


def shell_here() -> Shell:
    """Job scripts on this machine, or on all nodes of the allocation in which it is."""
    granted = allocation()
    if granted is None:
        return Shell()
    if granted.nodes > len(granted.launchers):
        log.warning("the allocation has %d nodes, workers run on this one only", granted.nodes)
    return Shell(granted.launchers)


def _say_what_is_passed_over(path: str) -> None:
    """Once: nobody is to find out by himself why a login node is so busy."""
    here = [command for command in SUBMITTING if shutil.which(command, path=path)]
    if here and here not in _said:
        _said.append(here)
        log.warning(
            "%s is here, but neither all commands of Slurm (%s) nor of Grid Engine (%s): workers "
            "are processes of this machine. PYPOOL_SCHEDULER=local says that it is meant so",
            " and ".join(here),
            ", ".join(COMMANDS["slurm"]),
            ", ".join(COMMANDS["sge"]),
        )


def _one_that_answers(names: list[str]) -> str:
    pings = {name: SCHEDULERS[name]().ping() for name in names}
    told = []
    for name, ping in pings.items():
        try:
            if wait(ping, PATIENCE) is not None:
                return name
            told.append(f"{name}: no answer within {PATIENCE:.0f} s")
        except PoolError as error:
            told.append(f"{name}: {error}")
    raise SubmitError(
        f"There are several schedulers here ({', '.join(names)}), and none answers.\n"
        + "\n".join(told)
        + "\nName one by PYPOOL_SCHEDULER, or take PYPOOL_SCHEDULER=local for this machine alone."
    )
