"""loky's executor: local processes."""

from collections.abc import Callable, Sequence
from typing import Any

import loky

from bench.peers.serve import Peer


class Loky(Peer):
    distribution = "loky"

    def start(self, workers: int, **options: Any) -> None:
        self.executor = loky.ProcessPoolExecutor(workers)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.executor.map(function, items))

    def map_in_chunks(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> list[Any]:
        return list(self.executor.map(function, items, chunksize=chunksize))

    def stop(self) -> None:
        self.executor.shutdown()


PEER = Loky
