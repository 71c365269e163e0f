"""The variables that elements get besides the driver's own environment.

They travel by the scheduler's own export, never through files of ours.
"""

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
    """What the user gave, and the number of threads for the CPUs of a worker."""
    threads = {} if options.cpus is None else dict.fromkeys(THREADS, str(options.cpus))
    unset = {name: value for name, value in threads.items() if not environment.get(name)}
    return unset | options.env
