"""Calls: what callers have asked for and wait for, by the number of their batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Handle(Protocol):
    """What a caller waits on; it is fed, and knows nothing of us."""

    def set_item(self, index: int, success: bool, value: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...

    def ready(self) -> bool:
        """It has been told of every task."""
        ...


@dataclass(slots=True)
class Call:
    """One call of the pool: a batch to be, and who waits for it.

    Attributes
    ----------
    kind : int
        How the function is called, `batch.MAP` or `batch.STARMAP`.
    function : bytes
        Pickled.
    digest : bytes
        SHA-256 of that.
    name : str
        What to call the function.
    items : list of bytes
        Each pickled.
    chunk : int
        Tasks dealt together at least.
    number : int
        Of its batch; given by the dispatcher.
    """

    kind: int
    function: bytes
    digest: bytes
    name: str
    items: list[bytes]
    chunk: int
    handle: Handle
    number: int = 0

    def forget_input(self) -> None:
        """What was written to disk need not stay in memory."""
        self.items = []
        self.function = b""

    def task(self, index: int) -> str:
        """A task in words."""
        return f"task {index} of call {self.number} ({self.name})"
