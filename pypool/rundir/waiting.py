"""Waiting on descriptors for less than a millisecond, which `poll` in Python cannot."""

import select
from collections.abc import Sequence


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
