"""Figures as text: for a terminal, and for a page."""

from bench.figures import Figures, Series, Spread, spread

HEADS = ("measure", "peer", "minimum", "median", "maximum", "ratio", "from", "to", "rounds")

WORDS = 2
"""Columns that hold no numbers."""


def rows_of(figures: Figures, topic: list[Series]) -> list[list[str]]:
    """A row for each measure and peer; those that have no figure at all say so."""
    return [row_of(figures, series) for series in topic]


def row_of(figures: Figures, series: Series) -> list[str]:
    own = spread(series.values)
    ratio = spread(figures.ratios(series))
    done = len([value for value in series.values if value is not None])
    rounds = f"{done}" if done == len(series.values) else f"{done} of {len(series.values)}"
    measure = f"{series.measure}, {series.unit}"
    return [measure, series.peer, *cells(own), *reordered(ratio), rounds]


def cells(values: Spread | None) -> list[str]:
    return [number(value) for value in values] if values else ["failed", "", ""]


def reordered(ratio: Spread | None) -> list[str]:
    """The median comes first: it is what one looks for."""
    if ratio is None:
        return ["", "", ""]
    return [number(value) for value in (ratio.median, ratio.minimum, ratio.maximum)]


def number(value: float) -> str:
    """Three digits that count, and all of those before the point."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}" if abs(value) >= 0.01 else f"{value:.2g}"


def heading(topic: list[Series]) -> str:
    """What the table below is of, and what the ratios in it are to."""
    first = topic[0]
    said = f"{first.workload} ({first.backend})"
    if first.reference in [series.peer for series in topic]:
        kind = "share of the speed of" if first.share else "ratio to"
        said += f"; {kind} {first.reference}"
    return said


def render(figures: Figures) -> str:
    """All figures for a terminal."""
    parts = [about(figures)]
    for topic in figures.by_topic().values():
        parts.append(f"{heading(topic)}\n{aligned([list(HEADS), *rows_of(figures, topic)])}")
    return "\n\n".join(part for part in parts if part) + "\n"


def about(figures: Figures) -> str:
    lines = [f"{key}: {value}" for key, value in figures.about.items()]
    if figures.versions:
        lines.append("versions: " + ", ".join(f"{k} {v}" for k, v in figures.versions.items()))
    return "\n".join(lines + [f"left out: {note}" for note in figures.notes])


def aligned(rows: list[list[str]]) -> str:
    """Words to the left, numbers to the right."""
    columns = [
        [cell.ljust(width) if number < WORDS else cell.rjust(width) for cell in column]
        for number, column in enumerate(zip(*rows, strict=True))
        for width in [max(map(len, column))]
    ]
    return "\n".join("  " + "  ".join(row).rstrip() for row in zip(*columns, strict=True))


def markdown(rows: list[list[str]]) -> str:
    """A table for a page."""
    head, *others = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *others])
