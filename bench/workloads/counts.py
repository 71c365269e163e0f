"""What a map costs others: files, calls to the file system, work of the scheduler."""

import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import queue
from bench.adapter import PeerError
from bench.counting import CALLS, CountedCommands, calls_in, has_strace, peak_of_files, strace
from bench.known import LOCAL, SLURM, Known
from bench.seats import Seat
from bench.workloads.base import Choice, Measure, Workload, asks_for_jobs, counted, is_ours

TASK = 1.0
"""Seconds of a task whose map is long: short ones would be too many for some peers."""

NOT_OURS = ("REQUEST_STATS_INFO", "MESSAGE_NODE_REGISTRATION_STATUS", "REQUEST_PING")
"""RPCs that are there anyway, and that of asking for the counts."""


class Files(Workload):
    """The largest number of files there at any moment, for so many no-ops."""

    defaults = (100, 100_000)
    measures = (Measure("files at the peak", "files", compared=False),)

    @property
    def label(self) -> str:
        return f"files for {counted(self.number)} tasks"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def takes(self, peer: Known, backend: str) -> bool:
        return backend == SLURM and super().takes(peer, backend) and asks_for_jobs(peer, backend)

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn, peak_of_files(turn.directory) as peak:
            turn.start()
            turn.warm_up()
            turn.map("no_op", "range", self.tasks)
            turn.stop()
        return {"files at the peak": peak.value}


class Calls(Workload):
    """Calls to the file system during a warm map of so many no-ops, by driver and agents."""

    defaults = (1000,)
    measures = tuple(
        Measure(f"{kind}, {who}", "calls", compared=False)
        for who in ("driver", "agents", "driver and agents")
        for kind in CALLS
    )

    @property
    def label(self) -> str:
        return f"calls for {counted(self.number)} tasks"

    def takes(self, peer: Known, backend: str) -> bool:
        return is_ours(peer)

    def measure(self, seat: Seat) -> dict[str, float]:
        if not has_strace():
            raise PeerError("strace is not installed, it tells the calls")
        with TemporaryDirectory(prefix="pypool-calls-", dir=Path.home()) as place:
            directory = Path(place)
            python = {} if seat.backend == LOCAL else {"python": traced(directory)}
            with seat.open(before=strace(directory / "driver")) as turn:
                turn.start(**python)
                turn.warm_up()
                when = turn.map("no_op", "range", int(self.number))["when"]
                turn.stop()
            driver = "driver" if python else "driver and agents"
            return by_process(directory, driver, *when)


def traced(directory: Path) -> str:
    """An interpreter for agents that tells what they call, a file each."""
    script = directory / "python"
    *options, output = strace(directory / "agent.")
    before = f"{shlex.join(options)} {shlex.quote(output)}$$"
    script.write_text(f'#!/bin/sh\nexec {before} {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return str(script)


def by_process(directory: Path, driver: str, first: float, last: float) -> dict[str, float]:
    """Counts of the driver, so called, and the sum of those of agents that have their own."""
    own = calls_in((directory / "driver").read_text(), first, last)
    found: dict[str, float] = {f"{kind}, {driver}": count for kind, count in own.items()}
    for file in directory.glob("agent.*"):
        for kind, count in calls_in(file.read_text(), first, last).items():
            name = f"{kind}, agents"
            found[name] = found.get(name, 0) + count
    return found


class Commands(Workload):
    """Commands of the scheduler, and RPCs to its controller, in a cold map of so many seconds."""

    choice = Choice("seconds of the map", least=TASK, whole=False)
    defaults = (10,)
    measures = (
        Measure("commands", "commands", compared=False),
        Measure("RPCs to the controller", "RPCs", compared=False),
    )

    @property
    def label(self) -> str:
        return f"map of {self.number:g} s"

    def takes(self, peer: Known, backend: str) -> bool:
        return backend == SLURM and super().takes(peer, backend) and asks_for_jobs(peer, backend)

    def measure(self, seat: Seat) -> dict[str, float]:
        with TemporaryDirectory(prefix="pypool-commands-", dir=Path.home()) as place:
            counted_commands = CountedCommands(Path(place))
            before = queue.remote_calls()
            with seat.open(first=Path(place)) as turn:
                turn.start()
                turn.map("sleep", "list", *[TASK] * round(seat.workers * self.number / TASK))
                after = queue.remote_calls()
                commands = counted_commands.so_far().total()
                turn.stop()
        return {"commands": commands, "RPCs to the controller": grown(before, after)}


def grown(before: dict[str, int], after: dict[str, int]) -> int:
    """RPCs in between, without those that would have been there anyway."""
    return sum(count - before.get(kind, 0) for kind, count in after.items() if kind not in NOT_OURS)
