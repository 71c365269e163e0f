"""Handles by themselves: what they say at which time, to whomever waits."""

import asyncio
import gc
import itertools
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import TimeoutError as PoolTimeoutError
from types import FrameType
from typing import Any

import pytest

from pypool import results
from pypool.engine.callbacks import Callbacks
from pypool.results import (
    AsyncResult,
    IMapIterator,
    IMapUnorderedIterator,
    MapResult,
    Stream,
    _Gate,
)


class Later:
    """Posts nothing before it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []

    def __call__(self, callback: Any, value: Any, then: Callable[[], object] | None = None) -> None:
        if callback is not None:
            self.jobs.append(lambda: callback(value))
        if then is not None:
            self.jobs.append(then)


def result(callback: Any = None, error_callback: Any = None, post: Any = None) -> AsyncResult[Any]:
    return AsyncResult(callback, error_callback, post or Later())


# ---- one result


def test_a_result_is_there_once_it_is_set() -> None:
    """Not before, and again and again then."""
    handle = result()
    assert not handle.ready()
    with pytest.raises(ValueError, match="not ready"):
        handle.successful()
    handle.set_item(0, True, 7)
    assert handle.ready()
    assert handle.successful()
    assert [handle.get(), handle.get(0)] == [7, 7]


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_waiting_has_its_time(timeout: float) -> None:
    """None left is none."""
    handle = result()
    assert handle.wait(timeout) is None
    with pytest.raises(PoolTimeoutError):
        handle.get(timeout)


def test_all_who_wait_are_woken() -> None:
    """Threads, many of them."""
    handle = result()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(handle.get(30))) for _ in range(20)]
    for thread in threads:
        thread.start()
    handle.set_item(0, True, 3)
    for thread in threads:
        thread.join(30)
    assert found == [3] * 20


def test_a_result_is_available_after_its_callback() -> None:
    """And not before."""
    called: list[Any] = []
    post = Later()
    handle = result(called.append, called.append, post)
    handle.set_item(0, True, 7)
    assert not handle.ready()
    post.jobs.pop(0)()
    assert called == [7]
    assert not handle.ready()
    post.jobs.pop(0)()
    assert handle.get(0) == 7


def test_what_the_callbacks_hold_is_let_go() -> None:
    """Once they were called, though the handle stays."""

    class Large:
        def take(self, value: Any) -> None: ...

    large = Large()
    gone = weakref.ref(large)
    handle = result(large.take, large.take, Callbacks().post)
    handle.set_item(0, True, 7)
    handle.wait(10)
    del large
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


def test_a_quiet_failure_has_no_callback() -> None:
    """That is the end of a pool which was terminated."""
    post = Later()
    handle = result(None, print, post)
    handle.fail(LookupError("over"), quietly=True)
    assert not post.jobs
    with pytest.raises(LookupError, match="over"):
        handle.get(0)


def test_failure_counts_once() -> None:
    """The first word on a call is the last one."""
    handle = result()
    handle.fail(LookupError("first"))
    handle.fail(ValueError("second"))
    with pytest.raises(LookupError, match="first"):
        handle.get(0)


# ---- several results


def test_a_map_raises_at_its_end_what_has_the_lowest_index() -> None:
    """And says how many others raised."""
    handle: MapResult[int] = MapResult(3, None, None, Later())
    handle.set_item(2, False, ValueError("two"))
    handle.set_item(0, False, LookupError("zero"))
    assert not handle.ready()
    handle.set_item(1, True, 1)
    with pytest.raises(LookupError) as caught:
        handle.get(0)
    assert caught.value.__notes__ == ["pypool: 1 other task raised as well"]


def test_each_result_has_its_callback_before_the_end() -> None:
    """As they arrive; exceptions have none."""
    called: list[int] = []
    post = Later()
    handle: MapResult[int] = MapResult(3, None, None, post, each=called.append)
    handle.set_item(2, True, 2)
    handle.set_item(1, False, ValueError())
    handle.set_item(0, True, 0)
    assert not handle.ready()
    for job in post.jobs:
        job()
    assert called == [2, 0]
    assert handle.ready()


def test_notes_are_added_though_the_exception_objects() -> None:
    """Its own way of adding notes is not used."""

    class Stubborn(Exception):
        def add_note(self, note: str, more: str) -> None: ...  # type: ignore[override]

    handle: MapResult[int] = MapResult(2, None, None, Later())
    handle.set_item(0, False, Stubborn())
    handle.set_item(1, False, Stubborn())
    with pytest.raises(Stubborn):
        handle.get(0)


# ---- asyncio


def test_a_result_can_be_awaited() -> None:
    """While others go on."""

    async def main() -> list[Any]:
        handles = [result() for _ in range(3)]

        def feed() -> None:
            for number, handle in enumerate(handles):
                time.sleep(0.01)
                handle.set_item(0, True, number)

        thread = threading.Thread(target=feed)
        thread.start()
        found = await asyncio.gather(*(once(handle) for handle in handles))
        thread.join()
        return [*found, await handles[0]]

    async def once(handle: AsyncResult[Any]) -> Any:
        return await handle

    assert asyncio.run(main()) == [0, 1, 2, 0]


def test_awaiting_raises_what_get_raises() -> None:
    """The task's exception."""

    async def main() -> None:
        handle = result()
        handle.set_item(0, False, LookupError("gone"))
        await handle

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(main())


