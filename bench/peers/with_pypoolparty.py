"""pypoolparty on Slurm: an array element for each task, so many at a time as there are workers."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pypoolparty

from bench.peers.serve import Peer

LOOKS_EVERY = 0.5
"""Seconds between two looks at the queue; it would take 5, and so would any map."""


class Pypoolparty(Peer):
    distribution = "pypoolparty"

    def start(self, workers: int, **options: Any) -> None:
        self.workers = workers
        self.directory = options["work_dir"]

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        pool = pypoolparty.slurm.array.Pool(
            num_simultaneously_running_tasks=self.workers,
            polling_interval=LOOKS_EVERY,
            work_dir=str(Path(tempfile.mkdtemp(dir=self.directory)) / "map"),
        )
        return list(pool.map(function, items))

    def stop(self) -> None:
        pass


PEER = Pypoolparty
