"""What pypool is to reach, beside what was measured last: the first table of the page of figures.

A goal is for the machine that it is measured on, and most are ratios within one run. It counts
the median of all rounds.
"""

import operator
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bench.figures import Figures, pair_ratios
from bench.known import ARRAYS, FLOOR, LOCAL, OURS, SLURM, STANDARD
from bench.table import markdown, number
from bench.workloads.costs import Idle, IdleDriver, Imports
from bench.workloads.counts import Commands, Files
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

MPI = "mpi4py.futures"
HEADS = ("measure", "goal", "median", "from", "to", "rounds", "run of", "reached")

Values = Sequence[float | None]
Find = Callable[[Figures], Values]
"""Gives a figure a round; LookupError if it was not measured."""

WORDS = {
    "at most": operator.le,
    "below": operator.lt,
    "at least": operator.ge,
    "above": operator.gt,
}


class Goal(NamedTuple):
    """A figure and its limit.

    Attributes
    ----------
    what : str
        What is measured.
    word : {"at most", "below", "at least", "above"}
        What it must be, compared with the limit.
    instead : Goal or None
        Another one that may be reached in its place.
    """

    what: str
    find: Find
    word: str
    limit: float
    unit: str = ""
    instead: "Goal | None" = None

    def said(self) -> str:
        """The limit in words."""
        own = f"{self.word} {self.limit:g} {self.unit}".strip()
        return f"{own}, or {self.instead.said()}" if self.instead else own


def seen(backend: str, workload: str, measure: str, peer: str = OURS) -> Find:
    """The figures of one series."""

    def find(figures: Figures) -> Values:
        for series in figures.series:
            place = (series.backend, series.workload, series.measure, series.peer)
            if place == (backend, workload, measure, peer):
                return series.values
        raise LookupError(workload)

    return find


def first(*finds: Find) -> Find:
    """Of several the first that was measured."""

    def find(figures: Figures) -> Values:
        for each in finds:
            try:
                return each(figures)
            except LookupError:
                continue
        raise LookupError

    return find


def over(own: Find, other: Find, share: bool = False) -> Find:
    """Ratios of figures of the same round."""
    return lambda figures: pair_ratios(own(figures), other(figures), share)


def more_than(own: Find, other: Find) -> Find:
    """Differences of figures of the same round."""

    def find(figures: Figures) -> Values:
        pairs = zip(own(figures), other(figures), strict=True)
        return [a - b for a, b in pairs if a is not None and b is not None]

    return find


def against(peer: str, backend: str, workload: str, measure: str, share: bool = False) -> Find:
    """Ratios to another peer."""
    own, other = seen(backend, workload, measure), seen(backend, workload, measure, peer)
    return over(own, other, share)


def cold(tasks: int, peer: str = OURS) -> Find:
    return seen(SLURM, Cold(tasks).label, "constructor to results", peer)


def anywhere(workload: str, measure: str) -> Find:
    """It is the same with a Slurm and without."""
    return first(seen(SLURM, workload, measure), seen(LOCAL, workload, measure))


def measured() -> Iterable[Goal]:
    """All goals, in the order of the table."""
    for tasks in (16, 1000):
        what = f"cold map of {tasks:,} on Slurm, over `{FLOOR}`"
        yield Goal(what, over(cold(tasks), cold(tasks, FLOOR)), "at most", 1.2)
    what = "cold map of 100,000 on Slurm, over that of 16"
    yield Goal(what, over(cold(100_000), cold(16)), "at most", 1.5)
    yield from others_after_pauses()
    for kind in (Lognormal, Last, Sorted, Heavy):
        label = kind(5).label
        found = seen(SLURM, label, FCFS)
        yield Goal(f"{label}, on Slurm, over first-come-first-served", found, "at most", 1.03)
    for data, least in ((Returned, 0.75), (Taken, 1.2)):
        label = data(64).label
        share = against(ARRAYS, SLURM, label, "warm map", share=True)
        yield Goal(f"{label} on Slurm, share of the speed of `{ARRAYS}`", share, "at least", least)
    yield from costs()
    yield from idleness()
    yield from locally()


def others_after_pauses() -> Iterable[Goal]:
    label, measure = Again(0).label, "another map"
    for peer, word, limit in ((STANDARD, "at most", 1.3), (MPI, "below", 1.0)):
        found = against(peer, SLURM, label, measure)
        yield Goal(f"another map of 16 on Slurm, over `{peer}`", found, word, limit)
    for pause in (0.1, 1, 10):
        label = Again(pause).label
        yield Goal(f"{label}, on Slurm", seen(SLURM, label, measure), "at most", 25, "ms")


