"""The bar: from which task of a message on its worker begins nothing any more.

A message passes on several short tasks at once. What the worker has read cannot be taken out of its
pipe again, but no task is to wait behind a long one. So the agent can set a bar in the memory that
it shares with the worker, and have what lies behind it done by somebody else.

Neither takes a lock. The worker says which task comes next, then looks at the bar. The agent sets
the bar, waits for a moment, far longer than it takes until one core sees what another has written,
and then reads which task the worker is at. Before any that comes later the worker sees the bar. The
one that it is at may have been begun or not: who stops at a bar says where.

    whether there is one (1 byte), in a view of its own
    | number of the message (4 bytes) | the first task that is not begun (4)
"""

from __future__ import annotations

import struct

from pypool.rundir.messages import Share

SETTLED_SECONDS = 50e-6
"""After so long both have seen what the other has written: a core keeps it to itself for less than
a microsecond, or until it does something else."""

_NUMBER = struct.Struct("<I")


def pack_message(share: Share, number: int) -> bytes:
    """What passes a share on to a worker; number 0: all of it is for that worker."""
    return share.pack() + _NUMBER.pack(number)


def unpack_message(packet: bytes) -> tuple[Share, int]:
    """The share and the number."""
    (number,) = _NUMBER.unpack_from(packet, len(packet) - _NUMBER.size)
    return Share.unpack(packet[: -_NUMBER.size]), number


def pack_stop(message: int) -> bytes:
    """The body of an entry that says where a worker has stopped: of which message."""
    return _NUMBER.pack(message)


def unpack_stop(body: bytes) -> int:
    """The number of that message."""
    (number,) = _NUMBER.unpack(body)
    return int(number)


class Bar:
    """See the module.

    Parameters
    ----------
    is_set : memoryview
        One byte.
    words : memoryview
        Eight bytes, aligned.

    Attributes
    ----------
    is_set : memoryview
        Of one element, which is 0 as long as there is no bar. A view, since it is looked at before
        each short task.
    """

    def __init__(self, is_set: memoryview, words: memoryview) -> None:
        self.is_set = is_set
        self._words = words.cast("I")

    def bars(self, message: int, task: int) -> bool:
        """Whether the worker is not to begin that task: asked when it has said that it comes."""
        return bool(self.is_set[0]) and self._words[0] == message and task >= self._words[1]

    def lower(self, message: int, first: int) -> None:
        """That task of the message and those behind it are not to be begun."""
        self.lift()
        self._words[0], self._words[1] = message, first
        self.is_set[0] = 1

    def lift(self) -> None:
        """There is none any more."""
        self.is_set[0] = 0

    @property
    def message(self) -> int:
        """The number of the message that has one; 0 if none has."""
        return self._words[0] if self.is_set[0] else 0
