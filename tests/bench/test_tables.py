"""Figures as text: numbers, tables, the page of the documentation."""

import re
from pathlib import Path

import pytest

from bench import plots, report
from bench.__main__ import arguments, rewrite
from bench.figures import Figures, Series
from bench.known import PEERS
from bench.table import aligned, markdown, number, render
from bench.workloads import WORKLOADS

PAGE = f"# Title\n\nProse.\n\n{report.BEGIN}old\n{report.END}\nMore prose.\n"


@pytest.fixture
def figures() -> Figures:
    ours = Series("slurm", "cold map of 16", "all", "s", "pypool", "floor", False, [2.0, None, 6.0])
    floor = Series("slurm", "cold map of 16", "all", "s", "floor", "floor", False, [1.0, 1.0, 2.0])
    dead = Series("slurm", "cold map of 16", "all", "s", "other", "floor", False, [None] * 3)
    about = {"date": "today", "machine": "an abacus"}
    return Figures(about, {"pypool": "1.0"}, ["x: *has* [no] <wheel>"], [ours, floor, dead])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1_000_000, "1,000,000"),
        (1234.4, "1,234"),
        (12.344, "12.34"),
        (0.1234, "0.123"),
        (0.00123, "0.0012"),
        (-0.5, "-0.500"),
    ],
)
def test_numbers_have_as_many_digits_as_count(value: float, text: str) -> None:
    """Three or so, all of those before the point, and counts as they are."""
    assert number(value) == text


def test_table_tells_spread_ratio_and_rounds(figures: Figures) -> None:
    """The ratio is that of pairs: of the two rounds in which both were there."""
    lines = [re.split(r" {2,}", line.strip()) for line in render(figures).splitlines()]
    assert ["all, s", "pypool", "2", "4", "6", "2.50", "2", "3", "2 of 3"] in lines
    assert ["all, s", "floor", "1", "1", "2", "3"] in lines


def test_peer_without_any_figure_says_so(figures: Figures) -> None:
    """It stays in the table."""
    assert re.search(r"other +failed +0 of 3\n", render(figures))


def test_head_tells_what_a_reader_must_know(figures: Figures) -> None:
    """Date, machine, versions, and what was left out stand above the tables."""
    head = render(figures).partition("\n\n")[0]
    for text in ("date: today", "machine: an abacus", "versions: pypool 1.0", "left out: x"):
        assert text in head
    assert "cold map of 16 (slurm); ratio to floor" in render(figures)


def test_words_are_to_the_left_and_numbers_to_the_right() -> None:
    """All columns are as wide as their widest cell."""
    assert aligned([["a", "b", "c"], ["aa", "bb", "10"]]) == "  a   b    c\n  aa  bb  10"


def test_markdown_has_a_head() -> None:
    """As all tables of the documentation."""
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_only_what_is_between_the_comments_is_replaced() -> None:
    """The prose stays, and so do the comments: the next report finds them."""
    once = report.replaced(PAGE, "new\n")
    assert once.startswith("# Title\n\nProse.\n\n")
    assert once.endswith(f"{report.END}\nMore prose.\n")
    assert "old" not in once
    assert report.replaced(once, "new\n") == once


def test_page_without_the_comments_is_refused() -> None:
    """Nothing is overwritten by a guess."""
    with pytest.raises(ValueError, match="needs the lines"):
        report.replaced("# Title\n", "new")


def test_section_has_tables_plots_and_what_was_left_out(figures: Figures) -> None:
    """What a library said is shown as it was, and taken for no markup."""
    section = report.section(figures, {"Cold map": "cold.svg"})
    assert "![Cold map](cold.svg)" in section
    assert "| all, s | pypool | 2 | 4 | 6 | 2.50 | 2 | 3 | 2 of 3 |" in section
    assert r"* x: \*has\* \[no] &lt;wheel>" in section


