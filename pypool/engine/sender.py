"""The sender: pickles what callers give, and hands it to a dispatcher.

It is what a pool with workers runs its calls with; `in_this_process` is what one without does.
"""

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pypool import pickling
from pypool.engine.backend import Backend, ClusterBackend, WorkerRules
from pypool.engine.callbacks import Callbacks
from pypool.engine.calls import Call, Handle, Portion
from pypool.engine.dispatcher import Dispatcher
from pypool.engine.feed import Feed
from pypool.engine.functions import Functions
from pypool.engine.runs.digests import digests_for
from pypool.items import pack_items
from pypool.results import AsyncResult, MapResult, Stream
from pypool.rundir.batch import APPLY, MAP

MANY = 1000

_STEADY = (list, tuple, range)
"""What may be gone through twice: whatever else has a length may begin with something new."""


class Sender:
    """Runs calls on a backend.

    Parameters
    ----------
    backend : Backend
        What runs the tasks. Nothing is begun before the first one.
    rules : WorkerRules
        How its workers begin and when they end.
    """

    def __init__(self, backend: Backend, rules: WorkerRules) -> None:
        self.options = backend.options
        self._backend = backend
        self._rules = rules
        self._named = not backend.local and backend.options.name is not None
        self._starting = threading.RLock()
        self._ended: str | None = None
        self._dispatcher: Dispatcher | None = None
        self._latest: Dispatcher | None = None
        self._callbacks = Callbacks()
        self._functions = Functions()
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self.post = self._callbacks.post

    # -- calls

    def apply(
        self,
        function: Callable[..., Any],
        args: Iterable[Any],
        kwds: Mapping[str, Any],
        result: AsyncResult[Any],
    ) -> None:
        """One task. What cannot be pickled is the result."""
        try:
            item = pickling.pack_given((args, kwds), "what it is to be called with", copies=True)
            call = self._new_call(APPLY, function, 1, b"", result, copies=True)
        except pickling.CannotPickle as trouble:
            result.fail(trouble.error)
            return
        digests = call.digests([(args, kwds)])
        self._running().take(Portion(call, 0, [item], final=True, digests=digests))

    def map(
        self,
        kind: int,
        function: Callable[..., Any],
        iterable: Iterable[Any],
        chunk: int,
        seed: bytes,
        new_result: Callable[[int], MapResult[Any]],
        copies: bool,
    ) -> MapResult[Any]:
        """A task for each item. What the iterable raises is raised here.

        With `copies` the caller may change items, and what the function carries, at once.
        """
        try:
            given: Collection[Any]
            given = iterable if isinstance(iterable, _STEADY) else list(iterable)
            with self._expecting(function, len(given)):
                items, common = pack_items(given, copies)
            result = new_result(len(items))
            if items:
                call = self._new_call(kind, function, chunk, seed, result, copies)
                digests = call.digests(given)
                self._running().take(Portion(call, 0, items, True, digests, common))
        except pickling.CannotPickle as trouble:
            result = new_result(1)
            result.fail(trouble.error)
        return result

    def _expecting(self, function: Callable[..., Any], tasks: int) -> AbstractContextManager[None]:
        """So many tasks take a while to be packed: the scheduler is asked for elements before.

        Of a named run nobody knows how many of them are done already.
        """
        if tasks < MANY or self._named or self._backend.local:
            return nullcontext()
        return self._running().expecting(pickling.function_name(function), tasks)

    def imap(
        self,
        function: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunk: int,
        seed: bytes,
        bound: int,
        most: int,
    ) -> Stream:
        """A task for each item, taken from the iterable bit by bit."""
        stream = Stream(bound, most)
        try:
            call = self._new_call(MAP, function, chunk, seed, stream, copies=True)
        except pickling.CannotPickle as trouble:
            stream.fail(trouble.error)
            return stream
        self._streams.add(stream)
        Feed(self._running(), call, stream, iterable).start()
        return stream

    def _new_call(
        self,
        kind: int,
        function: Callable[..., Any],
        chunk: int,
        seed: bytes,
        handle: Handle,
        copies: bool,
    ) -> Call:
        name = pickling.function_name(function)
        try:
            pickled, digest = self._functions.pack(function, name, copies)
        except pickling.CannotPickle as trouble:
            guilty = pickling.guilty_global(function)
            if guilty is not None:
                pickling.add_note(trouble.error, f"pypool: because of {guilty}")
            raise
        call = Call(kind, pickled, digest, name, chunk, handle, seed)
        if self._named:
            call.knows = digests_for(kind, function, seed + self._rules.known_by)
        return call

    def _running(self) -> Dispatcher:
        """The dispatcher, begun with the first call that has a task.

        The pool may have been ended meanwhile, by another thread or by a signal handler.
        """
        with self._starting:
            dispatcher, ended = self._dispatcher, self._ended
            if dispatcher is not None and (ended is not None or not dispatcher.over):
                return dispatcher  # one that is over tells the call so
            if ended is not None:
                raise ValueError("Pool not running")
            self._let_the_latest_end()
            self._latest = made = Dispatcher(self._backend, self._rules)
            try:
                made.begin()
                if self._dispatcher is dispatcher:
                    self._dispatcher = made
            finally:
                if self._dispatcher is not made and made.has_begun and not made.over:
                    made.stop("terminate")  # Ctrl-C, or a signal handler that has called the pool
            if self._dispatcher is not made:
                return self._running()
        if self._ended is not None:
            made.stop(self._ended)
        return made

    def _let_the_latest_end(self) -> None:
        """A named run has one dispatcher at a time.

        There may be one that has met an error and is about to end; or one that lives and that
        nobody has heard of, for Ctrl-C came just behind its begin.
        """
        latest = self._latest
        if self._named and latest is not None and latest.has_begun:
            if not latest.over:
                latest.stop("terminate")
            latest.join()

    # -- the end

    @property
    def has_begun(self) -> bool:
        """There may be workers."""
        return self._dispatcher is not None

    def close(self) -> None:
        """Workers leave when all calls are done."""
        self._stop("close")

    def terminate(self) -> None:
        """Workers leave now. Who waits is told, but not by a callback."""
        self._callbacks.skip()
        self._stop("terminate")

    def spoil(self) -> None:
        """The program ends by an exception: its run is not over, if it has a name."""
        if self._dispatcher is not None:
            self._dispatcher.spoil()

    def _stop(self, how: str) -> None:
        self._ended = how  # first: a call that is on its way looks at it last
        if self._dispatcher is not None:
            self._dispatcher.stop(how)

    def join(self) -> None:
        """Waits until they have left, and all callbacks were called."""
        if self._ended != "terminate":  # all tasks are to be done, though nobody consumes
            for stream in list(self._streams):
                stream.lift()
        if self._dispatcher is not None:
            self._dispatcher.join()
        self._callbacks.join()

    # -- what it is

    def job_script(self) -> str:
        """The job script, as it is or would be submitted."""
        if not isinstance(self._backend, ClusterBackend):
            raise ValueError("local workers have no job script")
        run = "RUN_DIRECTORY" if self._dispatcher is None else self._dispatcher.run_path
        return self._backend.job_script(run)

    @property
    def work_dir(self) -> str | None:
        """Where the run directories are, if there is a shared disk."""
        on_disk = isinstance(self._backend, ClusterBackend)
        return os.fspath(self._backend.options.work_dir) if on_disk else None
