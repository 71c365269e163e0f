"""A backend: what a kind of pool is made of. It makes runs and elements for the dispatcher."""

import logging
import os
import shutil
import site
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from pypool import packing
from pypool.engine.dealing.deal import Policy
from pypool.engine.dealing.needs import USUAL, Need
from pypool.engine.dealing.sizes import recall_seconds
from pypool.engine.elements.submission import ClusterElements
from pypool.engine.jobscript import render
from pypool.engine.journal import Journal
from pypool.engine.left_behind import PREFIX, owner, remove_left_behind
from pypool.engine.runs.named import Opened, open_named
from pypool.engine.this_machine import MEMORY, LocalElements, private_directory
from pypool.engine.variables import WITHIN, variables
from pypool.errors import RunDirectoryError
from pypool.options import Options
from pypool.packing import Packed
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader
from pypool.rundir.messages import beat_seconds
from pypool.rundir.run import RunDirectory, is_run_name, prepare_work_dir, unusable
from pypool.schedulers.base import Scheduler, wait
from pypool.version import VERSION

log = logging.getLogger("pypool")

LEASE_BEATS = 6
SHORTEST_LINGER = 30.0
LONGEST_LINGER = 600.0
KEPT_RUNS = 20
KEPT_SECONDS = 7 * 86400.0
PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between tries to remove a run."""


class WorkerRules(NamedTuple):
    """How workers begin and when they end.

    Attributes
    ----------
    initializer : bytes, Packed or None
        A pickled pair: what each worker calls before its first task, and the arguments.
    name : str or None
        What to call the initializer.
    chunks : int or None
        Chunks after which a worker ends and another one takes its place.
    known_by : bytes
        In a named run: what the initializer and its arguments are known by at the next start.
    """

    initializer: bytes | Packed | None = None
    name: str | None = None
    chunks: int | None = None
    known_by: bytes = b""

    def info(self) -> dict[str, Any]:
        """What agents and workers read of them."""
        digest = self.initializer and packing.digest(self.initializer).hex()
        return {
            "initializer": digest,
            "initializer_name": self.name,
            "initializer_digest": self.known_by.hex() or None,
            "chunks_per_worker": self.chunks,
        }


def run_info(options: Options, elements: int, scheduler: str, nodes: int = 1) -> dict[str, Any]:
    """What agents and readers need to know of the driver."""
    main = sys.modules.get("__main__")
    here = _working_directory(options.work_dir)
    return {
        "pypool": VERSION,
        "python": sys.executable,
        "python_version": sys.version_info[:2],
        "own_python": options.python != sys.executable,
        "libraries": libraries(),
        "sys_path": [os.path.abspath(entry) for entry in sys.path if here or os.path.isabs(entry)],
        "directory": here or options.work_dir,
        "main_file": getattr(main, "__file__", None),
        "argv": sys.argv[:],
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start": time.time(),
        "name": None,
        "earlier": 0,
        "scheduler": scheduler,
        "elements": elements,
        "nodes": nodes,
        "workers_per_element": options.workers,
        "gpus": options.gpus,
        "time": options.time,
        "orphan_timeout": options.orphan_timeout,
        "keep": options.keep,
        "on_change": options.on_change,
    }


def _working_directory(instead: str) -> str | None:
    """None if somebody has removed it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        log.warning("the working directory of this program is gone: tasks are run in %s", instead)
        return None


def libraries() -> list[str]:
    """Directories with libraries of this interpreter; what tasks bring along lies elsewhere."""
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    return sorted({*prefixes, site.getusersitepackages()})


