"""executorlib on Slurm, in blocks: jobs that stay, a worker each."""

from collections.abc import Callable, Sequence
from typing import Any

from executorlib import SlurmClusterExecutor

from bench.peers.serve import Peer


class Executorlib(Peer):
    distribution = "executorlib"

    def start(self, workers: int, **options: Any) -> None:
        self.executor = SlurmClusterExecutor(
            max_workers=workers,
            block_allocation=True,
            resource_dict={"partition": options["queue"]},
        )

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        futures = [self.executor.submit(function, item) for item in items]
        return [future.result() for future in futures]

    def stop(self) -> None:
        self.executor.shutdown()


PEER = Executorlib
