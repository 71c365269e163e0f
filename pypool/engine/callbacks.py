"""Callbacks: the user's functions that are called with results, in one thread, as they arrive.

The dispatcher is not kept waiting by them, and one that raises harms nobody: it is told as the
exceptions of threads are (`threading.excepthook`).
"""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from pypool.results import pieces
from pypool.rundir.waiting import wake_as_usual

Job = tuple[Callable[[Any], object] | None, Any, Callable[[], object] | None]


class Callbacks:
    """The thread, begun with the first callback, and again with the first one after `join`."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun = threading.Lock()  # held while there is a thread; nobody waits for it
        self._skips = False

    def post(
        self,
        callback: Callable[[Any], object] | None,
        value: Any,
        then: Callable[[], object] | None = None,
    ) -> None:
        """Has `callback` called with `value`, and then `then`, after all that was posted before."""
        self._jobs.put((callback, value, then))
        self._begin()

    def _begin(self) -> None:
        """Starts the thread, unless there is one."""
        if self._begun.acquire(blocking=False):
            thread = threading.Thread(target=self._live, name="pypool-callbacks", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there is none left, or the interpreter is about to end
                self._jobs.put(None)
                self._live()
                self._begun.release()
            else:
                self._thread = thread

    def skip(self) -> None:
        """No further callback is called; what would have come after it is done."""
        self._skips = True

    def join(self) -> None:
        """Waits until all that was posted is done, unless a callback is what wants to wait."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        self._thread = None  # of two who wait, one ends it
        ended = threading.Event()  # a join that Ctrl-C interrupts would not be one the next time
        self._jobs.put((None, None, ended.set))
        self._jobs.put(None)
        for seconds in pieces(None):
            if ended.wait(seconds):
                break
        self._begun.release()
        if not self._jobs.empty():  # posted just now
            self._begin()

    def _live(self) -> None:
        wake_as_usual()
        while (job := self._jobs.get()) is not None:
            callback, value, then = job
            try:
                if callback is not None and not self._skips:
                    run_safely(callback, value)
            finally:
                if then is not None:
                    then()
            del job, callback, value, then  # nothing is kept alive until the next one comes


def run_safely(callback: Callable[[Any], object], value: Any) -> None:
    """Calls it; what it raises is told, and that is all."""
    try:
        callback(value)
    except BaseException:  # even SystemExit: it would end the thread, and nobody were told
        kind, error, traceback = sys.exc_info()
        told = (kind or BaseException, error, traceback, threading.current_thread())
        with suppress(BaseException):  # the program's own hook, or a closed standard error
            threading.excepthook(threading.ExceptHookArgs(told))
