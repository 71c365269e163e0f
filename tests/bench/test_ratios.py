"""What follows from raw figures: ratios of pairs, spreads, the order of turns, the file."""

import json
from pathlib import Path

import pytest

from bench.figures import Figures, Series, load, pair_ratios, spread, turns


def figures_of(*values: float | None, share: bool = False) -> Figures:
    ours = Series("local", "w", "m", "s", "pypool", "standard", share, list(values))
    theirs = Series("local", "w", "m", "s", "standard", "standard", share, [2.0, 4.0, 8.0])
    return Figures(series=[ours, theirs])


def test_ratios_are_of_the_same_round() -> None:
    """Each figure is divided by the reference's of its round, not by that one's median."""
    assert pair_ratios([2.0, 2.0, 2.0], [1.0, 2.0, 4.0]) == [2.0, 1.0, 0.5]


def test_share_is_the_other_way_round() -> None:
    """Half the speed is a share of 0.5."""
    assert pair_ratios([4.0], [2.0], share=True) == [0.5]


def test_rounds_without_a_pair_are_left_out() -> None:
    """Where one of both failed there is no ratio."""
    assert pair_ratios([None, 3.0, 3.0], [1.0, None, 1.0]) == [3.0]


def test_reference_has_no_ratio_to_itself() -> None:
    """Others have theirs."""
    figures = figures_of(2.0, 2.0, 2.0)
    ours, theirs = figures.series
    assert figures.ratios(ours) == [1.0, 0.5, 0.25]
    assert figures.ratios(theirs) == []


def test_another_measure_is_no_reference() -> None:
    """Seconds are not compared with bytes of the same workload."""
    figures = figures_of(2.0, 2.0, 2.0)
    figures.series[1].measure = "other"
    assert figures.ratios(figures.series[0]) == []


def test_spread_is_of_what_there_is() -> None:
    """Failed rounds do not count; without any other there is none."""
    assert spread([3.0, None, 1.0, 2.0]) == (1.0, 2.0, 3.0)
    assert spread([None]) is None


def test_another_one_begins_in_each_round() -> None:
    """After as many rounds as there are names each has been first once."""
    orders = [turns(["a", "b", "c"], number) for number in range(3)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_file_gives_the_same_figures(tmp_path: Path) -> None:
    """What is saved is loaded, failed rounds too."""
    figures = figures_of(2.0, None, 2.0)
    figures.about["date"] = "today"
    figures.note("x is not here")
    figures.save(tmp_path / "figures.json")
    assert load(tmp_path / "figures.json") == figures


def test_another_file_is_refused(tmp_path: Path) -> None:
    """A file without this format's number is no file of figures."""
    (tmp_path / "other.json").write_text(json.dumps({"series": []}))
    with pytest.raises(ValueError, match="holds no figures"):
        load(tmp_path / "other.json")


def test_a_note_is_made_once() -> None:
    """However often the same peer fails in the same way."""
    figures = Figures()
    figures.note("x")
    figures.note("x")
    assert figures.notes == ["x"]
