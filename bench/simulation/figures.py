"""Plots of what was simulated, as SVG. matplotlib draws them: `pip install -e '.[bench]'`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

GOAL_RATIO = 1.05
GOAL_OPENS = 1900.0


def draw(rows: list[Row], directory: Path) -> None:
    """The same rows give the same bytes. Of each number of agents the most tasks are taken."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    directory.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "pypool"}):
        for name, (title, plot) in PLOTS.items():
            figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
            plot(axes, rows)
            axes.set_title(title)
            axes.set_xscale("log")
            axes.set_xlabel("agents")
            axes.legend(fontsize="small")
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


def plot_ratio(axes: Any, rows: list[Row]) -> None:
    for disk, (agents, values) in lines(rows, False, "ratio").items():
        axes.plot(agents, values, marker="o", label=disk)
    axes.axhline(GOAL_RATIO, color="grey", ls=":", label="the goal")
    axes.set_ylabel("makespan over first-come-first-served")


def plot_opens(axes: Any, rows: list[Row]) -> None:
    for disk, (agents, values) in lines(rows, False, "opens").items():
        axes.loglog(agents, values, marker="o", label=f"all, {disk}")
    for disk, (agents, values) in lines(rows, True, "opens").items():
        axes.loglog(agents, values, marker="x", ls="--", label=f"all by the rules of few, {disk}")
    for disk, (agents, values) in lines(rows, False, "opens_of_driver").items():
        axes.loglog(agents, values, marker=".", lw=1, label=f"the driver alone, {disk}")
    axes.axhline(GOAL_OPENS, color="grey", ls=":", label="the goal")
    axes.set_ylabel("opens a second at work")


def plot_idle(axes: Any, rows: list[Row]) -> None:
    for disk, (agents, values) in lines(rows, False, "idle").items():
        axes.plot(agents, [100 * value for value in values], marker="o", label=disk)
    for agents, values in list(lines(rows, False, "ideal_idle").values())[:1]:
        percent = [100 * value for value in values]
        axes.plot(agents, percent, color="grey", ls=":", label="first-come-first-served")
    axes.set_ylabel("% of the slots' time without a task")


PLOTS: dict[str, tuple[str, Callable[[Any, list[Row]], None]]] = {
    "makespan": ("Makespan, simulated", plot_ratio),
    "opens": ("Files opened, simulated", plot_opens),
    "idle": ("Idle slots, simulated", plot_idle),
}
