"""dask on Slurm by dask-jobqueue: jobs that stay, a worker each."""

from collections.abc import Callable, Sequence
from typing import Any

from dask.distributed import Client
from dask_jobqueue import SLURMCluster

from bench.peers.serve import Peer


class Dask(Peer):
    distribution = "dask-jobqueue"

    def start(self, workers: int, **options: Any) -> None:
        self.cluster = SLURMCluster(
            queue=options["queue"], cores=1, processes=1, memory="1GB", walltime="01:00:00"
        )
        self.cluster.scale(jobs=workers)
        self.client = Client(self.cluster)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        results: list[Any] = self.client.gather(self.client.map(function, items, pure=False))
        return results

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()


PEER = Dask
