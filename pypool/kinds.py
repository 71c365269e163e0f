"""Kinds: what values may be of to be put one behind the other, without a pickle of their own.

Items and results are often numbers, some numbers each, or small arrays of one shape. To pickle one
and load it again costs more than most arithmetic with it; a column of them is copied as a whole, in
the byte order of the machine. Only what is exactly of such a type comes into a column, so that it
leaves it as what it was. Used by the driver and by workers.

What a column is of is said by a letter. Behind that of arrays stand their type and their shape, as
in `a<f8:3,2`; behind that of tuples the letters of what is in them, as in `tdq`. A range has no
column: all of it is said by its name, which has its first number and its step, as in `r0:1`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain, starmap
from math import prod
from operator import attrgetter, itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    import numpy as np

NUMBER_BYTES = 8
"""Of each float or integer."""

PICKLES = "p"
"""The letter of what is no column: each value has a pickle of its own."""

ARRAYS = "a"
TUPLES = "t"
RANGES = "r"
BLOCKS = "b"
"""Items that are pickled some at a time: a column of pickles, whose values have no kind."""
LONGEST_ABOUT = 255
"""So long is at most what stands behind a letter."""

ARRAY_BYTES = 2048
MOST_IN_TUPLE = 100
"""Larger ones are pickled."""

_ARRAY_KINDS = {
    "f": (2, 4, 8, 16),
    "i": (1, 2, 4, 8),
    "u": (1, 2, 4, 8),
    "c": (8, 16, 32),
    "b": (1,),
}
"""Floats, integers, complex numbers, bools, and how many bytes they have: there is nothing behind
these."""

_MOST_DIMENSIONS = 32

_WHOLE = 0x1 | 0x400
"""Of the flags of an array: in the order of C, and writeable. A pickle keeps that, too."""


class Kind:
    """What a column can be of: so many bytes for each value.

    Attributes
    ----------
    form : str
        The format of its memory; that of None says only how many there are.
    width : int
        Bytes of each value.
    needs_numpy : bool
        To make values of it.
    """

    needs_numpy = False

    def __init__(self, form: str, width: int, type: type | None = None) -> None:
        self.form = form
        self.width = width
        self._type = type

    @property
    def type(self) -> type:
        """That of the values, exactly."""
        assert self._type is not None
        return self._type

    def belongs(self, value: Any) -> bool:
        """Whether a value is of it, but for its size."""
        return type(value) is self.type

    def are_all(self, values: Collection[Any]) -> bool:
        """Whether that is true of all of them, which are of one type."""
        return self.belongs(next(iter(values)))

    def putting(self, memory: memoryview) -> Callable[[int, Any], None]:
        """What puts a value at its place in a column; a ValueError says that it is too large."""
        return memory.cast(self.form).__setitem__  # type: ignore[call-overload,no-any-return]

    def pack(self, values: list[Any]) -> bytes:
        """The column of these values, which are of that type.

        Raises
        ------
        OverflowError
            If one is too large.
        """
        from array import array

        return array(self.form, values).tobytes()

    def load(self, data: bytes, count: int) -> list[Any]:
        """So many values, each a new object if it can be changed."""
        if self._type is type(None):
            return [None] * count
        return memoryview(data).cast(self.form).tolist()  # type: ignore[call-overload,no-any-return]


class Scalars(Kind):
    """Numbers of numpy, which is imported when there are some."""

    needs_numpy = True

    def __init__(self, form: str, name: str) -> None:
        super().__init__(form, NUMBER_BYTES)
        self.name = name

    @property
    def type(self) -> type:
        if self._type is None:
            import numpy

            self._type = getattr(numpy, self.name)
        return self._type

    def load(self, data: bytes, count: int) -> list[Any]:
        import numpy

        return list(numpy.frombuffer(data, self.type))


class Arrays(Kind):
    """Arrays of one type and shape.

    Raises
    ------
    ValueError
        If it is not said of which.
    """

    needs_numpy = True

    def __init__(self, about: str) -> None:
        self._name, _, shape = about.partition(":")
        self._dtype: np.dtype[Any] | None = None
        order, kind, size = self._name[:1], self._name[1:2], self._name[2:]
        lengths = shape.split(",")
        sizes = [str(each) for each in _ARRAY_KINDS.get(kind, ())]
        if order not in ("<", ">", "|") or size not in sizes:
            raise ValueError(f"{about!r} says nothing of arrays of numbers")
        if len(lengths) > _MOST_DIMENSIONS or not all(map(str.isdecimal, lengths)):
            raise ValueError(f"{about!r} has no shape")
        self.shape = tuple(map(int, lengths))
        super().__init__("B", prod(self.shape) * int(size))
        if not 0 < self.width <= ARRAY_BYTES:
            raise ValueError(f"{about!r} says nothing of small arrays")

    @property
    def type(self) -> type:
        import numpy

        return numpy.ndarray

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the arrays."""
        if self._dtype is None:
            import numpy

            self._dtype = numpy.dtype(self._name)
        return self._dtype

    def belongs(self, value: Any) -> bool:
        exactly: bool = type(value) is self.type
        return bool(
            exactly
            and value.shape == self.shape
            and value.flags.num & _WHOLE == _WHOLE
            and (value.dtype is self.dtype or _is_called(self._name, value.dtype))
        )

    def pack(self, values: list[Any]) -> bytes:
        return b"".join(values)

    def load(self, data: bytes, count: int) -> list[Any]:
        return [each.copy() for each in self.view(data)]

    def are_all(self, values: Collection[Any]) -> bool:
        dtypes = {id(each): each for each in map(attrgetter("dtype"), values)}
        return (
            set(map(attrgetter("shape"), values)) == {self.shape}
            and all(flags & _WHOLE == _WHOLE for flags in set(map(attrgetter("flags.num"), values)))
            and all(_is_called(self._name, each) for each in dtypes.values())
        )

    def putting(self, memory: memoryview) -> Callable[[int, Any], None]:
        return self.view(memory).__setitem__

    def view(self, data: Any) -> np.ndarray:
        """Memory, as such arrays."""
        import numpy

        room = len(data) // self.width
        return numpy.frombuffer(data[: room * self.width], self.dtype).reshape((room, *self.shape))


