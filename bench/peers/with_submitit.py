"""submitit on Slurm: an array element for each task, so many at a time as there are workers."""

from collections.abc import Callable, Sequence
from typing import Any

import submitit

from bench.peers.serve import Peer


class Submitit(Peer):
    distribution = "submitit"

    def start(self, workers: int, **options: Any) -> None:
        self.executor = submitit.AutoExecutor(folder=options["work_dir"], cluster="slurm")
        self.executor.update_parameters(
            slurm_array_parallelism=workers, slurm_partition=options["queue"], timeout_min=60
        )

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [job.result() for job in self.executor.map_array(function, items)]

    def stop(self) -> None:
        pass


PEER = Submitit
