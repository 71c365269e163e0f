"""The peer's side of the protocol: a line of JSON asks, a line of JSON answers.

Requests come on standard input and answers leave by what was standard output when this began:
whatever a library or a worker prints later goes to standard error and disturbs nobody. The clock
runs here, beside the pool, so that the protocol costs no measured time.

| request | answer |
|---|---|
| `{"do": "start", "workers": 4, ...}` | `{}` |
| `{"do": "map", "task": "no_op", "items": ["range", 16], "times": 1}` | seconds, bytes, when |
| the same with `"chunksize": 1000`, for peers that must be told | the same |
| `{"do": "imap", "task": "no_op", "items": ["range", 16], "chunksize": 4}` | seconds, bytes |
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from bench.peers.tasks import TASKS, made_items

Words = dict[str, Any]
Tasks = dict[str, Callable[[Any], Any]]

FORGET_PEAK = "5"

TELLING = ("settle", "parent", "class_of")
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

    def map_in_chunks(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> list[Any]:
        """The same; of those that send one task at a time unless they are told."""
        raise NotImplementedError("it is not told how large chunks are")

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterable[Any]:
        """Results as they come; of those that can give some before they have all."""
        raise NotImplementedError("it gives all results at once")

    def prepared(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Sequence[Any]:
        """What `map` is given, made before the clock runs."""
        return items

    @abstractmethod
    def stop(self) -> None:
        """Ends the pool."""

    def version(self) -> str:
        return version(self.distribution) if self.distribution else sys.version.split()[0]


class Server:
    """Answers requests about one peer."""

    def __init__(
        self, peer: Peer, own: Callable[[int, float], Any], own_tasks: Tasks | None = None
    ) -> None:
        self.peer = peer
        self.own = own
        self.tasks = TASKS | (own_tasks or {})

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

    def do_map(
        self, task: str, items: list[Any], times: int = 1, chunksize: int | None = None
    ) -> Words:
        function = self.tasks[task]
        given = self.peer.prepared(function, made_items(items[0], *items[1:], own=self.own))
        run = self.peer.map
        if chunksize is not None:
            run = partial(self.peer.map_in_chunks, chunksize=chunksize)
        seconds = []
        before = memory_from_now_on()
        first = time.time()
        for _ in range(times):
            begin = time.perf_counter()
            results = run(function, given)
            seconds.append(time.perf_counter() - begin)
        last = time.time()
        grown = memory("VmHWM") - before
        if len(results) != len(given):
            raise RuntimeError(f"{len(results)} results of {len(given)} tasks")
        size = size_of(results)
        answer = {"seconds": seconds, "grown": grown, "size": size, "when": [first, last]}
        return answer | {"results": results} if task in TELLING else answer

    def do_imap(self, task: str, items: list[Any], chunksize: int) -> Words:
        """Results are counted, not kept."""
        given = made_items(*items)
        before = memory_from_now_on()
        begin = time.perf_counter()
        count = sum(1 for _ in self.peer.imap_unordered(self.tasks[task], given, chunksize))
        seconds = time.perf_counter() - begin
        grown = memory("VmHWM") - before
        if count != len(given):
            raise RuntimeError(f"{count} results of {len(given)} tasks")
        return {"seconds": [seconds], "grown": grown}


def memory_from_now_on() -> int:
    """Bytes in use; the peak is that of what follows, where the kernel can forget the last one."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
    return memory("VmRSS")


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


def serve(peer: Peer, own: Callable[[int, float], Any], own_tasks: Tasks | None = None) -> None:
    """Answers until nobody asks any more; `own` is a class of the script, `own_tasks` functions."""
    out = own_output()
    server = Server(peer, own, own_tasks)
    for words in requests():
        try:
            answer = server.answer(words)
        except Exception:
            answer = {"error": traceback.format_exc()}
        out.write(json.dumps(answer) + "\n")
        out.flush()
