"""Agents that end with their test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pypool.rundir.run import RunDirectory
from pypool.worker.slots import Slot, packet_pipe

from .player import ELEMENT, Player, run_info

Play = Callable[..., Player]
"""Starts an agent; arguments are those of Player."""


def _players(place: Path, pipes: bool) -> Iterator[Play]:
    players: list[Player] = []

    def play(starts: bool = True, **options: Any) -> Player:
        player = Player(place, pipes, **options)
        players.append(player)
        if starts:
            player.start()
        return player

    yield play
    for player in players:
        player.end()


@pytest.fixture(params=["files", "pipes"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Play]:
    """With either kind of mailbox."""
    yield from _players(tmp_path, request.param == "pipes")


@pytest.fixture
def play_files(tmp_path: Path) -> Iterator[Play]:
    """As on a cluster."""
    yield from _players(tmp_path, pipes=False)


@pytest.fixture
def play_pipes(tmp_path: Path) -> Iterator[Play]:
    """As on this machine."""
    yield from _players(tmp_path, pipes=True)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    """Its worker has not read anything yet."""
    run = RunDirectory.create(str(tmp_path), run_info(tmp_path, 1))
    slot = Slot(0, run, ELEMENT, on_disk=False)
    slot.pid = os.getpid()
    slot._packets_kept, slot._packets_in = packet_pipe()
    yield slot
    slot.close()
    run.close()
