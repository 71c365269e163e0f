"""What the end of the program means for its pools: no job and no process is left behind.

At its regular end, all are terminated that are still there. SIGTERM and SIGHUP end a program
without that; so while there is a pool with jobs, they first end the pools (a named run goes on
without its driver, everything else is cancelled), and then the program as they always do. Nothing
of that happens where the program has a handler of its own or ignores the signal (`nohup`), nor
for a pool whose first call is made outside of the main thread, where Python sets no handlers. A
second signal ends the program at once. Forks of the program have nothing to end.

A child of `multiprocessing` ends without what `atexit` calls: its own end is that of its pools.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

log = logging.getLogger("pypool")

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
MULTIPROCESSING_PRIORITY = 15
"""As that of its own pools: before children are waited for, and queues and managers end."""

PATIENCE = 20.0
"""So long pools may take to end after a signal."""


class Ending(Protocol):
    """What is known here of a dispatcher."""

    @property
    def ours(self) -> bool: ...

    @property
    def named(self) -> bool: ...

    def stop(self, how: str) -> None: ...

    def wait(self, seconds: float) -> bool: ...

    def spoil(self) -> None: ...


_living: set[Ending] = set()
_finishing: dict[str, tuple[int, Callable[[bool], None]]] = {}
_with_jobs: set[Ending] = set()
_at_child_end: Any = None


def watch(dispatcher: Ending, *, signals: bool) -> None:
    """From now on it is ended with the program; `signals`: it has jobs that would stay.

    Called before its thread is started.
    """
    _living.add(dispatcher)
    if multiprocessing.parent_process() is not None:
        _watch_child_end()
    if not signals:
        return
    _with_jobs.add(dispatcher)
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                with suppress(ValueError):  # a subinterpreter
                    signal.signal(number, _end_by)


def _watch_child_end() -> None:
    """Not before there is a pool: what is registered at import a child forgets as it begins."""
    global _at_child_end
    if _at_child_end is None or not _at_child_end.still_active():
        from multiprocessing import util

        _at_child_end = util.Finalize(None, _terminate_all, exitpriority=MULTIPROCESSING_PRIORITY)


def unwatch(dispatcher: Ending) -> None:
    """It has ended.

    To be called by its thread, and once more by who has joined that: handlers are set and removed
    in the main thread only. Until then they do what would happen without them.
    """
    _living.discard(dispatcher)
    _with_jobs.discard(dispatcher)
    if not _with_jobs and threading.current_thread() is threading.main_thread():
        _remove_handlers()


def finish_with_program(what: str, finish: Callable[[bool], None]) -> None:
    """Called at the regular end of the program, with whether it ended well; maybe again."""
    _finishing[what] = os.getpid(), finish


def finish_now(what: str) -> bool:
    """It is wanted again before; whether it was waiting for that."""
    found = _finishing.get(what)
    if found is None or found[0] != os.getpid():
        return False
    found[1](True)
    _finishing.pop(what, None)  # last: Ctrl-C in between, and it is called once more
    return True


def _remove_handlers() -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is _end_by:
            with suppress(ValueError):
                signal.signal(number, signal.SIG_DFL)


def _end_by(number: int, frame: object) -> None:
    """Ends the pools, and then the program by the signal, for whoever waits for its status."""
    _remove_handlers()  # the next one ends it at once
    deadline = time.monotonic() + PATIENCE
    living = [dispatcher for dispatcher in list(_living) if dispatcher.ours]
    for dispatcher in living:
        dispatcher.stop("detach" if dispatcher.named else "terminate")
    for dispatcher in living:
        dispatcher.wait(max(0.0, deadline - time.monotonic()))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@atexit.register
def _terminate_all() -> None:
    """A program that ends leaves no job behind, whatever became of its pools."""
    living = [dispatcher for dispatcher in list(_living) if dispatcher.ours]
    raised = _has_raised()
    for dispatcher in living:
        if raised:
            dispatcher.spoil()
        dispatcher.stop("terminate")
    deadline = time.monotonic() + PATIENCE
    for dispatcher in living:
        _wait_for(dispatcher, deadline)
    for owner, finish in list(_finishing.values()):
        if owner == os.getpid():
            finish(not raised)
    _finishing.clear()  # a spawned child of `multiprocessing` comes here twice


def _has_raised() -> bool:
    """An exception ends the program; in a child of `multiprocessing` it is being raised."""
    raised = sys.exc_info()[1]
    in_child = raised is not None and not isinstance(raised, SystemExit)
    return in_child or getattr(sys, "last_value", None) is not None


def _wait_for(dispatcher: Ending, deadline: float) -> None:
    """Whatever the user presses: what is being cancelled is worth some seconds."""
    while True:
        try:
            if not dispatcher.wait(max(0.0, deadline - time.monotonic())):
                log.warning("a pool has not ended after %.0f s; jobs of it may be left", PATIENCE)
            return
        except KeyboardInterrupt:
            continue


_masks = threading.local()


def _hold_signals() -> None:
    """A fork forgets what reaches it before it can act: `process.terminate()` might be lost."""
    ours = any(signal.getsignal(number) is _end_by for number in SIGNALS)
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if ours else None


def _let_signals_through() -> None:
    if _masks.before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _let_go() -> None:
    """In a fork of the driver: its signals are its own."""
    global _at_child_end
    _at_child_end = None
    _living.clear()
    _with_jobs.clear()
    _remove_handlers()
    _let_signals_through()


os.register_at_fork(
    before=_hold_signals, after_in_parent=_let_signals_through, after_in_child=_let_go
)
