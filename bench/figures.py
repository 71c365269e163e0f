"""Figures: what was measured in each round, and what follows from it. Nothing is measured here."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

FORMAT = 1


class Spread(NamedTuple):
    """Of some numbers."""

    minimum: float
    median: float
    maximum: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of those that there are."""
    there = [value for value in values if value is not None]
    return Spread(min(there), statistics.median(there), max(there)) if there else None


def pair_ratios(
    own: Sequence[float | None], reference: Sequence[float | None], share: bool = False
) -> list[float]:
    """Of each round in which there are both: own over reference, or as a share of it."""
    pairs = [(a, b) for a, b in zip(own, reference, strict=True) if a and b]
    return [b / a if share else a / b for a, b in pairs]


def turns(names: Sequence[str], number: int) -> list[str]:
    """Another one begins in each round."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


@dataclass
class Series:
    """One measure of one peer, round by round.

    Attributes
    ----------
    reference : str or None
        The peer whose figure of the same round is compared with.
    share : bool
        Whether the ratio is the reference's over this one: how much of its speed is reached.
    values : list of float or None
        One a round; None where the peer failed.
    """

    backend: str
    workload: str
    measure: str
    unit: str
    peer: str
    reference: str | None = None
    share: bool = False
    values: list[float | None] = field(default_factory=list)

    @property
    def topic(self) -> tuple[str, str]:
        return self.backend, self.workload


@dataclass
class Figures:
    """All of a run.

    Attributes
    ----------
    about : dict of str to str
        Date, machine, versions, options: what a reader has to know.
    versions : dict of str to str
        By peer.
    notes : list of str
        What was left out, and why.
    """

    about: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    def by_topic(self) -> dict[tuple[str, str], list[Series]]:
        """Series of the same work, in the order of measuring."""
        topics: dict[tuple[str, str], list[Series]] = {}
        for series in self.series:
            topics.setdefault(series.topic, []).append(series)
        return topics

    def ratios(self, series: Series) -> list[float]:
        """Pairs with the reference; none if it was not measured, or is this one."""
        if series.peer == series.reference:
            return []
        for other in self.series:
            same = (other.topic, other.measure) == (series.topic, series.measure)
            if same and other.peer == series.reference:
                return pair_ratios(series.values, other.values, series.share)
        return []

    def note(self, text: str) -> None:
        """Once, however often it happens."""
        if text not in self.notes:
            self.notes.append(text)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")


def load(file: Path) -> Figures:
    """What `save` has written.

    Raises
    ------
    ValueError
        If this is another kind of file.
    OSError
        If it cannot be read.
    """
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from None
    try:
        if content.pop("format") != FORMAT:
            raise ValueError(FORMAT)
        content["series"] = [Series(**each) for each in content["series"]]
        return Figures(**content)
    except (AttributeError, LookupError, TypeError, ValueError):
        said = f"{file} holds no figures of this version of the suite: `run --json` writes them"
        raise ValueError(said) from None
