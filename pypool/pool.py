"""Pool: the methods of `multiprocessing.Pool` over whatever runs the tasks."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Never, NoReturn, Self, TypeVar

from pypool import config, pickling, stable
from pypool.engine.backend import Backend, ClusterBackend, LocalBackend, WorkerRules
from pypool.engine.in_this_process import InThisProcess
from pypool.engine.sender import Sender
from pypool.errors import PoolError
from pypool.machine import allocation, usable_cpus
from pypool.options import DEFAULT_PROCESSES, Keep, OnChange, Options, nearest
from pypool.picking import SCHEDULERS, pick_scheduler, shell_here
from pypool.results import AsyncResult, IMapIterator, IMapUnorderedIterator, MapResult, Stream
from pypool.rundir.batch import MAP, STARMAP
from pypool.task import is_loading, packed

if TYPE_CHECKING:
    from pypool.task import Seed

R = TypeVar("R")
S = TypeVar("S")

ITEMS_AHEAD = 4
CHUNKS_AHEAD = 2
"""For each worker, in `imap`, whichever is more: one chunk at work, and one to go on with."""

LIGHT_ITEMS_AHEAD = 100
"""For each worker, in `imap`, at most, if items and results are light and come fast."""

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
    initializer : callable, optional
        Each worker calls ``initializer(*initargs)`` before its first task. What it sets in
        `__main__` or in a module is there for the tasks.
    initargs : iterable, optional
        Its arguments; they are pickled when the pool is made.
    maxtasksperchild : int, optional
        Tasks, or chunks if `chunksize` is given, after which a worker is replaced by a new one.
    context : optional
        Accepted as `multiprocessing.Pool` does, and of no effect: workers are no forks.
    workers_per_element : int, default 1
        Workers in one array element at most, for queues that give whole nodes.
    work_dir : path, optional
        A directory that compute nodes share, `~/.pypool` unless given. One that is given may be
        missing, its parent may not.
    name : str, optional
        Names the jobs and the run: the same program started again finds what was done in
        ``work_dir/name``, and computes only what is missing.
    queue : str, optional
        The scheduler's queue, Slurm's partition.
    time : float, str or timedelta, optional
        How long an array element lives: seconds, "1h30m", "1:30:00".
    max_time : float, str or timedelta, optional
        A task that ran out of time is started again where it has twice as much, up to this;
        unless given, it gets as much as before.
    memory : int or str, optional
        Memory per worker: bytes, "500M", "4G".
    max_memory : int or str, optional
        A task that ran out of memory is started again where it has twice as much, up to this;
        unless given, it gets as much as before.
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
        What to do if workers have loaded a module that was changed since: a line, or an error.
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

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: object = None,
        *,
        workers_per_element: int | None = None,
        work_dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        queue: str | None = None,
        time: float | str | timedelta | None = None,
        max_time: float | str | timedelta | None = None,
        memory: int | str | None = None,
        max_memory: int | str | None = None,
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
        given = {option: said[option] for option in _OPTIONS if said[option] is not None}
        _refuse_unknown(unknown)
        if is_loading():
            raise PoolError(
                "A worker imports a module that makes a pool: its pool would have workers that "
                'import it, and so on. Guard what the module runs by if __name__ == "__main__".'
            )
        settings = config.gather(given)
        self._name = settings.choose(self._scheduler) or pick_scheduler()
        options = settings.options(self._name, partial(_default_processes, self._name))
        chunks = _checked(initializer, maxtasksperchild)
        self._runner: Sender | InThisProcess
        if self._name == "serial":
            self._runner = InThisProcess(options, initializer, tuple(initargs))
        else:
            named = options.name is not None
            rules = worker_rules(initializer, tuple(initargs), chunks, named)
            self._runner = Sender(make_backend(self._name, options), rules)
        self._pid = os.getpid()
        self._workers = self._processes = options.elements * options.workers
        self._state = RUN

    # -- calls

    def apply(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
    ) -> R:
        """Equivalent to ``func(*args, **kwds)``, run by a worker.

        Raises
        ------
        Exception
            What the task raised.
        PoolError
            If it was lost, or could not be run.
        """
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[R]:
        """As `apply`, but returns a handle at once.

        Parameters
        ----------
        callback, error_callback : callable, optional
            Called in this process with the result, or with the exception, before the handle is
            ready: in one thread, as results arrive. What they raise is told, and has no effect.
        """
        self._check_running()
        result: AsyncResult[R] = AsyncResult(callback, error_callback, self._runner.post, self)
        self._runner.apply(func, args, kwds, result)
        return result

    def map(
        self,
        func: Callable[[S], R],
        iterable: Iterable[S],
        chunksize: int | None = None,
        *,
        callback: Callable[[R], object] | None = None,
        return_exceptions: bool = False,
        seed: Seed | None = None,
    ) -> list[R]:
        """Equivalent to ``list(map(func, iterable))``.

        Parameters
        ----------
        func : callable
            Anything that can be called with one item; sent by value if it cannot be imported.
        iterable : iterable
            Any; it is used up first.
        chunksize : int, optional
            Tasks for one worker at a time. Unless given, by measured run times.
        callback : callable, optional
            Called with each result as it arrives, as the pools of schwimmbad do.
        return_exceptions : bool, default False
            Put exceptions in the place of results, instead of raising the first one at the end.
        seed : int, sequence of int or numpy.random.SeedSequence, optional
            Gives each task its own random numbers, `pypool.rng`, whoever runs it.

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
        return self._map(
            MAP,
            func,
            iterable,
            chunksize,
            seed,
            waits=True,
            each=callback,
            return_exceptions=return_exceptions,
        ).get()

    def map_async(
        self,
        func: Callable[[S], R],
        iterable: Iterable[S],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        return_exceptions: bool = False,
        seed: Seed | None = None,
    ) -> MapResult[R]:
        """As `map`, but returns a handle at once; `callback` gets the list of all results."""
        return self._map(
            MAP,
            func,
            iterable,
            chunksize,
            seed,
            callback,
            error_callback,
            return_exceptions=return_exceptions,
        )

    def starmap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        return_exceptions: bool = False,
        seed: Seed | None = None,
    ) -> list[R]:
        """As `map`, but the elements of each item are the arguments: ``func(*item)``."""
        return self._map(
            STARMAP,
            func,
            iterable,
            chunksize,
            seed,
            waits=True,
            return_exceptions=return_exceptions,
        ).get()

    def starmap_async(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        return_exceptions: bool = False,
        seed: Seed | None = None,
    ) -> MapResult[R]:
        """As `starmap`, but returns a handle at once; `callback` gets the list of all results."""
        return self._map(
            STARMAP,
            func,
            iterable,
            chunksize,
            seed,
            callback,
            error_callback,
            return_exceptions=return_exceptions,
        )

    def _map(
        self,
        kind: int,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        seed: Seed | None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        waits: bool = False,
        **how: Any,
    ) -> MapResult[Any]:
        """A map by any of these methods; `how` its results are to be handed out.

        A caller who waits changes nothing meanwhile: nothing large is copied.
        """
        self._check_running()
        chunk = 0 if chunksize is None else at_least_one("chunksize", chunksize)
        post = self._runner.post

        def new_result(count: int) -> MapResult[Any]:
            return MapResult(count, callback, error_callback, post, holds=self, **how)

        return self._runner.map(
            kind, func, iterable, chunk, packed(seed), new_result, copies=not waits
        )

    def imap(
        self,
        func: Callable[[S], R],
        iterable: Iterable[S],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        return_exceptions: bool = False,
        seed: Seed | None = None,
    ) -> IMapIterator[R]:
        """A lazy `map`: gives an iterator over the results, in the items' order.

        Items are taken from the iterable, which may be endless, by a thread of its own. The
        exception of a task is raised in its place, and the iterator goes on with the next one.

        Parameters
        ----------
        chunksize : int, default 1
            Tasks for one worker at a time.
        buffersize : int, optional
            How many items may be taken ahead of the results that were consumed, a chunk at least.
            Unless given, four for each worker, but two chunks for each at least; as long as items
            and results are light, 16 KiB at most, as many as are done in half a second, up to a
            hundred for each worker. While somebody waits in `join` there is no bound.
        """
        return IMapIterator(
            self._imap(func, iterable, chunksize, buffersize, seed), return_exceptions, self
        )

    def imap_unordered(
        self,
        func: Callable[[S], R],
        iterable: Iterable[S],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        return_exceptions: bool = False,
        seed: Seed | None = None,
    ) -> IMapUnorderedIterator[R]:
        """As `imap`, but results come as they arrive."""
        return IMapUnorderedIterator(
            self._imap(func, iterable, chunksize, buffersize, seed), return_exceptions, self
        )

    def _imap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int,
        buffersize: int | None,
        seed: Seed | None,
    ) -> Stream:
        self._check_running()
        chunk = at_least_one("chunksize", chunksize)
        bound = max(ITEMS_AHEAD * self._workers, CHUNKS_AHEAD * self._workers * chunk)
        most = LIGHT_ITEMS_AHEAD * self._workers
        if buffersize is not None:
            bound = most = max(at_least_one("buffersize", buffersize), chunk)
        return self._runner.imap(func, iterable, chunk, packed(seed), bound, most)

    def __call__(
        self, func: Callable[[S], R], iterable: Iterable[S], chunksize: int | None = None
    ) -> list[R]:
        """As `map`: for what wants a function that maps."""
        return self.map(func, iterable, chunksize)

    def _check_running(self) -> None:
        if self._state != RUN or os.getpid() != self._pid:
            raise ValueError("Pool not running")

    # -- the end. In a fork of the program the pool is dead, and nothing of this has an effect.

    def close(self) -> None:
        """Takes no further calls; workers leave when all tasks are done."""
        if self._state == RUN:
            self._state = CLOSE
            if os.getpid() == self._pid:
                self._runner.close()

    def terminate(self) -> None:
        """Ends at once: nothing that is open is waited for, all jobs are cancelled."""
        self._state = TERMINATE
        if os.getpid() == self._pid:
            self._runner.terminate()
            self._runner.join()

    def join(self) -> None:
        """Waits until the workers have left.

        Raises
        ------
        ValueError
            Before `close` or `terminate`.
        """
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if os.getpid() == self._pid:
            self._runner.join()

    def __del__(self) -> None:
        if self._state == RUN and os.getpid() == self._pid:
            if self._runner.has_begun:
                self._runner.terminate()  # first, for the warning may be an error
            told = f"unclosed running multiprocessing pool {self!r}"  # CPython's words
            warnings.warn(told, ResourceWarning, 2, self)

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(self, *error: object) -> None:
        if error and error[0] is not None and os.getpid() == self._pid:
            self._runner.spoil()
        self.terminate()

    # -- what libraries ask a pool for

    rank = 0
    """Of this process, as MPI counts: tasks are handed out here."""

    @property
    def size(self) -> int:
        """How many workers there are at most.

        Libraries may set it: that changes what they read, not how many there are.
        """
        return self._processes

    @size.setter
    def size(self, size: int) -> None:
        self._processes = size

    def is_master(self) -> bool:
        """True: this process hands out tasks, as the first one of MPI's does."""
        return True

    def is_worker(self) -> bool:
        """False, see `is_master`."""
        return False

    def wait(self) -> None:
        """Does nothing: in MPI's other processes it waits for tasks."""

    # -- what it is

    def job_script(self) -> str:
        """The job script, as it is or would be submitted.

        Raises
        ------
        ValueError
            If there is no scheduler.
        """
        return self._runner.job_script()

    def __repr__(self) -> str:
        work_dir = self._runner.work_dir
        where = "" if work_dir is None else f" work_dir={work_dir}"
        return f"<pypool.{self._name}.Pool state={self._state} processes={self._processes}{where}>"

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