def costs() -> Iterable[Goal]:
    many, few = (seen(SLURM, Files(tasks).label, "files at the peak") for tasks in (100_000, 100))
    yield Goal("files for 100,000 tasks, over those for 100", over(many, few), "at most", 1)
    commands = seen(SLURM, Commands(10).label, "commands")
    yield Goal("scheduler commands in a map of 10 s", commands, "at most", 3)
    label = Many(1_000_000).label
    seconds = seen(SLURM, label, "warm map")
    quick = Goal("", seconds, "below", 3, "s")
    ratio = against(STANDARD, SLURM, label, "warm map")
    yield Goal(f"{label} on Slurm, over `{STANDARD}`", ratio, "at most", 1.5, instead=quick)
    memory = more_than(
        seen(SLURM, label, "memory of the driver"), seen(SLURM, label, "results alone")
    )
    yield Goal(f"{label} on Slurm, memory besides the results", memory, "below", 300, "MiB")
    for name, measure, most in (
        ("`import pypool`", "import over the bare interpreter", 1.5),
        ("an agent's start", "agent's start over the bare interpreter", 1.3),
    ):
        found = anywhere(Imports(5).label, measure)
        yield Goal(f"{name}, over the bare interpreter", found, "at most", most)


def idleness() -> Iterable[Goal]:
    unit = "% of a CPU"
    for after, limit, what in ((0, 1.5, "idle agent"), (60, 0.3, "idle agent after a minute")):
        yield Goal(what, anywhere(Idle(after).label, "idle agent"), "below", limit, unit)
    yield Goal(
        "idle driver of one agent", anywhere(Idle(0).label, "idle driver"), "below", 0.5, unit
    )
    for agents in (4, 64):
        label = IdleDriver(agents).label
        yield Goal(label, seen(LOCAL, label, "idle driver"), "below", 0.5, unit)


def locally() -> Iterable[Goal]:
    """Local processes, beside those of the standard library."""
    found = against(STANDARD, LOCAL, Again(0).label, "another map")
    yield Goal(f"another map of 16, local, over `{STANDARD}`", found, "at most", 1.1)
    for milliseconds in (0, 0.1, 1):
        label = Sampler(milliseconds).label
        found = against(STANDARD, LOCAL, label, "a map")
        yield Goal(f"{label}, local, over `{STANDARD}`", found, "at most", 1.1)
    for milliseconds in (0.2, 1, 10):
        label = Short(milliseconds).label
        found = against(STANDARD, LOCAL, label, "warm map")
        yield Goal(f"{label}, local, over `{STANDARD}`", found, "at most", 1.1)
    label = Many(1_000_000).label
    found = against(STANDARD, LOCAL, label, "warm map")
    yield Goal(f"{label}, local, over `{STANDARD}`", found, "at most", 1.1)
    found = against(STANDARD, LOCAL, Unordered(100_000).label, ONE_BY_ONE)
    yield Goal(f"10,000 no-ops one by one, local, over `{STANDARD}`", found, "at most", 1.1)
    found = against(STANDARD, LOCAL, Items(3000).label, "arrays of ten floats")
    yield Goal(f"3,000 small arrays, local, over `{STANDARD}`", found, "at most", 1.1)
    for kibibytes in (4, 32):
        label = Images(kibibytes).label
        found = against(STANDARD, LOCAL, label, "warm map")
        yield Goal(f"{label}, local, over `{STANDARD}`", found, "at most", 1.1)
    for kind in (Lognormal, Last, Sorted, Heavy):
        label = kind(5).label
        found = against(STANDARD, LOCAL, label, FCFS)
        yield Goal(f"{label}, local, over `{STANDARD}`", found, "below", 1)
    for data in (Returned, Taken):
        label = data(64).label
        found = against(STANDARD, LOCAL, label, "warm map", share=True)
        yield Goal(f"{label}, local, speed over `{STANDARD}`", found, "above", 1)
    start = seen(LOCAL, Start(4).label, "constructor to results")
    yield Goal("a local pool of four and its first results", start, "at most", 0.2, "s")


FCFS = "over first-come-first-served"
ONE_BY_ONE = "a tenth of them, one by one"
GOALS = tuple(measured())


def table(runs: Sequence[Figures], goals: Sequence[Goal] = GOALS) -> str:
    """A row for each goal, of the run with most rounds of its figures, the newest of these."""
    newest = sorted(runs, key=lambda figures: figures.about.get("date", ""), reverse=True)
    return markdown([list(HEADS), *(row_of(goal, newest) for goal in goals)])


def row_of(goal: Goal, newest: Sequence[Figures]) -> list[str]:
    best = max(newest, key=lambda figures: len(found(goal, figures)), default=None)
    values = [] if best is None else found(goal, best)
    if best is None or not values:
        return [goal.what, goal.said(), "not measured", "", "", "", "", ""]
    own = [number(value) for value in spread_of(values)]
    when = best.about.get("date", "")
    return [goal.what, goal.said(), *own, str(len(values)), when, reached(goal, best)]


def found(goal: Goal, figures: Figures) -> list[float]:
    """All figures of a goal that there are in a run."""
    try:
        return [value for value in goal.find(figures) if value is not None]
    except (LookupError, ValueError):  # not measured; or other rounds than what it is compared with
        return []


def spread_of(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def reached(goal: Goal, figures: Figures) -> str:
    """Whether the median is within the limit, or that of what counts instead."""
    values = found(goal, figures)
    if values and WORDS[goal.word](statistics.median(values), goal.limit):
        return "yes"
    return reached(goal.instead, figures) if goal.instead else "no"
