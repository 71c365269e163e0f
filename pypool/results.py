"""Result handles: what a caller holds while tasks run. They are fed, and know nothing else.

Nothing here waits with a lock of Python's own in hand: a signal handler that interrupts a waiting
program may close and join the pool, and whoever feeds the handle must not stand in its way.
"""

import multiprocessing
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from math import ceil, inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from pypool.pickling import add_note

T = TypeVar("T")


class Post(Protocol):
    """Has something done after what it was given before: the callback, and then the rest."""

    def __call__(
        self,
        callback: Callable[[Any], object] | None,
        value: Any,
        then: Callable[[], object] | None = None,
    ) -> None: ...


NOTICED_SECONDS = 1.0
"""A signal that comes just before Python begins to wait for a lock does not interrupt the waiting:
Ctrl-C would be noticed at its end, an hour later. So nobody waits for longer at a time."""


def pieces(timeout: float | None) -> Iterator[float]:
    """How long to wait, again and again, until `timeout` seconds have passed."""
    end = inf if timeout is None else monotonic() + max(timeout, 0)
    while (left := end - monotonic()) > NOTICED_SECONDS:
        yield NOTICED_SECONDS
    yield max(left, 0)


class _Gate:
    """Opens once."""

    def __init__(self) -> None:
        self.is_open = False
        self._claim = threading.Lock()
        self._bells: set[Any] = set()

    def claim(self) -> bool:
        """Whether the caller is the first one who wants to open it."""
        return self._claim.acquire(blocking=False)

    def open(self) -> None:
        self.is_open = True
        with suppress(KeyError):
            while True:
                self._bells.pop().release()

    def wait(self, timeout: float | None) -> None:
        """Everybody waits for a bell of their own: whoever is interrupted holds up nobody."""
        bell = threading.Lock()
        bell.acquire()
        self._bells.add(bell)
        for seconds in pieces(timeout):
            # it may have been opened just before
            if self.is_open or bell.acquire(timeout=seconds):
                break
        self._bells.discard(bell)


def seconds_left(timeout: float | None) -> float:
    """As `lock.acquire` wants it."""
    return -1 if timeout is None else max(timeout, 0)