def make_backend(name: str, options: Options) -> Backend:
    """What the workers of a pool with this scheduler are made of."""
    if name == "local":
        return LocalBackend(replace(options, workers_per_element=options.processes))
    if name == "shell":
        scheduler = shell_here()
        if scheduler.nodes > 1 and options.workers_per_element == 1:
            options = replace(options, workers_per_element=-(-options.processes // scheduler.nodes))
        return ClusterBackend(scheduler, options)
    return ClusterBackend(SCHEDULERS[name](), options)


def worker_rules(
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    chunks: int | None,
    named: bool = False,
) -> WorkerRules:
    """How workers begin and end. The initializer is pickled as it is now."""
    if initializer is None:
        return WorkerRules(chunks=chunks)
    name = pickling.function_name(initializer)
    try:
        pickled = pickling.pack_given(
            (initializer, initargs), f"{name} with its arguments", copies=True
        )
    except pickling.CannotPickle as trouble:
        raise trouble.error from None
    known_by = (stable.digest_of((initializer, initargs)) or os.urandom(16)) if named else b""
    return WorkerRules(pickled, name, chunks, known_by)


def _checked(initializer: object, maxtasksperchild: object) -> int | None:
    """What CPython checks, in its words."""
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if maxtasksperchild is None:
        return None
    if not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0:
        raise ValueError("maxtasksperchild must be a positive int or None")
    return maxtasksperchild


def at_least_one(name: str, number: int) -> int:
    """The number, as an int.

    Raises
    ------
    TypeError, ValueError
        If it is none, or too small.
    """
    found = operator.index(number)
    if found < 1:
        raise ValueError(f"{name}={number!r} must be at least 1")
    return found


def _default_processes(name: str, cpus: int) -> int:
    """Workers, unless their number is given; `cpus` are for each of them."""
    if name == "serial":
        return 1
    granted = allocation() if name == "shell" else None
    if granted is not None:
        return sum(max(1, count // cpus) for count in granted.cpus)
    return max(1, usable_cpus() // cpus) if name in ("local", "shell") else DEFAULT_PROCESSES


_OF_CPYTHON = ("initializer", "initargs", "maxtasksperchild", "context")
_PARAMETERS = [name for name in signature(Pool).parameters if name != "unknown"]
_OPTIONS = [name for name in _PARAMETERS if name not in _OF_CPYTHON]


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
