"""Pickling of functions, results and exceptions; for items see `items`.

The C pickler does it wherever it can; `pypool.by_value` takes what belongs to `__main__` or
cannot be imported. Used by the driver and by workers, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pypool.packing import OutOfBand, Packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    from pypool.packing import Buffer, Copies

loads = pickle.loads


def dumps(obj: Any) -> bytes:
    """Pickles an object that the driver sends.

    Raises
    ------
    Exception
        Whatever pickling raised: the object cannot be sent.
    """
    return _dumps(obj, None)


def pack(obj: Any, copies: bool | Copies = False) -> bytes | Packed:
    """As `dumps`, but large buffers stay where they are and are written from there.

    Parameters
    ----------
    copies : bool or Copies
        They may be changed before that: they are copied now. See `packing.OutOfBand`.
    """
    buffers = OutOfBand(copies)
    return buffers.packed(_dumps(obj, buffers))


def _dumps(obj: Any, buffers: OutOfBand | None) -> bytes:
    return plain(obj, buffers) or _dumps_by_value(obj, buffers)


NOT_PLAIN = (pickle.PicklingError, TypeError, AttributeError, RecursionError)
"""What the pickler raises about objects that it does not know, as cloudpickle may. Anything else
comes from somebody's own code, maybe from a signal handler: nobody else would hear of it."""


def plain(obj: Any, buffers: OutOfBand | None) -> bytes:
    """What the C pickler makes of it; nothing if that is not what a worker can load."""
    try:
        data = pickle.dumps(obj, 5, buffer_callback=buffers)
    except NOT_PLAIN:
        data = b""
    if data and not contains(data, marks()):
        return data
    if buffers is not None:
        buffers.buffers.clear()
    return b""


def marks() -> tuple[bytes, ...]:
    """Names of modules: a pickle with one in it may name what a worker cannot import.

    They are `__main__`, and those that the user has asked cloudpickle to send by value.
    """
    if not sys.modules.get("cloudpickle"):
        return _MAIN
    import cloudpickle  # waits if another thread is still importing it

    return (*_MAIN, *(name.encode() for name in cloudpickle.list_registry_pickle_by_value()))


_MAIN = (b"__main__",)


def contains(data: bytes, marks: Sequence[bytes]) -> bool:
    """Whether one of the marks is in there."""
    return any(map(data.__contains__, marks))


def is_by_value(data: bytes) -> bool:
    """Whether to load that pickle may put something into `__main__`."""
    return b"pypool.by_value" in data


def changes_of_main() -> int:
    """How often something that was put into `__main__` here was replaced by what came later."""
    if "pypool.by_value" not in sys.modules:
        return 0
    from pypool import by_value

    return by_value.changes()


class CannotPickle(Exception):
    """What a caller gave cannot be sent. `error` is what pickling it raised."""

    def __init__(self, error: Exception, what: str) -> None:
        super().__init__(error)
        add_note(error, f"pypool: {what} cannot be sent to workers")
        self.error = error


def pack_given(obj: Any, what: str, copies: bool | Copies = False) -> bytes | Packed:
    """As `pack`, but what goes wrong can be told from other errors, and says `what` it was.

    Raises
    ------
    CannotPickle
    """
    try:
        return pack(obj, copies)
    except Exception as error:
        raise CannotPickle(error, what) from error


def guilty_global(function: Any) -> str | None:
    """The first of the names that a function uses whose value cannot be sent."""
    inner = getattr(function, "func", function)  # functools.partial
    inner = getattr(inner, "__func__", inner)  # a method
    code = getattr(inner, "__code__", None)
    if code is None:
        return None
    held = {name: inner.__globals__.get(name) for name in _names(code)}
    for name, cell in zip(code.co_freevars, inner.__closure__ or (), strict=False):
        with suppress(ValueError):  # it is empty
            held[name] = cell.cell_contents
    for name, value in held.items():
        try:
            dumps(value)
        except Exception:
            return name
    return None


def _names(code: CodeType) -> list[str]:
    """What it looks up by name, with the functions in it."""
    inner = (each for each in code.co_consts if hasattr(each, "co_names"))
    return [*code.co_names, *(name for each in inner for name in _names(each))]


def dumps_result(obj: Any) -> bytes:
    """Pickles what a task returned: by name where possible, for the driver has its own classes."""
    try:
        return pickle.dumps(obj, 5)
    except Exception:
        return _dumps_by_value(obj)


