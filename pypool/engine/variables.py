"""The variables that elements get besides the driver's own environment.

They travel by the scheduler's own export, never through files of ours.
"""

import os
import sys
from collections.abc import Mapping

from pypool.options import Options

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
)
"""How many threads numerical libraries start in each process: by themselves, one for each CPU."""


WITHIN = {"PYPOOL_SCHEDULER": "shell", "PYPOOL_PROFILE": ""}
"""A pool in a task is not to submit jobs from a node, but to use the element that is there."""


def variables(options: Options, environment: Mapping[str, str]) -> dict[str, str]:
    """What the user gave, the threads for the CPUs of a worker, and how its Python is to run."""
    threads = {} if options.cpus is None else dict.fromkeys(THREADS, str(options.cpus))
    unset = {name: value for name, value in threads.items() if not environment.get(name)}
    return unset | interpreter(environment) | options.env


def interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    """What all workers' Pythons have in common.

    The same string has the same hash in all of them, so that what one divides by hashes does not
    differ from what another one does. `-O` holds for modules as it does for code sent by value.
    """
    found = {}
    if environment.get("PYTHONHASHSEED", "random") == "random":
        found["PYTHONHASHSEED"] = str(int.from_bytes(os.urandom(4), "little"))
    if sys.flags.optimize:
        found["PYTHONOPTIMIZE"] = str(sys.flags.optimize)
    return found
