"""A peer's turn: a new directory, a new process in it, and nothing left when it is over."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import queue
from bench.adapter import Adapter, PeerError
from bench.known import SLURM, Known

ROOT = Path(__file__).parents[1]
PLACES = "pypool-bench-"
"""Turns work in the user's home, in directories whose names begin so."""

SETTLES = 0.1  # seconds
SETTLES_WITHIN = 40  # maps
ENDS_WITHIN = 60.0  # seconds
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Turn:
    """A peer at work.

    Attributes
    ----------
    directory : Path
        The peer works in it.
    """

    def __init__(self, seat: "Seat", directory: Path, adapter: Adapter) -> None:
        self.seat = seat
        self.directory = directory
        self.adapter = adapter
        self.how: dict[str, Any] = {
            "workers": seat.workers,
            "backend": seat.backend,
            "queue": seat.partition,
            "work_dir": str(directory),
        }

    def start(self, **options: Any) -> None:
        self.adapter.ask("start", **(self.how | options))

    def stop(self) -> None:
        self.adapter.ask("stop", within=ENDS_WITHIN)

    def map(
        self,
        task: str,
        *items: Any,
        times: int = 1,
        chunksize: int | None = None,
        within: float | None = None,
    ) -> dict[str, Any]:
        words = {"task": task, "items": list(items), "times": times, "chunksize": chunksize}
        return self.adapter.ask("map", within or self.seat.patience, **words)

    def imap(self, task: str, *items: Any, chunksize: int) -> dict[str, Any]:
        words = {"task": task, "items": list(items), "chunksize": chunksize}
        return self.adapter.ask("imap", self.seat.patience, **words)

    def cold(self, task: str, *items: Any) -> float:
        """Seconds from the constructor to the results."""
        answer = self.adapter.ask(
            "cold", self.seat.patience, task=task, items=list(items), **self.how
        )
        seconds: float = answer["seconds"][0]
        return seconds

    def warm_up(self, workers: int | None = None) -> None:
        """Until all workers have answered; for pools that keep them."""
        if not self.seat.peer.keeps_workers:
            return
        workers = workers or self.seat.workers
        seen: set[tuple[str, int]] = set()
        for _ in range(SETTLES_WITHIN):
            each = self.map("settle", "list", *[SETTLES] * 2 * workers)
            seen |= {(host, pid) for host, pid in each["results"]}
            if len(seen) >= workers:
                return
        raise PeerError(f"{len(seen)} workers of {workers} came")


@dataclass(frozen=True)
class Seat:
    """A peer and how it is asked.

    Attributes
    ----------
    python : str
        Runs its adapter.
    partition : str or None
        Slurm's.
    patience : float
        Seconds that a map may take.
    """

    peer: Known
    python: str
    backend: str
    workers: int
    partition: str | None = None
    patience: float = 120.0

    @contextmanager
    def open(self, before: Sequence[str] = (), first: Path | None = None) -> Iterator[Turn]:
        """A turn; `before` is put before the command, the folder `first` before all on PATH."""
        variables = self.environment()
        if first is not None:
            variables["PATH"] = f"{first}:{variables['PATH']}"
        with ExitStack() as behind:  # each of these is done though another one is ended by a signal
            made = TemporaryDirectory(prefix=PLACES, dir=Path.home(), ignore_cleanup_errors=True)
            place = Path(behind.enter_context(made))
            directory = place / "work"
            directory.mkdir()
            if self.backend == SLURM:
                behind.callback(queue.clear, directory)
            adapter = Adapter([*before, *self.command()], directory, place / "printed", variables)
            behind.callback(adapter.end)
            yield Turn(self, directory, adapter)

    def command(self) -> list[str]:
        module = ["-m", "bench.peers.script", self.peer.module]
        if not self.peer.mpi:
            return [self.python, *module]
        mpiexec = str(Path(self.python).with_name("mpiexec"))
        ranks = str(self.workers + 1)
        return [mpiexec, "-n", ranks, self.python, "-m", "mpi4py.futures", *module]

    def environment(self) -> dict[str, str]:
        """Its own `bin` comes first, and a worker has one thread, as on nodes that are shared."""
        path = f"{Path(self.python).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **own, **dict.fromkeys(THREADS, "1")}
