"""A cluster at which something is to break: its pools, its queue, and what is left of it all."""

import functools
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from pool.queues import EMPTIES_WITHIN, jobs_in_queue
from pool.scripts import MARK, Driver
from private.sge import PrivateSge
from private.slurm import PrivateSlurm

import pypool
from pypool.results import AsyncResult

from . import tasks
from .tasks import Record

PROCESSES_END_WITHIN = 15.0  # seconds
FOLDERS = ("elements", "batches", "functions")
KEPT = ("run*.json", "job*.sh", "driver", "journal", "lock", "scheduler", *FOLDERS)
"""What an ended run may have; the folders are empty, but for what tasks have printed."""

T = TypeVar("T")


class Row(NamedTuple):
    """One line of the scheduler's list: an element, or several that are alike.

    Attributes
    ----------
    element : str
        As `scancel` or `qdel` take it.
    """

    element: str
    state: str
    reason: str


def until(what: Callable[[], T], patience: float, otherwise: str) -> T:
    """What it gives, as soon as that is true."""
    deadline = time.monotonic() + patience
    while not (found := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"{otherwise} within {patience:.0f} s")
        time.sleep(0.02)
    return found


class Cluster:
    """See the module.

    Attributes
    ----------
    name : str
        "slurm" or "sge", the name of the module that pools are taken from, too.
    daemons : PrivateSlurm, PrivateSge or None
        None is the cluster that root has made.
    place : Path
        A directory that all nodes see. Pools work in `work` below it.
    mark : str
        What all processes of the test have in their environment.
    """

    def __init__(
        self, name: str, daemons: PrivateSlurm | PrivateSge | None, place: Path, mark: str
    ) -> None:
        self.name = name
        self.daemons = daemons
        self.place = place
        self.work_dir = place / "work"
        self.mark = mark
        self.pools: list[pypool.Pool] = []
        self._jobs_before = jobs_in_queue(name)

    # -- pools and calls

    def pool(self, processes: int = 2, **options: Any) -> pypool.Pool:
        """A pool of its own, which is terminated with the test."""
        options.setdefault("work_dir", self.work_dir)
        make: Callable[..., pypool.Pool] = getattr(pypool, self.name).Pool
        self.pools.append(make(processes, **options))
        return self.pools[-1]

    def pool_text(self, processes: int = 2, **options: Any) -> str:
        """The same, as Python source."""
        options.setdefault("work_dir", str(self.work_dir))
        words = "".join(f", {name}={value!r}" for name, value in options.items())
        return f"__import__('pypool').{self.name}.Pool({processes}{words})"

    def driver(self) -> Driver:
        """For programs of their own."""
        return Driver(self.name, 2, self.place, self.mark)

    def starts(
        self, pool: pypool.Pool, count: int, function: Callable[..., Any] = tasks.work, *words: Any
    ) -> AsyncResult[Any]:
        """A map of so many tasks, each dealt by itself."""
        bound = functools.partial(function, *(words or (str(self.place),)))
        return pool.map_async(bound, range(count), chunksize=1)

    def go(self) -> None:
        """Lets all tasks end that wait for it."""
        (self.place / tasks.GO).touch()

    # -- what tasks do

    def begun(self) -> list[Record]:
        return tasks.records(self.place)

    def wait_for_begun(self, count: int, patience: float = 60.0) -> list[Record]:
        """The starts, once there are so many."""
        return until(
            lambda: found if len(found := self.begun()) >= count else [],
            patience,
            f"{count} tasks do not begin",
        )

    def wait_for_reaction(self, since: float, patience: float) -> Record:
        """The first start of a task after this time: until "go" all others wait."""
        found = until(
            lambda: [record for record in self.begun() if record.at > since],
            patience,
            "no task begins",
        )
        return found[0]

    def ended(self) -> set[int]:
        return {record.index for record in tasks.records(self.place, "end")}

    def executions(self) -> Counter[int]:
        """How often each task was started."""
        return Counter(record.index for record in self.begun())

    def is_right(self, results: list[int], count: int, *hit: int, most: int = 2) -> None:
        """Each result once and in its place; nobody but those hit was started again.

        Parameters
        ----------
        hit : int
            Tasks that were at work where it broke.
        most : int
            How often such a one may have been started.
        """
        assert results == [index * index for index in range(count)]
        again = {index: times for index, times in self.executions().items() if times > 1}
        assert set(again) <= set(hit), f"started again, but not hit: {again}"
        assert all(times <= most for times in again.values()), f"started too often: {again}"

    # -- the queue

    def rows(self) -> list[Row]:
        """What the scheduler has of ours, ended elements not among it."""
        if self.name == "slurm":
            lines = self.command("squeue", "--noheader", "--array", "--me", "--format=%F_%K|%T|%r")
            return [Row(*line.split("|", 2)) for line in lines.splitlines() if "|" in line]
        found = []
        for line in self.command("qstat", "-g", "d").splitlines()[2:]:
            words = line.split()
            found.append(Row(f"{words[0]}.{words[-1]}", words[4], ""))
        return found

    def elements(self) -> set[str]:
        return {row.element for row in self.rows()}

    def pending(self) -> list[str]:
        """Elements that wait."""
        return [row.element for row in self.rows() if row.state in ("PENDING", "qw", "hqw")]

    def cancel(self, *elements: str) -> None:
        """As a person would, behind the pool's back."""
        if self.name == "slurm":
            self.command("scancel", *elements)
        else:
            self.command("qdel", *elements)

    @property
    def cancel_word(self) -> str:
        return "scancel" if self.name == "slurm" else "qdel"

    def command(self, *argv: str, patience: float = 60.0) -> str:
        """What one of the scheduler's commands prints."""
        done = subprocess.run(argv, capture_output=True, text=True, timeout=patience, check=False)
        return done.stdout + done.stderr

    # -- what is left

    def processes(self) -> dict[int, str]:
        """Agents and workers of this test that still run."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # of another user, or gone
                continue
            if command and int(entry.name) != os.getpid():
                found[int(entry.name)] = command.strip()
        return found

    def jobs_left(self) -> set[str]:
        return jobs_in_queue(self.name) - self._jobs_before

    def files_left(self) -> list[str]:
        """What ended runs should have removed."""
        found = []
        for run in self.work_dir.glob("*/"):
            names = [path.name for path in run.iterdir()]
            found += [
                f"{run}/{name}" for name in names if not any(fnmatch(name, kept) for kept in KEPT)
            ]
            for folder in FOLDERS:
                files = [path for path in run.glob(f"{folder}/**/*") if path.is_file()]
                found += [str(path) for path in files if not path.name.startswith("output.")]
        return found

    def nothing_is_left(self, files: bool = True) -> None:
        """No job, no process, no file. Some seconds are given to those that are on their way."""
        patience = max(EMPTIES_WITHIN, PROCESSES_END_WITHIN)
        deadline = time.monotonic() + patience
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left
        if files:
            assert not self.files_left()

    def _left(self) -> list[str]:
        return [*self.processes().values(), *(f"job {job}" for job in self.jobs_left())]


def message(error: BaseException) -> str:
    """What a user reads, notes and all."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def headline(said: str) -> str:
    """The beginning of a message, on one line."""
    return " ".join(said.split())[:180]


def finish(pool: pypool.Pool) -> None:
    """The good end."""
    pool.close()
    pool.join()
