"""Batches: an immutable set of tasks of one function, written at once and read in pieces.

    frame(BATCH: call, number of tasks, digest of the function) | offsets (count + 1, 8 bytes
    each, from the first item on) | CRC-32 of each item, begun with its index (4 bytes each)
    | the pickled items, one behind the other

Each item has a checksum of its own, so a worker reads its range and nothing else.
"""

import os
import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate
from zlib import crc32

from pypool.rundir import records

MAP = 0
"""Call the function with the item."""
STARMAP = 1
"""Call the function with the item's elements."""

META = struct.Struct("<BI32s")
WHERE = struct.Struct("<IIQ")

_OFFSET = 8
_CHECK = 4


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
    mark: bytes, number: int, call: int, digest: bytes, items: Sequence[bytes]
) -> list[bytes]:
    """The pieces of a batch, to be written one behind the other.

    Parameters
    ----------
    mark : bytes
        The run's magic.
    number : int
        The batch's number.
    call : int
        MAP or STARMAP.
    digest : bytes
        SHA-256 of the pickled function.
    items : sequence of bytes
        The pickled items.
    """
    offsets = array("Q", accumulate(map(len, items), initial=0))
    checks = array("I", map(crc32, items, range(len(items))))
    meta = META.pack(call, len(items), digest)
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
        size = records.HEADER_SIZE + META.size
        record = records.Scanner(mark).record_at(os.pread(fd, size, offset), 0)
        if record is None or record.kind != records.BATCH or record.key != number:
            raise BatchDamaged(f"batch {number} is not whole at byte {offset} of its file")
        self.number = number
        self.call, self.count, self.digest = META.unpack(record.payload)
        self._fd = fd
        self._offsets = offset + size
        self._checks = self._offsets + _OFFSET * (self.count + 1)
        self._items = self._checks + _CHECK * self.count

    def items(self, first: int, last: int) -> list[bytes]:
        """The pickled items first, ..., last - 1."""
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
