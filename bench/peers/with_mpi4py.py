"""mpi4py's executor: the ranks that `mpiexec` has started, one of which is this process.

Their start, `mpiexec -n 5 python -m mpi4py.futures -m bench.peers.script with_mpi4py`, is not
measured.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mpi4py.futures import MPIPoolExecutor

from bench.peers.serve import Peer


class Mpi4py(Peer):
    distribution = "mpi4py"

    def start(self, workers: int, **options: Any) -> None:
        self.executor = MPIPoolExecutor(workers)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.executor.map(function, items))

    def map_in_chunks(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> list[Any]:
        return list(self.executor.map(function, items, chunksize=chunksize))

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterable[Any]:
        results: Iterable[Any] = self.executor.map(
            function, items, chunksize=chunksize, unordered=True
        )
        return results

    def stop(self) -> None:
        self.executor.shutdown()


PEER = Mpi4py
