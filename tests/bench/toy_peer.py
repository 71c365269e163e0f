"""A peer for tests: it calls the function itself, prints what disturbs nobody, can fail."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.peers.serve import Peer, serve


class Own(NamedTuple):
    number: int
    weight: float


class Toy(Peer):
    def start(self, workers: int, **options: Any) -> None:
        if options.get("fails"):
            raise LookupError("no such toy")
        if options.get("ends"):
            print("the toy breaks", flush=True)
            os._exit(3)
        if options.get("sleeps"):
            time.sleep(60)
        print("not a line of the protocol")

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        print("nor is this one", flush=True)
        os.system("echo and a child prints too")
        return [function(item) for item in items]

    def stop(self) -> None:
        pass


if __name__ == "__main__":
    serve(Toy(), Own)
