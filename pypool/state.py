"""The state of a function: all that decides what it is pickled as, written down fast.

To pickle a function of `__main__` by value takes cloudpickle a while. To see that nothing has
changed since the last time takes less: the C pickler writes the values that it reads, and code,
which cannot change, is told by its identity. Two states of one process are equal only if the
pickles would do the same. Nothing that is written here is ever loaded.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from itertools import count
from weakref import WeakKeyDictionary

from pypool.pickling import NOT_PLAIN, contains, marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from typing import Any

    from pypool.packing import OutOfBand

MOST_CODE = 1000
"""So much code is told by its identity; then all of it gets new numbers."""

LARGE = 4 << 10
"""Texts and bytes that are as long, and that it reads itself, are told by their identity, too."""

MOST_KEPT = 64 << 20
"""So many bytes of these are kept, so that their identity says something."""

NOTHING = 0

_MADE = len
"""Stands for what makes an object again."""

_GLOBAL_STEPS = ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL")

_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)


class _Untold(Exception):
    """It is made of something of which this module does not know what would be pickled."""


class States:
    """Writes states, which are comparable with each other as long as this object lives."""

    def __init__(self) -> None:
        self._numbers = count(NOTHING + 1)
        self._code: dict[int, tuple[types.CodeType, int, tuple[str, ...]]] = {}
        self._values: dict[int, tuple[str | bytes, int]] = {}
        self._kept = 0
        self._classes: WeakKeyDictionary[type, int] = WeakKeyDictionary()

    def of(self, function: Callable[..., Any], buffers: OutOfBand) -> bytes:
        """The state, without its large buffers; nothing if it cannot be told.

        Raises
        ------
        Exception
            What somebody's own code raises: that of an object in it, or of a signal handler.
        """
        from pypool import by_value

        modules = marks()
        try:
            with io.BytesIO() as file:
                writer = _Writer(file, buffers, self, tuple(mark.decode() for mark in modules))
                writer.from_library = by_value.from_library
                writer.reduced = by_value.REDUCED
                writer.dump(function)
                state = file.getvalue()
        except (_Untold, *NOT_PLAIN):  # to pickle it by value will say what is wrong, or will work
            return b""
        if contains(state, modules):
            return b""  # something was written by its name, and may have changed
        # what was imported decides which submodules travel
        return state + f"{len(sys.modules)} {next(reversed(sys.modules))}".encode()

    def code(self, code: types.CodeType) -> tuple[int, tuple[str, ...]]:
        """Its number, and the names of the globals that it may read."""
        known = self._code.get(id(code))
        if known is None:
            if len(self._code) >= MOST_CODE:
                self._code.clear()
            known = code, next(self._numbers), tuple(dict.fromkeys(_globals(code)))
            self._code[id(code)] = known
        return known[1:]

    def same(self, value: str | bytes) -> int:
        """The number of a value that cannot change."""
        known = self._values.get(id(value))
        if known is None:
            size = sys.getsizeof(value)
            if self._kept + size > MOST_KEPT:
                self._values.clear()
                self._kept = 0
            self._kept += size
            known = self._values[id(value)] = value, next(self._numbers)
        return known[1]

    def cls(self, cls: type) -> int:
        """Its number."""
        number = self._classes.get(cls)
        if number is None:
            number = self._classes[cls] = next(self._numbers)
        return number


class _Same:
    """Stands for a value that cannot change; or for none, if there is none yet."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class _Writer(pickle.Pickler):
    """Writes the state of one function.

    What refers to itself does so in what `reducer_override` gives as its state: the pickler has
    noted by then that it was there.
    """

    from_library: Callable[[Any], Any]
    reduced: Container[type]

    def __init__(
        self, file: io.BytesIO, buffers: OutOfBand, states: States, by_value: tuple[str, ...]
    ) -> None:
        super().__init__(file, 5, buffer_callback=buffers)
        self._states = states
        self._by_value = by_value

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is types.FunctionType:
            return self._function(obj) if self._goes_by_value(obj) else NotImplemented
        if isinstance(obj, type):
            return self._class(obj) if self._goes_by_value(obj) else NotImplemented
        if kind is _Same:
            return _MADE, (_Same, obj.number)
        if kind is types.ModuleType:
            return _MADE, (self._module(obj),)
        if kind is types.MethodType:  # the function that is bound may have no other name
            return _MADE, (obj.__func__, obj.__self__)
        if kind is property:
            return _MADE, (obj.fget, obj.fset, obj.fdel, obj.__doc__)
        if kind is staticmethod or kind is classmethod:
            return _MADE, (kind.__name__, obj.__func__)
        if kind is types.MappingProxyType:
            return _MADE, (dict(obj),)
        if kind.__name__ == "_FIELD_BASE":  # what dataclasses tell kinds of fields by
            return _MADE, (obj.name,)
        made = self.from_library(obj)
        if made is not None:
            return made
        if kind in self.reduced:
            raise _Untold
        return NotImplemented

    def _goes_by_value(self, obj: Any) -> bool:
        """Whether it does not travel by its name."""
        module = obj.__module__
        if type(module) is not str or module.startswith(self._by_value):
            return True
        found: Any = sys.modules.get(module)
        for part in obj.__qualname__.split("."):
            found = getattr(found, part, None)
        return found is not obj

    def _module(self, module: types.ModuleType) -> str:
        name = module.__name__
        if sys.modules.get(name) is not module or name.startswith(self._by_value):
            raise _Untold
        return name

    def _function(self, function: types.FunctionType) -> Any:
        number, names = self._states.code(function.__code__)
        read = function.__globals__
        cells = function.__closure__
        state = (
            function.__name__,
            function.__qualname__,
            _told(function.__module__),
            function.__doc__,
            function.__annotations__,
            function.__defaults__,
            function.__kwdefaults__,
            vars(function),
            cells and [self._light(_content(cell)) for cell in cells],
            _is_top_level(function),
            {name: self._light(read[name]) for name in names if name in read},
        )
        return _MADE, (number,), state

    def _light(self, value: Any) -> Any:
        """The value, or what stands for it."""
        fixed = type(value) is bytes or type(value) is str
        if fixed and len(value) >= LARGE and sys.getsizeof(value) <= MOST_KEPT:
            return _Same(self._states.same(value))
        return value

    def _class(self, cls: type) -> Any:
        if type(cls) is not type:
            raise _Untold
        members = {
            name: value
            for name, value in vars(cls).items()
            if name != "__module__" and not _has_put(cls, value)
        }
        names = cls.__name__, cls.__qualname__, _told(cls.__module__)
        state = names, cls.__bases__, _is_top_level(cls), members
        return _MADE, (self._states.cls(cls),), state


def _told(module: Any) -> Any:
    """The name of a module; that of the program itself would look like a reference to it."""
    return True if module == "__main__" else module


def _has_put(cls: type, value: Any) -> bool:
    """Whether it is something that Python has put into the class, for its slots."""
    return isinstance(value, _DESCRIPTORS) and value.__objclass__ is cls


def _globals(code: types.CodeType) -> Iterator[str]:
    """The names of those that it reads or sets, with the functions in it."""
    import dis

    for step in dis.get_instructions(code):
        if step.opname in _GLOBAL_STEPS:
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals(inner)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _Same(NOTHING)


def _is_top_level(obj: Any) -> bool:
    """Whether `__main__` knows it by its name."""
    return vars(sys.modules["__main__"]).get(obj.__qualname__) is obj
