"""joblib's `Parallel`, kept open between calls: local processes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import joblib

from bench.peers.serve import Peer


class Joblib(Peer):
    distribution = "joblib"

    def start(self, workers: int, **options: Any) -> None:
        self.workers = workers
        self.parallel = joblib.Parallel(workers).__enter__()

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        call = joblib.delayed(function)
        return list(self.parallel(call(item) for item in items))

    def map_in_chunks(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> list[Any]:
        return list(self.in_batches(chunksize, "list", function, items))

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterable[Any]:
        return self.in_batches(chunksize, "generator_unordered", function, items)

    def in_batches(
        self, size: int, giving: str, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Iterable[Any]:
        """By the same workers, which joblib keeps."""
        parallel = joblib.Parallel(self.workers, batch_size=size, return_as=giving)
        call = joblib.delayed(function)
        results: Iterable[Any] = parallel(call(item) for item in items)
        return results

    def stop(self) -> None:
        self.parallel.__exit__(None, None, None)


PEER = Joblib
