"""Batches: an immutable set of tasks of one function, written at once and read in pieces.

    frame(BATCH: how the function is called, number of tasks, digest of the function, number of
    parts, the parts, the seed) | offsets (count + 1, 8 bytes each, from the first item on)
    | CRC-32 of each item, begun with its index (4 bytes each)
    | the pickled items, one behind the other

A part says from which task on (4 bytes) the tasks have which indexes in their call (8 bytes).
Each item has a checksum of its own, so a worker reads its range and nothing else.
"""

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from zlib import crc32

from pypool.rundir import records

MAP = 0
"""Call the function with the item."""
STARMAP = 1
"""Call the function with the item's elements."""
APPLY = 2
"""Call the function with the item's positional and keyword arguments."""

META = struct.Struct("<BI32sI")
PART = struct.Struct("<IQ")
HEAD_BYTES = 512
"""As a rule the frame is not longer."""

WHERE = struct.Struct("<IIQ")

_OFFSET = 8
_CHECK = 4
_LARGEST = 1 << 64


class Place:
    """Where a batch lies: its number, the number of its file, the offset in it."""

    __slots__ = ("file", "number", "offset")

    def __init__(self, number: int, file: int, offset: int) -> None:
        self.number = number
        self.file = file
        self.offset = offset


class BatchDamaged(Exception):
    """A batch does not read back as it was written."""


def encode(
    mark: bytes,
    number: int,
    call: int,
    digest: bytes,
    items: Sequence[bytes],
    parts: Iterable[tuple[int, int]] = ((0, 0),),
    seed: bytes = b"",
) -> list[bytes]:
    """The pieces of a batch, to be written one behind the other.

    Parameters
    ----------
    mark : bytes
        The run's magic.
    number : int
        The batch's number.
    call : int
        MAP, STARMAP or APPLY.
    digest : bytes
        SHA-256 of the pickled function.
    items : sequence of bytes
        The pickled items.
    parts : iterable of tuple of int
        From which task on, in ascending order from 0, they have which indexes in their call.
    seed : bytes
        Of the tasks' random numbers.
    """
    offsets = array("Q", accumulate(map(len, items), initial=0))
    checks = array("I", map(crc32, items, range(len(items))))
    packed = [PART.pack(*part) for part in parts]
    meta = META.pack(call, len(items), digest, len(packed)) + b"".join(packed) + seed
    head = records.frame(mark, records.BATCH, meta, key=number)
    return [head, offsets.tobytes(), checks.tobytes(), *items]


class BatchReader:
    """Reads items of one batch from an open file.

    Raises
    ------
    BatchDamaged
        From every method, if what is read is not what was written.
    """

    def __init__(self, fd: int, mark: bytes, number: int, offset: int) -> None:
        if offset > os.fstat(fd).st_size:
            raise BatchDamaged(f"batch {number} is not whole at byte {offset} of its file")
        scanner = records.Scanner(mark)
        record = scanner.record_at(os.pread(fd, HEAD_BYTES, offset), 0) or scanner.record_at(
            os.pread(fd, records.FRAME_LIMIT, offset), 0
        )
        if record is None or record.kind != records.BATCH or record.key != number:
            raise BatchDamaged(f"batch {number} is not whole at byte {offset} of its file")
        self.number = number
        head = record.payload
        if len(head) < META.size:
            raise BatchDamaged(f"batch {number}: its head is damaged")
        self.call, self.count, self.digest, parts = META.unpack_from(head)
        seed = META.size + PART.size * parts
        if not parts or seed > len(head):
            raise BatchDamaged(f"batch {number}: its head is damaged")
        self._parts = list(PART.iter_unpack(head[META.size : seed]))
        self.seed = head[seed:]
        self._fd = fd
        self._offsets = offset + records.HEADER_SIZE + len(head)
        self._checks = self._offsets + _OFFSET * (self.count + 1)
        self._items = self._checks + _CHECK * self.count

    def index_in_call(self, task: int) -> int:
        """Which item of its call a task of the batch is."""
        start, first = self._parts[bisect_right(self._parts, (task, _LARGEST)) - 1]
        index: int = first + task - start
        return index

    def items(self, first: int, last: int) -> list[bytes]:
        """The pickled items first, ..., last - 1."""
        if not first <= last <= self.count:
            raise BatchDamaged(f"batch {self.number} has {self.count} items, not {last}")
        offsets = self._table("Q", self._offsets + _OFFSET * first, last - first + 1)
        checks = self._table("I", self._checks + _CHECK * first, last - first)
        start, end = offsets[0], offsets[-1]
        if not 0 <= start <= end:
            raise BatchDamaged(f"batch {self.number}: the table of items is damaged")
        data = self._read(self._items + start, end - start)
        found = []
        for index, check in enumerate(checks):
            item = data[offsets[index] - start : offsets[index + 1] - start]
            if crc32(item, first + index) != check:
                raise BatchDamaged(f"batch {self.number}: item {first + index} is damaged")
            found.append(item)
        return found

    def _table(self, code: str, offset: int, count: int) -> "array[int]":
        table = array(code)
        table.frombytes(self._read(offset, table.itemsize * count))
        return table

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > os.fstat(self._fd).st_size:
            raise BatchDamaged(f"batch {self.number}: its file ends before byte {offset + size}")
        pieces = []
        while size:
            piece = os.pread(self._fd, size, offset)
            if not piece:
                raise BatchDamaged(f"batch {self.number} ends too early")
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return b"".join(pieces)
