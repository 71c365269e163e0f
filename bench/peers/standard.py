"""`multiprocessing.Pool`, what all others are compared with."""

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

from bench.peers.serve import Peer, serve


class Standard(Peer):
    def start(self, workers: int, **options: Any) -> None:
        self.pool = multiprocessing.Pool(workers)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return self.pool.map(function, items)

    def stop(self) -> None:
        self.pool.close()
        self.pool.join()


if __name__ == "__main__":
    serve(Standard())
