"""Pool: the methods of `multiprocessing.Pool` over whatever runs the tasks."""

import hashlib
import operator
import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from inspect import signature
from typing import Any, ClassVar, Never, NoReturn

from pypool import config, pickling
from pypool.engine.backend import Backend, ClusterBackend, LocalBackend
from pypool.engine.calls import Call
from pypool.engine.dispatcher import Dispatcher
from pypool.engine.in_this_process import SerialBackend
from pypool.machine import allocation, usable_cpus
from pypool.options import DEFAULT_PROCESSES, Keep, OnChange, Options, nearest
from pypool.picking import SCHEDULERS, pick_scheduler, shell_here
from pypool.results import AsyncResult
from pypool.rundir.batch import MAP, STARMAP

RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"


class Pool:
    """A pool of workers on the scheduler that is found here, else on this machine.

    `PYPOOL_SCHEDULER` ("slurm", "sge", "shell", "local", "serial") decides, or `scheduler` in
    `pypool.toml`; else the scheduler whose commands are there; inside an allocation, `shell` on
    that; else local processes. `pypool.slurm.Pool` and its like do not choose.

    All options can be given as variables `PYPOOL_QUEUE`, ... and in `pypool.toml`; what is given
    here counts more. What is not given is left to the scheduler.

    Parameters
    ----------
    processes : int, optional
        Workers at most: 64 on a scheduler, else the CPUs that this process may use.
    workers_per_element : int, default 1
        Workers in one array element at most, for queues that give whole nodes.
    work_dir : path, optional
        A directory that compute nodes share, `~/.pypool` unless given. One that is given may be
        missing, its parent may not.
    name : str, optional
        Names the jobs.
    queue : str, optional
        The scheduler's queue, Slurm's partition.
    time : float, str or timedelta, optional
        How long an array element lives: seconds, "1h30m", "1:30:00".
    memory : int or str, optional
        Memory per worker: bytes, "500M", "4G".
    cpus, gpus : int, optional
        CPUs and GPUs per worker. `cpus` sets how many threads OpenMP, OpenBLAS, MKL and numexpr
        start, unless their variables are set; of an element's GPUs each worker sees its own.
    account : str, optional
        Who pays: Slurm's account, Grid Engine's project.
    parallel_environment : str, optional
        Grid Engine's, for several CPUs on one host; one that is found, unless given.
    directives : str or list of str, optional
        Further options for the head of the job script, in the scheduler's own words.
    setup, teardown : str or list of str, optional
        Lines of shell that the job script runs before the agent starts and after it has ended.
    python : path, optional
        The interpreter on the nodes; the one that runs this program, unless given.
    env : dict or list of str, optional
        Variables for the tasks; or names of variables here that would be held back as secrets.
    template : path or str, optional
        The template of the job script, or the name of one that is searched for.
    linger : float, str or timedelta, optional
        How long workers stay without work; as long as they waited in the queue, from 30 s to
        10 min, unless given.
    start_timeout, orphan_timeout : float, str or timedelta, optional
        How long an element that runs may take to say hello (10 min); after what silence of this
        program workers leave (10 min).
    retries : int, default 2
        How often a task is started again that was lost with its worker.
    scheduler_interval : float, str or timedelta, optional
        Time between two looks at the queue (10 s), growing to six times that.
    keep : {"failed", "all", "none"}, optional
        What stays of a run: all of it if tasks failed, always, or never.
    on_change : {"say", "refuse"}, optional
        Not used yet: what to do if code changed since the run was begun.
    progress, verbose : bool, optional
        A line on standard error every ten seconds. Both mean the same.
    profile : str, optional
        A table `[profile.NAME]` of `pypool.toml` whose options are taken.

    Raises
    ------
    ValueError, TypeError
        If an option is not accepted; the message says where it was given and what would do.
    RunDirectoryError
        If the work directory cannot be used.
    SubmitError
        If no job script can be made of the template; or there are several schedulers here, and
        none answers.
    """

    _scheduler: ClassVar[str | None] = None
    _state = TERMINATE
    _dispatcher: Dispatcher | None = None

    def __init__(
        self,
        processes: int | None = None,
        *,
        workers_per_element: int | None = None,
        work_dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        queue: str | None = None,
        time: float | str | timedelta | None = None,
        memory: int | str | None = None,
        cpus: int | None = None,
        gpus: int | None = None,
        account: str | None = None,
        parallel_environment: str | None = None,
        directives: str | Sequence[str] | None = None,
        setup: str | Sequence[str] | None = None,
        teardown: str | Sequence[str] | None = None,
        python: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | Collection[str] | None = None,
        template: str | os.PathLike[str] | None = None,
        linger: float | str | timedelta | None = None,
        start_timeout: float | str | timedelta | None = None,
        orphan_timeout: float | str | timedelta | None = None,
        retries: int | None = None,
        scheduler_interval: float | str | timedelta | None = None,
        keep: Keep | None = None,
        on_change: OnChange | None = None,
        progress: bool | None = None,
        verbose: bool | None = None,
        profile: str | None = None,
        **unknown: Never,
    ) -> None:
        said = locals()
        given = {option: said[option] for option in _PARAMETERS if said[option] is not None}
        _refuse_unknown(unknown)
        self._starting = threading.Lock()
        settings = config.gather(given)
        self._name = settings.choose(self._scheduler) or pick_scheduler()
        options = settings.options(self._name, partial(_default_processes, self._name))
        self._backend = make_backend(self._name, options)
        self._pid = os.getpid()
        self._processes = options.elements * options.workers
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
        backend = self._backend
        if isinstance(backend, SerialBackend):
            return backend.run(kind, func, iterable)
        items = pickling.dumps_items(iterable)
        result = AsyncResult(len(items))
        if items:
            function = pickling.dumps(func)
            digest = hashlib.sha256(function).digest()
            name = pickling.function_name(func)
            call = Call(kind, function, digest, name, items, chunk, result)
            self._dispatching(backend).call(call)
        return result

    def _dispatching(self, backend: Backend) -> Dispatcher:
        """The dispatcher, begun with the first call that has a task."""
        with self._starting:
            if self._dispatcher is None or self._dispatcher.over:
                self._dispatcher = Dispatcher(backend)
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
            self._stop("terminate")  # first, for the warning may be an error
            warnings.warn(f"unclosed running pool {self!r}", ResourceWarning, 2, self)

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
        if not isinstance(self._backend, ClusterBackend):
            raise ValueError(f"{self._name} workers have no job script")
        run = self._dispatcher.run_path if self._dispatcher is not None else "RUN_DIRECTORY"
        return self._backend.job_script(run)

    def __repr__(self) -> str:
        on_disk = isinstance(self._backend, ClusterBackend)
        where = f" work_dir={self._backend.options.work_dir}" if on_disk else ""
        return f"<pypool.{self._name}.Pool state={self._state} processes={self._processes}{where}>"

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


