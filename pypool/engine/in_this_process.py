"""No processes at all: tasks are run where they are called for, for debuggers and profilers.

Nothing is pickled: a task sees the very objects of the program, and what it changes stays changed.
"""

from bdb import BdbQuit
from collections.abc import Callable, Iterable
from typing import Any

from pypool.options import Options
from pypool.pickling import add_note, function_name
from pypool.results import AsyncResult
from pypool.rundir.batch import STARMAP


class SerialBackend:
    """This process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._calls = 0

    def run(self, kind: int, function: Callable[..., Any], iterable: Iterable[Any]) -> AsyncResult:
        """All tasks, one after the other: when this returns, the result is there.

        KeyboardInterrupt, SystemExit and their like are raised at once: there is no worker that
        could end in the program's place. So is what leaving a debugger raises.
        """
        self._calls += 1
        items = list(iterable)
        result = AsyncResult(len(items))
        for index, item in enumerate(items):
            try:
                value = function(*item) if kind == STARMAP else function(item)
            except BdbQuit:
                raise
            except Exception as error:
                call = f"call {self._calls} ({function_name(function)})"
                add_note(error, f"pypool: task {index} of {call}, in this process")
                result.set_item(index, False, error)
            else:
                result.set_item(index, True, value)
        return result
