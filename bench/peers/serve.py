"""The peer's side of the protocol: a line of JSON asks, a line of JSON answers.

Requests come on standard input and answers leave by what was standard output when this began:
whatever a library or a worker prints later goes to standard error and disturbs nobody. The clock
runs here, beside the pool, so that the protocol costs no measured time.

| request | answer |
|---|---|
| `{"do": "start", "workers": 4, ...}` | `{}` |
| `{"do": "map", "task": "no_op", "items": ["range", 16], "times": 1}` | seconds, bytes, when |
| `{"do": "cold", ...}`, the words of both | the same, with the start in the seconds |
| `{"do": "version"}` | of the library, of Python |
| `{"do": "stop"}` | `{}` |

What fails is answered with `{"error": ...}`.
"""

import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from bench.peers.tasks import TASKS, made_items

Words = dict[str, Any]

TELLING = ("settle", "parent")
"""Tasks whose results are part of the answer."""


class Peer(ABC):
    """A pool, as the suite sees it.

    Attributes
    ----------
    distribution : str
        Whose version is told; empty if it is Python itself.
    """

    distribution = ""

    @abstractmethod
    def start(self, workers: int, **options: Any) -> None:
        """Makes the pool. Options: `backend`, `work_dir`, `queue`, and for pypool `python`."""

    @abstractmethod
    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """All results, in the items' order."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the pool."""

    def version(self) -> str:
        return version(self.distribution) if self.distribution else sys.version.split()[0]


class Server:
    """Answers requests about one peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def answer(self, words: Words) -> Words:
        do: Callable[..., Words] = getattr(self, f"do_{words.pop('do')}")
        return do(**words)

    def do_version(self) -> Words:
        return {"version": self.peer.version(), "python": sys.version.split()[0]}

    def do_start(self, **how: Any) -> Words:
        self.peer.start(**how)
        return {}

    def do_stop(self) -> Words:
        self.peer.stop()
        return {}

    def do_cold(self, task: str, items: list[Any], **how: Any) -> Words:
        begin = time.perf_counter()
        self.peer.start(**how)
        started = time.perf_counter() - begin
        answer = self.do_map(task, items)
        answer["seconds"][0] += started
        return answer

    def do_map(self, task: str, items: list[Any], times: int = 1) -> Words:
        given = made_items(*items)
        before = memory("VmRSS")
        seconds = []
        first = time.time()
        for _ in range(times):
            begin = time.perf_counter()
            results = self.peer.map(TASKS[task], given)
            seconds.append(time.perf_counter() - begin)
        last = time.time()
        grown = memory("VmHWM") - before
        if len(results) != len(given):
            raise RuntimeError(f"{len(results)} results of {len(given)} tasks")
        size = size_of(results)
        answer = {"seconds": seconds, "grown": grown, "size": size, "when": [first, last]}
        return answer | {"results": results} if task in TELLING else answer


def memory(field: str) -> int:
    """Bytes in `/proc/self/status`. Unlike `ru_maxrss` these know nothing of who started us."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise LookupError(field)


def size_of(results: list[Any]) -> int:
    """Bytes of the list and of what is in it, one level deep."""
    return sys.getsizeof(results) + sum(map(sys.getsizeof, results))


def requests() -> Iterator[Words]:
    for line in sys.stdin:
        yield json.loads(line)


def own_output() -> TextIO:
    """What was standard output; now that is standard error, for all who print."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def serve(peer: Peer) -> None:
    """Answers until nobody asks any more."""
    out = own_output()
    server = Server(peer)
    for words in requests():
        try:
            answer = server.answer(words)
        except Exception:
            answer = {"error": traceback.format_exc()}
        out.write(json.dumps(answer) + "\n")
        out.flush()
