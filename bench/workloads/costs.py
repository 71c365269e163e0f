"""What a pool costs before it works and while it does not: imports, an agent's start, idleness."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.adapter import PeerError
from bench.known import LOCAL, Known
from bench.seats import PLACES, ROOT, Seat
from bench.workloads.base import Choice, Measure, Workload, counted, is_ours
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileWriter
from pypool.rundir.run import RunDirectory
from pypool.rundir.waiting import wait_for
from pypool.version import VERSION

OVER = 20.0
"""Seconds that CPU is counted for; the system counts in hundredths."""

STARTS = 5
"""Of each interpreter in a turn; the fastest counts, since others can only slow it down."""

USERS_IMPORT = "from pypool.slurm import Pool"
"""What users write: it brings the pool, which `import pypool` leaves for later."""

COMES_AND_GOES_WITHIN = 30.0

START = ROOT / "pypool" / "worker" / "start.py"
START_AND_TELL = Path(__file__).with_name("greeting.py")


class Imports(Workload):
    """Importing a peer, and the start of an agent of ours, over the bare interpreter.

    The agent's start ends with its hello; its modules are all that it loads, before and after.
    """

    choice = Choice("starts in a turn")
    defaults = (STARTS,)
    measures = (
        Measure("import", "ms more", compared=False),
        Measure("import over the bare interpreter", "x", compared=False),
        Measure("modules", "modules more", compared=False),
        Measure(USERS_IMPORT, "ms more", compared=False),
        Measure(f"{USERS_IMPORT} over the bare interpreter", "x", compared=False),
        Measure(f"modules of {USERS_IMPORT}", "modules more", compared=False),
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
        environment = seat.environment()
        started_bare = partial(started, bare, environment)
        found = self.compared("import", started_bare, partial(started, importing, environment))
        found["modules"] = modules(importing, environment) - modules(bare, environment)
        if is_ours(seat.peer):
            users = [seat.python, "-c", USERS_IMPORT]
            found |= self.compared(USERS_IMPORT, started_bare, partial(started, users, environment))
            more = modules(users, environment) - modules(bare, environment)
            found[f"modules of {USERS_IMPORT}"] = more
            with tempfile.TemporaryDirectory(prefix=PLACES, dir=Path.home()) as place:
                agents = Agents(place, seat.python, environment)
                found |= self.compared("agent's start", started_bare, agents.greeted)
                found["agent's modules"] = agents.modules() - modules(bare, environment)
        return found

    def compared(
        self, name: str, bare: Callable[[], float], more: Callable[[], float]
    ) -> dict[str, float]:
        pairs = [(bare(), more()) for _ in range(int(self.number))]
        least, loaded = map(min, zip(*pairs, strict=True))
        return {
            name: 1000 * (loaded - least),
            f"{name} over the bare interpreter": loaded / least,
        }


class Agents:
    """Agents that are started one by one, in a run that has no driver."""

    def __init__(self, place: str, python: str, environment: dict[str, str]) -> None:
        self.python = python
        self.environment = environment
        self.count = 0
        self.run = RunDirectory.create(
            place,
            {
                "pypool": VERSION,
                "python_version": sys.version_info[:2],
                "own_python": False,
                "libraries": [],
                "sys_path": sys.path,
                "directory": place,
                "main_file": None,
                "argv": [""],
                "elements": 1,
                "workers_per_element": 1,
                "scheduler": "shell",
                "gpus": None,
                "nodes": 1,
                "time": None,
                "orphan_timeout": 600.0,
                "initializer": None,
                "initializer_name": None,
                "chunks_per_worker": None,
            },
        )
        self.run.make_directory(f"{names.ELEMENTS}/bench")

    def greeted(self) -> float:
        """Seconds from the start of an agent to its hello."""
        element = self.element()
        self.stop(names.inbox(element))
        begin = time.perf_counter()
        with subprocess.Popen(
            self.command(element, START_AND_TELL),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as agent:
            assert agent.stdout is not None
            ready = wait_for([agent.stdout.fileno()], (), COMES_AND_GOES_WITHIN)
            seconds = time.perf_counter() - begin
            said_hello = bool(ready and agent.stdout.read(1))
            with contextlib.suppress(subprocess.TimeoutExpired):
                agent.wait(COMES_AND_GOES_WITHIN if said_hello else 0)
            agent.kill()
        if not said_hello or agent.returncode:
            raise PeerError(f"an agent said no hello, or left with exit code {agent.returncode}")
        return seconds

    def modules(self) -> int:
        """What one of them imports that is told to stop, and then leaves."""
        element = self.element()
        self.stop(names.DRIVER)
        return modules(self.command(element), self.environment)

    def element(self) -> str:
        """A new one."""
        element = names.element("bench", self.count)
        self.count += 1
        self.run.make_directory(element)
        self.run.make_file(names.inbox(element))
        self.run.make_file(names.outbox(element, 1))
        return element

    def command(self, element: str, start: Path = START) -> list[str]:
        return [self.python, str(start), self.run.path, element]

    def stop(self, name: str) -> None:
        """Says so in that file."""
        writer = FileWriter(self.run.open_file, name, self.run.mark)
        writer.put(records.STOP)
        writer.flush()


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
    """Share of a CPU that a driver and its one agent use, from so many seconds after a map."""

    choice = Choice("seconds since the map", least=0, whole=False)
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


class IdleDriver(Workload):
    """Share of a CPU that the driver of so many agents uses without work.

    They are processes of this machine, but in everything else those of a cluster: what goes
    between them and the driver are files.
    """

    choice = Choice("agents")
    defaults = (4, 64)
    measures = (Measure("idle driver", "% of a CPU", compared=False),)

    @property
    def label(self) -> str:
        return f"idle driver of {counted(self.number)} agents"

    def takes(self, peer: Known, backend: str) -> bool:
        return is_ours(peer) and backend == LOCAL

    def measure(self, seat: Seat) -> dict[str, float]:
        agents = int(self.number)
        with seat.open() as turn:
            turn.start(workers=agents, backend="shell")
            turn.warm_up(agents)
            before = cpu_seconds(turn.adapter.process.pid)
            time.sleep(OVER)
            used = cpu_seconds(turn.adapter.process.pid) - before
            turn.stop()
        return {"idle driver": 100 * used / OVER}


def cpu_seconds(process: int) -> float:
    """Seconds of CPU that a process has used, its threads included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