def make_backend(name: str, options: Options) -> Backend | SerialBackend:
    """What runs the tasks of a pool with this scheduler."""
    if name == "serial":
        return SerialBackend(options)
    if name == "local":
        return LocalBackend(replace(options, workers_per_element=options.processes))
    if name == "shell":
        scheduler = shell_here()
        if scheduler.nodes > 1 and options.workers_per_element == 1:
            options = replace(options, workers_per_element=-(-options.processes // scheduler.nodes))
        return ClusterBackend(scheduler, options)
    return ClusterBackend(SCHEDULERS[name](), options)


def _default_processes(name: str, cpus: int) -> int:
    """Workers, unless their number is given; `cpus` are for each of them."""
    if name == "serial":
        return 1
    granted = allocation() if name == "shell" else None
    if granted is not None:
        return sum(max(1, count // cpus) for count in granted.cpus)
    return max(1, usable_cpus() // cpus) if name in ("local", "shell") else DEFAULT_PROCESSES


_PARAMETERS = [name for name in signature(Pool).parameters if name != "unknown"]


def _refuse_unknown(unknown: Mapping[str, object]) -> None:
    for name in unknown:
        if name == "scheduler":
            raise TypeError(
                f"scheduler={unknown[name]!r}: a Pool has no such option. Take pypool.slurm.Pool "
                "or its like, or set PYPOOL_SCHEDULER."
            )
        raise TypeError(
            f"{name}={unknown[name]!r}: a Pool has no option {name!r}.{nearest(name, _PARAMETERS)} "
            f"Options are {', '.join(_PARAMETERS)}."
        )