def test_report_writes_page_and_plots(figures: Figures, tmp_path: Path) -> None:
    """Plots lie beside the page, which shows each; those of an earlier report are gone."""
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    (tmp_path / "page-9-old-local.svg").touch()
    (tmp_path / "page-of-others.svg").touch()
    figures.save(tmp_path / "figures.json")
    report.write([tmp_path / "figures.json"], page)
    drawn = sorted(file.name for file in tmp_path.glob("*.svg"))
    assert drawn == ["page-1-cold-slurm.svg", "page-of-others.svg"]
    text = page.read_text()
    assert text.index("### Goals") < text.index("### today") < text.index(f"]({drawn[0]})")


def drawn(figures: Figures, place: Path) -> dict[str, str]:
    """The texts in each plot; matplotlib keeps them as comments."""
    pytest.importorskip("matplotlib")
    plots.draw(figures, place, "p")
    return {
        file.name: " / ".join(re.findall("<!-- (.*) -->", file.read_text()))
        for file in place.glob("*.svg")
    }


def test_axes_say_what_they_show(tmp_path: Path) -> None:
    """Not only their unit."""
    uneven = "over first-come-first-served"
    chosen = [
        Series("local", "uneven, last, 5 s", uneven, "x", peer, values=[1.0])
        for peer in ("pypool", "loky")
    ]
    text = drawn(Figures(series=chosen), tmp_path)["p-uneven-local.svg"]
    assert "time over first-come-first-served" in text


@pytest.mark.parametrize(("numbers", "axis"), [((16,), False), ((16, 1000), True)])
def test_one_number_of_tasks_is_no_line(
    numbers: tuple[int, ...], axis: bool, tmp_path: Path
) -> None:
    """It has dots side by side: an axis of one number shows nothing."""
    chosen = [
        Series("slurm", f"cold map of {number:,}", "all", "s", peer, values=[1.0])
        for number in numbers
        for peer in ("pypool", "floor")
    ]
    text = drawn(Figures(series=chosen), tmp_path)["p-cold-slurm.svg"]
    assert ("tasks" in text.split(" / ")) == axis
    assert ("cold map of 16" in text) != axis


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "is no JSON"),
        ("[]", "holds no figures"),
        ('{"format": 1, "series": [{}]}', "holds no figures"),
        ('{"format": 1, "series": [], "colour": 1}', "holds no figures"),
    ],
)
def test_nothing_is_lost_when_a_file_is_wrong(
    content: str | None,
    said: str,
    figures: Figures,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Page and plots are as they were; a line says which file it is."""
    page, plot = tmp_path / "page.md", tmp_path / "page-1-cold-slurm.svg"
    page.write_text(PAGE)
    plot.write_text("a plot")
    figures.save(tmp_path / "good.json")
    wrong = tmp_path / "wrong.json"
    if content is not None:
        wrong.write_text(content)
    options = arguments(["report", str(tmp_path / "good.json"), str(wrong), "--page", str(page)])
    with pytest.raises(SystemExit) as ended:
        rewrite(options)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "wrong.json" in line
    assert page.read_text() == PAGE
    assert plot.read_text() == "a plot"


def test_page_that_has_no_place_for_figures_is_refused_first(
    figures: Figures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is left as it is, and nothing is drawn beside it."""
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    figures.save(tmp_path / "figures.json")
    options = arguments(["report", str(tmp_path / "figures.json"), "--page", str(page)])
    with pytest.raises(SystemExit) as ended:
        rewrite(options)
    assert ended.value.code == 2
    assert "needs the lines" in capsys.readouterr().err
    assert page.read_text() == "# Title\n"
    assert list(tmp_path.glob("*.svg")) == []


def test_page_of_the_documentation_has_the_comments() -> None:
    """So `python -m bench report` can write into it."""
    assert report.replaced(report.PAGE.read_text(), "")


def test_page_tells_all_peers_and_workloads() -> None:
    """A name that the command line knows is explained there."""
    text = report.PAGE.read_text()
    names = [*PEERS, *(name.partition("-")[0] for name in WORKLOADS)]
    assert [name for name in names if not re.search(rf"`{re.escape(name)}\b", text)] == []
