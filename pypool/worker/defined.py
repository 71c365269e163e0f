"""A worker's definitions: classes and functions that items name by a number; see `definitions`.

They are loaded once, and again only if something else has come into their place in `__main__`
since: what was there before a batch is right for it only if it comes again.
"""

from __future__ import annotations

from pypool import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEPT = 100


class Defined(dict[int, "Any"]):
    """Definitions by their numbers; loads what is missing.

    Parameters
    ----------
    load : callable
        Gives one as the batch at work has it.
    """

    def __init__(self, load: Callable[[int], Any]) -> None:
        super().__init__()
        self._load = load
        self._changes = 0

    def __missing__(self, number: int) -> Any:
        found = self._load(number)
        self.look()
        if len(self) >= KEPT:
            self.clear()
        self[number] = found
        return found

    def look(self) -> None:
        """Forgets all if something in `__main__` was replaced since the last look."""
        changes = pickling.changes_of_main()
        if changes != self._changes:
            self._changes = changes
            self.clear()
