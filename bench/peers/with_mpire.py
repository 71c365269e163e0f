"""mpire's `WorkerPool`, its workers kept between calls: local processes."""

from collections.abc import Callable, Sequence
from typing import Any

import mpire

from bench.peers.serve import Peer, serve


class Mpire(Peer):
    distribution = "mpire"

    def start(self, workers: int, **options: Any) -> None:
        self.pool = mpire.WorkerPool(workers, keep_alive=True)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        wrapped = [(item,) for item in items]  # what is iterable would be taken apart
        return list(self.pool.map(function, wrapped, concatenate_numpy_output=False))

    def stop(self) -> None:
        self.pool.stop_and_join()


if __name__ == "__main__":
    serve(Mpire())
