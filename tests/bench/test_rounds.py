"""Rounds: who has a turn, and what comes of peers that fail."""

from typing import Any

import pytest

from bench.adapter import PeerError
from bench.figures import Figures
from bench.known import BACKENDS, PEERS
from bench.measuring import PATIENCE, measure_all
from bench.seats import Seat
from bench.workloads import WORKLOADS, chosen
from bench.workloads.base import Measure, Workload
from bench.workloads.maps import Cold, Short

SEATS = [Seat(PEERS[name], "python", "local", 2) for name in ("pypool", "multiprocessing", "loky")]


class Turns(Workload):
    """Notes who has a turn; loky always fails."""

    measures = (Measure("m", "s"), Measure("rare", "s", compared=False))

    def __init__(self) -> None:
        super().__init__(16)
        self.had: list[str] = []

    @property
    def label(self) -> str:
        return "turns"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def measure(self, seat: Seat) -> dict[str, float]:
        self.had.append(seat.peer.name)
        if seat.peer.name == "loky":
            raise PeerError("broken")
        rare = {"rare": 7.0} if seat.peer.name == "pypool" else {}
        return {"m": float(len(self.had)), **rare}


def quiet(line: str) -> None: ...


@pytest.fixture
def played() -> tuple[Turns, Figures]:
    workload, figures = Turns(), Figures()
    measure_all([workload], SEATS, 3, figures, quiet)
    return workload, figures


def test_all_have_a_turn_in_each_round(played: tuple[Turns, Figures]) -> None:
    """Another one begins each time, and who has failed often is not asked again."""
    had = played[0].had
    assert had[:6] == ["pypool", "multiprocessing", "loky", "multiprocessing", "loky", "pypool"]
    assert had[6:] == ["pypool", "multiprocessing"]
    assert had.count("loky") == PATIENCE


def test_rounds_that_were_ended_count_as_far_as_they_went() -> None:
    """Who had no turn in the last one has no figure there, who had none at all no row."""

    class Ended(Turns):
        def measure(self, seat: Seat) -> dict[str, float]:
            if len(self.had) == last:
                raise SystemExit(130)
            return super().measure(seat)

    for last, expected in ((1, {"pypool": [1.0]}), (5, {"pypool": [1.0, None]})):
        figures = Figures()
        with pytest.raises(SystemExit):
            measure_all([Ended()], SEATS, 3, figures, quiet)
        values = {each.peer: each.values for each in figures.series if each.measure == "m"}
        assert values.items() >= expected.items()
        assert ("multiprocessing" in values) == (last > 1)


def test_failures_are_rounds_without_a_figure(played: tuple[Turns, Figures]) -> None:
    """So pairs stay pairs; the reason is noted once."""
    figures = played[1]
    values = {(each.peer, each.measure): each.values for each in figures.series}
    assert values["pypool", "m"] == [1.0, 6.0, 7.0]
    assert values["loky", "m"] == [None, None, None]
    assert figures.notes == ["loky in turns: broken"]


def test_measure_that_a_peer_has_not_is_no_row(played: tuple[Turns, Figures]) -> None:
    """Only one of those that did not fail has the other measure."""
    rows = [each.peer for each in played[1].series if each.measure == "rare"]
    assert rows == ["pypool", "loky"]


def test_peer_that_would_need_minutes_is_left_out() -> None:
    """And that is noted."""
    workload, figures = Turns(), Figures()
    workload.number = PEERS["loky"].most_tasks + 1
    measure_all([workload], SEATS, 1, figures, quiet)
    assert "loky" not in workload.had
    assert figures.notes == ["loky in turns: it would take minutes"]


def test_numbers_follow_the_name_of_a_workload() -> None:
    """Each makes one workload; without any there are those that it has anyway."""
    assert [each.label for each in chosen(["cold:16,1000"])] == [
        "cold map of 16",
        "cold map of 1,000",
    ]
    assert len(chosen(["again"])) == len(WORKLOADS["again"].defaults)


@pytest.mark.parametrize(
    ("word", "said"), [("hot", "no workload 'hot'"), ("cold:x", "cold:x: 'x' is")]
)
def test_what_is_no_workload_is_refused(word: str, said: str) -> None:
    """With the names that there are, or the number that is none."""
    with pytest.raises(ValueError, match=said):
        chosen([word])


def test_peer_that_is_told_how_large_chunks_are_is_not_left_out() -> None:
    """It would take minutes only without."""

    class Chunked(Turns):
        tells_chunks = True

    for name, takes_part in (("loky", True), ("submitit", False)):
        peer = PEERS[name]
        seat = Seat(peer, "python", peer.backends[0], 2)
        workload, figures = Chunked(), Figures()
        workload.number = peer.most_tasks + 1
        measure_all([workload], [seat], 1, figures, quiet)
        assert (workload.had == [name]) == takes_part


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_is_for_us(name: str) -> None:
    """pypool takes part in all of them, on Slurm if it needs one, and has all its numbers."""
    kind = WORKLOADS[name]
    workload: Any = kind(kind.defaults[0])
    backends = [backend for backend in BACKENDS if workload.takes(PEERS["pypool"], backend)]
    assert backends
    assert workload.measures
    assert chosen([f"{name}:{','.join(map(str, kind.defaults))}"])


def test_starts_and_agents_of_this_machine_are_measured_once() -> None:
    """They are the same with a Slurm beside them."""
    for name in ("start", "idle-driver"):
        workload: Any = WORKLOADS[name](4)
        assert not workload.takes(PEERS["pypool"], "slurm")


def test_short_tasks_are_a_second_of_work_for_each_worker() -> None:
    """However short they are."""
    short = [Short(milliseconds) for milliseconds in (1, 10, 50_000)]
    assert [each.tasks_of(4) for each in short] == [4000, 400, 1]


def test_cold_maps_of_a_round_begin_at_the_same_moment_of_a_second() -> None:
    """So they wait as long for the scheduler's cycle; in the next round it is another one."""
    cold = Cold(16)
    first = [cold.next_phase(peer) for peer in ("pypool", "floor")]
    second = [cold.next_phase(peer) for peer in ("floor", "pypool")]
    assert first[0] == first[1] != second[0] == second[1]
    assert all(0 <= phase < 1 for phase in first + second)
