"""pypool, on local processes, on Slurm, or with agents as on Slurm that are local processes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pypool
import pypool.local
import pypool.shell
import pypool.slurm
from bench.peers.serve import Peer
from pypool.pool import Pool


class Ours(Peer):
    def start(self, workers: int, **options: Any) -> None:
        self.pool: Pool
        if options["backend"] == "local":
            self.pool = pypool.local.Pool(workers)
        elif options["backend"] == "shell":
            self.pool = pypool.shell.Pool(workers, work_dir=options["work_dir"], linger="10m")
        else:
            self.pool = pypool.slurm.Pool(
                workers,
                work_dir=options["work_dir"],
                queue=options["queue"],
                python=options.get("python"),
                linger="10m",
            )

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return self.pool.map(function, items)

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterable[Any]:
        return self.pool.imap_unordered(function, items, chunksize)

    def stop(self) -> None:
        self.pool.close()
        self.pool.join()

    def version(self) -> str:
        return pypool.__version__


PEER = Ours
