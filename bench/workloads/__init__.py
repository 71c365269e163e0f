"""The workloads, and how the command line calls them: `cold`, `cold:16,1000`."""

from argparse import ArgumentTypeError

from bench.options import number
from bench.workloads.base import Choice, Workload
from bench.workloads.costs import Idle, IdleDriver, Imports
from bench.workloads.counts import Calls, Commands, Files
from bench.workloads.data import Images, Items, Returned, Taken
from bench.workloads.maps import (
    Again,
    Cold,
    Heavy,
    Last,
    Lognormal,
    Many,
    Sampler,
    Short,
    Sorted,
    Start,
    Unordered,
)

WORKLOADS: dict[str, type[Workload]] = {
    "cold": Cold,
    "start": Start,
    "again": Again,
    "sampler": Sampler,
    "uneven-lognormal": Lognormal,
    "uneven-last": Last,
    "uneven-sorted": Sorted,
    "uneven-heavy": Heavy,
    "short": Short,
    "items": Items,
    "images": Images,
    "returned": Returned,
    "taken": Taken,
    "many": Many,
    "imap": Unordered,
    "files": Files,
    "calls": Calls,
    "commands": Commands,
    "imports": Imports,
    "idle": Idle,
    "idle-driver": IdleDriver,
}


def chosen(words: list[str]) -> list[Workload]:
    """The workloads that are meant, each with its numbers or those it has anyway.

    Raises
    ------
    ValueError
        If there is none of that name, or what stands behind it is no number that it can have.
    """
    found = []
    for word in words:
        name, _, numbers = word.partition(":")
        if name not in WORKLOADS:
            raise ValueError(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}")
        kind = WORKLOADS[name]
        values = numbers_of(word, kind.choice, numbers) if numbers else kind.defaults
        found += [kind(value) for value in values]
    return found


def numbers_of(word: str, choice: Choice, numbers: str) -> list[float]:
    """Those that stand behind the name."""
    read = number(choice.least, choice.whole)
    try:
        return [read(each) for each in numbers.split(",")]
    except ArgumentTypeError as error:
        raise ValueError(f"workload {word}: {error} ({choice.what})") from None


def summary() -> str:
    """A line for each, for the command line's help."""
    lines = []
    for name, kind in WORKLOADS.items():
        numbers = ",".join(map(str, kind.defaults))
        said = (kind.__doc__ or "").partition("\n")[0]
        lines.append(f"  {name + ':' + numbers:32} {said}")
    return "\n".join(lines)
