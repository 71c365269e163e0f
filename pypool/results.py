"""Result handles: what a caller holds while tasks run. They are fed, and know nothing else."""

import multiprocessing
import threading
from typing import Any


class AsyncResult:
    """The results of one call, as `multiprocessing.pool.AsyncResult`.

    Parameters
    ----------
    count : int
        How many tasks the call has.
    """

    def __init__(self, count: int) -> None:
        self._values: list[Any] = [None] * count
        self._errors: dict[int, BaseException] = {}
        self._left = count
        self._failure: BaseException | None = None
        self._event = threading.Event()
        if not count:
            self._event.set()

    def ready(self) -> bool:
        """Whether the call has completed."""
        return self._event.is_set()

    def successful(self) -> bool:
        """Whether the call completed without raising.

        Raises
        ------
        ValueError
            If it has not completed.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._failure is None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the result is available, or `timeout` seconds pass."""
        self._event.wait(timeout)

    def get(self, timeout: float | None = None) -> list[Any]:
        """The results, in the order of the items.

        Raises
        ------
        multiprocessing.TimeoutError
            If they do not arrive within `timeout` seconds.
        Exception
            What the failing task with the lowest index raised, once all tasks are done.
        """
        self.wait(timeout)
        if not self.ready():
            raise multiprocessing.TimeoutError
        if self._failure is not None:
            raise self._failure
        return self._values

    def set_item(self, index: int, success: bool, value: Any) -> None:
        """One task is done."""
        if success:
            self._values[index] = value
        else:
            self._errors[index] = value
        self._left -= 1
        if not self._left and not self._event.is_set():
            if self._errors:
                self._failure = self._first_error()
            self._event.set()

    def fail(self, error: BaseException) -> None:
        """The call as a whole cannot be completed."""
        if not self._event.is_set():
            self._failure = error.with_traceback(None)  # the reader's own frames say nothing
            self._event.set()

    def _first_error(self) -> BaseException:
        first = self._errors[min(self._errors)]
        others = len(self._errors) - 1
        if others:
            first.add_note(f"pypool: {others} other task{'s' * (others > 1)} raised as well")
        return first
