"""The workloads, and how the command line calls them: `cold`, `cold:16,1000`."""

from bench.workloads.base import Workload
from bench.workloads.costs import Idle, Imports
from bench.workloads.counts import Calls, Commands, Files
from bench.workloads.data import Returned, Taken
from bench.workloads.maps import Again, Cold, Heavy, Last, Lognormal, Many, Sorted

WORKLOADS: dict[str, type[Workload]] = {
    "cold": Cold,
    "again": Again,
    "uneven-lognormal": Lognormal,
    "uneven-last": Last,
    "uneven-sorted": Sorted,
    "uneven-heavy": Heavy,
    "returned": Returned,
    "taken": Taken,
    "many": Many,
    "files": Files,
    "calls": Calls,
    "commands": Commands,
    "imports": Imports,
    "idle": Idle,
}


def chosen(words: list[str]) -> list[Workload]:
    """The workloads that are meant, each with its numbers or those it has anyway.

    Raises
    ------
    ValueError
        If there is none of that name, or what stands behind it is no number.
    """
    found = []
    for word in words:
        name, _, numbers = word.partition(":")
        if name not in WORKLOADS:
            raise ValueError(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}")
        kind = WORKLOADS[name]
        values = [float(number) for number in numbers.split(",")] if numbers else kind.defaults
        found += [kind(value) for value in values]
    return found


def summary() -> str:
    """A line for each, for the command line's help."""
    lines = []
    for name, kind in WORKLOADS.items():
        numbers = ",".join(str(number) for number in kind.defaults)
        said = (kind.__doc__ or "").partition("\n")[0]
        lines.append(f"  {name + ':' + numbers:32} {said}")
    return "\n".join(lines)
