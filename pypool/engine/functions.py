"""Functions: how those of late calls were packed, as long as nothing has changed about them.

A sampler calls the same likelihood a thousand times. To pickle it by value, with the globals that
it reads, and to digest that, would cost more than all else that the driver does for a small map.
So it is looked first whether it is still what it was (see `state`): memory is compared with copies.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pypool import packing, pickling
from pypool.packing import OutOfBand, Packed, identity
from pypool.pickling import CannotPickle
from pypool.state import States

if TYPE_CHECKING:
    from pypool.packing import Copies

MOST = 16
"""So many functions are known again."""

MOST_BYTES = 256 << 20
"""So much may be kept for that, with copies of what they carry."""

LARGE = 16 << 20
"""What carries more is kept once it comes again: a program may need it for one call."""

SMALL = 4 << 10
"""A plain pickle of no more bytes is digested in no time."""

CHANGES = 4
LONGEST_REST = 64
"""With a function that has changed so often, one time after the other, it is not tried with each
call; but after so many at the latest."""

MOST_NAMES = 1000


class Known(NamedTuple):
    """A function as it was.

    Attributes
    ----------
    state : bytes
        See `state`; or its pickle, if that has all in it.
    memory : list of bytes or bytearray
        Copies of the buffers that belong to that.
    function : bytes or Packed
        Pickled, with copies of what it carries.
    digest : bytes
        SHA-256 of that.
    """

    state: bytes
    memory: list[bytes | bytearray]
    function: bytes | Packed
    digest: bytes

    @property
    def size(self) -> int:
        """Bytes of all that; what is there twice as a rule is counted once."""
        return len(self.state) + len(self.function)

    def is_still(self, state: bytes, buffers: Sequence[pickle.PickleBuffer]) -> bool:
        """Whether that is what it is like."""
        if self.state != state or len(self.memory) != len(buffers):
            return False
        pairs = zip(self.memory, (buffer.raw() for buffer in buffers), strict=True)
        return all(len(copy) == raw.nbytes and copy.startswith(raw) for copy, raw in pairs)


class Functions:
    """See the module. Several threads may ask at the same time."""

    def __init__(self) -> None:
        self._known: tuple[Known, ...] = ()
        self._states = States()
        self._resting: dict[str, tuple[int, int]] = {}

    def pack(
        self, function: Callable[..., Any], name: str, copies: bool
    ) -> tuple[bytes | Packed, bytes]:
        """The function pickled, and the SHA-256 of that.

        Parameters
        ----------
        function, name
            What to pickle, and what to call it.
        copies : bool
            The caller may change what it carries at once.

        Raises
        ------
        CannotPickle
        """
        what = f"{name}, with the globals that it uses,"
        try:
            return self._pack(function, name, what, copies)
        except CannotPickle:
            raise
        except Exception as error:
            raise CannotPickle(error, what) from error

    def _pack(
        self, function: Callable[..., Any], name: str, what: str, copies: bool
    ) -> tuple[bytes | Packed, bytes]:
        buffers = OutOfBand()
        plain = pickling.plain(function, buffers)
        if plain and not buffers.buffers and len(plain) <= SMALL:
            return plain, packing.digest(plain)
        resting = self._rests(name)
        state = b"" if resting else plain or self._states.of(function, buffers)
        for known in self._known if state else ():
            if known.is_still(state, buffers.buffers):
                self._resting.pop(name, None)
                return known.function, known.digest
        comes_again = name in self._resting
        if not resting:
            self._has_changed(name)
        size = len(state) + sum(buffer.raw().nbytes for buffer in buffers.buffers)
        if not state or size > (MOST_BYTES if comes_again else LARGE):
            state = b""  # it may be as large as what comes
            packed = packed_once(function, what, plain, buffers, copies)
            return packed, packing.digest(packed)
        made: Copies = {}
        packed = packed_once(function, what, plain, buffers, made)
        memory = [_copy(buffer, made) for buffer in buffers.buffers]
        made_known = Known(state, memory, packed, packing.digest(packed))
        if plain or self._is_still(function, made_known):
            self._keep(made_known)
        return packed, made_known.digest

    def _is_still(self, function: Callable[..., Any], known: Known) -> bool:
        """Whether nobody has changed it while it was packed."""
        buffers = OutOfBand()
        return known.is_still(self._states.of(function, buffers), buffers.buffers)

    def _keep(self, new: Known) -> None:
        """The oldest ones go."""
        kept: list[Known] = []
        room = MOST_BYTES
        for known in (new, *self._known[: MOST - 1]):
            room -= known.size
            if room < 0:
                break
            kept.append(known)
        self._known = tuple(kept)

    def _rests(self, name: str) -> bool:
        """Whether it has changed so often that it is not looked now; counts the call."""
        left, times = self._resting.get(name, (0, 0))
        if left:
            self._resting[name] = left - 1, times
        return left > 0

    def _has_changed(self, name: str) -> None:
        """Or is new, or nobody can tell: after some times it is looked twice, then not for long."""
        _, times = self._resting.get(name, (0, 0))
        if len(self._resting) >= MOST_NAMES:
            self._resting.clear()
        rests = times >= CHANGES and times % 2
        self._resting[name] = min(times, LONGEST_REST) if rests else 0, times + 1


def packed_once(
    function: Callable[..., Any],
    what: str,
    plain: bytes,
    buffers: OutOfBand,
    copies: bool | Copies,
) -> bytes | Packed:
    """The function pickled, by value if there is no plain pickle."""
    if not plain:
        return pickling.pack_given(function, what, copies)
    kept = OutOfBand(copies)
    for buffer in buffers.buffers:
        kept(buffer)
    return kept.packed(plain)


def _copy(buffer: pickle.PickleBuffer, made: Copies) -> bytes | bytearray:
    """The memory as it is; maybe a copy that was made already."""
    _, copy = made.get(identity(buffer), (None, buffer))
    memory = copy.raw()
    return bytes(memory) if copy is buffer else memory.obj  # type: ignore[return-value]
