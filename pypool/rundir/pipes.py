"""Pipes: how much they hold."""

from __future__ import annotations

import os

from pypool.rundir.mailbox import PIECE

PIPE_BYTES = 1 << 20


def packets_held(fd: int) -> int:
    """So many packets go into a pipe, one in a page; 0 if that is not known.

    An ordinary user whose pipes have used up what they may have gets small ones.
    """
    import fcntl

    get_size = getattr(fcntl, "F_GETPIPE_SZ", None)
    if get_size is None:
        return 0
    try:
        return int(fcntl.fcntl(fd, get_size)) // os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def enlarge(fd: int) -> int:
    """A pipe as large as an ordinary user may have, so that who writes seldom waits for who reads.

    Gives how many bytes it holds.
    """
    import fcntl

    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return PIECE
    try:
        return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:  # the user's pipes may have used up their allowance
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
