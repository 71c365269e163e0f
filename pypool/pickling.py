"""Pickling of functions, items, results and exceptions.

The C pickler does it wherever it can; `pypool.by_value` takes what belongs to `__main__` or
cannot be imported. Used by the driver and by workers, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

loads = pickle.loads


def dumps(obj: Any) -> bytes:
    """Pickles an object that the driver sends.

    Raises
    ------
    Exception
        Whatever pickling raised: the object cannot be sent.
    """
    if not _by_value_wanted():
        try:
            data = pickle.dumps(obj, 5)
        except Exception:
            return _dumps_by_value(obj)
        if b"__main__" not in data:
            return data
    return _dumps_by_value(obj)


def dumps_items(items: Iterable[Any]) -> list[bytes]:
    """Pickles each item on its own."""
    if _by_value_wanted():
        return [_dumps_by_value(item) for item in items]
    return [dumps(item) for item in items]


def dumps_result(obj: Any) -> bytes:
    """Pickles what a task returned: by name where possible, for the driver has its own classes."""
    try:
        return pickle.dumps(obj, 5)
    except Exception:
        return _dumps_by_value(obj)


def dumps_error(error: BaseException, traceback: str) -> bytes:
    """Pickles a task's exception so that it can be rebuilt, or else told, in the driver."""
    text = _text(error)
    told = f"{type(error).__module__}.{type(error).__qualname__}: {text}"
    for form in _forms(error):
        try:
            data = dumps_result(form)
            rebuilt = _rebuilt(pickle.loads(data))
            # an __init__ that makes a message of its arguments makes one of the message, too
            if type(rebuilt) is type(error) and (form is not error or _text(rebuilt) == text):
                return pickle.dumps((data, traceback, told), 5)
        except Exception:  # the next form is tried, the text always remains
            continue
    return pickle.dumps((None, traceback, told), 5)


def loads_error(data: bytes) -> tuple[BaseException | None, str, str]:
    """The exception (None if it cannot be rebuilt here), its traceback, and what it says."""
    form, traceback, told = pickle.loads(data)
    if form is None:
        return None, traceback, told
    try:
        return _rebuilt(pickle.loads(form)), traceback, told
    except Exception:
        return None, traceback, told


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
    yield type(error), error.args, error.__dict__
    yield type(error), error.args, {k: v for k, v in error.__dict__.items() if _pickles(v)}


def _pickles(value: Any) -> bool:
    try:
        pickle.loads(dumps_result(value))
    except Exception:
        return False
    return True


def _rebuilt(form: Any) -> BaseException:
    if isinstance(form, BaseException):
        return form
    cls, args, attributes = form
    error: BaseException = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its __str__ raised {type(broken).__name__}>"


def _by_value_wanted() -> bool:
    """The user has asked cloudpickle to send some modules by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    return bool(cloudpickle and cloudpickle.list_registry_pickle_by_value())


def _dumps_by_value(obj: Any) -> bytes:
    from pypool.by_value import dumps as dumps_by_value

    return dumps_by_value(obj)
