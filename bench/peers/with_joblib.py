"""joblib's `Parallel`, kept open between calls: local processes."""

from collections.abc import Callable, Sequence
from typing import Any

import joblib

from bench.peers.serve import Peer, serve


class Joblib(Peer):
    distribution = "joblib"

    def start(self, workers: int, **options: Any) -> None:
        self.parallel = joblib.Parallel(workers).__enter__()

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        call = joblib.delayed(function)
        return list(self.parallel(call(item) for item in items))

    def stop(self) -> None:
        self.parallel.__exit__(None, None, None)


if __name__ == "__main__":
    serve(Joblib())
