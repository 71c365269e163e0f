"""Packing: objects that carry much memory, as a pickle and the buffers beside it (PEP 574).

What carries little is a plain pickle, `bytes`. Anything else begins with a zero, as no pickle does,
tells where its buffers lie, and then follows the pickle:

    0 | how many buffers (4 bytes) | of each: place (8), size (8), checksum (4) | the pickle

Places count from the beginning of whatever the object lies in; buffers are aligned there, so that
they can be used where they are mapped. Used by the driver and by workers: nothing heavy is
imported.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Buffer = bytes | bytearray | memoryview

OUT_OF_BAND = 64 << 10
"""Bytes from which on a buffer stays out of the pickle."""

HEAVY = 4096
"""Bytes of an item from which on others may have something in common with it that is worth it."""

MAPPED = 1 << 20
"""Bytes from which on a buffer is mapped by who only reads it."""

ALIGNMENT = 64
PAGE = 4096

SAMPLE_EVERY = 64 << 10
SAMPLE = 512
"""Of a buffer that is mapped so many bytes of so many are checked: enough to find what has not
arrived, without reading it all."""

_HEAD = struct.Struct("<B3xI")
_PLACE = struct.Struct("<QQI")

Place = tuple[int, int, int]
"""Where a buffer begins, how many bytes it has, its checksum (0: somebody else checks it)."""


class PackingDamaged(Exception):
    """What is read is not what was packed."""


class Packed:
    """A pickle and the buffers that belong to it.

    Attributes
    ----------
    pickle : bytes
        Protocol 5.
    buffers : sequence of PickleBuffer
        Contiguous memory that still belongs to the objects.
    """

    __slots__ = ("buffers", "pickle", "size")

    def __init__(self, data: bytes, buffers: Sequence[pickle.PickleBuffer]) -> None:
        self.pickle = data
        self.buffers = buffers
        self.size = len(data) + sum(buffer.raw().nbytes for buffer in buffers)

    def __len__(self) -> int:
        return self.size

    @property
    def head_size(self) -> int:
        return _HEAD.size + _PLACE.size * len(self.buffers) + len(self.pickle)

    def head(self, places: Sequence[Place]) -> bytes:
        """All but the buffers, which lie at these places."""
        told = [_HEAD.pack(0, len(places)), *(_PLACE.pack(*place) for place in places)]
        return b"".join([*told, self.pickle])

    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        import hashlib  # who only reads never needs it

        digest = hashlib.sha256(self.pickle)
        for buffer in self.buffers:
            raw = buffer.raw()
            digest.update(raw.nbytes.to_bytes(8, "little"))
            digest.update(raw)
        return digest.digest()


def digest(packed: bytes | Packed) -> bytes:
    """SHA-256."""
    import hashlib

    return packed.digest() if isinstance(packed, Packed) else hashlib.sha256(packed).digest()


def equal(one: bytes | Packed, other: bytes | Packed) -> bool:
    """Whether the one is byte for byte what the other is."""
    if not isinstance(one, Packed) or not isinstance(other, Packed):
        return one == other
    if one.pickle != other.pickle or len(one.buffers) != len(other.buffers):
        return False
    pairs = zip(one.buffers, other.buffers, strict=True)
    return all(_equal(here.raw(), there.raw()) for here, there in pairs)


def _equal(here: memoryview, there: memoryview) -> bool:
    """A part after the other: to compare the memoryviews themselves takes ten times as long."""
    parts = range(0, here.nbytes, OUT_OF_BAND)
    return here.nbytes == there.nbytes and all(
        here[start : start + OUT_OF_BAND].tobytes() == there[start : start + OUT_OF_BAND].tobytes()
        for start in parts
    )


Copies = dict[tuple[int, int], tuple[pickle.PickleBuffer, pickle.PickleBuffer]]
"""Buffers of one moment and copies of them, by what `identity` says."""


def identity(buffer: pickle.PickleBuffer) -> tuple[int, int]:
    """The same for buffers of the same memory, as long as they are there."""
    view = memoryview(buffer)
    return id(view.obj), view.nbytes


class Numbering:
    """What a pickler needs to write numbers for objects that others hold.

    Attributes
    ----------
    serials : dict of int to int
        The numbers, by the objects' identities.
    used : set of int
        Numbers that were written.
    """

    serials: dict[int, int]
    used: set[int]

    def persistent_id(self, obj: Any) -> int | None:
        serial = self.serials.get(id(obj))
        if serial is not None:
            self.used.add(serial)
        return serial


class OutOfBand:
    """Takes buffers out of what is being pickled, if they are large enough: a `buffer_callback`.

    Parameters
    ----------
    copies : bool or Copies
        The objects may change before their buffers are written. What is in here has been copied
        at the same moment and need not be copied again.
    """

    def __init__(self, copies: bool | Copies = False) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self._copies = copies

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether it stays in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # it is not contiguous
            return True
        if raw.nbytes < OUT_OF_BAND:
            return True
        if self._copies is not False:
            buffer = self._copy(buffer, raw)
        self.buffers.append(buffer)
        return False

    def _copy(self, buffer: pickle.PickleBuffer, raw: memoryview) -> pickle.PickleBuffer:
        known = self._copies if isinstance(self._copies, dict) else {}
        key = identity(buffer)
        if key not in known:
            copy = pickle.PickleBuffer(bytes(raw) if raw.readonly else bytearray(raw))
            known[key] = buffer, copy
        return known[key][1]

    def packed(self, data: bytes) -> bytes | Packed:
        """What came of the pickling; ready for the next object."""
        if not self.buffers:
            return data
        buffers, self.buffers = self.buffers, []
        return Packed(data, buffers)


class Shelf:
    """Where buffers come to lie one behind the other, each but once.

    Parameters
    ----------
    start : int
        What lies before.
    checks : bool
        Each buffer gets a checksum of its own.

    Attributes
    ----------
    pieces : list
        To be written one behind the other from `start` on.
    """

    def __init__(self, start: int, checks: bool = True) -> None:
        self._end = start
        self._checks = checks
        self._places: dict[tuple[int, int], Place] = {}
        self.pieces: list[Buffer] = []

    def place(self, buffer: pickle.PickleBuffer) -> Place:
        """Gives the buffer its place, or the one that it has."""
        raw = buffer.raw()
        key = identity(buffer)
        place = self._places.get(key)
        if place is None:
            start = aligned(self._end, PAGE if raw.nbytes >= MAPPED else ALIGNMENT)
            self.pieces += [bytes(start - self._end), raw]
            self._end = start + raw.nbytes
            place = self._places[key] = (start, raw.nbytes, check(raw) if self._checks else 0)
        return place


def aligned(offset: int, to: int) -> int:
    return -(-offset // to) * to


def check(raw: Buffer) -> int:
    """A CRC-32 of the buffer, or of samples of a large one; never 0."""
    size = len(raw)
    if size < MAPPED:
        return crc32(raw) or 1
    found = crc32(raw[size - SAMPLE :])
    for start in range(0, size, SAMPLE_EVERY):
        found = crc32(raw[start : start + SAMPLE], found)
    return found or 1


def flat(packed: Packed) -> list[Buffer]:
    """The pieces of an object that lies somewhere by itself; who writes it checks all of it."""
    shelf = Shelf(packed.head_size, checks=False)
    places = [shelf.place(buffer) for buffer in packed.buffers]
    return [packed.head(places), *shelf.pieces]


def is_plain(data: Buffer) -> bool:
    """It is a pickle and nothing else."""
    return not data or data[0] != 0


def places_in(data: Buffer) -> tuple[list[Place], Buffer]:
    """Where the buffers lie, and the pickle.

    Raises
    ------
    PackingDamaged
    """
    if len(data) < _HEAD.size or data[0]:
        raise PackingDamaged("this is no packed object")
    _, count = _HEAD.unpack_from(data)
    end = _HEAD.size + _PLACE.size * count
    if end > len(data):
        raise PackingDamaged("the table of buffers is not whole")
    return list(_PLACE.iter_unpack(data[_HEAD.size : end])), data[end:]


def loads(
    data: Buffer,
    fetch: Callable[[list[Place]], Sequence[Buffer]],
    shared: Callable[[int], Any] | None = None,
) -> Any:
    """The object.

    Parameters
    ----------
    data : bytes
        Its head, or all of it.
    fetch : callable
        Gives the memory of the buffers at these places, in their order.
    shared : callable, optional
        Gives the shared objects that it refers to, by their numbers.
    """
    if is_plain(data):
        return pickle.loads(data)
    places, rest = places_in(data)
    buffers = fetch(places) if places else ()
    if shared is None:
        return pickle.loads(rest, buffers=buffers)
    return _Unpickler(BytesIO(rest), buffers, shared).load()


def loads_flat(data: Buffer) -> Any:
    """An object all of which lies in this memory; its buffers stay there.

    Raises
    ------
    PackingDamaged
    """
    if is_plain(data):
        return pickle.loads(data)
    view = memoryview(data)

    def fetch(places: list[Place]) -> list[memoryview]:
        if any(start + size > len(view) for start, size, _ in places):
            raise PackingDamaged("a buffer ends behind the end")
        return [view[start : start + size] for start, size, _ in places]

    return loads(view, fetch)


class _Unpickler(pickle.Unpickler):
    """Meets references to shared objects."""

    def __init__(
        self, file: BytesIO, buffers: Sequence[Buffer], shared: Callable[[int], Any]
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:
        return self._shared(pid)
