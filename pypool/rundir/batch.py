"""Batches: an immutable set of tasks of one function, written at once and read in pieces.

    frame(BATCH: how the function is called, what its items are, number of tasks, digest of the
    function, number of parts, number of common objects, of arrays and tuples what they are of, the
    parts, the serial numbers of the common objects (8 bytes each), the seed)

and then, as a rule,

    offsets (count + 1, 8 bytes each, from the first item on)
    | CRC-32 of each item, begun with its index (4 bytes each)
    | the packed items, and behind them the common objects, one behind the other
    | large buffers, aligned

or, if the items are a column (see `columns`),

    CRC-32 of each block of 64 of them, begun with its index (4 bytes each)
    | the column

or nothing, if they are a range. Plain items are pickled 64 at a time (see `columns`): then each of
these blocks stands for an item in the first of these tables.

A part says from which task on (4 bytes) the tasks have which indexes in their call (8 bytes).
Each item, or block, has a checksum of its own, so a worker reads its range and nothing else. Of
an item with large buffers (see `packing`) only its head lies among the items. A common object is
one to which several items refer by its serial number; one that is sent again and again has a file
of its own, and there is only the name of that.
"""

from __future__ import annotations

import os
import pickle
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from zlib import crc32

from pypool.columns import IN_BLOCK, BlockColumn, Column, RangeColumn, load, range_of
from pypool.kinds import BLOCKS, PICKLES, RANGES, is_name, known, pack_about, unpack_name
from pypool.packing import Packed, Shelf
from pypool.rundir import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pypool.packing import Buffer

MAP = 0
"""Call the function with the item."""
STARMAP = 1
"""Call the function with the item's elements."""
APPLY = 2
"""Call the function with the item's positional and keyword arguments."""

