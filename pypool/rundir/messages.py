"""What the records of a mailbox say: shares, results; the rarer words are JSON.

Both sides import this module, so that a message has one definition.
"""

from __future__ import annotations

import struct

from pypool.words import pack as pack  # both for who imports this module
from pypool.words import unpack as unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SHARE = struct.Struct("<IIQIIHfI")
_ENTRY = struct.Struct("<IHBBHdfIQQII")
_ELSEWHERE = struct.Struct("<IQQI")
ENTRY_SIZE = _ENTRY.size

# outcomes of a task
VALUE = 0
ERROR = 1
UNPICKLABLE = 2
"""The function returned something that does not pickle; the body says what and why."""
VOID = 3
"""From worker to agent only: the batch could not be read, nothing more of this message is begun."""
VALUES = 5
"""Values of several tasks, the entry's and those behind it; see `values`."""
STOPPED = 6
"""From worker to agent only: from that task on nothing of a message was begun; see `worker.bar`."""
READY = 4
"""From worker to agent only: the initializer has returned; or the body says what it raised."""

_INLINE = 0
_DATA_FILE = 1

DEFAULT_LINGER = 30.0

MOST_ATTEMPTS = (1 << 16) - 1
LARGEST_CHUNK = (1 << 32) - 1
LARGEST_MEMORY = (1 << 32) - 1
"""What a record can tell; more is told as this."""


class Share:
    """A range of a batch, as dealt to an agent and as passed on to a worker.

    Attributes
    ----------
    batch, file, offset : int
        The batch's number and where it lies.
    first, last : int
        Tasks first, ..., last - 1.
    attempt : int
        How often these tasks are started with this share, from 1.
    seconds : float
        What one task is expected to take; 0 if nobody knows.
    chunk : int
        So many tasks, from the batch's first one on, are for one worker; 0 if nobody said.
    """

    __slots__ = ("attempt", "batch", "chunk", "file", "first", "last", "offset", "seconds")

    def __init__(
        self,
        batch: int,
        file: int,
        offset: int,
        first: int,
        last: int,
        attempt: int = 1,
        seconds: float = 0.0,
        chunk: int = 0,
    ) -> None:
        self.batch = batch
        self.file = file
        self.offset = offset
        self.first = first
        self.last = last
        self.attempt = attempt
        self.seconds = seconds
        self.chunk = chunk

    def pack(self) -> bytes:
        return _SHARE.pack(
            self.batch,
            self.file,
            self.offset,
            self.first,
            self.last,
            min(self.attempt, MOST_ATTEMPTS),
            self.seconds,
            min(self.chunk, LARGEST_CHUNK),
        )

    @classmethod
    def unpack(cls, data: bytes) -> Share:
        return cls(*_SHARE.unpack(data))

    def ends_chunk(self, index: int) -> bool:
        """Whether a chunk is done with that task; what was lost before comes by itself."""
        return (index + 1) % (self.chunk or 1) == 0 or index + 1 == self.last

    def part(self, first: int, last: int) -> Share:
        """The same share, but for fewer tasks."""
        place = self.batch, self.file, self.offset
        return Share(*place, first, last, self.attempt, self.seconds, self.chunk)


