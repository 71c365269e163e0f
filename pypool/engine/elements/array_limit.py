"""How many elements the scheduler takes in one array: asked when it first refuses, then kept."""

from collections.abc import Iterator

from pypool.errors import PoolError
from pypool.schedulers.base import Pending, Scheduler


class ArrayLimit:
    """See the module.

    Attributes
    ----------
    value : int or None
        None as long as it is not known, and if there is none.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._asking: Pending[int | None] | None = None
        self._answered = False
        self.value: int | None = None

    def ask(self) -> bool:
        """Whether an answer is to be waited for: it is asked once."""
        if self._asking is None and not self._answered:
            self._asking = self._scheduler.limit()
        return self._asking is not None

    @property
    def in_command(self) -> bool:
        return self._asking is not None

    def came(self) -> bool:
        """Whether the answer has come with this look. One that cannot be had counts as none."""
        if self._asking is None or not self._asking.done():
            return False
        asking, self._asking = self._asking, None
        self._answered = True
        try:
            self.value = asking.value()
        except PoolError:
            self.value = None
        return True

    def allows(self, elements: int) -> bool:
        return self.value is None or elements <= self.value

    def split(self, elements: int) -> Iterator[int]:
        """Sizes of arrays that have so many elements together."""
        largest = self.value or elements
        while elements > 0:
            yield min(elements, largest)
            elements -= largest
