"""A backend: what a kind of pool is made of. It makes runs and elements for the dispatcher."""

import os
import shutil
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from pypool.config import Options
from pypool.engine.dealing.deal import Policy
from pypool.engine.jobscript import render
from pypool.engine.journal import Journal
from pypool.engine.submission import ClusterElements
from pypool.engine.this_machine import LocalElements, private_directory
from pypool.errors import RunDirectoryError
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader
from pypool.rundir.messages import beat_seconds
from pypool.rundir.run import RunDirectory, is_run_name, prepare_work_dir
from pypool.schedulers.base import Scheduler
from pypool.version import VERSION

LEASE_BEATS = 6
SHORTEST_LINGER = 30.0
LONGEST_LINGER = 600.0
KEPT_RUNS = 20
KEPT_SECONDS = 7 * 86400.0


def run_info(options: Options, elements: int, scheduler: str) -> dict[str, Any]:
    """What agents and readers need to know of the driver."""
    main = sys.modules.get("__main__")
    return {
        "pypool": VERSION,
        "python": sys.executable,
        "python_version": sys.version_info[:2],
        "sys_path": [os.path.abspath(entry) for entry in sys.path],
        "directory": os.getcwd(),
        "main_file": getattr(main, "__file__", None),
        "argv": sys.argv[:],
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start": time.time(),
        "scheduler": scheduler,
        "elements": elements,
        "workers_per_element": options.workers_per_element,
        "time": options.time,
        "orphan_timeout": options.orphan_timeout,
    }


class ClusterBackend:
    """A scheduler and a directory that all nodes see."""

    local = False

    def __init__(self, scheduler: Scheduler, options: Options) -> None:
        prepare_work_dir(options.work_dir)
        self.scheduler = scheduler
        self.options = options
        beat = beat_seconds(-(-options.processes // options.workers_per_element))
        self.policy = Policy(
            processes=options.processes,
            slots=options.workers_per_element,
            retries=options.retries,
            time=options.time,
            beat=beat,
            lease=LEASE_BEATS * beat,
            start_timeout=options.start_timeout,
            watches=scheduler.interval is not None,
        )

    def open(self) -> RunDirectory:
        """A new run, with its job script."""
        prune(self.options.work_dir)
        elements = -(-self.options.processes // self.options.workers_per_element)
        info = run_info(self.options, elements, self.scheduler.name)
        run = RunDirectory.create(self.options.work_dir, info)
        script = self.job_script(run.path)
        run.write(names.JOB_SCRIPT, [script.encode(errors="surrogateescape")], sync=True)
        return run

    def elements(self, run: RunDirectory, journal: Journal) -> ClusterElements:
        return ClusterElements(run, self.scheduler, self.options, journal)

    def job_script(self, run: str) -> str:
        return render(self.scheduler.name, self.options, run, sys.executable)

    def linger(self, waited: float) -> float:
        """Seconds without work after which an agent leaves: as long as its element waited."""
        if self.options.linger is not None:
            return self.options.linger
        return min(max(waited, SHORTEST_LINGER), LONGEST_LINGER)

    def clean_up(self, run: RunDirectory, failed: bool) -> None:
        """Inputs and results go; what tells of the run stays for a week."""
        if failed:
            return
        for name in (names.BATCHES, names.FUNCTIONS):
            run.remove_tree(name)
        for token in run.list(names.ELEMENTS):
            for index in run.list(f"{names.ELEMENTS}/{token}"):
                self.clean_element(run, f"{names.ELEMENTS}/{token}/{index}")

    def clean_element(self, run: RunDirectory, element: str) -> None:
        """What an element leaves: nothing but what its tasks have printed."""
        for name in run.list(element):
            printed = name.startswith("output.")
            if not printed or not os.stat(f"{run.path}/{element}/{name}").st_size:
                run.remove(f"{element}/{name}")
        with suppress(OSError):  # something was printed, or other elements are still there
            os.rmdir(f"{run.path}/{element}")
            os.rmdir(os.path.dirname(f"{run.path}/{element}"))


class LocalBackend:
    """This machine, without a scheduler."""

    local = True

    def __init__(self, options: Options) -> None:
        self.options = options
        self.policy = Policy(
            processes=options.processes,
            slots=options.processes,
            retries=options.retries,
            recall_seconds=0.005,
            beat=float("inf"),
            lease=float("inf"),
        )

    def open(self) -> RunDirectory:
        return RunDirectory.create(
            private_directory(), run_info(self.options, 1, "local"), prefix="pypool-"
        )

    def elements(self, run: RunDirectory, journal: Journal) -> LocalElements:
        return LocalElements(run)

    def linger(self, waited: float) -> float:
        return float("inf")

    def clean_element(self, run: RunDirectory, element: str) -> None:
        """It goes with the rest."""

    def clean_up(self, run: RunDirectory, failed: bool) -> None:
        """The elements have removed the directory."""


Backend = ClusterBackend | LocalBackend


def prune(work_dir: str) -> None:
    """Removes old runs: those that were silent for a week, and ended ones but the last twenty.

    Only what is a run of ours beyond doubt is touched: the directory may hold other things.
    """
    old = time.time() - KEPT_SECONDS
    ended = []
    for path in sorted(entry.path for entry in os.scandir(work_dir) if is_run_name(entry.name)):
        try:
            has_ended, silent_since = last_words(path)
        except (OSError, RunDirectoryError):
            continue
        if silent_since < old:
            shutil.rmtree(path, ignore_errors=True)
        elif has_ended:
            ended.append(path)
    for path in ended[:-KEPT_RUNS]:
        shutil.rmtree(path, ignore_errors=True)


def last_words(path: str) -> tuple[bool, float]:
    """Whether the driver of the run has said `stop`, and when it last said anything.

    Raises
    ------
    OSError, RunDirectoryError
        If this is no run of ours.
    """
    run = RunDirectory.open(path)
    try:
        said = FileReader(run.open_file, names.DRIVER, run.mark).read()
        seconds = os.stat(f"{path}/{names.DRIVER}").st_mtime
    finally:
        run.close()
    return any(record.kind == records.STOP for record in said), seconds
