"""Items: how those of a call are packed, each by itself, and once what they have in common.

Most items are light and of types that every Python knows: for them nothing is done but what the C
pickler does. Others may name definitions (see `definitions`), or have objects in common that are
worth it to be sent by themselves (see `sharing`).
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pypool import pickling
from pypool.columns import Column
from pypool.definitions import Definitions
from pypool.packing import HEAVY, OutOfBand, Packed
from pypool.pickling import CannotPickle
from pypool.sharing import Referring, Sharing

if TYPE_CHECKING:
    from pypool.packing import Copies
    from pypool.sharing import Common

_END = object()


class ItemPickler:
    """Packs the items of a call one after the other, as if they had nothing in common.

    Parameters
    ----------
    copies : bool or Copies
        Items may be changed before what was packed is written; see `packing.OutOfBand`.

    Attributes
    ----------
    definitions : Definitions
        What the items name.
    """

    def __init__(self, copies: bool | Copies = False) -> None:
        self._copies = copies
        self._marks = pickling.marks()
        self.definitions = Definitions(self._marks, copies)
        self._buffers = OutOfBand(copies)
        self._sink = _Sink([])
        self._pickler = self._new()

    def pack(self, item: Any) -> bytes | Packed:
        """The item.

        Raises
        ------
        Exception
            Whatever pickling raised.
        """
        data = self._by_name(item)
        if not data or self.names_in(data):
            self._buffers.buffers.clear()
            data = self._by_value(item)
        return self._buffers.packed(data)

    def names_in(self, data: bytes) -> bool:
        """Whether a pickle may name what a worker cannot import."""
        return pickling.contains(data, self._marks)

    def _by_name(self, item: Any) -> bytes:
        """All but definitions by name; nothing if that cannot be."""
        pieces = self._sink.pieces
        pieces.clear()
        try:
            self._pickler.dump(item)
        except pickling.NOT_PLAIN:
            self._pickler = self._new()
            return b""
        except BaseException:
            self._pickler = self._new()
            raise
        self._pickler.clear_memo()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _new(self) -> pickle.Pickler:
        return _Naming(self._sink, self._buffers, self.definitions)

    def _by_value(self, item: Any) -> bytes:
        from pypool.by_value import dumps

        return dumps(item, self._buffers, self.definitions)

    def sharing(self) -> Sharing:
        """What packs those of its items that may have something in common."""
        return Sharing([self._new_naming, self._new_by_value], self._marks, self._copies)

    def _new_naming(
        self, file: BytesIO, buffers: OutOfBand, serials: dict[int, int]
    ) -> pickle.Pickler:
        if serials:
            return _NamingAndReferring(file, buffers, serials, self.definitions)
        return _Naming(file, buffers, self.definitions)

    def _new_by_value(
        self, file: BytesIO, buffers: OutOfBand, serials: dict[int, int]
    ) -> pickle.Pickler:
        from pypool.by_value import new_pickler

        return new_pickler(file, buffers, serials, self.definitions)


class _Sink:
    """The file that is written: the pieces that the pickler makes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.write: Callable[[Any], None] = pieces.append


class _Naming(pickle.Pickler):
    """Writes numbers for definitions."""

    def __init__(self, file: Any, buffers: OutOfBand, definitions: Definitions) -> None:
        super().__init__(file, 5, buffer_callback=buffers)
        self.reducer_override = definitions.reduce  # type: ignore[method-assign]


class _NamingAndReferring(Referring):
    """The same, and numbers for what is shared."""

    def __init__(
        self,
        file: BytesIO,
        buffers: OutOfBand,
        serials: dict[int, int],
        definitions: Definitions,
    ) -> None:
        super().__init__(file, buffers, serials)
        self.reducer_override = definitions.reduce  # type: ignore[method-assign]


def pack_items(
    items: Collection[Any], copies: bool = False
) -> tuple[Sequence[bytes | Packed], Sequence[Common]]:
    """Packs each item on its own; and once by itself what several of them have in common.

    If all are numbers, tuples of such or small arrays of one shape they become a column.

    Parameters
    ----------
    copies : bool
        They may be changed before they are written.

    Raises
    ------
    CannotPickle
        If one cannot be sent.
    """
    if (column := Column.of(items)) is not None:
        return column, ()
    how: bool | Copies = {} if copies else False
    if _are_arrays(items):
        buffers = OutOfBand(how)
        return [
            buffers.packed(pickle.dumps(each, 5, buffer_callback=buffers)) for each in items
        ], ()
    packed: list[bytes | Packed] = []
    marks = pickling.marks()
    coming = iter(items)
    left = _pack_plain(coming, packed, how, marks)
    again = pickling.contains(b"".join(packed), marks)  # type: ignore[arg-type]  # all are bytes
    if left is None and not again:
        return packed, ()
    pickler = ItemPickler(how)
    if again:
        _pack_again(items, packed, pickler)
    if left is not None and left.packed is None:
        left = _pack_light(chain((left.item,), coming), packed, pickler)
    common = [] if left is None else _pack_heavy(left, coming, packed, pickler)
    return packed, [*common, *pickler.definitions.common]


