"""Plots of what was simulated, as SVG. matplotlib draws them: `pip install -e '.[bench]'`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

GOAL_RATIO = 1.05
GOAL_OPENS = 1900.0


def draw(rows: list[Row], directory: Path) -> None:
    """The same rows give the same bytes.

    All rows are points. Of each number of agents that with the most tasks, and among those with
    the most work, lies on the line.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    directory.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "pypool"}):
        for name, (title, drawn) in PLOTS.items():
            figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
            drawn(axes, rows)
            axes.set_title(f"{title}; lines: the most tasks")
            axes.set_xscale("log")
            axes.set_xlabel("agents")
            axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
            figure.savefig(directory / f"scale-{name}.svg", metadata={"Date": None})
            pyplot.close(figure)


def lines(rows: list[Row], as_few: bool, value: str) -> dict[str, tuple[list[int], list[float]]]:
    """By disk: numbers of agents, and that value."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for disk in dict.fromkeys(row["disk"] for row in rows):
        own = [row for row in rows if row["disk"] == disk and row["as_few"] == as_few]
        largest: dict[int, Row] = {}
        for row in sorted(own, key=lambda each: (each["tasks"], each["work"])):
            largest[row["agents"]] = row
        if largest:
            agents = sorted(largest)
            found[disk] = (agents, [largest[number][value] for number in agents])
    return found


def points(rows: list[Row], as_few: bool, value: str) -> dict[str, tuple[list[int], list[float]]]:
    """The same of all rows."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row in rows:
        if row["as_few"] == as_few:
            agents, values = found.setdefault(row["disk"], ([], []))
            agents.append(row["agents"])
            values.append(row[value])
    return found


def plot(
    axes: Any, rows: list[Row], value: str, label: str = "", as_few: bool = False, **look: Any
) -> None:
    """A line for each disk, and the points around it."""
    for disk, (agents, values) in lines(rows, as_few, value).items():
        (line,) = axes.plot(agents, values, label=f"{label}{disk}", **look)
        every = points(rows, as_few, value)[disk]
        axes.scatter(*every, s=12, alpha=0.5, color=line.get_color(), marker=look["marker"])


def explain(axes: Any) -> None:
    """What the points are that lie on no line."""
    axes.scatter([], [], s=12, alpha=0.5, color="grey", label="fewer tasks, or less work")


def plot_ratio(axes: Any, rows: list[Row]) -> None:
    plot(axes, rows, "ratio", marker="o")
    explain(axes)
    axes.axhline(GOAL_RATIO, color="grey", ls=":", label="the goal")
    axes.set_ylabel("makespan over first-come-first-served")


def plot_opens(axes: Any, rows: list[Row]) -> None:
    axes.set_yscale("log")
    plot(axes, rows, "opens", "all, ", marker="o")
    plot(axes, rows, "opens", "all by the rules of few, ", as_few=True, marker="x", ls="--")
    plot(axes, rows, "opens_of_driver", "the driver alone, ", marker=".", lw=1)
    explain(axes)
    axes.axhline(GOAL_OPENS, color="grey", ls=":", label="the goal")
    axes.set_ylabel("opens a second at work")


def plot_idle(axes: Any, rows: list[Row]) -> None:
    in_percent = [{**row, "idle": 100 * row["idle"]} for row in rows]
    plot(axes, in_percent, "idle", marker="o")
    explain(axes)
    ideal = [{**row, "idle": 100 * row["ideal_idle"]} for row in rows]
    for number, (agents, values) in enumerate(lines(ideal, False, "idle").values()):
        axes.plot(agents, values, color=f"C{number}", ls=":")
    axes.plot([], [], color="grey", ls=":", label="first-come-first-served")
    axes.set_ylabel("% of the slots' time without a task")


PLOTS: dict[str, tuple[str, Callable[[Any, list[Row]], None]]] = {
    "makespan": ("Makespan, simulated", plot_ratio),
    "opens": ("Files opened, simulated", plot_opens),
    "idle": ("Idle slots, simulated", plot_idle),
}
