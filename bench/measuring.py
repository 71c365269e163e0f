"""Rounds: in each one every peer has a turn, and another peer begins.

So peers that are compared have worked within the same seconds, and what else the machine does
slows all of them.
"""

import subprocess
from collections.abc import Callable, Sequence

from bench.adapter import PeerError
from bench.figures import Figures, Series, turns
from bench.seats import Seat
from bench.workloads.base import Workload

PATIENCE = 2
"""Failures of a peer in a workload, after which it is not tried again."""

Say = Callable[[str], None]
Found = dict[str, list[dict[str, float]]]
"""Of each peer the figures of its turns, by measure."""


def measure_all(
    workloads: Sequence[Workload],
    seats: Sequence[Seat],
    rounds: int,
    figures: Figures,
    say: Say = print,
) -> None:
    """Every workload by every peer that it is for; what comes is added to the figures."""
    for workload in workloads:
        taking = [seat for seat in seats if wanted(workload, seat, figures)]
        if taking:
            say(f"{taking[0].backend}: {workload.label} ...")
            play(workload, taking, rounds, figures)


def wanted(workload: Workload, seat: Seat, figures: Figures) -> bool:
    """Whether a peer takes part; one that would take minutes is noted."""
    if not workload.takes(seat.peer, seat.backend):
        return False
    told = workload.tells_chunks and seat.peer.chunks
    if workload.tasks > seat.peer.most_tasks and not told:
        figures.note(f"{seat.peer.name} in {workload.label}: it would take minutes")
        return False
    return True


def play(workload: Workload, seats: Sequence[Seat], rounds: int, figures: Figures) -> None:
    """All rounds of one workload; if it is ended before, what there is counts."""
    by_name = {seat.peer.name: seat for seat in seats}
    failures = dict.fromkeys(by_name, 0)
    found: Found = {name: [] for name in by_name}
    try:
        for number in range(rounds):
            for name in turns(list(by_name), number):
                values: dict[str, float] = {}
                if failures[name] < PATIENCE:
                    try:
                        values = workload.measure(by_name[name])
                    except (PeerError, OSError, subprocess.SubprocessError) as error:
                        failures[name] += 1
                        figures.note(f"{name} in {workload.label}: {error}")
                found[name].append(values)
    finally:
        had_a_turn = [seat for seat in seats if found[seat.peer.name]]
        figures.series += series_of(workload, had_a_turn, as_long(found))


def as_long(found: Found) -> Found:
    """All with the same number of rounds: who had no turn in the last one has no figure there."""
    longest = max(map(len, found.values()))
    return {name: rounds + [{}] * (longest - len(rounds)) for name, rounds in found.items()}


def series_of(workload: Workload, seats: Sequence[Seat], found: Found) -> list[Series]:
    """A series for each measure and peer; none where a peer has no such measure at all."""
    made = []
    for measure in workload.measures:
        for seat in seats:
            rounds = found[seat.peer.name]
            if any(measure.name in values for values in rounds) or not any(rounds):
                backend = seat.backend
                reference = workload.reference(backend) if measure.compared else None
                series = Series(
                    backend,
                    workload.label,
                    measure.name,
                    measure.unit,
                    seat.peer.name,
                    reference,
                    measure.share,
                    [values.get(measure.name) for values in rounds],
                )
                made.append(series)
    return made
