"""Object files: a function, or what the items of many batches have in common, named by content.

    frame(FUNCTION: the packed object without its large buffers)
    | frame(CODE: what the driver has loaded of the user's own modules; not of common objects)
    | large buffers, aligned

Written once, read by many: who needs the buffers maps them.
"""

from __future__ import annotations

import os

from pypool.packing import Packed, Shelf
from pypool.rundir import records
from pypool.rundir.records import HEADER_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pypool.packing import Buffer

ELSEWHERE = b"\1"
"""Where a batch has this and a digest, the object has a file of its own."""


class ObjectDamaged(Exception):
    """An object file does not read back as it was written."""


def encode(mark: bytes, packed: bytes | Packed, code: bytes | None) -> list[Buffer]:
    """The pieces of the file, to be written one behind the other."""
    behind = b"" if code is None else records.header(mark, records.CODE, code, key=0) + code
    if not isinstance(packed, Packed):
        return [records.header(mark, records.FUNCTION, packed, key=0), packed, behind]
    shelf = Shelf(HEADER_SIZE + packed.head_size + len(behind))
    head = packed.head([shelf.place(buffer) for buffer in packed.buffers])
    return [records.header(mark, records.FUNCTION, head, key=0), head, behind, *shelf.pieces]


def read(fd: int, mark: bytes) -> tuple[bytes, bytes | None]:
    """The packed object without its large buffers, and what belongs to it if it is a function.

    Raises
    ------
    ObjectDamaged
    """
    scanner = records.Scanner(mark)
    size = os.fstat(fd).st_size
    head = _record(fd, scanner, 0, size)
    if head is None or head.kind != records.FUNCTION:
        raise ObjectDamaged("it is not whole")
    end = HEADER_SIZE + len(head.payload)
    behind = _record(fd, scanner, end, size)
    return head.payload, behind.payload if behind and behind.kind == records.CODE else None


def _record(fd: int, scanner: records.Scanner, offset: int, size: int) -> records.Record | None:
    header = os.pread(fd, HEADER_SIZE, offset)
    length = scanner.length_at(header)
    if length is None or offset + HEADER_SIZE + length > size:
        return None
    data = [header]
    offset += HEADER_SIZE
    while length and (piece := os.pread(fd, length, offset)):
        data.append(piece)
        offset += len(piece)
        length -= len(piece)
    return scanner.record_at(b"".join(data), 0)
