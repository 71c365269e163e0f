"""Pickling by value, with the rules for `__main__`.

cloudpickle writes functions and classes that cannot be imported as code. What belongs to the
driver's `__main__` (a script, a notebook, a prompt) is rebuilt *in the worker's `__main__`*: its
functions share that module's globals, and its top-level names are found there again. So a
function that reads a global meets the initializer that set it, and results and exceptions of
such classes travel back by name and are the driver's own classes.

A global comes along as it was when the function was pickled. It does not overwrite what a task
has set since in the worker.

Imported on both sides only once something needs it: it loads cloudpickle.
"""

import io
import sys
import types
from collections.abc import Callable
from typing import Any

import cloudpickle

State = tuple[dict[str, Any], dict[str, Any]]


class _MainGlobals:
    """Stands for the globals of `__main__`; becomes those of the process that loads it."""

    def __reduce__(self) -> tuple[Callable[[], dict[str, Any]], tuple[()]]:
        return main_globals, ()


_placed: dict[str, Any] = {}
"""What was put into `__main__` here, by name: only this is replaced by something newer."""


def main_globals() -> dict[str, Any]:
    """The globals of this process's `__main__`."""
    return vars(sys.modules["__main__"])


def place(name: str, value: Any) -> None:
    """Gives `__main__` the name, unless somebody here has given it another value meanwhile."""
    here = main_globals()
    if name not in here or (name in _placed and here[name] is _placed[name]):
        here[name] = _placed[name] = value


def place_function(
    function: types.FunctionType, saved: tuple[Callable[[Any, State], None], State, str | None]
) -> None:
    """Fills in a function of `__main__`; its globals go where `place` allows."""
    fill, (attributes, slots), name = saved
    for key, value in slots["__globals__"].items():
        place(key, value)
    fill(function, (attributes, {**slots, "__globals__": {}}))
    if name is not None:
        place(name, function)


def place_class(cls: type, saved: tuple[Callable[[Any, State], None], State, str | None]) -> None:
    """Fills in a class of `__main__`."""
    fill, state, name = saved
    if name is not None and main_globals().get(name) is cls and name not in _placed:
        return  # this is the process that the class comes from
    fill(cls, state)
    if name is not None:
        place(name, cls)


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's pickler, but for what belongs to `__main__`."""

    def reducer_override(self, obj: Any) -> Any:
        reduced = super().reducer_override(obj)
        if not isinstance(reduced, tuple) or len(reduced) != 6:
            return reduced
        make, args, state, _, _, fill = reduced
        if isinstance(obj, types.FunctionType) and obj.__globals__ is main_globals():
            args = (args[0], _MAIN_GLOBALS, *args[2:])
            return make, args, (fill, state, _top_level(obj)), None, None, place_function
        if isinstance(obj, type) and obj.__module__ == "__main__":
            return make, args, (fill, state, _top_level(obj)), None, None, place_class
        return reduced


_MAIN_GLOBALS = _MainGlobals()


def _top_level(obj: Any) -> str | None:
    """The name under which `__main__` knows the object, if it does."""
    name: str = obj.__qualname__
    return name if main_globals().get(name) is obj else None


def dumps(obj: Any) -> bytes:
    """Pickles with functions and classes by value where they cannot be imported."""
    with io.BytesIO() as file:
        ByValuePickler(file, protocol=5).dump(obj)
        return file.getvalue()
