"""Digests of items and functions that are the same at the next start of the program.

What cloudpickle writes differs between two starts: code has file names in it, sets have an order
that changes, and whether two equal texts are one object decides about the bytes. A resumed run
has to know its items again. So functions and classes count by their names here, functions also by
what they carry; sets in an order of their own; and equal objects alike, whether they are one or
two. What has no such digest is computed again.

The C pickler does the work, and nothing that it writes is ever loaded.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SIZE = 16
FAST_BYTES = 16 << 20
"""What is larger when every reference is written out is written with references."""

_EMPTY_SET, _FROZENSET = pickle.EMPTY_SET, pickle.FROZENSET
_MADE = len
"""Stands for the function that makes an object again, where it needs none."""

_NO_VALUE = (
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__qualname__",
    "__annotations__",
    "__annotate__",
    "__annotate_func__",
    "__annotations_cache__",
    "__firstlineno__",
    "__static_attributes__",
    "_abc_impl",
)
"""What a class has that does not change what its instances do."""


def digest_of(obj: Any) -> bytes | None:
    """The digest of an object's data; None if there is none that is stable.

    Equal for equal data, at any start of the same program. Globals that a function reads do not
    count, nor does its code.
    """
    try:
        try:
            return _digest(_Pickler, obj, True)
        except _HasSets:
            return _digest(_SetPickler, obj, True)
    except _Large:
        pass
    except Exception as error:
        # what refers to itself cannot be written out
        if not isinstance(error, RecursionError) and "fast mode" not in str(error):
            return None
    try:
        return _digest(_SetPickler, obj, False)
    except Exception:  # whatever it is that does not pickle
        return None


def function_digest(function: Callable[..., Any]) -> bytes | None:
    """The digest of a callable with the data that is bound to it; None if there is none.

    A partial counts with its arguments, a method with its object, a closure with its variables.
    """
    return digest_of(function)


class _HasSets(Exception):
    """There are sets in it, or what looks like one."""


class _Large(Exception):
    """It grows beyond all measure when every reference is written out."""


def _digest(kind: type[_Pickler], obj: Any, written_out: bool) -> bytes:
    return kind(_Sink(kind is _Pickler, written_out), written_out, set(), {}).digest(obj)


class _Sink:
    """The file that is written: nothing of it is kept."""

    __slots__ = ("_limited", "_size", "digest", "finds_sets")

    def __init__(self, finds_sets: bool, limited: bool) -> None:
        self.finds_sets = finds_sets
        self._limited = limited
        self._size = 0
        self.digest = hashlib.blake2b(digest_size=SIZE)

    def write(self, data: Any) -> None:
        if self.finds_sets and len(data) <= FAST_BYTES:
            whole = bytes(data)
            if _EMPTY_SET in whole or _FROZENSET in whole:
                raise _HasSets
        self._size += len(data)
        if self._limited and self._size > FAST_BYTES:
            raise _Large
        self.digest.update(data)


class _Pickler(pickle.Pickler):
    """Writes names of functions and classes, and what functions carry."""

    def __init__(
        self,
        sink: _Sink,
        written_out: bool,
        within: set[int],
        arrays: dict[int, tuple[Any, str]],
    ) -> None:
        super().__init__(sink, 5)
        self.fast = written_out
        self._sink = sink
        self._within = within
        self._arrays = arrays

    def digest(self, obj: Any) -> bytes:
        self.dump(obj)
        return self._sink.digest.digest()

    def _carried(self, obj: Any, carried: Any) -> str:
        """The digest of what a function or a class carries, which may lead back to itself."""
        self._within.add(id(obj))
        sink = _Sink(self._sink.finds_sets, self.fast)
        inner = type(self)(sink, self.fast, self._within, self._arrays)
        digest = inner.digest(carried).hex()
        self._within.discard(id(obj))
        return digest

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is types.FunctionType:
            return _MADE, self._function(obj)
        if isinstance(obj, type):
            return _MADE, self._class(obj)
        if kind is types.ModuleType:
            return _MADE, ("module", obj.__name__)
        if kind is staticmethod or kind is classmethod:
            return _MADE, (kind.__name__, obj.__func__)
        if kind is property:
            return _MADE, ("property", obj.fget, obj.fset, obj.fdel)
        if kind is types.MappingProxyType:
            return _MADE, ("mapping", dict(obj))
        if isinstance(obj, (set, frozenset)):
            return _MADE, (kind, _in_order(obj), getattr(obj, "__dict__", None))
        numpy = sys.modules.get("numpy")
        if numpy is not None and kind is getattr(numpy, "ndarray", None):
            return _MADE, self._array(obj, numpy)
        return NotImplemented

    def _function(self, function: types.FunctionType) -> tuple[Any, ...]:
        code = function.__code__
        name = ("function", function.__module__, function.__qualname__)
        if id(function) in self._within:  # it calls itself
            return name
        unnamed = _code(code) if code.co_name == "<lambda>" else None
        carried = function.__closure__, function.__defaults__, function.__kwdefaults__
        if not any(carried):
            return (*name, unnamed)
        cells = [_content(cell) for cell in function.__closure__ or ()]
        return (*name, unnamed, self._carried(function, (cells, *carried[1:])))

    def _class(self, cls: type) -> tuple[Any, ...]:
        name = ("class", cls.__module__, cls.__qualname__)
        if id(cls) in self._within or _by_name(cls.__module__, cls.__qualname__) is cls:
            return name
        members = [item for item in vars(cls).items() if item[0] not in _NO_VALUE]
        return (*name, self._carried(cls, (cls.__bases__, members)))

    def _array(self, array: Any, numpy: Any) -> tuple[Any, ...]:
        if array.dtype.hasobject:
            return "array", array.dtype, array.shape, array.ravel().tolist()
        known = self._arrays.get(id(array))
        if known is None:
            flat = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
            known = array, hashlib.blake2b(flat, digest_size=SIZE).hexdigest()
            self._arrays[id(array)] = known
        return "array", array.dtype, array.shape, known[1]


class _SetPickler(_Pickler):
    """The same, slower: the pickler alone would write sets in the order that they have here."""

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is set or kind is frozenset:
            return kind.__name__, _in_order(obj)
        if not self.fast and (kind is str or kind is bytes):  # numbers are written each time
            data = obj if kind is bytes else obj.encode(errors="surrogatepass")
            digest = hashlib.blake2b(data, digest_size=SIZE, person=kind.__name__.encode())
            return int.from_bytes(digest.digest(), "little")
        return None


def _in_order(values: Any) -> list[Any]:
    """The elements of a set, in the same order at each start.

    Raises
    ------
    ValueError
        If one of them has no stable digest.
    """
    if {type(value) for value in values} in ({str}, {bytes}, {int}):
        return sorted(values)
    digests = [digest_of(value) for value in values]
    if None in digests:
        raise ValueError("it has no stable digest")
    return sorted(digest.hex() for digest in digests if digest)


def _by_name(module: str, name: str) -> Any:
    """What has that name in that module."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _content(cell: types.CellType) -> Any:
    try:
        return (cell.cell_contents,)
    except ValueError:  # it is empty yet
        return ()


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """What tells functions without a name apart: two of them may stand on one line."""
    values = [_code(each) if isinstance(each, types.CodeType) else each for each in code.co_consts]
    return code.co_firstlineno, code.co_code, code.co_names, values