class ClusterBackend:
    """A scheduler and a directory that all nodes see."""

    local = False

    def __init__(self, scheduler: Scheduler, options: Options) -> None:
        self.scheduler = scheduler
        self.options = options
        scheduler.title = options.name or scheduler.title
        self._parallel_environment = options.parallel_environment
        self._gpu_request: str | None = None
        self._find_out()
        self.job_script(f"{options.work_dir}/RUN")  # what is wrong in it is said now
        prepare_work_dir(options.work_dir)
        self._say_what_is_left_over()
        beat = beat_seconds(options.elements)
        self.policy = Policy(
            processes=options.elements * options.workers,
            slots=options.workers,
            retries=options.retries,
            time=options.time,
            max_time=options.max_time,
            memory=options.memory,
            max_memory=options.max_memory,
            beat=beat,
            lease=LEASE_BEATS * beat,
            start_timeout=options.start_timeout,
            recall_seconds=recall_seconds(options.elements),
            watches=scheduler.interval is not None,
            deals_all=options.name is not None,
        )

    def _say_what_is_left_over(self) -> None:
        options = self.options
        workers = options.elements * options.workers
        if workers < options.processes:
            log.warning(
                "%d workers instead of %d: %d in each of %d elements",
                workers,
                options.processes,
                options.workers,
                options.elements,
            )

    def _find_out(self) -> None:
        """What differs by site, if it is needed: the scheduler has to be asked."""
        options = self.options
        if options.slots > 1 and options.parallel_environment is None:
            self._parallel_environment = wait(self.scheduler.parallel_environment())
        if options.gpus is not None:
            gpus = options.gpus * options.workers
            self._gpu_request = wait(self.scheduler.gpu_request(gpus, options.slots))

    def open(self, rules: WorkerRules) -> Opened:
        """A new run, or the one of that name, with its job script."""
        prune(self.options.work_dir)
        self.scheduler.variables = WITHIN | variables(self.options, os.environ)
        elements, nodes = self.options.elements, self.scheduler.nodes
        info = run_info(self.options, elements, self.scheduler.name, nodes) | rules.info()
        if self.options.name is None:
            opened = Opened(RunDirectory.create(self.options.work_dir, info))
        else:
            opened = open_named(self.options.work_dir, self.options.name, info)
        run = opened.run
        run.keeps = run.named or self.options.keep == "all"
        try:
            self.write_job_script(run)
        except BaseException as error:
            if opened.old is None:
                run.remove_tree("")
            self.close(opened)
            if isinstance(error, OSError):
                raise unusable(run.path, error) from error
            raise
        return opened

    def close(self, opened: Opened) -> None:
        """Nothing is done with it any more."""
        if opened.lock is not None:
            opened.lock.release()
        opened.run.close()

    def write_job_script(self, run: RunDirectory, need: Need = USUAL) -> str:
        """Writes the script of elements with this need, and gives its name in the run."""
        name = names.job_script(need, run.life)
        text = self.job_script(run.path, need).encode(errors="surrogateescape")
        run.write(name, [text], sync=True)
        return name

    def elements(self, run: RunDirectory, journal: Journal) -> ClusterElements:
        return ClusterElements(
            run,
            self.scheduler,
            self.options,
            journal,
            lambda need: self.write_job_script(run, need),
        )

    def job_script(self, run: str, need: Need = USUAL) -> str:
        options = self.options
        if need != USUAL:
            time, memory = self.policy.time_of(need), self.policy.memory_of(need)
            options = replace(options, time=time, memory=memory)
        return render(self.scheduler, options, run, self._parallel_environment, self._gpu_request)

    def linger(self, waited: float) -> float:
        """Seconds without work after which an agent leaves: as long as its element waited."""
        if self.options.linger is not None:
            return self.options.linger
        return min(max(waited, SHORTEST_LINGER), LONGEST_LINGER)

    def clean_up(self, run: RunDirectory, failed: bool, complete: bool) -> None:
        """By what is to be kept; as a rule inputs and results go, what tells of the run stays.

        Of a named run that is not `complete` all stays: it can be resumed.
        """
        if run.named and not complete:
            return
        run.keeps = self.options.keep == "all"
        if self.options.keep == "none":
            remove_all(run)
        if self.options.keep != "failed" or failed:
            return
        for name in (names.BATCHES, names.FUNCTIONS):
            run.remove_tree(name)
        for token in run.list(names.ELEMENTS):
            for index in run.list(f"{names.ELEMENTS}/{token}"):
                self.clean_element(run, f"{names.ELEMENTS}/{token}/{index}")

    def clean_element(self, run: RunDirectory, element: str) -> None:
        """What an element leaves: nothing but what its tasks have printed."""
        if run.keeps:
            return
        for name in run.list(element):
            printed = name.startswith("output.")
            with suppress(OSError):
                if not printed or not os.lstat(f"{run.path}/{element}/{name}").st_size:
                    run.remove(f"{element}/{name}")
        with suppress(OSError):  # something was printed, or other elements are still there
            os.rmdir(f"{run.path}/{element}")
            os.rmdir(os.path.dirname(f"{run.path}/{element}"))


def remove_all(run: RunDirectory) -> None:
    """Removes the run, though an agent that was cancelled may still be writing its last words."""
    for pause in PAUSES:
        run.remove_tree("")
        if not os.path.lexists(run.path):
            return
        time.sleep(pause)
    log.warning("%s cannot be removed: somebody still writes there", run.path)


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

    def open(self, rules: WorkerRules) -> Opened:
        its_own = replace(  # the others are of no use here
            self.options, python=sys.executable, time=None, work_dir=tempfile.gettempdir()
        )
        info = run_info(its_own, 1, "local") | rules.info() | owner()
        remove_left_behind(MEMORY)
        place = private_directory()
        if place != MEMORY:
            remove_left_behind(place)
        return Opened(RunDirectory.create(place, info, prefix=PREFIX))

    def close(self, opened: Opened) -> None:
        opened.run.close()

    def elements(self, run: RunDirectory, journal: Journal) -> LocalElements:
        return LocalElements(run, variables(self.options, os.environ))

    def linger(self, waited: float) -> float:
        return float("inf")

    def clean_element(self, run: RunDirectory, element: str) -> None:
        """It goes with the rest."""

    def clean_up(self, run: RunDirectory, failed: bool, complete: bool) -> None:
        """The elements have removed the directory."""


Backend = ClusterBackend | LocalBackend


def prune(work_dir: str) -> None:
    """Removes old runs: those that were silent for a week, and ended ones but the last twenty.

    Only what is a run of ours beyond doubt is touched: the directory may hold other things. A run
    of which all was to be kept stays.
    """
    old = time.time() - KEPT_SECONDS
    ended = []
    try:
        found = sorted(entry.path for entry in os.scandir(work_dir) if is_run_name(entry.name))
    except OSError:
        return  # who makes a run there will meet it again, and tell
    for path in found:
        try:
            has_ended, silent_since = last_words(path)
        except (OSError, RunDirectoryError):
            continue
        if silent_since is None:
            continue
        if silent_since < old:
            shutil.rmtree(path, ignore_errors=True)
        elif has_ended:
            ended.append(path)
    for path in ended[:-KEPT_RUNS]:
        shutil.rmtree(path, ignore_errors=True)


def last_words(path: str) -> tuple[bool, float | None]:
    """Whether the driver of the run has said `stop`, and when it last said anything.

    The latter is None if all of the run is to be kept.

    Raises
    ------
    OSError, RunDirectoryError
        If this is no run of ours.
    """
    run = RunDirectory.open(path)
    try:
        said = FileReader(run.open_file, names.DRIVER, run.mark).read()
        kept = run.info.get("keep") == "all"
        seconds = None if kept else os.stat(f"{path}/{names.DRIVER}").st_mtime
    finally:
        run.close()
    return any(record.kind == records.STOP for record in said), seconds
