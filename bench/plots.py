"""Plots of figures, as SVG. matplotlib draws them: `pip install -e '.[bench]'`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Figures, Series, spread

COLD = "cold map of "
OURS = "pypool"


def draw(figures: Figures, directory: Path, prefix: str) -> dict[str, str]:
    """Draws what there is enough of.

    Returns
    -------
    dict of str to str
        Names of files by their titles.
    """
    drawn = {}
    for backend in dict.fromkeys(series.backend for series in figures.series):
        here = [series for series in figures.series if series.backend == backend]
        for kind, (title, wanted, plot) in PLOTS.items():
            chosen = [series for series in here if wanted(series) and spread(series.values)]
            if len(chosen) > 1:
                name = f"{prefix}-{kind}-{backend}.svg"
                save(plot, chosen, f"{title}, {backend}", directory / name)
                drawn[f"{title}, {backend}"] = name
    return drawn


def save(
    plot: Callable[[Any, list[Series]], None], chosen: list[Series], title: str, file: Path
) -> None:
    """The same figures give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "pypool"}):
        figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
        plot(axes, chosen)
        axes.set_title(title)
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)


def plot_cold(axes: Any, chosen: list[Series]) -> None:
    """Seconds over the number of tasks, a line for each peer."""
    for peer in dict.fromkeys(series.peer for series in chosen):
        points = sorted(
            (int(series.workload.removeprefix(COLD).replace(",", "")), median(series))
            for series in chosen
            if series.peer == peer
        )
        axes.loglog(
            *zip(*points, strict=True), marker="o", lw=2.5 if peer == OURS else 1, label=peer
        )
    axes.set_xlabel("tasks")
    axes.set_ylabel("seconds")
    axes.legend(fontsize="small")


def plot_bars(axes: Any, chosen: list[Series]) -> None:
    """A group of bars for each workload, a bar for each peer."""
    workloads = list(dict.fromkeys(series.workload for series in chosen))
    peers = list(dict.fromkeys(series.peer for series in chosen))
    width = 0.8 / len(peers)
    for number, peer in enumerate(peers):
        own = {series.workload: median(series) for series in chosen if series.peer == peer}
        places = [workloads.index(name) + number * width for name in own]
        axes.bar(places, list(own.values()), width, label=peer)
    axes.set_xticks([each + 0.4 - width / 2 for each in range(len(workloads))])
    axes.set_xticklabels([name.replace(", ", "\n") for name in workloads], fontsize="small")
    axes.set_ylabel(chosen[0].unit)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def plot_log_bars(axes: Any, chosen: list[Series]) -> None:
    axes.set_yscale("log")
    plot_bars(axes, chosen)


def median(series: Series) -> float:
    values = spread(series.values)
    assert values is not None
    return values.median


PLOTS: dict[str, tuple[str, Callable[[Series], bool], Callable[[Any, list[Series]], None]]] = {
    "cold": ("Cold map", lambda series: series.workload.startswith(COLD), plot_cold),
    "again": ("Another map of 16", lambda series: series.measure == "another map", plot_log_bars),
    "uneven": (
        "Uneven lists over first-come-first-served",
        lambda series: series.measure == "over first-come-first-served",
        plot_bars,
    ),
}
