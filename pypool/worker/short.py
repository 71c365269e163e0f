"""Short tasks: those that take less than it costs to tell of them, run in a loop that is lean.

What each of them returns is laid by (see `laid_by`), and sent with others after a moment. Anything
out of the ordinary, an exception or a large value, is sent at once and by itself.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable

from pypool import task
from pypool.packing import OutOfBand, is_plain
from pypool.rundir.batch import MAP, BatchReader
from pypool.rundir.messages import ERROR, VALUE, Share
from pypool.worker.outcome import packed_value, pickled_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pypool.packing import Packed
    from pypool.worker.page import Page

TOGETHER_SECONDS = 0.0005
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
        self._function: Callable[..., Any] = len

    def run(
        self, batch: BatchReader, share: Share, items: list[bytes], function: Callable[..., Any]
    ) -> None:
        """All of them."""
        page, laid_by, clock = self._page, self._page.laid_by, time.monotonic
        index_at, since_at, add = page.index, page.since, laid_by.add
        one = self._plain if batch.call == MAP else self._call
        laid_by.begin(share.batch, share.first, share.attempt)
        begun, start = time.time(), clock()
        now = start
        now_at = [share.first]  # a child that a task forks goes on being that task
        self._function = function
        before = task.begin(
            task.Series(
                lambda: batch.index_in_call(now_at[0]), share.attempt, self._slot, batch.seed
            )
        )
        for index, item in enumerate(items, share.first):
            index_at[0] = now_at[0] = index
            since_at[0] = now
            try:
                outcome, body = one(batch, share, index, item)
            except BaseException:  # its files cannot be read; those before it are done
                task.begin(before)
                self._send_laid_by(begun, now - start)
                raise
            if self._forked:
                self._end_child()
            now = clock()
            alone = outcome != VALUE or type(body) is not bytes or not add(body)
            if alone or now - start > TOGETHER_SECONDS:
                self._send_laid_by(begun, now - start)
                if alone:
                    self._answer(index, share.attempt, outcome, body, begun, now - start)
                laid_by.begin(share.batch, index + 1, share.attempt)
                begun, start = time.time(), clock()
        self._send_laid_by(begun, now - start)
        task.begin(before)

    def _send_laid_by(self, begun: float, seconds: float) -> None:
        self._end_child()
        self._send(begun, seconds)

    def _is_child(self) -> None:
        self._forked = True

    def _end_child(self) -> None:
        """A child that a task has forked, and that has come back into our loop, ends here."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _plain(
        self, batch: BatchReader, share: Share, index: int, item: bytes
    ) -> tuple[int, bytes | Packed]:
        """One task whose function is called with the item, and what came of it."""
        if not is_plain(item):
            return self._call(batch, share, index, item)
        loading = task.LOADING
        loading[0] = True
        try:
            argument = pickle.loads(item)
        except BaseException:  # it will be said
            return self._call(batch, share, index, item)
        finally:
            loading[0] = False
        try:
            value = self._function(argument)
        except BaseException as error:
            return ERROR, pickled_error(error)
        try:
            data = pickle.dumps(value, 5, buffer_callback=self._buffers)
        except BaseException:  # by value it may work
            self._buffers.buffers.clear()
            return packed_value(value)
        return VALUE, self._buffers.packed(data) if self._buffers.buffers else data