META = struct.Struct("<BcI32sII")
PART = struct.Struct("<IQ")
SERIAL = struct.Struct("<Q")
FIRST_BYTES = 1024
"""Read at once: as a rule the frame is not longer, and of a small batch that is all."""

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
    items: Sequence[bytes | Packed],
    parts: Iterable[tuple[int, int]] = ((0, 0),),
    seed: bytes = b"",
    common: Mapping[int, bytes | Packed] | None = None,
) -> list[Buffer]:
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
    items : sequence of bytes or Packed
        The tasks'; maybe a Column, which has nothing in common.
    parts : iterable of tuple of int
        From which task on, in ascending order from 0, they have which indexes in their call.
    seed : bytes
        Of the tasks' random numbers.
    common : mapping of int to bytes or Packed
        By serial number, what items refer to.
    """
    shared = common or {}
    told = [PART.pack(*part) for part in parts]
    kind = items.kind if isinstance(items, Column) else PICKLES
    meta = META.pack(call, kind[:1].encode(), len(items), digest, len(told), len(shared))
    meta += b"".join([pack_about(kind), *told, *map(SERIAL.pack, shared), seed])
    head = records.frame(mark, records.BATCH, meta, key=number)
    if isinstance(items, RangeColumn):
        return [head]
    if isinstance(items, BlockColumn):
        return [head, *_one_by_one(items.blocks)]
    if isinstance(items, Column):
        checks = _checks_of_blocks(items.data, known(kind).width, 0)
        return [head, checks.tobytes(), items.data]
    whole = [*items, *shared.values()] if shared else items
    small, shelf = _without_buffers(whole, len(head))
    return [head, *_one_by_one(small), *shelf]


def _one_by_one(items: Sequence[bytes]) -> list[bytes]:
    """Where each begins, their checksums, themselves."""
    offsets = array("Q", accumulate(map(len, items), initial=0))
    checks = array("I", map(crc32, items, range(len(items))))
    return [offsets.tobytes(), checks.tobytes(), *items]


def _without_buffers(
    items: Sequence[bytes | Packed], before: int
) -> tuple[Sequence[bytes], list[Buffer]]:
    """The items as they lie one behind the other, and what lies behind them all."""
    if Packed not in set(map(type, items)):
        return items, []  # type: ignore[return-value]  # all of them are bytes
    sizes = (each.head_size if isinstance(each, Packed) else len(each) for each in items)
    shelf = Shelf(before + _OFFSET * (len(items) + 1) + _CHECK * len(items) + sum(sizes))
    small = [
        each.head([shelf.place(buffer) for buffer in each.buffers])
        if isinstance(each, Packed)
        else each
        for each in items
    ]
    return small, shelf.pieces


def _checks_of_blocks(column: bytes, width: int, first: int) -> array[int]:
    """Those of all blocks, of which the first one has that index."""
    size = IN_BLOCK * width
    blocks = [column[start : start + size] for start in range(0, len(column), size)]
    return array("I", map(crc32, blocks, range(first, first + len(blocks))))


class BatchReader:
    """Reads items of one batch from an open file.

    Attributes
    ----------
    is_column : bool
        The items are one.

    Raises
    ------
    BatchDamaged
        From every method, if what is read is not what was written.
    """

    def __init__(self, fd: int, mark: bytes, number: int, offset: int) -> None:
        if offset > os.fstat(fd).st_size:
            raise BatchDamaged(f"batch {number} is not whole at byte {offset} of its file")
        scanner = records.Scanner(mark)
        self._begin = os.pread(fd, FIRST_BYTES, offset)
        record = scanner.record_at(self._begin, 0) or scanner.record_at(
            os.pread(fd, records.FRAME_LIMIT, offset), 0
        )
        if record is None or record.kind != records.BATCH or record.key != number:
            raise BatchDamaged(f"batch {number} is not whole at byte {offset} of its file")
        self.number = number
        head = record.payload
        if len(head) < META.size:
            raise BatchDamaged(f"batch {number}: its head is damaged")
        self.call, kind, self.count, self.digest, parts, shared = META.unpack_from(head)
        self._kind, more = unpack_name(kind, head[META.size :])
        first = META.size + more
        serials = first + PART.size * parts
        seed = serials + SERIAL.size * shared
        self.is_column = self._kind != PICKLES
        if not parts or seed > len(head) or not is_name(self._kind):
            raise BatchDamaged(f"batch {number}: its head is damaged")
        self._parts = list(PART.iter_unpack(head[first:serials]))
        told = [serial for (serial,) in SERIAL.iter_unpack(head[serials:seed])]
        self._serials = {serial: self.count + each for each, serial in enumerate(told)}
        self._common: dict[int, bytes] = {}
        self.seed = head[seed:]
        self.fd = self._fd = fd
        self.start = offset
        pieces = -(-self.count // IN_BLOCK) if self.is_column else self.count + shared
        have_offsets = not self.is_column or self._kind == BLOCKS
        self._offsets = offset + records.HEADER_SIZE + len(head)
        self._checks = self._offsets + (_OFFSET * (pieces + 1) if have_offsets else 0)
        self._items = self._checks + _CHECK * pieces
        self._column_from = 0, b""
        self._loaded_from: tuple[int, list[Any]] = 0, []

    def index_in_call(self, task: int) -> int:
        """Which item of its call a task of the batch is."""
        start, first = self._parts[bisect_right(self._parts, (task, _LARGEST)) - 1]
        index: int = first + task - start
        return index

    def items(self, first: int, last: int) -> list[bytes]:
        """The items first, ..., last - 1, pickled, without their large buffers."""
        self._check_range(first, last)
        if self._kind == BLOCKS or self._kind.startswith(RANGES):
            return [pickle.dumps(each, 5) for each in self.values(first, last)]
        if self.is_column:
            return list(Column(self._kind, self._column(first, last)))
        return self._read_items(first, last)

    def values(self, first: int, last: int) -> Sequence[Any]:
        """The items first, ..., last - 1 themselves, if they are a column."""
        self._check_range(first, last)
        if self._kind.startswith(RANGES):
            return self._numbers()[first:last]
        if self._kind == BLOCKS:
            return self._of_blocks(first, last)
        return load(self._kind, self._column(first, last), last - first)

    def _numbers(self) -> range:
        try:
            return range_of(self._kind, self.count)
        except ValueError as error:
            raise BatchDamaged(f"batch {self.number}: {error}") from error

    def _column(self, first: int, last: int) -> bytes:
        try:
            width = known(self._kind).width
        except ValueError as error:
            raise BatchDamaged(f"batch {self.number}: {error}") from error
        start, data = self._column_from
        if not start <= first <= last <= start + len(data) // width:
            start = first // IN_BLOCK * IN_BLOCK
            try:
                data = self._whole_blocks(first // IN_BLOCK, -(-last // IN_BLOCK), width)
            except BatchDamaged:
                self._begin = b""  # it may have arrived meanwhile
                raise
            self._column_from = start, data  # a message may be for one task: the next is here, too
        return data[width * (first - start) : width * (last - start)]

    def _of_blocks(self, first: int, last: int) -> list[Any]:
        start, values = self._loaded_from
        if not start <= first <= last <= start + len(values):
            start = first // IN_BLOCK * IN_BLOCK
            blocks = self._read_items(first // IN_BLOCK, -(-last // IN_BLOCK))
            values = list(chain.from_iterable(map(pickle.loads, blocks)))
        self._loaded_from = last, values[last - start :]  # a task may change what it was given
        return values[first - start : last - start]

    def _check_range(self, first: int, last: int) -> None:
        if not first <= last <= self.count:
            raise BatchDamaged(f"batch {self.number} has {self.count} items, not {last}")

    def _whole_blocks(self, block: int, end: int, width: int) -> bytes:
        start = block * IN_BLOCK
        checks = self._table("I", self._checks + _CHECK * block, end - block)
        count = min(end * IN_BLOCK, self.count) - start
        data = self._read(self._items + width * start, width * count)
        if _checks_of_blocks(data, width, block) != checks:
            told = f"the items from {start} on are damaged"
            raise BatchDamaged(f"batch {self.number}: {told}")
        return data

    def common(self, serial: int) -> bytes:
        """A common object, without its large buffers."""
        found = self._common.get(serial)
        if found is None:
            place = self._serials.get(serial)
            if place is None:
                raise BatchDamaged(f"batch {self.number} has no common object {serial}")
            found = self._common[serial] = self._read_items(place, place + 1)[0]
        return found

    def _read_items(self, first: int, last: int) -> list[bytes]:
        try:
            return self._whole_items(first, last)
        except BatchDamaged:
            self._begin = b""  # it may have arrived meanwhile
            raise

    def _whole_items(self, first: int, last: int) -> list[bytes]:
        offsets = self._table("Q", self._offsets + _OFFSET * first, last - first + 1)
        checks = self._table("I", self._checks + _CHECK * first, last - first)
        start, end = offsets[0], offsets[-1]
        if not 0 <= start <= end:
            raise BatchDamaged(f"batch {self.number}: the table of items is damaged")
        data = self._read(self._items + start, end - start)
        found = [data[one - start : other - start] for one, other in pairwise(offsets)]
        found_checks = array("I", map(crc32, found, range(first, last)))
        if found_checks != checks:
            wrong = next(n for n, check in enumerate(checks) if check != found_checks[n])
            told = f"item {first + wrong} is damaged"
            if self._kind == BLOCKS:
                told = f"the items from {IN_BLOCK * (first + wrong)} on are damaged"
            raise BatchDamaged(f"batch {self.number}: {told}")
        return found

    def _table(self, code: str, offset: int, count: int) -> array[int]:
        table = array(code)
        table.frombytes(self._read(offset, table.itemsize * count))
        return table

    def _read(self, offset: int, size: int) -> bytes:
        place = offset - self.start
        if place + size <= len(self._begin):
            return self._begin[place : place + size]
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
