"""Goals: each finds its figures, and a table says what was reached."""

import re

import pytest

from bench import goals
from bench.figures import Figures, Series
from bench.goals import GOALS, Goal, against, more_than, over, seen
from bench.known import BACKENDS, PEERS
from bench.workloads import WORKLOADS


def series(peer: str, *values: float | None, workload: str = "w", measure: str = "m") -> Series:
    return Series("slurm", workload, measure, "s", peer, values=list(values))


def figures(date: str, *chosen: Series) -> Figures:
    return Figures({"date": date}, series=list(chosen))


def row(goal: Goal, *runs: Figures) -> list[str]:
    return [cell.strip() for cell in goals.table(runs, [goal]).splitlines()[-1].split("|")[1:-1]]


@pytest.fixture(scope="module")
def complete() -> Figures:
    """All that all workloads measure by default, by all peers that take part."""
    everything = Figures()
    for kind in WORKLOADS.values():
        for work in map(kind, kind.defaults):
            everything.series += [
                Series(backend, work.label, measure.name, measure.unit, peer.name, values=[1.0])
                for backend in BACKENDS
                for peer in PEERS.values()
                if work.takes(peer, backend)
                for measure in work.measures
            ]
    return everything


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.what)
def test_each_goal_is_measured_by_a_workload(goal: Goal, complete: Figures) -> None:
    """Under that very name: a goal that finds nothing would never be missed."""
    assert len(goal.find(complete)) == 1
    if goal.instead:
        assert goal.instead.find(complete) == [1.0]


def test_goals_are_told_apart() -> None:
    """No two rows look the same, nor break the table."""
    whats = [goal.what for goal in GOALS]
    assert len(set(whats)) == len(whats)
    assert not any("|" in what for what in whats)


@pytest.mark.parametrize(
    ("word", "limit", "verdict"),
    [
        ("at most", 2, "yes"),
        ("below", 2, "no"),
        ("at least", 2, "yes"),
        ("above", 2, "no"),
        ("at most", 1.9, "no"),
        ("at least", 2.1, "no"),
    ],
)
def test_median_decides(word: str, limit: float, verdict: str) -> None:
    """Rounds without a figure do not count; the row tells the spread."""
    goal = Goal("it", seen("slurm", "w", "m"), word, limit, "ms")
    said = row(goal, figures("today", series("pypool", 1.0, None, 2.0, 9.0)))
    assert said == ["it", f"{word} {limit:g} ms", "2", "1", "9", "3", "today", verdict]


def test_what_counts_instead_is_enough() -> None:
    """Of two limits one must be kept."""
    quick = Goal("", seen("slurm", "w", "m"), "below", 3, "s")
    goal = Goal("it", against("other", "slurm", "w", "m"), "at most", 1.5, instead=quick)
    for seconds, verdict in ((2.0, "yes"), (4.0, "no")):
        said = row(goal, figures("today", series("pypool", seconds), series("other", 0.5)))
        assert said[1] == "at most 1.5, or below 3 s"
        assert said[-1] == verdict


def test_newest_figures_count() -> None:
    """Whatever the order of the files; those that have none of it do not."""
    goal = Goal("it", seen("slurm", "w", "m"), "below", 3)
    runs = [
        figures("2026-01-02", series("pypool", 2.0)),
        figures("2026-01-01", series("pypool", 1.0)),
        figures("2026-01-03", series("other", 3.0)),
        figures("2026-01-04", series("pypool", None)),
    ]
    assert row(goal, *runs)[2:] == ["2", "2", "2", "1", "2026-01-02", "yes"]


def test_the_run_with_most_rounds_counts() -> None:
    """One round of a later one says less."""
    goal = Goal("it", seen("slurm", "w", "m"), "below", 3)
    runs = [
        figures("2026-01-01", series("pypool", 1.0, 1.0, 1.0)),
        figures("2026-01-02", series("pypool", 2.0, 2.0, 2.0)),
        figures("2026-01-03", series("pypool", 5.0, None, None)),
    ]
    assert row(goal, *runs)[2:] == ["2", "2", "2", "3", "2026-01-02", "yes"]


def test_what_was_not_measured_says_so() -> None:
    """It is no success."""
    goal = Goal("it", seen("slurm", "w", "m"), "below", 3)
    assert row(goal, figures("today", series("other", 1.0)))[2:] == ["not measured", *[""] * 5]


def test_figures_of_the_same_round_are_compared() -> None:
    """As ratios, as shares, as differences."""
    run = figures(
        "today",
        series("pypool", 2.0, 9.0, None),
        series("pypool", 1.0, 3.0, 4.0, workload="v"),
    )
    own, other = seen("slurm", "w", "m"), seen("slurm", "v", "m")
    assert over(own, other)(run) == [2.0, 3.0]
    assert over(own, other, share=True)(run) == [0.5, 1 / 3]
    assert more_than(own, other)(run) == [1.0, 6.0]


def test_other_rounds_cannot_be_compared() -> None:
    """A run that was ended before has no pairs for it."""
    run = figures("today", series("pypool", 2.0), series("pypool", 1.0, 1.0, workload="v"))
    goal = Goal("it", over(seen("slurm", "w", "m"), seen("slurm", "v", "m")), "below", 3)
    assert row(goal, run)[2] == "not measured"


def test_goals_stand_first() -> None:
    """A goal for each row, and none is said to be reached without figures."""
    text = goals.table([])
    assert len(text.splitlines()) == len(GOALS) + 2
    assert len(re.findall("not measured", text)) == len(GOALS)