class Tuples(Kind):
    """Tuples of numbers.

    Raises
    ------
    ValueError
        If it is not said of which.
    """

    def __init__(self, letters: str) -> None:
        if not 0 < len(letters) <= MOST_IN_TUPLE or not set(letters) <= {*_IN_TUPLES}:
            raise ValueError(f"{letters!r} says nothing of tuples of numbers")
        self._letters = letters
        self._struct = struct.Struct("=" + "".join(KINDS[each].form for each in letters))
        self._types: tuple[type, ...] = ()
        self.needs_numpy = any(KINDS[each].needs_numpy for each in letters)
        super().__init__("B", self._struct.size, tuple)

    def belongs(self, value: Any) -> bool:
        if not self._types:
            self._types = tuple(KINDS[each].type for each in self._letters)
        return type(value) is tuple and tuple(map(type, value)) == self._types

    def are_all(self, values: Collection[Any]) -> bool:
        if set(map(len, values)) != {len(self._letters)}:
            return False
        if len(set(self._letters)) == 1:
            return set(map(type, chain.from_iterable(values))) == {KINDS[self._letters[0]].type}
        return all(
            set(map(type, map(itemgetter(place), values))) == {KINDS[letter].type}
            for place, letter in enumerate(self._letters)
        )

    def putting(self, memory: memoryview) -> Callable[[int, Any], None]:
        pack_into, width = self._struct.pack_into, self.width

        def put(place: int, value: tuple[Any, ...]) -> None:
            try:
                pack_into(memory, width * place, *value)
            except struct.error as error:
                raise ValueError(str(error)) from error

        return put

    def pack(self, values: list[Any]) -> bytes:
        try:
            return b"".join(starmap(self._struct.pack, values))
        except struct.error as error:
            raise OverflowError(str(error)) from error

    def load(self, data: bytes, count: int) -> list[Any]:
        found: Iterable[tuple[Any, ...]] = self._struct.iter_unpack(data)
        if set(self._letters) & {*_SCALARS}:
            columns = zip(self._letters, zip(*found, strict=True), strict=True)
            found = zip(*(_made(each, column) for each, column in columns), strict=True)
        return list(found)


