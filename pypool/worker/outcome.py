"""What came of a task, pickled: a value, or an exception with its traceback."""

from __future__ import annotations

from pypool import pickling
from pypool.packing import Packed
from pypool.rundir.messages import UNPICKLABLE, VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def packed_value(value: Any) -> tuple[int, bytes | Packed]:
    """VALUE and what it is packed as, or UNPICKLABLE and why."""
    try:
        return VALUE, pickling.pack_result(value)
    except BaseException as error:  # whatever the value's class does, it is the task's result
        return UNPICKLABLE, pickling.dumps_result((_repr(error), _repr(value)))


def pickled_error(error: BaseException) -> bytes:
    import traceback

    here = error.__traceback__
    frames = here.tb_next if here is not None and here.tb_next is not None else here
    try:
        told = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as broken:  # what it calls is the exception's own
        told = f"<telling its traceback raised {type(broken).__name__}>"
    return pickling.dumps_error(error, told)


def _repr(value: Any) -> str:
    try:
        return repr(value)[:1000]
    except BaseException as error:
        return f"<{type(value).__name__} whose __repr__ raised {type(error).__name__}>"
