"""Waiting for less than a millisecond: `poll` in Python cannot, nor does Linux like to.

A sleep may last longer there than it was asked for, by the timer slack of its thread, so that
several end at once: 50 microseconds as a rule (see PR_SET_TIMERSLACK in prctl(2)). Whoever looks
into a file every 50 or 100 microseconds, for somebody waits for what comes, does without.
"""

import _thread
import os
import select
import time
from collections.abc import Sequence

USUAL_SLACK = 50_000
"""Nanoseconds: what Linux begins with."""

OTHERS_SECONDS = 0.00005
"""Who gives way, and goes on so much later, was not alone."""

_slack_before = 0


def wake_in_time() -> None:
    """Sleeps of this thread end when they should, on Linux.

    Its forks and the threads that it starts inherit that: where they run what is not ours, they
    `wake_as_usual`.
    """
    global _slack_before
    _slack_before = _replace_slack(1)


def wake_as_usual() -> None:
    """This thread sleeps as the one that woke in time did before, in this process or its parent."""
    if _slack_before:  # who has started that one may wake in time, too
        _replace_slack(max(_slack_before, USUAL_SLACK))


def _replace_slack(nanoseconds: int) -> int:
    """That of this thread; gives what it was, 0 if it cannot be changed."""
    try:
        thread = _thread.get_native_id()
        os.stat(f"/proc/self/task/{thread}")  # else these are the numbers of another namespace
        with open(f"/proc/{thread}/timerslack_ns", "r+b", buffering=0) as file:
            before = int(file.read())
            file.write(b"%d" % nanoseconds)
            return before
    except (AttributeError, OSError, ValueError):
        return 0


def give_way() -> bool:
    """Lets others run on this core; whether there were some, as far as that is known."""
    if not hasattr(os, "sched_yield"):
        return True
    began = time.monotonic()
    os.sched_yield()
    return time.monotonic() - began > OTHERS_SECONDS


def wait_for(reading: Sequence[int], writing: Sequence[int], seconds: float) -> list[int]:
    """Those of the descriptors that are ready, as soon as one is; none after so many seconds."""
    try:
        readable, writable, _ = select.select(reading, writing, (), max(seconds, 0.0))
        return readable + writable
    except ValueError:  # a descriptor of 1024 or more
        poller = select.poll()
        for fd in reading:
            poller.register(fd, select.POLLIN)
        for fd in writing:
            poller.register(fd, select.POLLOUT)
        return [fd for fd, _ in poller.poll(max(seconds, 0.0) * 1000)]
