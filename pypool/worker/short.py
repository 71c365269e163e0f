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
from pypool.worker.laid_by import LaidBy
from pypool.worker.outcome import packed_value, pickled_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pypool.packing import Packed

TOGETHER_SECONDS = 0.0005
"""After so many seconds what was laid by is sent."""


class ShortTasks:
    """Runs the tasks of a message.

    Parameters
    ----------
    laid_by : LaidBy
        Where values are put.
    at_work : callable
        Told which task begins, and when by the monotonic clock.
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
        laid_by: LaidBy,
        at_work: Callable[[int, float], None],
        call: Callable[[BatchReader, Share, int, bytes], tuple[int, bytes | Packed]],
        send: Callable[[float, float], None],
        answer: Callable[[int, int, int, bytes | Packed, float, float], None],
        slot: int,
    ) -> None:
        self._laid_by = laid_by
        self._at_work = at_work
        self._call = call
        self._send = send
        self._answer = answer
        self._slot = slot
        self._pid = os.getpid()
        self._buffers = OutOfBand()
        self._function: Callable[..., Any] = len

    def run(
        self, batch: BatchReader, share: Share, items: list[bytes], function: Callable[..., Any]
    ) -> None:
        """All of them."""
        laid_by, at_work, clock, pid = self._laid_by, self._at_work, time.monotonic, self._pid
        add = laid_by.add
        one = self._plain if batch.call == MAP else self._call
        laid_by.begin(share.batch, share.first, share.attempt)
        begun, start = time.time(), clock()
        now = start
        self._function = function
        for index, item in enumerate(items, share.first):
            at_work(index, now)
            try:
                outcome, body = one(batch, share, index, item)
            except BaseException:  # its files cannot be read; those before it are done
                self._send(begun, now - start)
                raise
            if os.getpid() != pid:
                os._exit(0)  # a child that the task forked and that came back into our loop
            now = clock()
            alone = outcome != VALUE or type(body) is not bytes or not add(body)
            if alone or now - start > TOGETHER_SECONDS:
                self._send(begun, now - start)
                if alone:
                    self._answer(index, share.attempt, outcome, body, begun, now - start)
                laid_by.begin(share.batch, index + 1, share.attempt)
                begun, start = time.time(), clock()
        self._send(begun, now - start)
        task.begin(None)

    def _plain(
        self, batch: BatchReader, share: Share, index: int, item: bytes
    ) -> tuple[int, bytes | Packed]:
        """One task whose function is called with the item, and what came of it."""
        if not is_plain(item):
            return self._call(batch, share, index, item)
        task.begin_loading(True)
        try:
            argument = pickle.loads(item)
        except BaseException:  # it will be said
            return self._call(batch, share, index, item)
        finally:
            task.begin_loading(False)
        task.begin_later(batch.index_in_call, index, share.attempt, self._slot, batch.seed)
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