def pack_result(obj: Any) -> bytes | Packed:
    """The same, with large buffers left where they are."""
    buffers = OutOfBand()
    try:
        data = pickle.dumps(obj, 5, buffer_callback=buffers)
    except Exception:
        buffers.buffers.clear()
        data = _dumps_by_value(obj, buffers)
    return buffers.packed(data)


def dumps_error(error: BaseException, traceback: str) -> bytes:
    """Pickles a task's exception so that it can be rebuilt, or else told, in the driver."""
    text = text_of(error)
    told = f"{type(error).__module__}.{type(error).__qualname__}: {text}"
    for form in _forms(error):
        try:
            data = dumps_result(form)
            rebuilt = _rebuilt(pickle.loads(data))
            # an __init__ that makes a message of its arguments makes one of the message, too
            if type(rebuilt) is type(error) and (form is not error or text_of(rebuilt) == text):
                return pickle.dumps((data, traceback, told), 5)
        except BaseException:  # the next form is tried, the text always remains
            continue
    return pickle.dumps((None, traceback, told), 5)


def loads_error(data: Buffer) -> tuple[BaseException | None, str, str]:
    """The exception (None if it cannot be rebuilt here), its traceback, and what it says."""
    form, traceback, told = pickle.loads(data)
    if form is None:
        return None, traceback, told
    try:
        return _rebuilt(pickle.loads(form)), traceback, told
    except BaseException:  # its class may do anything, exit for example
        return None, traceback, told


def shortened(error: bytes, limit: int) -> bytes:
    """A pickled error of at most so many bytes: of a larger one only what can be told."""
    if len(error) <= limit:
        return error
    _, traceback, told = pickle.loads(error)
    return pickle.dumps((None, traceback[-limit // 8 :], told[: limit // 8]), 5)


def set_cause(error: BaseException, cause: BaseException) -> None:
    """Sets `__cause__` of an exception, even if its class refuses to have attributes set."""
    BaseException.__dict__["__cause__"].__set__(error, cause)


def add_note(error: BaseException, note: str) -> None:
    """Adds a note to an exception, even if its class refuses to have attributes set.

    From then on `error.add_note` works, too: it sets an attribute only for the first note.
    """
    try:
        old = getattr(error, "__notes__", None)
        notes = [*old, note] if isinstance(old, list) else [note]
        BaseException.__setattr__(error, "__notes__", notes)
    except Exception:  # the exception counts, not what we have to say of it
        return


def text_of(error: BaseException) -> str:
    """What an exception says, whatever its `__str__` does."""
    try:
        return str(error)
    except BaseException as broken:
        return f"<its __str__ raised {type(broken).__name__}>"


def function_name(function: Any) -> str:
    """What to call a function in messages and in estimates of its run time."""
    inner = getattr(function, "func", function)  # functools.partial
    if not callable(inner):
        inner = function
    name = getattr(inner, "__qualname__", None) or getattr(inner, "__name__", None)
    name = name if isinstance(name, str) else type(inner).__qualname__
    module = getattr(inner, "__module__", None) or type(inner).__module__
    code = getattr(inner, "__code__", None)
    return f"{module}.{name}" + (f":{code.co_firstlineno}" if code and "<" in name else "")


def _forms(error: BaseException) -> Iterator[Any]:
    """The exception, and what to make it of if it does not pickle: all, or what can be pickled."""
    yield error
    attributes = _attributes(error)
    yield type(error), error.args, attributes
    yield type(error), error.args, {k: v for k, v in attributes.items() if _pickles(v)}


def _attributes(error: BaseException) -> dict[str, Any]:
    """All that it carries, in its dictionary and in slots."""
    import copyreg

    slots = copyreg._slotnames(type(error))  # type: ignore[attr-defined]
    held = {name: getattr(error, name) for name in slots if hasattr(error, name)}
    return held | error.__dict__


def _pickles(value: Any) -> bool:
    try:
        pickle.loads(dumps_result(value))
    except BaseException:
        return False
    return True


def _rebuilt(form: Any) -> BaseException:
    if isinstance(form, BaseException):
        return form
    cls, args, attributes = form
    error: BaseException = cls.__new__(cls, *args)
    BaseException.__setattr__(error, "args", args)  # the class may refuse to have attributes set
    for name, value in attributes.items():
        BaseException.__setattr__(error, name, value)
    return error


def _dumps_by_value(obj: Any, buffers: OutOfBand | None = None) -> bytes:
    from pypool.by_value import dumps as dumps_by_value

    return dumps_by_value(obj, buffers)