def test_who_gives_up_waiting_is_not_woken() -> None:
    """Neither a task that was cancelled nor a loop that is closed."""

    async def main(handle: AsyncResult[Any]) -> None:
        async def once() -> None:
            await handle

        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(once(), 0.01)

    cancelled = result()
    asyncio.run(main(cancelled))
    cancelled.set_item(0, True, 1)
    assert cancelled.get(0) == 1


# ---- signals


def test_a_signal_handler_can_wait_for_who_feeds() -> None:
    """Wherever in waiting it interrupts the program: nothing that feeding needs is held there.

    Many interrupted waits, each at another moment; each handler waits for the feeding thread.
    """
    fed = threading.Event()

    def feed(handle: AsyncResult[Any]) -> None:
        handle.set_item(0, True, 1)
        fed.set()

    def handler(*_: object) -> None:
        threading.Thread(target=feed, args=(handle,)).start()
        assert fed.wait(10)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for step in range(200):
            fed.clear()
            handle = result()
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + step))
            assert handle.get(10) == 1
            assert fed.wait(10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- streams


def test_ordered_results_wait_for_their_turn() -> None:
    """Unordered ones do not."""
    stream = Stream(10)
    results: IMapIterator[str] = IMapIterator(stream)
    stream.set_item(1, True, "b")
    with pytest.raises(PoolTimeoutError):
        results.next(0)
    stream.set_item(0, True, "a")
    stream.set_length(2)
    assert list(results) == ["a", "b"]
    stream = Stream(10)
    unordered: IMapUnorderedIterator[str] = IMapUnorderedIterator(stream)
    stream.set_item(1, True, "b")
    assert unordered.next(0) == "b"


@pytest.mark.parametrize("kind", [IMapIterator, IMapUnorderedIterator])
def test_an_iterator_ends_for_good(kind: Any) -> None:
    """Its length may be known first; what the iterable raised comes after all results, once."""
    stream = Stream(10)
    results = kind(stream)
    stream.set_length(1, LookupError("the iterable"))
    stream.set_item(0, True, "a")
    assert next(results) == "a"
    with pytest.raises(LookupError, match="the iterable"):
        next(results)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(results)


def test_a_falsy_exception_of_the_iterable_is_raised() -> None:
    """Whatever truth it has."""

    class Empty(Exception):
        def __len__(self) -> int:
            return 0

    stream = Stream(10)
    results: IMapIterator[int] = IMapIterator(stream)
    stream.set_length(0, Empty())
    with pytest.raises(Empty):
        next(results)


def test_room_is_made_by_consuming() -> None:
    """Once full, when half of it is consumed."""
    stream = Stream(4)
    results: IMapIterator[int] = IMapIterator(stream)
    for number in range(4):
        stream.await_room()
        stream.set_item(stream.begin_item(), True, number)
    free = threading.Event()

    def feed() -> None:
        stream.await_room()
        free.set()

    thread = threading.Thread(target=feed)
    thread.start()
    next(results)
    assert not free.wait(0.2)
    next(results)
    assert free.wait(10)
    thread.join()


def test_results_that_came_together_are_consumed_one_by_one() -> None:
    """Half of them make room, though the consumer does not say of each that it has it."""
    stream = Stream(100)
    results: IMapIterator[int] = IMapIterator(stream)
    stream.await_room(100)
    stream.set_items(stream.begin_items(100), [*range(100)])
    free = threading.Event()

    def feed() -> None:
        stream.await_room()
        free.set()

    thread = threading.Thread(target=feed)
    thread.start()
    assert [next(results) for _ in range(49)] == [*range(49)]
    assert not free.wait(0.2)
    assert next(results) == 49
    assert free.wait(10)
    thread.join()
    stream.set_length(100)
    assert list(results) == [*range(50, 100)]


def test_who_takes_the_last_of_several_need_not_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was seen that there is no room, and then it is taken."""
    stream = Stream(4)
    results: IMapIterator[int] = IMapIterator(stream)
    stream.await_room(4)
    stream.set_items(stream.begin_items(4), [0, 1])
    has_room, looked, go_on = stream._has_room, threading.Event(), threading.Event()

    def look_and_wait() -> bool:
        found = has_room()
        if len(stream.in_hand) == 1 and not looked.is_set():
            looked.set()
            go_on.wait()
        return found

    monkeypatch.setattr(stream, "_has_room", look_and_wait)
    thread = threading.Thread(target=stream.await_room, args=(1,))
    thread.start()
    assert next(results) == 0
    assert looked.wait(10)
    assert next(results) == 1
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()


def test_what_nobody_consumes_any_more_is_not_kept() -> None:
    """Though the call goes on."""
    stream = Stream(100)
    results: IMapIterator[set[int]] | None = IMapIterator(stream)
    values: list[set[int]] = [set() for _ in range(50)]
    kept = list(map(weakref.ref, values))
    stream.set_items(stream.begin_items(50), values)
    del values
    assert results is not None
    assert next(results) == set()
    results = None
    gc.collect()
    assert not any(each() is not None for each in kept)


def test_several_consumers_share_the_results() -> None:
    """Each has its own, and none is lost."""
    stream = Stream(1000)
    results: IMapUnorderedIterator[int] = IMapUnorderedIterator(stream)
    found: list[list[int]] = [[], [], []]
    threads = [threading.Thread(target=own.extend, args=(results,)) for own in found]
    for thread in threads:
        thread.start()
    for first in range(0, 30_000, 10):
        stream.set_items(stream.begin_items(10), [*range(first, first + 10)])
    stream.set_length(30_000)
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*found)) == [*range(30_000)]


def test_who_feeds_learns_that_room_was_made() -> None:
    """Whether it had to wait for it or not; but not of each result that is consumed."""
    stream = Stream(4)
    results: IMapIterator[int] = IMapIterator(stream)

    def feed(number: int) -> bool:
        told = stream.await_room()
        stream.set_item(stream.begin_item(), True, number)
        return told

    assert [feed(number) for number in range(2)] == [False] * 2
    assert [next(results), next(results)] == [0, 1]
    assert [feed(number) for number in range(4)] == [False, False, True, False]


def goes_ahead(monkeypatch: pytest.MonkeyPatch, give: Callable[[Stream, int], None]) -> list[float]:
    """How far a stream lets items be taken ahead: at first, when four came in 0.1 s, in 100 s."""
    clock = [0.0]
    monkeypatch.setattr(results, "monotonic", lambda: clock[0])
    stream = Stream(4, most=9)
    consumer: IMapUnorderedIterator[int] = IMapUnorderedIterator(stream)
    found = [stream.room]
    for clock[0] in (0.1, 100.1):
        while stream.room >= 1:
            give(stream, stream.begin_item())
        thread = threading.Thread(target=stream.await_room)
        thread.start()
        while thread.is_alive():
            with suppress(ValueError):
                next(consumer)
            thread.join(0.1)
        found.append(stream.room + stream._ahead())
    return found


def test_of_light_ones_that_come_fast_more_are_taken_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many as are done in a quarter of a second, within a bound; as before when they do not."""

    def light(stream: Stream, index: int) -> None:
        stream.set_items(index, [index])

    assert goes_ahead(monkeypatch, light) == [4, 9, 4]
    monkeypatch.setattr(results, "AHEAD_SECONDS", 0.2)
    assert goes_ahead(monkeypatch, light) == [4, 8, 4]


def test_heavy_results_and_heavy_items_are_not_taken_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However fast they come: they take memory, or room on the disk."""
    assert goes_ahead(monkeypatch, lambda stream, i: stream.set_item(i, True, i)) == [4, 4, 4]

    def heavy(stream: Stream, index: int) -> None:
        stream.met_heavy_item()
        stream.set_items(index, [index])

    assert goes_ahead(monkeypatch, heavy) == [4, 4, 4]

    def heavy_later(stream: Stream, index: int) -> None:
        stream.set_items(index, [index])
        if index == 3:  # what has been sent cannot be helped
            stream.set_item(index, True, index)

    assert goes_ahead(monkeypatch, heavy_later) == [4, 4, 4]


def test_what_fails_is_not_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of the others."""

    def fails_sometimes(stream: Stream, index: int) -> None:
        if index % 2:
            stream.set_items(index, [index])
        else:
            stream.set_item(index, False, ValueError())

    assert goes_ahead(monkeypatch, fails_sometimes) == [4, 9, 4]


@pytest.mark.parametrize("kind", [IMapIterator, IMapUnorderedIterator])
@pytest.mark.parametrize("together", [False, True])
def test_what_was_given_is_not_kept(kind: type[IMapUnorderedIterator[Any]], together: bool) -> None:
    """The consumer alone has it, also while it works on it."""
    stream = Stream(10)
    results = kind(stream)
    values = [set(), set()]
    held = [weakref.ref(value) for value in values]
    if together:
        stream.set_items(0, values)
    else:
        for index, value in enumerate(values):
            stream.set_item(index, True, value)
        del value
    del values
    first = next(results)
    assert held[0]() is first
    del first
    assert held[0]() is None
    assert held[1]() == set()


@pytest.mark.parametrize("event", ["abandoned", "failed", "lifted"])
def test_who_feeds_does_not_wait_in_vain(event: str) -> None:
    """When nobody consumes any more, for whatever reason."""
    stream = Stream(2)
    results: IMapIterator[int] | None = IMapIterator(stream)
    for number in range(2):
        stream.set_item(stream.begin_item(), True, number)
    thread = threading.Thread(target=stream.await_room)
    thread.start()
    if event == "abandoned":
        results = None
        gc.collect()
    elif event == "failed":
        stream.fail(ValueError())
    else:
        stream.lift()
    thread.join(10)
    assert not thread.is_alive()
    del results


def test_whoever_is_interrupted_holds_up_nobody() -> None:
    """Ctrl-C at any step of one who waits: another one who waits is woken nevertheless."""
    for step in itertools.count(1):
        gate = _Gate()
        other = threading.Thread(target=gate.wait, args=(None,), daemon=True)
        comes = threading.Timer(0.01, other.start)  # second in turn, in all likelihood
        opens = threading.Timer(0.02, gate.open)
        comes.start()
        opens.start()
        was_interrupted = interrupted(lambda: gate.wait(None), step)  # noqa: B023
        comes.join()
        opens.join()
        other.join(30)
        assert not other.is_alive()
        if not was_interrupted:
            break
    assert step > 10


def interrupted(wait: Callable[[], None], after: int) -> bool:
    """Waits, and presses Ctrl-C at so many-th step of the interpreter; whether there is one."""
    steps = itertools.count(1)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes = True
        if frame.f_code is not _Gate.wait.__code__:
            return None
        if event == "opcode" and next(steps) == after:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        wait()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


# ---- signals


def test_nobody_waits_for_long_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that comes just before a wait begins is noticed when it ends."""
    now = 100.0
    monkeypatch.setattr(results, "monotonic", lambda: now)
    waited = []
    for seconds in results.pieces(2.5):
        waited.append(seconds)
        now += seconds
    assert waited == [1.0, 1.0, 0.5]
    assert list(results.pieces(-1.0)) == [0]
    assert [*itertools.islice(results.pieces(None), 3)] == [1.0] * 3


def test_a_result_that_does_not_come_in_time_is_not_waited_for() -> None:
    """However the time is cut into pieces."""
    handle = AsyncResult[int](None, None, Callbacks().post)
    handle.wait(0)
    assert not handle.ready()
    with pytest.raises(PoolTimeoutError):
        handle.get(0.01)
    handle.set_item(0, True, 7)
    assert handle.get(0) == 7
