"""`multiprocessing.Pool`, what all others are compared with."""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.peers.serve import Peer


class Standard(Peer):
    def start(self, workers: int, **options: Any) -> None:
        self.pool = multiprocessing.Pool(workers)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return self.pool.map(function, items)

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterable[Any]:
        return self.pool.imap_unordered(function, items, chunksize)

    def stop(self) -> None:
        self.pool.close()
        self.pool.join()


PEER = Standard
