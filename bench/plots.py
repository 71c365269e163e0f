"""Plots of figures, as SVG. matplotlib draws them: `pip install -e '.[bench]'`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
        for kind, plot in PLOTS.items():
            chosen = [series for series in here if plot.wanted(series) and spread(series.values)]
            if len(chosen) > 1:
                name = f"{prefix}-{kind}-{backend}.svg"
                title = f"{plot.title}, {backend}"
                save(plot, chosen, title, directory / name)
                drawn[title] = name
    return drawn


def save(plot: "Plot", chosen: list[Series], title: str, file: Path) -> None:
    """The same figures give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "pypool"}):
        figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
        plot.draw(axes, chosen)
        axes.set_title(title)
        axes.set_ylabel(plot.says)
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)


def plot_cold(axes: Any, chosen: list[Series]) -> None:
    """Seconds over the number of tasks, a line for each peer; dots if there is one number."""
    if len({series.workload for series in chosen}) == 1:
        plot_dots(axes, chosen)
        return
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
    axes.legend(fontsize="small")


def plot_bars(axes: Any, chosen: list[Series]) -> None:
    """A group of bars for each workload, a bar for each peer."""
    for peer, width, own in grouped(axes, chosen):
        heights = [median(series) for series in own.values()]
        axes.bar(list(own), heights, width, label=peer)


def plot_dots(axes: Any, chosen: list[Series]) -> None:
    """The same with a dot for each median, and a line from minimum to maximum.

    The axis is logarithmic: a bar would have no foot there.
    """
    axes.set_yscale("log")
    for peer, _, own in grouped(axes, chosen):
        spreads = [spread(series.values) for series in own.values()]
        low, middle, high = zip(*filter(None, spreads), strict=True)
        (dots,) = axes.plot(list(own), middle, "o", label=peer)
        axes.vlines(list(own), low, high, color=dots.get_color(), lw=1)


def grouped(axes: Any, chosen: list[Series]) -> Iterator[tuple[str, float, dict[float, Series]]]:
    """Of each peer the series by their places, and how wide a place is; then labels the axis."""
    workloads = list(dict.fromkeys(series.workload for series in chosen))
    peers = list(dict.fromkeys(series.peer for series in chosen))
    width = 0.8 / len(peers)
    for number, peer in enumerate(peers):
        own = [series for series in chosen if series.peer == peer]
        places = [workloads.index(series.workload) + number * width for series in own]
        yield peer, width, dict(zip(places, own, strict=True))
    axes.set_xticks([each + 0.4 - width / 2 for each in range(len(workloads))])
    axes.set_xticklabels([name.replace(", ", "\n") for name in workloads], fontsize="small")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def median(series: Series) -> float:
    values = spread(series.values)
    assert values is not None
    return values.median


class Plot(NamedTuple):
    """One of the plots.

    Attributes
    ----------
    says : str
        What stands beside the axis of its figures.
    wanted : callable
        Whether it shows a series.
    """

    title: str
    says: str
    wanted: Callable[[Series], bool]
    draw: Callable[[Any, list[Series]], None]


PLOTS = {
    "cold": Plot(
        "Cold map",
        "seconds",
        lambda series: series.workload.startswith(COLD),
        plot_cold,
    ),
    "again": Plot(
        "Another map of 16",
        "milliseconds",
        lambda series: series.measure == "another map",
        plot_dots,
    ),
    "uneven": Plot(
        "Uneven lists",
        "time over first-come-first-served",
        lambda series: series.measure == "over first-come-first-served",
        plot_bars,
    ),
}
