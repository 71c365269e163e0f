"""mpire's `WorkerPool`, its workers kept between calls: local processes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mpire

from bench.peers.serve import Peer


class Mpire(Peer):
    distribution = "mpire"

    def start(self, workers: int, **options: Any) -> None:
        self.pool = mpire.WorkerPool(workers, keep_alive=True)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        wrapped = [(item,) for item in items]  # what is iterable would be taken apart
        return list(self.pool.map(function, wrapped, concatenate_numpy_output=False))

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.imap_unordered(
            function, ((item,) for item in items), iterable_len=len(items), chunk_size=chunksize
        )
        return results

    def stop(self) -> None:
        self.pool.stop_and_join()


PEER = Mpire
