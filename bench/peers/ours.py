"""pypool, on local processes or on Slurm."""

from collections.abc import Callable, Sequence
from typing import Any

import pypool
import pypool.local
import pypool.slurm
from bench.peers.serve import Peer, serve
from pypool.pool import Pool


class Ours(Peer):
    def start(self, workers: int, **options: Any) -> None:
        self.pool: Pool
        if options["backend"] == "local":
            self.pool = pypool.local.Pool(workers)
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

    def stop(self) -> None:
        self.pool.close()
        self.pool.join()

    def version(self) -> str:
        return pypool.__version__


if __name__ == "__main__":
    serve(Ours())
