"""What a pool costs before it works and while it does not: imports, an agent's start, idleness."""

import os
import subprocess
import time
from pathlib import Path

from bench.adapter import PeerError
from bench.known import Known
from bench.seats import ROOT, Seat
from bench.workloads.base import Measure, Workload, is_ours

OVER = 20.0
"""Seconds that CPU is counted for; the system counts in hundredths."""

STARTS = 5
"""Of each interpreter in a turn; the fastest counts, since others can only slow it down."""

START = ROOT / "pypool" / "worker" / "start.py"


class Imports(Workload):
    """Importing a peer, and the start of an agent of ours, over the bare interpreter."""

    defaults = (STARTS,)
    measures = (
        Measure("import", "ms more", compared=False),
        Measure("import over the bare interpreter", "x", compared=False),
        Measure("modules", "modules more", compared=False),
        Measure("agent's start", "ms more", compared=False),
        Measure("agent's start over the bare interpreter", "x", compared=False),
        Measure("agent's modules", "modules more", compared=False),
    )

    @property
    def label(self) -> str:
        return "imports"

    def takes(self, peer: Known, backend: str) -> bool:
        return backend in peer.backends and bool(peer.imports)

    def measure(self, seat: Seat) -> dict[str, float]:
        bare = [seat.python, "-c", "pass"]
        importing = [seat.python, "-c", f"import {seat.peer.imports}"]
        found = self.compared(seat, "import", "modules", bare, importing)
        if is_ours(seat.peer):
            # It finds no run there, and leaves when it has loaded all it starts with.
            agent = [seat.python, str(START), "/nonexistent", "elements/none/0"]
            found |= self.compared(seat, "agent's start", "agent's modules", bare, agent)
        return found

    def compared(
        self, seat: Seat, time_name: str, modules_name: str, bare: list[str], more: list[str]
    ) -> dict[str, float]:
        environment = seat.environment()
        pairs = [
            (started(bare, environment), started(more, environment))
            for _ in range(int(self.number))
        ]
        least, loaded = map(min, zip(*pairs, strict=True))
        return {
            time_name: 1000 * (loaded - least),
            f"{time_name} over the bare interpreter": loaded / least,
            modules_name: modules(more, environment) - modules(bare, environment),
        }


def started(command: list[str], environment: dict[str, str]) -> float:
    """Seconds from the start of a process to its end."""
    begin = time.perf_counter()
    subprocess.run(command, env=environment, capture_output=True, check=False)
    return time.perf_counter() - begin


def modules(command: list[str], environment: dict[str, str]) -> int:
    """How many modules it imports: Python tells each on a line."""
    telling = [command[0], "-X", "importtime", *command[1:]]
    done = subprocess.run(telling, env=environment, capture_output=True, text=True, check=False)
    return sum(line.startswith("import time:") for line in done.stderr.splitlines())


class Idle(Workload):
    """Share of a CPU that driver and agent use without work, from so many seconds after a map."""

    defaults = (0, 60)
    measures = (
        Measure("idle driver", "% of a CPU", compared=False),
        Measure("idle agent", "% of a CPU", compared=False),
    )

    @property
    def label(self) -> str:
        return f"idle for {self.number:g} s"

    def takes(self, peer: Known, backend: str) -> bool:
        return is_ours(peer)

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.start(workers=1)
            turn.map("no_op", "range", 16)
            host, agent = turn.map("parent", "range", 1)["results"][0]
            if host != os.uname().nodename:
                raise PeerError(f"the agent runs on {host}: its CPU cannot be read from here")
            time.sleep(self.number)
            processes = (turn.adapter.process.pid, agent)
            before = [cpu_seconds(process) for process in processes]
            time.sleep(OVER)
            used = [cpu_seconds(p) - b for p, b in zip(processes, before, strict=True)]
            turn.stop()
        return {"idle driver": 100 * used[0] / OVER, "idle agent": 100 * used[1] / OVER}


def cpu_seconds(process: int) -> float:
    """Seconds of CPU that a process has used, its threads included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
