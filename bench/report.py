"""The page of figures in the documentation: its tables and plots, between two comments.

What stands around them is written by hand and stays.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import goals, plots
from bench.figures import Figures, load
from bench.seats import ROOT
from bench.table import HEADS, heading, markdown, rows_of

PAGE = ROOT / "docs" / "explanation" / "performance.md"
BEGIN = "<!-- figures: written by python -m bench report -->\n"
END = "<!-- end of figures -->\n"
ABOUT_GOALS = """\
What pypool is to reach on this machine, and what it has reached in the run with most rounds, the
newest of these: the median of all rounds counts. Ratios are of turns in the same round.
[Scale](scale.md) has the goals for thousands of agents."""


def write(files: Sequence[Path], page: Path = PAGE) -> None:
    """Puts the figures of these files into the page, in place of those that were there.

    Plots lie beside the page and begin with its name. Whatever can fail is done before the page
    and the plots of the last report are touched.

    Raises
    ------
    ValueError
        If a file holds no figures, or the page not the comments that enclose them.
    OSError
        If something cannot be read or written.
    ImportError
        If there is no matplotlib to draw with.
    """
    replaced(page.read_text(), "")
    runs = [load(file) for file in files]
    with TemporaryDirectory(prefix="pypool-plots-", dir=page.parent) as place:
        parts = [
            section(figures, plots.draw(figures, Path(place), f"{page.stem}-{number}"))
            for number, figures in enumerate(runs, 1)
        ]
        text = replaced(page.read_text(), "\n".join([summary(runs), *parts]))
        for old in page.parent.glob(f"{page.stem}-[0-9]*.svg"):
            old.unlink()
        for plot in Path(place).iterdir():
            plot.rename(page.parent / plot.name)
        page.write_text(text)


def replaced(text: str, figures: str) -> str:
    """The page with other figures.

    Raises
    ------
    ValueError
        If the comments that enclose them are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{figures}\n{END}{behind}"


def summary(runs: Sequence[Figures]) -> str:
    """What is to be reached, and what was."""
    return f"### Goals\n\n{ABOUT_GOALS}\n\n{goals.table(runs)}\n"


def section(figures: Figures, drawn: dict[str, str]) -> str:
    """One run: what it was, its plots, by their titles, its tables."""
    when = figures.about.get("date", "a run")
    parts = [f"### {when}", said(figures)]
    parts += [f"![{title}]({name})" for title, name in drawn.items()]
    for topic in figures.by_topic().values():
        parts.append(f"**{heading(topic)}**")
        parts.append(markdown([list(HEADS), *rows_of(figures, topic)]))
    if figures.notes:
        parts.append("Left out:")
        parts.append("\n".join(f"* {plain(note)}" for note in figures.notes))
    return "\n\n".join(parts) + "\n"


def said(figures: Figures) -> str:
    about = [f"{key}: {value}" for key, value in figures.about.items() if key != "date"]
    versions = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    return "\n".join(f"* {line}" for line in [*about, f"versions: {versions}"])


def plain(text: str) -> str:
    """What a library said, so that nothing of it is taken for markup."""
    return text.replace("<", "&lt;").replace("[", "\\[").replace("*", "\\*").replace("|", "\\|")
