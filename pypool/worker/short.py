"""Short tasks: those that take less than it costs to tell of them, run in a loop that is lean.

What each of them returns is laid by (see `laid_by`), and sent with others after a moment. Anything
out of the ordinary, an exception, a large value, something printed, is sent at once and by itself.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence

from pypool import task
from pypool.columns import LETTERS, PICKLES
from pypool.packing import OutOfBand
from pypool.rundir.batch import APPLY, MAP, BatchReader
from pypool.rundir.messages import ERROR, VALUE, Share
from pypool.worker.outcome import packed_value, pickled_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pypool.packing import Packed
    from pypool.worker.page import Page

TOGETHER_SECONDS = 0.004
"""After so many seconds what was laid by is sent."""


class ShortTasks:
    """Runs the tasks of a message.

    Parameters
    ----------
    page : Page
        Where values are put, and where it is said which task is at work.
    call : callable
        Runs a task that is not a plain call; gives what came of it.
    send : callable
        Sends what was laid by: told when the first of the tasks began, by the clock of the wall,
        and how many seconds they took.
    answer : callable
        Sends what came of one task.
    slot : int
        The worker's.
    """

    def __init__(
        self,
        page: Page,
        call: Callable[[BatchReader, Share, int, bytes], tuple[int, bytes | Packed]],
        send: Callable[[float, float], None],
        answer: Callable[[int, int, int, bytes | Packed, float, float], None],
        slot: int,
    ) -> None:
        self._page = page
        self._call = call
        self._send = send
        self._answer = answer
        self._slot = slot
        self._pid = os.getpid()
        self._forked = False
        os.register_at_fork(after_in_child=self._is_child)
        self._buffers = OutOfBand()
        self._refused: tuple[int, bytes | Packed] = VALUE, b""

    def run(
        self,
        batch: BatchReader,
        share: Share,
        blocks: Iterator[tuple[int, int]],
        items: Sequence[Any],
        function: Callable[..., Any],
        are_numbers: bool,
        has_printed: Callable[[], bool] | None = None,
    ) -> None:
        """Those of the share that are in one of the blocks of first, ..., last - 1, in order.

        The items of the share are numbers to call the function with, or pickles. With
        `has_printed`, a task after which that is so is told of by itself.
        """
        index_at, since_at, clock = self._page.index, self._page.since, time.monotonic
        call = function if are_numbers else _loading(batch.call, function)
        now_at = [share.first]  # a child that a task forks goes on being that task
        before = task.begin(
            task.Series(
                lambda: batch.index_in_call(now_at[0]), share.attempt, self._slot, batch.seed
            )
        )
        kind = ""
        add = self._begin(share, share.first, kind)
        begun, start = time.time(), clock()
        now = start
        behind = share.first
        try:
            for first, last in blocks:
                if first != behind:  # others have been taken back
                    self._send_laid_by(begun, now - start)
                    add = self._begin(share, first, kind)
                    begun, start = time.time(), clock()
                    now = start
                behind = last
                for index, item in enumerate(
                    items[first - share.first : last - share.first], first
                ):
                    index_at[0] = now_at[0] = index
                    since_at[0] = now
                    value = answer = None
                    try:
                        value = call(item)
                    except BaseException as error:
                        answer = self._not_returned(batch, share, index, item, error, are_numbers)
                    if self._forked:
                        self._end_child()  # before it writes into memory that it shares with us
                    is_alone = has_printed is not None and has_printed()
                    is_laid_by = answer is None and not is_alone and add(value)
                    now = clock()
                    if is_laid_by and now - start <= TOGETHER_SECONDS:
                        continue
                    if is_laid_by:
                        self._send_laid_by(begun, now - start)
                        add = self._begin(share, index + 1, kind)
                        begun, start = time.time(), clock()
                        now = start
                        continue
                    own = now - since_at[0]
                    self._send_laid_by(begun, now - start - own)
                    begun, start = time.time() - own, now - own
                    if is_alone:
                        outcome, body = answer or packed_value(value)
                        self._answer(index, share.attempt, outcome, body, begun, own)
                        add = self._begin(share, index + 1, kind)
                    else:
                        kind, add = self._begin_anew(share, index, kind, value, answer, begun, own)
                    goes_on = self._page.laid_by.place[2] > 0  # with this value as the first
                    if goes_on and own > TOGETHER_SECONDS:
                        self._send_laid_by(begun, own)
                        add = self._begin(share, index + 1, kind)
                        goes_on = False
                    if not goes_on:
                        begun, start = time.time(), clock()
                        now = start
        except BaseException:  # files cannot be read, as a rule; the tasks before it are done
            task.begin(before)
            self._send_laid_by(begun, now - start)
            raise
        self._send_laid_by(begun, now - start)
        task.begin(before)

    def _begin(self, share: Share, index: int, kind: str) -> Callable[[Any], bool]:
        """Values of that kind are laid by from that task on; gives what does it, if it can.

        As long as no kind is known that is none.
        """
        laid_by = self._page.laid_by
        laid_by.begin(share.batch, index, share.attempt, kind or PICKLES)
        if not kind:
            return _take_nothing
        return self._add_pickled if kind == PICKLES else laid_by.column(kind)

    def _begin_anew(
        self,
        share: Share,
        index: int,
        kind: str,
        value: Any,
        answer: tuple[int, bytes | Packed] | None,
        begun: float,
        seconds: float,
    ) -> tuple[str, Callable[[Any], bool]]:
        """What came of a task and does not go with what was laid by, once that has been sent.

        Others may go with it, or it is answered alone. Gives the kind of values that are laid by
        from now on, and what does that.
        """
        if answer is None:
            for each in _kinds(kind, value) if kind != PICKLES else ():
                add = self._begin(share, index, each)
                if add(value):
                    return each, add
            answer, self._refused = self._refused, (VALUE, b"")
        outcome, body = answer
        if outcome == VALUE and type(body) is bytes:
            add = self._begin(share, index, PICKLES)
            if self._page.laid_by.add(body):
                return PICKLES, add
        self._answer(index, share.attempt, outcome, body, begun, seconds)
        return kind, self._begin(share, index + 1, kind)

    def _add_pickled(self, value: Any) -> bool:
        """Lays by a value. What cannot be is kept pickled."""
        try:
            data = pickle.dumps(value, 5, buffer_callback=self._buffers)
        except BaseException:  # by value it may work
            self._buffers.buffers.clear()
            self._refused = packed_value(value)
            return False
        if not self._buffers.buffers and self._page.laid_by.add(data):
            return True
        self._refused = VALUE, self._buffers.packed(data)
        return False

    def _send_laid_by(self, begun: float, seconds: float) -> None:
        self._end_child()
        self._send(begun, seconds)

    def _is_child(self) -> None:
        self._forked = True

    def _end_child(self) -> None:
        """A child that a task has forked, and that has come back into our loop, ends here."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _not_returned(
        self,
        batch: BatchReader,
        share: Share,
        index: int,
        item: Any,
        error: BaseException,
        are_numbers: bool,
    ) -> tuple[int, bytes | Packed]:
        """What came of a task that has raised, or whose item is no plain pickle."""
        if task.LOADING[0] and not are_numbers:
            task.LOADING[0] = False
            return self._call(batch, share, index, item)
        traceback = error.__traceback__
        if traceback is not None and not are_numbers:
            error.__traceback__ = traceback.tb_next  # without what loads the item
        return ERROR, pickled_error(error)


def _loading(call: int, function: Callable[..., Any]) -> Callable[[bytes], Any]:
    """The function, to be called with a pickled item.

    That it is `task.LOADING` when this raises says that it was not called.
    """
    loads, loading = pickle.loads, task.LOADING

    def call_mapped(item: bytes) -> Any:
        loading[0] = True
        argument = loads(item)
        loading[0] = False
        return function(argument)

    def call_with_elements(item: bytes) -> Any:
        loading[0] = True
        arguments = loads(item)
        loading[0] = False
        return function(*arguments)

    def call_applied(item: bytes) -> Any:
        loading[0] = True
        arguments, named = loads(item)
        loading[0] = False
        return function(*arguments, **named)

    return {MAP: call_mapped, APPLY: call_applied}.get(call, call_with_elements)


def _kinds(kind: str, value: Any) -> tuple[str, ...]:
    """What the value may be laid by as, if what was laid by so far is of that kind."""
    its_own = LETTERS.get(type(value), PICKLES)
    return (PICKLES,) if kind not in ("", its_own) or its_own == PICKLES else (its_own, PICKLES)


def _take_nothing(_: Any) -> bool:
    return False
