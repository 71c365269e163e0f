"""The script that a peer's process runs: `python -m bench.peers.script with_loky`.

Its own class is what users' classes are: something of `__main__`, which workers cannot import.
"""

import sys
from dataclasses import dataclass
from importlib import import_module

from bench.peers.serve import serve


@dataclass
class Sample:
    number: int
    weight: float


if __name__ == "__main__":
    serve(import_module(f"bench.peers.{sys.argv[1]}").PEER(), Sample)
