"""mpi4py's executor: the ranks that `mpiexec` has started, one of which is this process.

`mpiexec -n 5 python -m mpi4py.futures -m bench.peers.with_mpi4py`: their start is not measured.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mpi4py.futures import MPIPoolExecutor

from bench.peers.serve import Peer, serve


class Mpi4py(Peer):
    distribution = "mpi4py"

    def start(self, workers: int, **options: Any) -> None:
        self.executor = MPIPoolExecutor(workers)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.executor.map(function, items))

    def stop(self) -> None:
        self.executor.shutdown()


if __name__ == "__main__":
    serve(Mpi4py())
