"""Many agents for real: processes of this machine, mailboxes in a directory of its disk.

    python -m bench.many_agents --agents 200 --sleeps 2000

Opens of mailboxes are counted by inotify: who writes an inbox is the driver, who reads it an
agent, and with outboxes it is the other way round. Two cores cannot start 200 agents at once nor
keep 200 tasks busy that compute: so tasks are no-ops and sleeps, and the first map is told apart.
"""

import argparse
import ctypes
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.options import Parser, end_by_signals, number
from pypool.rundir import names
from pypool.shell import Pool

_EVENT = struct.Struct("iIII")
_CLOSED = {0x8: "written", 0x10: "read"}
_NEW = 0x100
_DIRECTORY = 0x40000000

WHO = {
    ("inbox", "read"): "agents",
    ("inbox", "written"): "driver",
    ("outbox", "read"): "driver",
    ("outbox", "written"): "agents",
    ("driver", "read"): "agents",
    ("driver", "written"): "driver",
}


def no_op(item: float) -> None:
    return None


def sleep(seconds: float) -> None:
    time.sleep(seconds)


class Opens:
    """Counts who opens mailboxes below a directory, from now on."""

    def __init__(self, directory: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init()
        self._paths: dict[int, Path] = {}
        self._watch(directory)
        threading.Thread(target=self._listen, daemon=True).start()

    def _watch(self, directory: Path) -> None:
        mask = sum(_CLOSED) | _NEW
        number = self._libc.inotify_add_watch(self._fd, os.fsencode(directory), mask)
        if number < 0:
            raise OSError(ctypes.get_errno(), f"{directory} cannot be watched")
        self._paths[number] = directory
        for below in directory.iterdir():
            if below.is_dir():
                self._watch(below)

    def _listen(self) -> None:
        while data := os.read(self._fd, 1 << 20):
            position = 0
            while position < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size
                name = data[position : position + length].rstrip(b"\0").decode()
                position += length
                self._take(number, mask, name)

    def _take(self, number: int, mask: int, name: str) -> None:
        if mask & _NEW and mask & _DIRECTORY:
            self._watch(self._paths[number] / name)
            return
        for bit, how in _CLOSED.items():
            who = WHO.get((name.partition(".")[0], how))
            if mask & bit and who is not None:
                self.counts[who] += 1


def processor_seconds(pids: Iterable[str]) -> float:
    """That these processes have used."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[str]:
    """Processes that were started by this one, or by one of those."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [child, *descendants(int(child))]
    return found


def ideal(tasks: int, seconds: float, agents: int) -> float:
    """First come, first served, all being there."""
    return -(-tasks // agents) * seconds


class Meter:
    """Runs a map and tells what it took."""

    def __init__(self, opens: Opens) -> None:
        self._opens = opens

    def run(self, what: str, pool: Pool, items: list[float], seconds: float, agents: int) -> None:
        processes = descendants(os.getpid())
        before = Counter(self._opens.counts)
        used, own = processor_seconds(processes), time.process_time()
        began = time.perf_counter()
        pool.map(sleep if seconds else no_op, items, chunksize=1 if seconds else None)
        took = time.perf_counter() - began
        own = time.process_time() - own
        used = processor_seconds(descendants(os.getpid())) - used
        opens = self._opens.counts - before
        best = ideal(len(items), seconds, agents)
        ratio = f"{took / best:6.2f}" if best else "     -"
        print(
            f"{what:<28} {took:8.2f} s  over fcfs {ratio}  opens/s agents "
            f"{opens['agents'] / took:7.0f}  driver {opens['driver'] / took:5.0f}  "
            f"CPU s driver {own:6.2f}  agents and workers {used:6.2f}",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m bench.many_agents", description="Many agents for real.")
    add, count = parser.add_argument, number(1, whole=True)
    add("--agents", type=count, default=200, metavar="N")
    add("--sleeps", type=count, default=2000, metavar="N")
    add("--no-ops", type=count, default=100_000, metavar="N")
    add("--idle", type=number(1), default=30.0, metavar="S", help="seconds without work")
    add("--directory", type=Path, help="where, if not among temporary files")
    return parser.parse_args()


def main() -> None:
    end_by_signals()
    options = arguments()
    agents = options.agents
    with TemporaryDirectory(dir=options.directory) as place:
        opens = Opens(Path(place))
        meter = Meter(opens)
        with Pool(agents, work_dir=place, linger=600.0) as pool:
            sleeps = [1.0] * options.sleeps
            meter.run("sleeps of 1 s, cold", pool, sleeps, 1.0, agents)
            for number in range(2):
                meter.run(f"sleeps of 1 s, warm, {number + 1}", pool, sleeps, 1.0, agents)
            for number in range(2):
                items = [float(item) for item in range(options.no_ops)]
                meter.run(f"no-ops, {number + 1}", pool, items, 0.0, agents)
            for number in range(2):
                meter.run(f"16 no-ops, {number + 1}", pool, [0.0] * 16, 0.0, agents)
            before = Counter(opens.counts)
            time.sleep(options.idle)
            idle = opens.counts - before
            print(
                f"nothing to do: opens/s agents {idle['agents'] / options.idle:.0f}  "
                f"driver {idle['driver'] / options.idle:.0f}"
            )
            there = len(list(Path(place).glob(f"*/{names.ELEMENTS}/*/*/owner")))
            print(f"{there} agents came")
            began = time.perf_counter()
        print(f"end {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
