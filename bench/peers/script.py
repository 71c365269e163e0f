"""The script that a peer's process runs: `python -m bench.peers.script with_loky`.

Its own class and its own function are what those of users are: something of `__main__`, which
workers cannot import.
"""

import sys
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from bench.peers.serve import serve

DATA = np.arange(131_072.0)
"""A MiB of what was measured, which the function reads."""


@dataclass
class Sample:
    number: int
    weight: float


def likelihood(point: Any) -> float:
    """What a sampler asks for a point, whose first number says how many seconds it takes."""
    end = time.thread_time() + point[0]
    while time.thread_time() < end:
        pass
    return -0.5 * float(point @ point) - float(DATA[int(point[1])])


if __name__ == "__main__":
    peer = import_module(f"bench.peers.{sys.argv[1]}").PEER()
    serve(peer, Sample, {"likelihood": likelihood})