class Entry:
    """What came of one task.

    Attributes
    ----------
    index, attempt, outcome, slot : int
    count : int
        Of how many tasks it tells: that of `index` and those behind it.
    start : float
        Seconds since the epoch, by the node's clock.
    seconds : float
        Run time: loading the item and calling the function.
    memory : int
        Peak resident memory of the worker so far, in KiB.
    output : tuple of int
        First byte and number of bytes of what the task printed, in the slot's output file.
    body : bytes
        The pickled result or error, unless it lies in a data file.
    elsewhere : tuple of int or None
        Part, offset, size and CRC-32 of the body in the slot's data file.
    """

    __slots__ = (
        "attempt",
        "body",
        "count",
        "elsewhere",
        "head",
        "index",
        "memory",
        "outcome",
        "output",
        "seconds",
        "slot",
        "start",
    )

    def __init__(self, data: bytes, position: int = 0) -> None:
        (
            self.index,
            self.attempt,
            self.outcome,
            place,
            self.slot,
            self.start,
            self.seconds,
            self.memory,
            first,
            size,
            self.count,
            length,
        ) = _ENTRY.unpack_from(data, position)
        self.output = (first, size)
        self.head = data[position : position + ENTRY_SIZE]
        self.body = data[position + ENTRY_SIZE : position + ENTRY_SIZE + length]
        if self.count > max(1, len(self.body)):
            raise ValueError(f"{len(self.body)} bytes are no {self.count} values")
        self.elsewhere = _ELSEWHERE.unpack(self.body) if place == _DATA_FILE else None

    def parts(self) -> Iterator[Entry]:
        """Of an entry with several values: one for each task."""
        from pypool.rundir import values  # an agent says hello before it is loaded

        for index, pickled in enumerate(values.pickles(self.body, self.count), self.index):
            yield Entry(
                pack_entry(
                    index,
                    self.attempt,
                    VALUE,
                    self.slot,
                    self.start,
                    self.seconds,
                    self.memory,
                    self.output,
                    pickled,
                )
            )

    def values(self) -> list[Any]:
        """Of an entry with several values: all of them."""
        from pypool.rundir import values

        return values.loads(self.body, self.count)

    def without(self, tasks: int, seconds: float) -> bytes:
        """The bytes of the entry without its first so many values; the others took so long."""
        from pypool.rundir import values

        return pack_entry(
            self.index + tasks,
            self.attempt,
            self.outcome,
            self.slot,
            self.start,
            seconds,
            self.memory,
            self.output,
            values.without(self.body, self.count, tasks),
            count=self.count - tasks,
        )


def pack_entry(
    index: int,
    attempt: int,
    outcome: int,
    slot: int,
    start: float,
    seconds: float,
    memory: int,
    output: tuple[int, int],
    body: bytes,
    elsewhere: tuple[int, int, int, int] | None = None,
    count: int = 1,
) -> bytes:
    """The bytes of an entry; see `Entry` for what they mean."""
    place = _INLINE
    if elsewhere is not None:
        place = _DATA_FILE
        body = _ELSEWHERE.pack(*elsewhere)
    head = _ENTRY.pack(
        index,
        attempt,
        outcome,
        place,
        slot,
        start,
        seconds,
        min(memory, LARGEST_MEMORY),
        output[0],
        output[1],
        count,
        len(body),
    )
    return head + body


def entries(payload: bytes) -> Iterator[Entry]:
    """The entries of a RESULTS record."""
    position = 0
    while position < len(payload):
        entry = Entry(payload, position)
        position += ENTRY_SIZE + len(entry.body)
        yield entry


def entries_of_tasks(payload: bytes) -> Iterator[Entry]:
    """The same, with an entry for each task."""
    for entry in entries(payload):
        yield from entry.parts() if entry.outcome == VALUES else (entry,)


def outcomes(heads: bytes) -> Iterator[tuple[int, int]]:
    """Index and outcome of each of the entries whose heads stand in a TASKS record."""
    for head in _ENTRY.iter_unpack(heads):
        outcome = VALUE if head[2] == VALUES else head[2]
        for index in range(head[0], head[0] + head[-2]):
            yield index, outcome


def cut_entries(data: bytes) -> tuple[list[tuple[int, int, int, float, bytes]], int]:
    """Whole entries of a stream: index, count, outcome, seconds, bytes of each; their length."""
    found = []
    position = 0
    while position + ENTRY_SIZE <= len(data):
        head = _ENTRY.unpack_from(data, position)
        end = position + ENTRY_SIZE + head[-1]
        if end > len(data):
            break
        found.append((head[0], head[-2], head[2], head[6], data[position:end]))
        position = end
    return found, position


def beat_seconds(elements: int) -> float:
    """Seconds between two beats of an agent, so that many agents do not drown the disk."""
    return min(max(elements / 100, 10.0), 60.0)
