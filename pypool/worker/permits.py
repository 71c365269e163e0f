"""Permits: which tasks of a message its worker may still begin.

A message passes on several short tasks at once. What the worker has read cannot be taken out of its
pipe again, but no task is to wait behind a long one. So with each such message go permits, each for
a few tasks, in a pipe of their own. The worker reads one before it begins those tasks; the agent
reads all that are left when it takes the tasks back. Who has read it has it: the system gives each
to one of them alone.

    message (4 bytes) | first task (4) | last task + 1 (4) | 4 unused
"""

from __future__ import annotations

import os
import select
import struct

from pypool.rundir.messages import Share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_SECONDS = 100e-6
"""So much work goes with one permit, at least one task: to read it takes a hundredth of that."""

PARTS = 32
"""No more than such a part of a message goes with one: tasks that turn out long hold up few."""

_NUMBER = struct.Struct("<I")
_PERMIT = struct.Struct("<III4x")

MOST = select.PIPE_BUF // _PERMIT.size
"""So many are written in one piece, or none of them."""

Permit = tuple[int, int, int]
"""Number of the message; tasks first, ..., last - 1."""


def pack_message(share: Share, number: int) -> bytes:
    """What passes a share on to a worker; number 0: it needs no permits."""
    return share.pack() + _NUMBER.pack(number)


def unpack_message(packet: bytes) -> tuple[Share, int]:
    """The share and the number."""
    (number,) = _NUMBER.unpack_from(packet, len(packet) - _NUMBER.size)
    return Share.unpack(packet[: -_NUMBER.size]), number


def open_pipe() -> tuple[int, int]:
    """A reading and a writing end; neither blocks."""
    ends = os.pipe()
    for fd in ends:
        os.set_blocking(fd, False)
    return ends


def tasks_of_one(tasks: int, seconds: float) -> int:
    """How many tasks go with one permit, if a message has so many that take so long each."""
    return max(1, min(int(BLOCK_SECONDS / seconds), tasks // PARTS))


def give(fd: int, message: int, first: int, last: int, step: int) -> None:
    """Writes the permits for a message, each for so many tasks; MOST at most.

    Raises
    ------
    BlockingIOError
        If there is no room; then none was written.
    """
    starts = range(first, last, step)
    os.write(fd, b"".join(_PERMIT.pack(message, at, min(at + step, last)) for at in starts))


def _read(fd: int) -> Permit | None:
    """The next one, if one is left."""
    try:
        data = os.read(fd, _PERMIT.size)
    except BlockingIOError:
        return None
    return _PERMIT.unpack(data) if data else None


def take(fd: int) -> dict[int, list[tuple[int, int]]]:
    """The agent's side: all that are left, by message; adjacent ones together."""
    found: dict[int, list[tuple[int, int]]] = {}
    while (permit := _read(fd)) is not None:
        message, first, last = permit
        ranges = found.setdefault(message, [])
        if ranges and ranges[-1][1] == first:
            first, _ = ranges.pop()
        ranges.append((first, last))
    return found


class Permits:
    """The worker's side."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._next: Permit | None = None

    def of(self, message: int) -> Iterator[tuple[int, int]]:
        """What may be begun of that message, range by range, in order.

        The agent may have taken any of them. Those of older messages are void: the tasks were
        taken back before.
        """
        while True:
            permit, self._next = self._next or _read(self._fd), None
            if permit is None:
                return
            if permit[0] > message:
                self._next = permit
                return
            if permit[0] == message:
                yield permit[1:]
