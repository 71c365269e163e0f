"""Pool: the methods of `multiprocessing.Pool` over whatever runs the tasks."""

import hashlib
import operator
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from pypool import config, pickling
from pypool.engine.backend import Backend, ClusterBackend, LocalBackend
from pypool.engine.calls import Call
from pypool.engine.dispatcher import Dispatcher
from pypool.results import AsyncResult
from pypool.rundir.batch import MAP, STARMAP
from pypool.schedulers.base import Scheduler
from pypool.schedulers.shell import Shell
from pypool.schedulers.slurm import Slurm

RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

_SCHEDULERS: dict[str, type[Scheduler]] = {"shell": Shell, "slurm": Slurm}


class Pool:
    """A pool of workers on the scheduler that is found here, else on this machine.

    PYPOOL_SCHEDULER ("local", "shell", "slurm") decides; else Slurm, if its commands are there;
    else local processes. `pypool.slurm.Pool` and its like do not choose.

    Parameters
    ----------
    processes : int, optional
        Workers at most: 64 on a scheduler, else the CPUs that this process may use.
    work_dir : path, optional
        A directory that compute nodes share, `~/.pypool` unless given. One that is given may be
        missing, its parent may not.
    queue : str, optional
        The scheduler's queue, Slurm's partition.
    time : float, str or timedelta, optional
        How long an array element lives: seconds, "1h30m", "1:30:00".
    memory : int or str, optional
        Memory per worker: bytes, "500M", "4G".
    cpus : int, optional
        CPUs per worker.

    Raises
    ------
    ValueError, TypeError
        If an option is not accepted.
    RunDirectoryError
        If the work directory cannot be used.
    """

    _scheduler: ClassVar[str | None] = None
    _state = TERMINATE
    _dispatcher: Dispatcher | None = None

    def __init__(
        self,
        processes: int | None = None,
        *,
        work_dir: str | os.PathLike[str] | None = None,
        queue: str | None = None,
        time: float | str | timedelta | None = None,
        memory: int | str | None = None,
        cpus: int | None = None,
    ) -> None:
        self._starting = threading.Lock()
        name = self._scheduler or config.pick_scheduler()
        default = config.DEFAULT_PROCESSES if name == "slurm" else config.usable_cpus()
        options = config.make_options(processes, default, work_dir, queue, time, memory, cpus)
        self._backend = make_backend(name, options)
        self._name = name
        self._pid = os.getpid()
        self._processes = options.processes
        self._state = RUN

    # -- calls

    def map(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
    ) -> list[Any]:
        """Equivalent to ``list(map(func, iterable))``.

        Parameters
        ----------
        func : callable
            Anything that can be called with one item; sent by value if it cannot be imported.
        iterable : iterable
            Any; it is turned into a list first.
        chunksize : int, optional
            Tasks that are dealt together. Unless given, by measured run times.

        Returns
        -------
        list
            One result per item, in the items' order.

        Raises
        ------
        Exception
            What the failing task with the lowest index raised, once all tasks are done.
        PoolError
            If tasks were lost, or none could be run.
        """
        return self.map_async(func, iterable, chunksize).get()

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """As `map`, but the elements of each item are the arguments: ``func(*item)``."""
        return self._call(STARMAP, func, map(tuple, iterable), chunksize).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
    ) -> AsyncResult:
        """As `map`, but returns a handle at once."""
        return self._call(MAP, func, iterable, chunksize)

    def _call(
        self,
        kind: int,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
    ) -> AsyncResult:
        self._check_running()
        chunk = 1 if chunksize is None else operator.index(chunksize)
        if chunk < 1:
            raise ValueError(f"chunksize={chunksize!r} must be at least 1")
        items = pickling.dumps_items(iterable)
        result = AsyncResult(len(items))
        if items:
            function = pickling.dumps(func)
            digest = hashlib.sha256(function).digest()
            name = pickling.function_name(func)
            call = Call(kind, function, digest, name, items, chunk, result)
            self._dispatching().call(call)
        return result

    def _dispatching(self) -> Dispatcher:
        """The dispatcher, begun with the first call that has a task."""
        with self._starting:
            if self._dispatcher is None or self._dispatcher.over:
                self._dispatcher = Dispatcher(self._backend)
        return self._dispatcher

    def _check_running(self) -> None:
        if self._state != RUN or os.getpid() != self._pid:
            raise ValueError("Pool not running")

    # -- the end

    def close(self) -> None:
        """Takes no further calls; workers leave when all tasks are done."""
        if self._state == RUN and os.getpid() == self._pid:
            self._state = CLOSE
            self._stop("close")

    def terminate(self) -> None:
        """Ends at once: nothing that is open is waited for, all jobs are cancelled."""
        if os.getpid() == self._pid:
            self._state = TERMINATE
            self._stop("terminate")
            self.join()

    def join(self) -> None:
        """Waits until the workers have left.

        Raises
        ------
        ValueError
            Before `close` or `terminate`.
        """
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._dispatcher is not None and os.getpid() == self._pid:
            self._dispatcher.thread.join()

    def _stop(self, how: str) -> None:
        if self._dispatcher is not None and self._dispatcher.thread.is_alive():
            self._dispatcher.stop(how)

    def __del__(self) -> None:
        if self._state == RUN and os.getpid() == self._pid and self._dispatcher is not None:
            warnings.warn(f"unclosed running pool {self!r}", ResourceWarning, 2, self)
            self._stop("terminate")

    def __enter__(self) -> "Pool":
        self._check_running()
        return self

    def __exit__(self, *error: object) -> None:
        self.terminate()

    # -- what it is

    def job_script(self) -> str:
        """The job script, as it is or would be submitted.

        Raises
        ------
        ValueError
            If there is no scheduler.
        """
        if isinstance(self._backend, LocalBackend):
            raise ValueError("local workers have no job script")
        run = self._dispatcher.run_path if self._dispatcher is not None else "RUN_DIRECTORY"
        return self._backend.job_script(run)

    def __repr__(self) -> str:
        where = "" if self._name == "local" else f" work_dir={self._backend.options.work_dir}"
        return f"<pypool.{self._name}.Pool state={self._state} processes={self._processes}{where}>"

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


def make_backend(name: str, options: config.Options) -> Backend:
    """What runs the tasks of a pool with this scheduler."""
    if name == "local":
        return LocalBackend(replace(options, workers_per_element=options.processes))
    return ClusterBackend(_SCHEDULERS[name](), options)