class AsyncResult(Generic[T]):
    """The result of one call, as `multiprocessing.pool.AsyncResult`. It can be awaited, too.

    Parameters
    ----------
    callback, error_callback : callable, optional
        Called with the result, or with the exception, before the result is available.
    post : callable
        Has them called, one after the other.
    holds : object
        Stays alive until the call has completed: the pool.
    """

    def __init__(
        self,
        callback: Callable[[T], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        post: Post,
        holds: object = None,
    ) -> None:
        self._holds = holds
        self._callback = callback
        self._error_callback = error_callback
        self._post = post
        self._gate = _Gate()
        self._success = False
        self._value: Any = None
        self._awaiting: deque[Callable[[], object]] = deque()

    def ready(self) -> bool:
        """Whether the call has completed."""
        return self._gate.is_open

    def successful(self) -> bool:
        """Whether the call completed without raising.

        Raises
        ------
        ValueError
            If it has not completed.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the result is available, or `timeout` seconds pass."""
        self._gate.wait(timeout)

    def get(self, timeout: float | None = None) -> T:
        """The result when it arrives; of a map the list of results, in the order of the items.

        Raises
        ------
        multiprocessing.TimeoutError
            If it does not arrive within `timeout` seconds.
        Exception
            What the task raised; of a map what the failing task with the lowest index raised,
            once all tasks are done.
        """
        self.wait(timeout)
        if not self.ready():
            raise multiprocessing.TimeoutError
        if not self._success:
            raise self._value
        value: T = self._value
        return value

    def __await__(self) -> Generator[Any, None, T]:
        """``await result`` in asyncio gives or raises what `get` does."""
        import asyncio

        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        def wake() -> None:
            if not arrived.done():  # who waited may have been cancelled
                arrived.set_result(None)

        def ring() -> None:
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(wake)

        self._awaiting.append(ring)
        if self.ready():
            self._wake_awaiting()
        yield from arrived
        return self.get()

    def set_item(self, index: int, success: bool, value: Any) -> None:
        """The task is done."""
        self._finish(success, value)

    def set_items(self, first: int, values: list[Any]) -> None:
        """These tasks have returned."""
        for number, value in enumerate(values, first):
            self.set_item(number, True, value)

    def fail(self, error: BaseException, quietly: bool = False) -> None:
        """The call as a whole cannot be completed. After `terminate` no callback hears of it."""
        if quietly:
            self._error_callback = None
        self._finish(False, error.with_traceback(None))  # the reader's own frames say nothing

    def _finish(self, success: bool, value: Any, after_callbacks: bool = False) -> None:
        if not self._gate.claim():
            return  # it has been told before
        self._success, self._value = success, value
        callback = self._callback if success else self._error_callback
        self._callback = self._error_callback = None  # what they hold may be large
        if callback is None and not after_callbacks:
            self._open()
        else:
            self._post(callback, value, self._open)

    def _open(self) -> None:
        self._gate.open()
        self._wake_awaiting()
        self._holds = None

    def _wake_awaiting(self) -> None:
        with suppress(IndexError):
            while True:
                self._awaiting.popleft()()


class MapResult(AsyncResult[list[T]]):
    """The results of a map, a list with one result per item.

    Parameters
    ----------
    count : int
        How many tasks the call has.
    each : callable, optional
        Called with each result as it arrives.
    return_exceptions : bool
        Exceptions are results, too.
    """

    def __init__(
        self,
        count: int,
        callback: Callable[[list[T]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        post: Post,
        *,
        holds: object = None,
        each: Callable[[T], object] | None = None,
        return_exceptions: bool = False,
    ) -> None:
        super().__init__(callback, error_callback, post, holds)
        self._results: list[Any] = [None] * count
        self._errors: dict[int, BaseException] = {}
        self._left = count
        self._each = each
        self._return_exceptions = return_exceptions
        if not count:
            self._callback = None  # as in CPython
            self._finish(True, self._results)

    def set_item(self, index: int, success: bool, value: Any) -> None:
        """One task is done."""
        if success or self._return_exceptions:
            self._results[index] = value
        else:
            self._errors[index] = value
        if success and self._each is not None:
            self._post(self._each, value)
        self._count_done(1)

    def set_items(self, first: int, values: list[T]) -> None:
        """These tasks have returned."""
        self._results[first : first + len(values)] = values
        for value in values if self._each is not None else ():
            self._post(self._each, value)
        self._count_done(len(values))

    def _count_done(self, count: int) -> None:
        self._left -= count
        if not self._left:
            results, self._results = self._results, []
            if self._errors:
                self._finish(False, self._first_error(), self._each is not None)
            else:
                self._finish(True, results, self._each is not None)

    def _first_error(self) -> BaseException:
        errors, self._errors = self._errors, {}
        first = errors[min(errors)]
        others = len(errors) - 1
        if others:
            add_note(first, f"pypool: {others} other task{'s' * (others > 1)} raised as well")
        return first


# ---- what arrives one by one


Arrival = tuple[int, bool, list[Any]]
"""The index of a task, whether it and those behind it have succeeded, and their values or
exceptions. Or END with how many there are and what the iterable raised; or FAILED with the
reason; of these the second says nothing."""

END = -1
FAILED = -2

AHEAD_SECONDS = 0.5
SHORTEST_LOOK = 0.001
LONGEST_LOOK = 0.05
"""Who feeds looks so often whether there is room, while the consumer goes through results that came
together."""

PACE_SECONDS = 0.05
"""As many light items are taken ahead as are done in so many seconds; how many these are is looked
at so often, at most."""


class Stream:
    """The results of a lazy call, between who feeds it and who consumes it.

    Each number in it is changed by one of them alone.

    Parameters
    ----------
    bound : int
        How many items may be taken from the iterable ahead of what was consumed.
    most : int, optional
        How many if items and results are light and come fast.
    pull : callable, optional
        Runs the next task, here and now; called when the consumer finds nothing.

    Attributes
    ----------
    in_hand : list
        The results that the consumer goes through: it takes the last one without a word.
    handed_out : int
        How many there are in that list or were before it; written behind it.
    over : bool
        Nothing is to be fed any more.
    """

    def __init__(self, bound: int, most: int = 0, pull: Callable[[], object] | None = None) -> None:
        self._bound: float = bound
        self._most = most
        self._fast = 0
        self._light = 0
        self._heavy = False
        self._pace_since = monotonic(), 0
        self._pull = pull
        self._arrivals: SimpleQueue[Arrival] = SimpleQueue()
        self._pokes: SimpleQueue[None] = SimpleQueue()
        self._begun = 0
        self._refused = 0
        self._arrived = 0
        self.handed_out = 0
        self.in_hand: list[Any] = []
        self._seen = 0
        self._full = False
        self._wanted: float = 0
        self._room_at = -1
        self._abandoned = False
        self.over = False

    # -- for who feeds it

    def begin_item(self) -> int:
        """One more was taken from the iterable; gives its index."""
        return self.begin_items(1)

    def begin_items(self, count: int) -> int:
        """So many more were taken from the iterable; gives the index of the first."""
        self._begun += count
        return self._begun - count

    def refuse_item(self, index: int, error: BaseException) -> None:
        """The item just taken is no task, for that reason."""
        self._refused += 1
        self._put(index, False, [error])

    def await_room(self, count: int = 1) -> bool:
        """Waits while there is no room for so many items; then until half of them are consumed.

        Gives whether there is room only because of what was consumed since it last said so.
        """
        bound = max(self._bound, self._goes_on_ahead)
        if self._abandoned:
            self._arrivals = SimpleQueue()  # nobody will take them
        if self._begun + count - self._seen <= bound:
            return False
        if self._ahead() + count > bound:
            self._wanted = min(bound / 2, bound - count)
            self._room_at = ceil(self._begun - self._wanted)
            self._full = True
            look_in = SHORTEST_LOOK
            while True:
                looks = bool(self.in_hand)  # before: who takes the last one says nothing
                if self._has_room() or self.over:
                    break
                with suppress(Empty):
                    self._pokes.get(timeout=look_in if looks else None)
                look_in = min(2 * look_in, LONGEST_LOOK)
            self._full = False
            self._learn_pace(monotonic())
        self._seen = self._begun - self._ahead()
        return True

    def _learn_pace(self, now: float) -> None:
        """As many are taken ahead as are done in a moment, or workers would wait for the next."""
        since, before = self._pace_since
        if now - since >= PACE_SECONDS:
            light = self._light
            self._pace_since = now, light
            self._fast = min(self._most, int(AHEAD_SECONDS * (light - before) / (now - since)))

    def met_heavy_item(self) -> None:
        """Of such a kind no more are to be taken ahead than the bound says."""
        self._most = self._fast = 0

    @property
    def room(self) -> float:
        """So many items there is room for at least, as far as was seen last."""
        return max(self._bound, self._goes_on_ahead) - (self._begun - self._seen)

    @property
    def _goes_on_ahead(self) -> int:
        """How far, as long as nothing is heavy."""
        return 0 if self._heavy else self._fast

    def _has_room(self) -> bool:
        return self._bound == inf or self._ahead() <= self._wanted

    def _ahead(self) -> int:
        """Items without a result, and results that wait for their consumer."""
        done = self._arrived + self._refused if self._abandoned else self._consumed
        return self._begun - done

    @property
    def _consumed(self) -> int:
        """Results that the consumer has got, or for a moment fewer."""
        handed_out = self.handed_out
        return handed_out - len(self.in_hand)

    def set_length(self, count: int, error: BaseException | None = None) -> None:
        """There are no more items; maybe because the iterable raised an exception."""
        self._arrivals.put((END, error is None, [count, error]))

    # -- for who runs the tasks

    def set_item(self, index: int, success: bool, value: Any) -> None:
        """One task is done, and if it has succeeded what it has is heavy."""
        self._arrived += 1
        if success:
            self._heavy = True
        self._put(index, success, [value])

    def set_items(self, first: int, values: list[Any]) -> None:
        """These tasks have returned, and what they have is light."""
        self._arrived += len(values)
        self._light += len(values)
        self._put(first, True, values)

    def _put(self, first: int, success: bool, values: list[Any]) -> None:
        if not self._abandoned:
            self._arrivals.put((first, success, values))
        elif self._full:
            self._pokes.put(None)

    def fail(self, error: BaseException, quietly: bool = False) -> None:
        """The call as a whole cannot be completed."""
        self.over = True
        self._arrivals.put((FAILED, False, [error.with_traceback(None)]))
        self._pokes.put(None)

    def lift(self) -> None:
        """Nobody consumes, somebody waits for the end: there is no bound any more."""
        self._bound = inf
        self._pokes.put(None)

    # -- for who consumes it

    def take(self, timeout: float | None) -> Arrival:
        """What arrived next: see there.

        Raises
        ------
        multiprocessing.TimeoutError
            If nothing does.
        """
        self.consumed()
        if self._pull is not None and self._arrivals.empty():
            self._pull()
        for seconds in pieces(timeout):
            with suppress(Empty):
                return self._arrivals.get(timeout=seconds)
        raise multiprocessing.TimeoutError

    def consumed(self) -> None:
        """The consumer has got a result, and maybe gets others without a word."""
        if self._full and self.handed_out >= self._room_at:
            self._pokes.put(None)  # who feeds may be waiting for that

    def abandon(self) -> None:
        """Nobody will consume what is to come. All tasks are run nevertheless."""
        self._abandoned = True
        self.in_hand = []
        self._pokes.put(None)


class IMapUnorderedIterator(Generic[T]):
    """Results as they arrive, as `multiprocessing.pool.IMapUnorderedIterator`.

    After an exception of a task it goes on with the next result.
    """

    def __init__(
        self, stream: Stream, return_exceptions: bool = False, holds: object = None
    ) -> None:
        self._stream = stream
        self._holds = holds
        self._return_exceptions = return_exceptions
        self._lock = threading.RLock()  # between consumers; who feeds does not take it
        self._given = 0  # or in the list from which they are given
        self._count: float = inf
        self._last: BaseException | None = None
        self._current: list[Any] = []
        self._raised: list[BaseException] = []
        weakref.finalize(self, stream.abandon).atexit = False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            value: T = self._current.pop()
        except IndexError:
            pass
        else:
            return value
        with self._lock:
            return self._next(None)

    def next(self, timeout: float | None = None) -> T:
        """The next result.

        Raises
        ------
        StopIteration
            If there are no more.
        multiprocessing.TimeoutError
            If it does not arrive within `timeout` seconds.
        Exception
            What its task raised.
        """
        deadline = None if timeout is None else monotonic() + timeout
        if not self._lock.acquire(timeout=seconds_left(timeout)):
            raise multiprocessing.TimeoutError
        try:
            return self._next(deadline)
        finally:
            self._lock.release()

    def _next(self, deadline: float | None) -> T:
        while True:
            if self._raised:
                self._stream.consumed()
                raise self._raised.pop()
            with suppress(IndexError):  # another consumer may have been faster
                value: T = self._current.pop()
                self._stream.consumed()
                return value
            self._go_on(deadline)

    def _go_on(self, deadline: float | None) -> None:
        """Takes up those that come next, if they are there; else something else that arrives."""
        if self._given >= self._count:
            error, self._last = self._last, None
            self._holds = None
            raise StopIteration if error is None else error
        if self._finds_next():
            return
        left = None if deadline is None else deadline - monotonic()
        first, success, values = self._stream.take(left)
        if first == END:
            self._count, self._last = values
        elif first == FAILED:
            self._count, self._last = 0, values[0]
        else:
            self._keep(first, success, values)

    def _finds_next(self) -> bool:
        return False

    def _keep(self, first: int, success: bool, values: list[Any]) -> None:
        count, stream = len(values), self._stream
        if success or self._return_exceptions:
            kept, raised = values[::-1], []
        else:
            kept, raised = [], values
        # no call from here on, or a signal could come between
        stream.in_hand = kept
        stream.handed_out += count
        self._current, self._raised = kept, raised
        self._given += count


class IMapIterator(IMapUnorderedIterator[T]):
    """Results in the order of the items, as `multiprocessing.pool.IMapIterator`."""

    def __init__(
        self, stream: Stream, return_exceptions: bool = False, holds: object = None
    ) -> None:
        super().__init__(stream, return_exceptions, holds)
        self._early: dict[int, tuple[bool, list[Any]]] = {}

    def _finds_next(self) -> bool:
        first = self._given
        found = self._early.get(first)
        if found is None:
            return False
        super()._keep(first, *found)
        del self._early[first]
        return True

    def _keep(self, first: int, success: bool, values: list[Any]) -> None:
        self._early[first] = success, values
