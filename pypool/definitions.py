"""Definitions: classes and functions that travel by value, which items name instead of carrying.

With an instance of a script's own class its pickle would carry the class, as code: that takes a
hundred times as long as the instance itself, and as much room. So the class is put into the batch
once, as a common object. In the items' pickles stands its number, which is made of its content:
a worker that knows it need not load it again with the next batch.

The driver has `Definitions`; `given` is what an item's pickle calls in the worker. Nothing heavy
is imported at the top.
"""

from __future__ import annotations

import sys
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pypool.packing import Copies, Packed
    from pypool.sharing import Common

MOST = 100
"""So many has a call. What else its items refer to they carry, as if they each had their own."""

NUMBERS = 1 << 62
"""From here on numbers are made of content; what is counted does not come as far."""


class Definitions:
    """Those that items of one call name, each as it was when the first of them was packed.

    Parameters
    ----------
    marks : sequence of bytes
        What is in these modules travels by value.
    copies : bool or Copies
        What they carry may be changed before it is written; see `packing.OutOfBand`.

    Attributes
    ----------
    common : list of Common
        So far.
    """

    def __init__(self, marks: Sequence[bytes], copies: bool | Copies = False) -> None:
        self._modules = tuple(mark.decode() for mark in marks)
        self._copies = copies
        self._known: dict[int, tuple[Any, Any]] = {}
        self.common: list[Common] = []

    def reduce(self, obj: Any) -> Any:
        """What stands for the object: a `reducer_override`."""
        kind = type(obj)
        if kind is not FunctionType and not issubclass(kind, type):
            return NotImplemented
        known = self._known.get(id(obj))
        return self._look(obj) if known is None else known[1]

    def _look(self, obj: Any) -> Any:
        """The same for one that comes for the first time."""
        reduced: Any = NotImplemented
        try:
            if self._may_travel_by_value(obj):
                from pypool.by_value import definition

                packed = definition(obj, self._copies)
                if packed is not None:
                    reduced = given, (self._number(packed),)
        except Exception:  # its item will say it
            reduced = NotImplemented
        if len(self._known) < MOST:
            self._known[id(obj)] = obj, reduced
            return reduced
        return NotImplemented

    def _may_travel_by_value(self, obj: Any) -> bool:
        if len(self._known) >= MOST:
            return False
        module = obj.__module__
        if module.startswith(self._modules):
            return True
        found: Any = sys.modules.get(module)
        for part in obj.__qualname__.split("."):
            found = getattr(found, part, None)
        return found is not obj

    def _number(self, packed: bytes | Packed) -> int:
        from pypool.packing import digest
        from pypool.sharing import Common

        number = int.from_bytes(digest(packed)[:8], "little") >> 2 | NUMBERS
        if all(each.serial != number for each in self.common):
            self.common.append(Common(number, packed))
        return number


def given(number: int) -> Any:
    """The definition, in a worker."""
    return _source(number)


def come_from(source: Callable[[int], Any]) -> None:
    """Says who gives definitions here."""
    global _source
    _source = source


def _nowhere(number: int) -> Any:
    raise LookupError(f"there is no definition {number} outside of workers")


_source: Callable[[int], Any] = _nowhere
