"""Waiting on descriptors for less than a millisecond, which `poll` in Python cannot."""

import select
from collections.abc import Iterable


def wait_for(reading: Iterable[int], writing: Iterable[int], seconds: float) -> bool:
    """Whether one of the descriptors became ready within so many seconds."""
    reading, writing = list(reading), list(writing)
    try:
        return any(select.select(reading, writing, [], max(seconds, 0.0)))
    except ValueError:  # a descriptor of 1024 or more
        poller = select.poll()
        for fd in reading:
            poller.register(fd, select.POLLIN)
        for fd in writing:
            poller.register(fd, select.POLLOUT)
        return bool(poller.poll(max(seconds, 0.0) * 1000))