def _made(letter: str, column: tuple[Any, ...]) -> Sequence[Any]:
    """Numbers of numpy out of others, where the letter says so."""
    if letter not in _SCALARS:
        return column
    import numpy

    return list(numpy.array(column, KINDS[letter].type))


KINDS = {
    "d": Kind("d", NUMBER_BYTES, float),
    "q": Kind("q", NUMBER_BYTES, int),
    "?": Kind("?", 1, bool),
    "0": Kind("?", 1, type(None)),
    "D": Scalars("d", "float64"),
    "Q": Scalars("q", "int64"),
}
"""By the letter that stands for it: all but arrays and tuples."""

_SCALARS = "DQ"
_IN_TUPLES = "dq?DQ"

_LETTERS = {KINDS[letter].type: letter for letter in "dq?0"}

_MOST_REMEMBERED = 1000
_met: dict[str, Kind] = {}


def is_name(name: str) -> bool:
    """Whether something may be called so; of arrays, say, `known` says whether it makes sense."""
    if name in (PICKLES, BLOCKS) or name in KINDS:
        return True
    return name.startswith((ARRAYS, TUPLES, RANGES))


def known(name: str) -> Kind:
    """The kind that is called so.

    Raises
    ------
    ValueError
        If none is.
    """
    found = KINDS.get(name) or _met.get(name)
    if found is not None:
        return found
    if not name.startswith((ARRAYS, TUPLES)):
        raise ValueError(f"there is no kind {name!r}")
    if len(_met) >= _MOST_REMEMBERED:
        _met.clear()
    made = _met[name] = Arrays(name[1:]) if name.startswith(ARRAYS) else Tuples(name[1:])
    return made


def kind_of(value: Any) -> str:
    """The name of the kind that a value is of; PICKLES if there is none."""
    if type(value) is tuple:
        letters = "".join(map(_letter_of, value[: MOST_IN_TUPLE + 1]))
        usual = 0 < len(value) <= MOST_IN_TUPLE and set(letters) <= {*_IN_TUPLES}
        return TUPLES + letters if usual else PICKLES
    if type(value).__name__ == "ndarray":
        return _kind_of_array(value)
    return _letter_of(value)


def _letter_of(value: Any) -> str:
    """Of what is one of KINDS."""
    letter = _LETTERS.get(type(value))
    if letter is not None:
        return letter
    if type(value).__module__ == "numpy":
        for letter in _SCALARS:
            if type(value) is KINDS[letter].type:
                return letter
    return PICKLES


def _kind_of_array(value: Any) -> str:
    import numpy

    if type(value) is not numpy.ndarray:
        return PICKLES
    if value.flags.num & _WHOLE != _WHOLE or not 0 < value.ndim <= _MOST_DIMENSIONS:
        return PICKLES
    if not 0 < value.nbytes <= ARRAY_BYTES or not _is_called(value.dtype.str, value.dtype):
        return PICKLES
    return f"{ARRAYS}{value.dtype.str}:{','.join(map(str, value.shape))}"


def _is_called(name: str, dtype: np.dtype[Any]) -> bool:
    """Whether it is the type of numbers of that name, and not one that is only equal to it."""
    import numpy

    if dtype.str != name or dtype.itemsize not in _ARRAY_KINDS.get(dtype.kind, ()):
        return False
    if dtype.metadata:
        return False
    return numpy.dtype(name).char == dtype.char


def pack_about(name: str) -> bytes:
    """What stands behind the letter of that kind: the rest of the name, and its length."""
    about = name[1:].encode()
    return bytes([len(about)]) + about if about else b""


def unpack_name(letter: bytes, behind: bytes) -> tuple[str, int]:
    """The name of a kind; and how long what stands behind its letter is."""
    name = letter.decode("latin1")
    if name not in (ARRAYS, TUPLES, RANGES) or not behind:
        return name, 0
    end = 1 + behind[0]
    return name + behind[1:end].decode("latin1"), end