def _are_arrays(items: Collection[Any]) -> bool:
    """Whether they are arrays of numbers or texts, each another one: they name nothing."""
    array = getattr(sys.modules.get("numpy"), "ndarray", None)  # it may just be imported
    if array is None or set(map(type, items)) != {array}:
        return False
    if len(set(map(id, items))) < len(items):
        return False
    return all(
        dtype.kind in "biufcmMSU" and dtype.metadata is None and dtype.type.__module__ == "numpy"
        for dtype in {id(each): each for each in map(attrgetter("dtype"), items)}.values()
    )


def pack_plain(items: Collection[Any]) -> list[bytes] | None:
    """Packs the items if all of them are light and of importable types; else None."""
    packed: list[bytes | Packed] = []
    marks = pickling.marks()
    try:
        left = _pack_plain(iter(items), packed, True, marks)
    except CannotPickle:  # each by itself will say so
        return None
    if left is not None:
        return None
    plain: list[bytes] = packed  # type: ignore[assignment]  # nothing of them is out of band
    return None if pickling.contains(b"".join(plain), marks) else plain


class _Left(NamedTuple):
    """The first item that was left over; what it came to, if that may be right."""

    item: Any
    packed: bytes | Packed | None


def _pack_plain(
    coming: Iterator[Any],
    packed: list[bytes | Packed],
    copies: bool | Copies,
    marks: Sequence[bytes],
) -> _Left | None:
    """Packs items as long as they are light and of importable types, as far as that is seen.

    Of the first it is looked at closely: as a rule the others are the same.
    """
    buffers = OutOfBand(copies)
    for item in coming:
        if not packed and pickling.contains(_module_of(item), marks):
            return _Left(item, None)
        try:
            data = pickle.dumps(item, 5, buffer_callback=buffers)
        except pickling.NOT_PLAIN:  # by value it may work
            return _Left(item, None)
        except Exception as error:
            raise CannotPickle(error, f"item {len(packed)}") from error
        if len(data) >= HEAVY or buffers.buffers:
            return _Left(item, None if pickling.contains(data, marks) else buffers.packed(data))
        if not packed and pickling.contains(data, marks):
            return _Left(item, None)
        packed.append(data)
    return None


def _module_of(item: Any) -> bytes:
    """Where its class is from."""
    return str(type(item).__module__).encode(errors="replace")


def _pack_again(items: Iterable[Any], packed: list[bytes | Packed], pickler: ItemPickler) -> None:
    """With definitions where something of `__main__` is meant."""
    for index, (item, data) in enumerate(zip(items, packed, strict=False)):
        if pickler.names_in(data):  # type: ignore[arg-type]
            packed[index] = _pack_given(item, index, pickler)


def _pack_light(
    coming: Iterator[Any], packed: list[bytes | Packed], pickler: ItemPickler
) -> _Left | None:
    """Packs items, maybe with definitions, as long as they are light."""
    for item in coming:
        data = _pack_given(item, len(packed), pickler)
        if len(data) >= HEAVY:
            return _Left(item, data)
        packed.append(data)
    return None


def _pack_heavy(
    left: _Left, coming: Iterator[Any], packed: list[bytes | Packed], pickler: ItemPickler
) -> list[Common]:
    """Packs the rest of the items. Gives what they have in common."""
    shares = pickler.sharing()
    used: set[int] = set()
    item, data = left
    shares.look(item)
    while item is not _END and not shares.in_vain:
        upcoming = next(coming, _END)
        if upcoming is not _END:
            shares.look(upcoming)
        if data is None or shares.finds:
            try:
                data = shares.pack(item)
            except Exception as error:
                raise CannotPickle(error, f"item {len(packed)}") from error
            used |= shares.used
        packed.append(data)
        item, data = upcoming, None
    for each in chain(() if item is _END else (item,), coming):
        packed.append(_pack_given(each, len(packed), pickler))
    return [each for each in shares.common if each.serial in used]


def _pack_given(item: Any, index: int, pickler: ItemPickler) -> bytes | Packed:
    try:
        return pickler.pack(item)
    except Exception as error:
        raise CannotPickle(error, f"item {index}") from error
