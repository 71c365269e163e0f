"""A turn leaves nothing behind, however it ends."""

from pathlib import Path
from typing import Any

import pytest

from bench import queue, seats
from bench.known import PEERS, SLURM
from bench.seats import Seat


class Ending:
    """An adapter that is ended just when a signal comes."""

    def __init__(self, *_: Any) -> None: ...

    def end(self) -> None:
        raise SystemExit(143)


def test_signal_during_the_end_of_a_turn_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs are cancelled and the directory is removed, as after any other turn."""
    cleared = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(seats, "Adapter", Ending)
    monkeypatch.setattr(queue, "clear", cleared.append)
    with pytest.raises(SystemExit), Seat(PEERS["pypool"], "python", SLURM, 2).open() as turn:
        (turn.directory / "file").touch()
    assert cleared == [turn.directory]
    assert list(tmp_path.iterdir()) == []


def test_jobs_that_stay_leave_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That they are there is told; the directory is of no use to anybody."""

    def stay(_: Path) -> None:
        raise TimeoutError("jobs are still there")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(seats, "Adapter", type("Silent", (Ending,), {"end": lambda _: None}))
    monkeypatch.setattr(queue, "clear", stay)
    with pytest.raises(TimeoutError), Seat(PEERS["pypool"], "python", SLURM, 2).open():
        pass
    assert list(tmp_path.iterdir()) == []
