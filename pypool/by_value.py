"""Pickling by value, with the rules for `__main__`.

cloudpickle writes functions and classes that cannot be imported as code. What belongs to the
driver's `__main__` (a script, a notebook, a prompt) is rebuilt *in the worker's `__main__`*: its
functions share that module's globals, and its top-level names are found there again. So a
function that reads a global meets the initializer that set it, and results and exceptions of
such classes travel back by name and are the driver's own classes.

A global comes along as it was when the function was pickled. It does not overwrite what a task
or the initializer has set since in the worker, nor what they have done to it in place; and so it
is with the attributes of functions.

Imported on both sides only once something needs it: it loads cloudpickle.
"""

import enum
import functools
import hashlib
import io
import pickle
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import cloudpickle

from pypool.definitions import Definitions
from pypool.packing import Copies, Numbering, OutOfBand, Packed

State = tuple[dict[str, Any], dict[str, Any]]


class _MainGlobals:
    """Stands for the globals of `__main__`; becomes those of the process that loads it."""

    def __reduce__(self) -> tuple[Callable[[], dict[str, Any]], tuple[()]]:
        return main_globals, ()


class _Snapshot:
    """A value as it came; what it was like then, unless that cannot change or be told."""

    __slots__ = ("digest", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.digest = _digest(value)


_placed: dict[str, _Snapshot] = {}
"""What was put into `__main__` here, by name: only this is replaced by something newer."""

_filled: WeakKeyDictionary[type, dict[str, _Snapshot]] = WeakKeyDictionary()
"""The classes of `__main__` that came from elsewhere, and their attributes as they came."""

_attributes: WeakKeyDictionary[types.FunctionType, dict[str, _Snapshot]] = WeakKeyDictionary()
"""The functions of `__main__` that came from elsewhere, and their attributes as they came."""

_own: WeakSet[type] = WeakSet()
"""The classes of `__main__` that were sent from here: they are not changed from elsewhere."""


_changes = 0


def changes() -> int:
    """How often something that came here was replaced by something else that came later."""
    return _changes


def main_globals() -> dict[str, Any]:
    """The globals of this process's `__main__`."""
    return vars(sys.modules["__main__"])


def place(name: str, value: Any) -> None:
    """Gives `__main__` the name, unless somebody here has given it another value meanwhile."""
    here = main_globals()
    if _is_news(_placed, here, name, value):
        here[name] = value


def _is_news(placed: dict[str, _Snapshot], here: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether `name` is to get the value; if so, that is noted.

    It is not if it was set here, nor if it comes as it came before, or what came then was changed
    here since: what was done here to a list or a dictionary in place stays.
    """
    new = _Snapshot(value)
    if name in here:
        old = placed.get(name)
        if old is None or here[name] is not old.value:
            return False
        if new.digest is not None and new.digest == old.digest:
            return False
        if old.digest is not None and _digest(old.value) not in (None, old.digest):
            return False
        if not _are_same(old.value, value):
            global _changes
            _changes += 1
    placed[name] = new
    return True


def _are_same(old: Any, new: Any) -> bool:
    """Whether the one does what the other does, as far as that can be told; digests differ."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(new, (int, float, complex, str, bytes)):
        return bool(old == new)
    if isinstance(new, types.FunctionType):
        defaults = [_digest((each.__defaults__, each.__kwdefaults__)) for each in (old, new)]
        return old.__code__ == new.__code__ and defaults[0] == defaults[1]
    for kind, names in _WRAPPERS:
        if isinstance(new, kind):
            return all(_are_same(getattr(old, name), getattr(new, name)) for name in names)
    return False


_UNCHANGING = (int, float, complex, str, bytes, type, types.FunctionType, types.ModuleType)


def _digest(value: Any) -> bytes | None:
    if value is None or isinstance(value, _UNCHANGING):
        return None
    digest = hashlib.blake2b(digest_size=16)
    try:
        pickle.Pickler(_Sink(digest.update), 5).dump(value)
    except Exception:  # whatever it is that does not pickle: the newest counts
        return None
    return digest.digest()


class _Sink(NamedTuple):
    """A file that nobody reads."""

    write: Callable[[Any], None]


def place_function(
    function: types.FunctionType, saved: tuple[Callable[[Any, State], None], State, str | None]
) -> None:
    """Fills in a function of `__main__`; its globals go where `place` allows."""
    fill, (attributes, slots), name = saved
    old = _placed_function(name, function.__code__)  # before its globals: it may be among them
    for key, value in slots["__globals__"].items():
        place(key, value)
    if old is None:
        known = _attributes[function] = {key: _Snapshot(each) for key, each in attributes.items()}
    else:  # the same function again: what was set on it here is there
        known = _attributes[function] = _attributes[old]
        function.__dict__ = old.__dict__
        here = vars(function)
        attributes = {
            key: value for key, value in attributes.items() if _is_news(known, here, key, value)
        }
    fill(function, (attributes, {**slots, "__globals__": {}}))
    if name is not None:
        place(name, function)


def _placed_function(name: str | None, code: types.CodeType) -> types.FunctionType | None:
    """The function of that name and code that came before, if nobody has replaced it."""
    if name is None or name not in _placed:
        return None
    found = main_globals().get(name)
    if not isinstance(found, types.FunctionType) or found is not _placed[name].value:
        return None
    return found if found.__code__ == code and found in _attributes else None


def cached(
    function: Callable[..., Any], parameters: dict[str, Any], name: str | None
) -> Callable[..., Any]:
    """A function with `functools.lru_cache`; what it has remembered here stays."""
    found = None if name is None else main_globals().get(name)
    if isinstance(found, _LRU_CACHE) and name in _placed and found is _placed[name].value:
        here = getattr(found.__wrapped__, "__code__", None)
        if here is not None and here == getattr(function, "__code__", None):
            return found
    made: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    if name is not None:
        place(name, made)
    return made


def cached_property(function: Callable[[Any], Any], name: str | None) -> Any:
    """A `functools.cached_property`, with a lock of its own where Python has one."""
    made = functools.cached_property(function)
    if name is not None:
        made.__set_name__(object, name)
    return made


def new_type(name: str, supertype: Any) -> Any:
    """What `typing.NewType` makes."""
    made = typing.NewType(name, supertype)  # type: ignore[misc]
    made.__module__ = "__main__"
    place(name, made)
    return made


def single_dispatch(functions: list[tuple[type, Callable[..., Any]]], name: str | None) -> Any:
    """What `functools.singledispatch` makes, with all that was registered; the default first."""
    made = functools.singledispatch(functions[0][1])
    for cls, function in functions[1:]:
        made.register(cls, function)
    if name is not None:
        place(name, made)
    return made


_LRU_CACHE = type(functools.lru_cache(abs))
_WRAPPERS: list[tuple[Any, tuple[str, ...]]] = [
    (staticmethod, ("__func__",)),
    (classmethod, ("__func__",)),
    (property, ("fget", "fset", "fdel")),
    (functools.cached_property, ("func",)),
    (_LRU_CACHE, ("__wrapped__",)),
]
_SINGLE_DISPATCH: types.CodeType = getattr(functools.singledispatch(abs), "__code__")  # noqa: B009


def from_library(obj: Any) -> Any:
    """How to make again what a decorator of the library has made in `__main__`; or None.

    Those pickle by a name that the worker's `__main__` does not have, or not at all.
    """
    if isinstance(obj, functools.cached_property):
        return cached_property, (obj.func, obj.attrname)
    if getattr(obj, "__module__", None) != "__main__":
        return None
    if isinstance(obj, _LRU_CACHE):
        return cached, (obj.__wrapped__, obj.cache_parameters(), _top_level(obj))
    if isinstance(obj, typing.NewType):
        return new_type, (obj.__name__, obj.__supertype__)
    if isinstance(obj, types.FunctionType) and obj.__code__ is _SINGLE_DISPATCH:
        default = obj.registry[object]  # type: ignore[attr-defined]
        others = [item for item in obj.registry.items() if item[0] is not object]  # type: ignore[attr-defined]
        return single_dispatch, ([(object, default), *others], _top_level(obj))
    return None


def place_class(cls: type, saved: tuple[Callable[[Any, State], None], State, str | None]) -> None:
    """Fills in a class of `__main__`; of one that is here already what has changed elsewhere."""
    fill, (attributes, slots), name = saved
    if cls in _own:
        return
    known = _filled.get(cls)
    if known is None:
        _filled[cls] = {key: _Snapshot(value) for key, value in attributes.items()}
    else:
        here = vars(cls)
        attributes = {
            key: value for key, value in attributes.items() if _is_news(known, here, key, value)
        }
    fill(cls, (attributes, slots))
    if name is not None:
        place(name, cls)


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's pickler, but for what belongs to `__main__`.

    Attributes
    ----------
    definitions : Definitions or None
        What is named only.
    """

    definitions: Definitions | None = None

    def reducer_override(self, obj: Any) -> Any:
        if self.definitions is not None:
            named = self.definitions.reduce(obj)
            if named is not NotImplemented:
                return named
        known = from_library(obj)
        if known is not None:
            return known
        if isinstance(obj, types.CodeType):
            return _with_file(obj, self.dispatch_table[types.CodeType](obj))
        reduced = super().reducer_override(obj)
        if not isinstance(reduced, tuple) or len(reduced) != 6:
            return reduced
        make, args, state, _, _, fill = reduced
        if isinstance(obj, types.FunctionType) and obj.__globals__ is main_globals():
            args = (args[0], _MAIN_GLOBALS, *args[2:])
            return make, args, (fill, state, _top_level(obj)), None, None, place_function
        if isinstance(obj, type) and obj.__module__ == "__main__":
            if obj not in _filled:
                _own.add(obj)
            if vars(obj).get("__slots__") and not isinstance(obj, enum.EnumType):
                args, state = _with_slots(obj, args, state)
            return make, args, (fill, state, _top_level(obj)), None, None, place_class
        return reduced


_MAIN_GLOBALS = _MainGlobals()

REDUCED: Mapping[type, Any] = ByValuePickler.dispatch_table.maps[0]
"""Types that cloudpickle knows better than the pickler how to reduce; users may add some."""


NO_FILE = "<dynamic-code>"


def _with_file(code: types.CodeType, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, with the name of the file: a traceback shows the lines of the task.

    cloudpickle 3.1.3 leaves it out, so that the same code has the same pickle wherever it stands.
    """
    make, args, *rest = reduced
    return make, tuple(code.co_filename if each == NO_FILE else each for each in args), *rest


def _with_slots(cls: type, args: tuple[Any, ...], state: State) -> tuple[tuple[Any, ...], State]:
    """The same, but the class is made with its slots; cloudpickle names them when it is late."""
    constructor, name, bases, namespace, *rest = args
    attributes = {
        key: value
        for key, value in state[0].items()
        if not (isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls)
    }
    namespace = {**namespace, "__slots__": vars(cls)["__slots__"]}
    return (constructor, name, bases, namespace, *rest), (attributes, state[1])


def _top_level(obj: Any) -> str | None:
    """The name under which `__main__` knows the object, if it does."""
    name: str = obj.__qualname__
    return name if main_globals().get(name) is obj else None


class _Referring(Numbering, ByValuePickler):
    """Numbers are written, too."""

    def __init__(
        self, file: io.BytesIO, buffers: OutOfBand | None, serials: dict[int, int]
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffers)
        self.serials = serials
        self.used = set()


def new_pickler(
    file: io.BytesIO,
    buffers: OutOfBand | None,
    serials: dict[int, int],
    definitions: Definitions | None,
) -> pickle.Pickler:
    """Writes numbers for objects whose identities are in the dictionary, and for definitions."""
    made = (
        _Referring(file, buffers, serials)
        if serials
        else ByValuePickler(file, protocol=5, buffer_callback=buffers)
    )
    made.definitions = definitions
    return made


def dumps(
    obj: Any, buffers: OutOfBand | None = None, definitions: Definitions | None = None
) -> bytes:
    """Pickles with functions and classes by value where they cannot be imported."""
    with io.BytesIO() as file:
        new_pickler(file, buffers, {}, definitions).dump(obj)
        return file.getvalue()


def definition(obj: Any, copies: bool | Copies = False) -> bytes | Packed | None:
    """A class or a function by value, if items can do with its number.

    That is so if it cannot be imported; of functions only with those that their module knows by
    name, for others may have closed over something of their item.
    """
    if isinstance(obj, types.FunctionType):
        module = sys.modules.get(obj.__module__)
        if getattr(module, obj.__qualname__, None) is not obj:
            return None
    reduced = ByValuePickler(io.BytesIO(), protocol=5).reducer_override(obj)
    if not isinstance(reduced, tuple) or len(reduced) != 6:
        return None
    buffers = OutOfBand(copies)
    return buffers.packed(dumps(obj, buffers))
