"""Short tasks: those that take less than it costs to tell of them, run in a loop that is lean.

What each of them returns is laid by (see `laid_by`), and sent with others after a moment. Anything
out of the ordinary, an exception, a large value, something printed, is sent at once and by itself.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence

from pypool import task
from pypool.kinds import KINDS, PICKLES, kind_of, known
from pypool.packing import OutOfBand
from pypool.rundir.batch import APPLY, MAP, BatchReader
from pypool.rundir.messages import ERROR, VALUE, Share
from pypool.worker.outcome import packed_value, pickled_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pypool.packing import Packed
    from pypool.worker.page import Page

    LayBy = Callable[[Callable[[Any], Any], Sequence[Any]], tuple[int, "Odd | None"]]
    """Calls with one item after the other and lays by what comes of it. Gives how many went well;
    and what came of the next one, if that did not. Without that, fewer than all say that there is a
    bar."""

TOGETHER_SECONDS = 0.016
"""After so many seconds what was laid by is sent."""

UNWATCHED_SECONDS = 100e-6
"""So long should the tasks take between two looks at the clock."""


class Odd:
    """What came of a task whose value was not laid by.

    Attributes
    ----------
    value : object
        What it has returned.
    error : BaseException or None
        Or what it has raised.
    has_printed : bool
        It is told of by itself, for it has printed something.
    """

    __slots__ = ("error", "has_printed", "value")

    def __init__(
        self, value: Any, error: BaseException | None = None, has_printed: bool = False
    ) -> None:
        self.value = value
        self.error = error
        self.has_printed = has_printed


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
        self._column: memoryview[Any] = memoryview(b"")
        self._place_at_fork = 0
        os.register_at_fork(before=self._keep_place, after_in_child=self._is_child)
        self._buffers = OutOfBand()
        self._refused: tuple[int, bytes | Packed] = VALUE, b""
        self._has_printed: Callable[[], bool] | None = None
        self._guess = ""
        self._message = 0

    def run(
        self,
        batch: BatchReader,
        share: Share,
        message: int,
        items: Sequence[Any],
        function: Callable[..., Any],
        are_values: bool,
        has_printed: Callable[[], bool] | None = None,
    ) -> int:
        """Those of the share, which came with the message of that number, up to a bar, if one is
        set; gives the first that was not begun.

        The items of the share are values to call the function with, or pickles. With
        `has_printed`, a task after which that is so is told of by itself.

        The clock is looked at only after so many tasks as should take a moment together. If they
        take long all the same, the agent sees it, and takes what was laid by.
        """
        page, clock = self._page, time.monotonic
        if not are_values:
            call = _loading(batch.call, function)
        else:
            call = function if batch.call == MAP else _spreading(function)
        self._has_printed = has_printed
        step = 1 if has_printed is not None else tasks_between_looks(share.seconds)
        kind = guess = self._guess  # as a rule tasks return what those before them have returned
        before = task.begin(
            task.Series(
                lambda: batch.index_in_call(self._place),
                share.attempt,
                self._slot,
                batch.seed,
            )
        )
        self._message = message
        index, first, last = share.first, share.first, share.last
        lay_by = self._begin(share, index, kind)
        begun, start = time.time(), clock()
        now = start
        try:
            while index < last:
                page.since[0] = looked = now
                block = items[index - first : index - first + step]
                done, odd = lay_by(call, block)
                self._end_child_of_task()
                index += done
                if done:
                    guess = ""
                now = clock()
                if odd is not None:
                    own = max(now - looked - done * share.seconds, 0.0)
                    page.begins(share.batch, index, looked)  # until it is told of
                    if guess:
                        kind = guess = ""  # the first one already is of another kind
                    self._send_laid_by(begun, now - start - own)
                    self._begin(share, index, kind)
                    begun, start = time.time() - own, now - own
                    answer = None
                    if odd.error is not None:
                        item = items[index - first]
                        answer = self._not_returned(
                            batch, share, index, item, odd.error, are_values
                        )
                        self._end_child_of_task()
                    kind, lay_by = self._begin_anew(share, index, kind, odd, answer, begun, own)
                    odd = answer = None  # large values are the caller's
                    index += 1
                    if not page.laid_by.place[2]:  # it has been sent by itself
                        begun, start = time.time(), clock()
                        now = start
                elif done < len(block):  # there is a bar
                    break
                if now - start > TOGETHER_SECONDS:
                    self._rest(index, begun, now - start)
                    lay_by = self._begin(share, index, kind)
                    begun, start = time.time(), clock()
                    now = start
        except BaseException:  # files cannot be read, as a rule; the tasks before it are done
            task.begin(before)
            self._rest(self._place, begun, now - start)
            raise
        self._rest(index, begun, now - start)
        task.begin(before)
        self._guess = kind if kind != PICKLES else ""
        return index

    def _begin(self, share: Share, index: int, kind: str) -> LayBy:
        """Values of that kind are laid by from that task on; gives what does it, if it can.

        As long as no kind is known that is none.
        """
        laid_by = self._page.laid_by
        laid_by.begin(share.batch, index, share.attempt, kind or PICKLES)
        self._page.goes_on()
        return self._laying_by(kind)

    def _laying_by(self, kind: str) -> LayBy:
        """What runs tasks and lays by values of that kind, behind those that are there."""
        if kind in KINDS and self._has_printed is None:
            return self._plainly(kind)
        return self._watching(self._adding(kind))

    def _adding(self, kind: str) -> Callable[[Any], bool]:
        """What lays by a value, if it can."""
        if not kind:
            return _take_nothing
        return self._add_pickled if kind == PICKLES else self._page.laid_by.adding(kind)

    def _plainly(self, kind: str) -> LayBy:
        """For numbers and the like: nothing is done here that needs not be.

        A child that a task has forked finds the column released, and so comes back to `run`.
        """
        column, counted = self._page.laid_by.column(kind)
        self._column = column
        kept, is_barred, bars = known(kind).type, self._page.bar.is_set, self._bars
        count = self._page.laid_by.place[2]

        def lay_by(call: Callable[[Any], Any], items: Sequence[Any]) -> tuple[int, Odd | None]:
            nonlocal count
            before = done = count
            for item in items:
                if is_barred[0] and bars():
                    break
                try:
                    value = call(item)
                except BaseException as error:
                    return done - before, Odd(None, error)
                if type(value) is not kept:
                    return done - before, Odd(value)
                try:
                    column[done] = value
                except (ValueError, IndexError):  # a large integer; no room
                    return done - before, Odd(value)
                counted[0] = done = done + 1
            count = done
            return done - before, None

        return lay_by

    def _watching(self, add: Callable[[Any], bool]) -> LayBy:
        """For any values; it may be looked whether tasks have printed."""
        has_printed, is_barred, bars = self._has_printed, self._page.bar.is_set, self._bars
        count = self._page.laid_by.place[2]

        def lay_by(call: Callable[[Any], Any], items: Sequence[Any]) -> tuple[int, Odd | None]:
            nonlocal count
            before = count
            for item in items:
                if is_barred[0] and bars():
                    break
                value = None
                try:
                    value = call(item)
                except BaseException as error:
                    return count - before, Odd(None, error)
                if self._forked:
                    self._end_child()
                if has_printed is not None and has_printed():
                    return count - before, Odd(value, has_printed=True)
                if not add(value):
                    return count - before, Odd(value)
                count += 1
            return count - before, None

        return lay_by

    def _begin_anew(
        self,
        share: Share,
        index: int,
        kind: str,
        odd: Odd,
        answer: tuple[int, bytes | Packed] | None,
        begun: float,
        seconds: float,
    ) -> tuple[str, LayBy]:
        """What came of a task and does not go with what was laid by, once that has been sent.

        Others may go with it, or it is answered alone. Gives the kind of values that are laid by
        from now on, and what does that.
        """
        if odd.has_printed:
            answer = answer or packed_value(odd.value)
        elif answer is None:
            for each in _kinds(kind, odd.value) if kind != PICKLES else ():
                self._begin(share, index, each)
                if self._adding(each)(odd.value):
                    return each, self._laying_by(each)
            answer, self._refused = self._refused, (VALUE, b"")
        outcome, body = answer
        if outcome == VALUE and type(body) is bytes and not odd.has_printed:
            self._begin(share, index, PICKLES)
            if self._page.laid_by.add(body):
                return PICKLES, self._laying_by(PICKLES)
        self._answer(index, share.attempt, outcome, body, begun, seconds)
        return kind, self._begin(share, index + 1, kind)

    def _add_pickled(self, value: Any) -> bool:
        """Lays by a value. What cannot be is kept pickled."""
        try:
            data = pickle.dumps(value, 5, buffer_callback=self._buffers)
        except BaseException:  # by value it may work
            self._buffers.buffers.clear()
            self._refused = packed_value(value)
            self._end_child_of_task()
            return False
        self._end_child_of_task()
        if not self._buffers.buffers and self._page.laid_by.add(data):
            return True
        self._refused = VALUE, self._buffers.packed(data)
        return False

    def _send_laid_by(self, begun: float, seconds: float) -> None:
        self._end_child()
        self._send(begun, seconds)

    def _rest(self, index: int, begun: float, seconds: float) -> None:
        """No task is at work while what was laid by is sent; that one comes next."""
        self._end_child()
        self._page.rests_before(index)
        self._send(begun, seconds)

    def _bars(self) -> bool:
        """Whether the task that comes next is not to be begun."""
        return self._page.bar.bars(self._message, self._place)

    @property
    def _place(self) -> int:
        """Which task of the batch is at work; a child that it forks goes on being that task."""
        if self._forked:
            return self._place_at_fork
        _, first, count = self._page.laid_by.place
        return first + count

    def _keep_place(self) -> None:
        self._place_at_fork = self._place

    def _is_child(self) -> None:
        """What it shares with us it must not write into."""
        self._forked = True
        self._column.release()

    def _end_child_of_task(self) -> None:
        """Before it writes into memory that it shares with us."""
        if self._forked:
            self._end_child()

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
        are_values: bool,
    ) -> tuple[int, bytes | Packed]:
        """What came of a task that has raised, or whose item is no plain pickle."""
        if task.LOADING[0] and not are_values:
            task.LOADING[0] = False
            return self._call(batch, share, index, item)
        traceback = error.__traceback__
        if traceback is not None and not (are_values and batch.call == MAP):
            error.__traceback__ = traceback.tb_next  # without what loads the item, or spreads it
        return ERROR, pickled_error(error)


def _spreading(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """The function, to be called with the elements of an item."""

    def call_with_elements(item: Any) -> Any:
        return function(*item)

    return call_with_elements


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
    its_own = kind_of(value)
    return (PICKLES,) if kind not in ("", its_own) or its_own == PICKLES else (its_own, PICKLES)


def tasks_between_looks(seconds: float) -> int:
    """How many tasks are run without a look at the clock, if each should take so long."""
    return max(1, int(UNWATCHED_SECONDS / seconds)) if seconds else 1


def _take_nothing(_: Any) -> bool:
    return False
