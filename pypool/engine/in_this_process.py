"""No processes at all: tasks are run where they are called for, for debuggers and profilers.

Nothing is pickled: a task sees the very objects of the program, and what it changes stays changed.
"""

from bdb import BdbQuit
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pypool import task
from pypool.engine.callbacks import run_safely
from pypool.errors import InitializerError, PoolError
from pypool.options import Options
from pypool.pickling import add_note, function_name
from pypool.results import AsyncResult, MapResult, Stream
from pypool.rundir.batch import STARMAP
from pypool.task import Task


class InThisProcess:
    """Runs calls: when one returns, its result is there; of a lazy one, when it is wanted.

    KeyboardInterrupt, SystemExit and their like are raised at once: there is no worker that
    could end in the program's place. So is what leaving a debugger raises.

    Parameters
    ----------
    initializer : callable, optional
        Called with `arguments` before the first task.
    """

    has_begun = False
    work_dir = None

    def __init__(
        self,
        options: Options,
        initializer: Callable[..., object] | None = None,
        arguments: tuple[Any, ...] = (),
    ) -> None:
        self.options = options
        self._initializer = initializer
        self._arguments = arguments
        self._calls = 0
        self._lazy: dict[Stream, Iterator[Callable[[Stream], None]]] = {}

    def post(
        self,
        callback: Callable[[Any], object] | None,
        value: Any,
        then: Callable[[], object] | None = None,
    ) -> None:
        """Calls the callback here and now."""
        if callback is not None:
            run_safely(callback, value)
        if then is not None:
            then()

    # -- calls

    def apply(
        self,
        function: Callable[..., Any],
        args: Iterable[Any],
        kwds: Mapping[str, Any],
        result: AsyncResult[Any],
    ) -> None:
        """One task."""
        self._begin_call()
        outcome = self._run(lambda _: function(*args, **kwds), function, None, 0, b"")
        result.set_item(0, *outcome)

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
        """A task for each item, one after the other."""
        items = list(iterable)
        result = new_result(len(items))
        if items:
            self._begin_call()
        call = (lambda item: function(*item)) if kind == STARMAP else function
        for index, item in enumerate(items):
            result.set_item(index, *self._run(call, function, item, index, seed))
        return result

    def imap(
        self,
        function: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunk: int,
        seed: bytes,
        bound: int,
        most: int,
    ) -> Stream:
        """A task for each item, run when its result is wanted."""
        self._begin_call()
        stream = Stream(bound, pull=lambda: self._step(stream))
        self._lazy[stream] = self._steps(function, iterable, seed)
        return stream

    def _step(self, stream: Stream) -> None:
        """The next thing that happens to it; at its end nothing does."""
        step = next(self._lazy.get(stream, iter(())), None)
        if step is None:
            self._lazy.pop(stream, None)
        else:
            step(stream)

    def _steps(
        self, function: Callable[[Any], Any], iterable: Iterable[Any], seed: bytes
    ) -> Iterator[Callable[[Stream], None]]:
        """What to do with the stream when the consumer wants something."""
        index = 0
        end: Exception | None = None
        items = self._items(iterable)
        while True:
            try:
                item = next(items)
            except StopIteration:
                break
            except Exception as error:
                end = error
                break
            outcome = self._run(function, function, item, index, seed)
            yield _tell(index, *outcome)
            index += 1
        yield lambda stream: stream.set_length(index, end)

    @staticmethod
    def _items(iterable: Iterable[Any]) -> Iterator[Any]:
        yield from iterable

    def _begin_call(self) -> None:
        self._calls += 1
        if self._initializer is None:
            return
        try:
            self._initializer(*self._arguments)
        except Exception as error:
            name = function_name(self._initializer)
            raise InitializerError(f"the initializer {name} raised {error!r}") from error
        self._initializer = None

    def _run(
        self,
        call: Callable[[Any], Any],
        function: Callable[..., Any],
        item: Any,
        index: int,
        seed: bytes,
    ) -> tuple[bool, Any]:
        """Whether it succeeded, and its value or its exception."""
        before = task.begin(Task(index, 1, 0, seed))
        try:
            return True, call(item)
        except BdbQuit:
            raise
        except Exception as error:
            what = f"task {index} of call {self._calls} ({function_name(function)})"
            add_note(error, f"pypool: {what}, in this process")
            return False, error
        finally:
            task.begin(before)

    # -- the end: there is nothing to end, but for lazy calls

    def spoil(self) -> None:
        """Nothing outlives this process."""

    def close(self) -> None:
        """All calls are done, but for lazy ones."""

    def terminate(self) -> None:
        """Tasks of lazy calls that were not run yet never are."""
        while self._lazy:
            stream, _ = self._lazy.popitem()
            stream.fail(PoolError("the pool was terminated before this call was done"))

    def join(self) -> None:
        """Runs what is left of lazy calls."""
        while self._lazy:
            self._step(next(iter(self._lazy)))

    def job_script(self) -> str:
        raise ValueError("serial workers have no job script")


def _tell(index: int, success: bool, value: Any) -> Callable[[Stream], None]:
    return lambda stream: stream.set_item(index, success, value)
