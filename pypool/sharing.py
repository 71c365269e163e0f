"""Sharing: what several items of a call have in common is sent once.

A sampler that gives its likelihood along with each of sixteen proposals gives it sixteen times.
The items' pickles then hold a number in its place, and the object is pickled by itself. It is
known by its identity, so items that are equal but not the same object are left as they are, and
what a task gets is the same as without all this: each its own copies, and within an item what was
one object is one object.

Looked for only where items are heavy, and only in the upper levels of an item.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from io import BytesIO
from itertools import count, islice
from pickle import Pickler
from typing import Any, NamedTuple

from pypool.packing import HEAVY, Copies, Numbering, OutOfBand, Packed, equal

LEVELS = 4
MANY = 50
"""Containers with more elements are not looked into: they are data."""

PARTS = 200
"""So much of an item is looked at."""

IN_VAIN = 50
"""After so many heavy items that have nothing in common with others nobody looks any more."""

_LIGHT = (type(None), bool, int, float, complex, type, types.ModuleType, types.BuiltinFunctionType)
_ONE_OF_A_KIND = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)

_serials = count(1)

NewPickler = Callable[[BytesIO, OutOfBand, dict[int, int]], Pickler]
"""Makes a pickler that writes a number for each object whose identity is in the dictionary."""


class Common(NamedTuple):
    """What items have in common.

    Attributes
    ----------
    serial : int
        What the items' pickles call it; no two objects of this process have the same, but for
        definitions with the same content.
    packed : bytes or Packed
        The object.
    """

    serial: int
    packed: bytes | Packed


class Sharing:
    """Packs items one after the other.

    Parameters
    ----------
    picklers : sequence of callable
        Make picklers: each for what those before cannot send.
    marks : sequence of bytes
        What the first picklers make is not right if one of these is in it.
    copies : bool or Copies
        Items may change before what was packed is written; see `packing.OutOfBand`.

    Attributes
    ----------
    common : list of Common
        What the items packed so far refer to.
    used : set of int
        The serial numbers to which the last one refers.
    finds : bool
        Items had something in common.
    """

    def __init__(
        self,
        picklers: Sequence[NewPickler],
        marks: Sequence[bytes],
        copies: bool | Copies = False,
    ) -> None:
        self._picklers = picklers
        self._marks = marks
        self._copies = copies
        self._seen: dict[int, Any] = {}
        self._latest: dict[int, Any] = {}
        self._alone: dict[int, Any] = {}
        self._serials: dict[int, int] = {}
        self._inner: dict[int, set[int]] = {}
        self._kept: list[Any] = []
        self._before: dict[int, tuple[Any, Common]] = {}
        self._vain = 0
        self.finds = False
        self.common: list[Common] = []
        self.used: set[int] = set()

    @property
    def in_vain(self) -> bool:
        """There seems to be nothing that items have in common."""
        return self._vain > IN_VAIN and not self.finds

    def renew(self) -> None:
        """What is shared may have been changed: it is packed anew before another item refers to it.

        It has a number of its own then, unless it is as it was.
        """
        self._before = {
            id(obj): (obj, own) for obj, own in zip(self._kept, self.common, strict=True)
        }
        self._serials, self._inner, self._kept, self.common = {}, {}, [], []

    def forget(self, latest: bool) -> None:
        """Lets go of what items have held, for nobody else may hold it any more.

        But for what is shared, and unless `latest` for what has come since the last time.
        """
        known = {} if latest else self._latest
        self._seen = known | {key: obj for key, (obj, _) in self._before.items()}
        self._alone = {key: obj for key, obj in self._alone.items() if key in self._seen}
        self._latest = {}

    def look(self, item: Any) -> None:
        """An item comes, now or next: notes what it holds, and what others hold too."""
        self._vain += 1
        own: dict[int, Any] = {}
        with suppress(Exception):  # whatever a class does when somebody looks at its instances
            for part in islice(self._parts(item, LEVELS), PARTS):
                own[id(part)] = part
        self._seen |= own
        self._latest |= own

    def _parts(self, obj: Any, levels: int) -> Iterator[Any]:
        """Itself, and what is in it; what is shared is not looked into."""
        key = id(obj)
        if isinstance(obj, _LIGHT) or key in self._serials:
            return
        if key in self._seen and key not in self._alone and self._shares(obj):
            return
        yield obj
        if levels > 1:
            for each in _inside(obj):
                yield from self._parts(each, levels - 1)

    def _shares(self, obj: Any) -> bool:
        """Whether it is worth it to send the object, which two items have, by itself."""
        try:
            packed, memo = self._pickled(obj, {})
        except Exception:  # its owner leaves it out, or else the item will say it
            self._alone[id(obj)] = obj
            return False
        inner = _changeable(memo) - {id(obj)}
        nested = any(id(obj) in other or inner & other for other in self._inner.values())
        if len(packed) < HEAVY or nested or inner & self._serials.keys():
            self._alone[id(obj)] = obj
            return False
        common = self._as_before(obj, packed) or Common(next(_serials), packed)
        self._serials[id(obj)] = common.serial
        self._inner[common.serial] = inner
        self._kept.append(obj)
        self.common.append(common)
        self.finds = True
        return True

    def _as_before(self, obj: Any, packed: bytes | Packed) -> Common | None:
        _, common = self._before.get(id(obj), (None, None))
        return common if common is not None and equal(packed, common.packed) else None

    def pack(self, item: Any) -> bytes | Packed:
        """The item, with numbers in the place of what is shared."""
        if self._serials:
            packed, memo = self._pickled(item, self._serials)
            here = _changeable(memo)
            split = [serial for serial, inner in self._inner.items() if inner & here]
            if not split:
                return packed if isinstance(packed, Packed) else Packed(packed, ())
            for serial in split:  # a part of it stands elsewhere in the item, too
                self._stop_sharing(serial)
            return self.pack(item)
        return self._pickled(item, {})[0]

    def _stop_sharing(self, serial: int) -> None:
        for key in [key for key, number in self._serials.items() if number == serial]:
            del self._serials[key]
            self._alone[key] = None
        del self._inner[serial]

    def _pickled(
        self, obj: Any, serials: dict[int, int]
    ) -> tuple[bytes | Packed, dict[int, tuple[int, Any]]]:
        """The packed object, and what the pickler has met, by identity."""
        *first, last = self._picklers
        for new in first:
            try:
                packed, memo = self._dump(new, obj, serials)
            except Exception:  # the next one may do it, or else raise what is wrong
                continue
            data = packed.pickle if isinstance(packed, Packed) else packed
            if not any(mark in data for mark in self._marks):
                return packed, memo
        return self._dump(last, obj, serials)

    def _dump(
        self, new: NewPickler, obj: Any, serials: dict[int, int]
    ) -> tuple[bytes | Packed, dict[int, tuple[int, Any]]]:
        buffers = OutOfBand(self._copies)
        with BytesIO() as file:
            pickler = new(file, buffers, serials)
            pickler.dump(obj)
            self.used = getattr(pickler, "used", set())
            return buffers.packed(file.getvalue()), pickler.memo.copy()


class Referring(Numbering, Pickler):
    """The usual pickler, but for the numbers."""

    def __init__(self, file: BytesIO, buffers: OutOfBand, serials: dict[int, int]) -> None:
        super().__init__(file, 5, buffer_callback=buffers)
        self.serials = serials
        self.used = set()


def _inside(obj: Any) -> Sequence[Any]:
    """What a container holds, or an object's attributes; nothing if that is much."""
    if isinstance(obj, (tuple, list)):
        found: Any = obj
    elif isinstance(obj, dict):
        found = obj.values()
    elif isinstance(obj, partial):
        found = (obj.func, *obj.args, *obj.keywords.values())
    elif isinstance(obj, types.FunctionType):
        return ()
    else:
        found = getattr(obj, "__dict__", None)
        if not isinstance(found, dict):
            return ()
        found = found.values()
    return tuple(found) if len(found) <= MANY else ()


def _changeable(memo: dict[int, tuple[int, Any]]) -> set[int]:
    """Objects of which it matters whether two are the same: what is done to one shows in it."""
    return {key for key, (_, obj) in memo.items() if _may_change(obj)}


def _may_change(obj: Any) -> bool:
    """Whoever has a hash of its own is a value, unless it has attributes that can be set."""
    cls = type(obj)
    if cls is str or cls is tuple or isinstance(obj, _ONE_OF_A_KIND):
        return False
    own: object = cls.__hash__
    if own is None or own is object.__hash__:
        return True
    frozen = getattr(getattr(cls, "__dataclass_params__", None), "frozen", False)
    if frozen or issubclass(cls, Enum):
        return False
    return bool(cls.__dictoffset__) or any(vars(base).get("__slots__") for base in cls.__mro__)
