"""Calls: what callers have asked for and wait for, and the batches in which their tasks are.

A map is one batch. Of a lazy call the tasks come in portions, each in a batch of its own; single
calls of one function that come together share a batch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pypool.columns import Column
from pypool.errors import PoolError
from pypool.packing import Packed
from pypool.printable import printable

if TYPE_CHECKING:
    from pypool.sharing import Common

GROUP_TASKS = 1000
GROUP_BYTES = 1 << 20
"""Portions are put together up to so much."""


LIGHT = 16 << 10
"""Bytes of an item or a result of which many may be held."""


class Handle(Protocol):
    """What a caller waits on; it is fed, and knows nothing of us."""

    def set_item(self, index: int, success: bool, value: Any) -> None:
        """What a task has raised, or has returned and is heavy."""

    def set_items(self, first: int, values: list[Any]) -> None:
        """What tasks have returned, and is light."""

    def fail(self, error: BaseException, quietly: bool = False) -> None: ...


@dataclass(slots=True, eq=False)
class Call:
    """One call of a method of the pool.

    Attributes
    ----------
    kind : int
        How the function is called: `batch.MAP`, `batch.STARMAP` or `batch.APPLY`.
    function : bytes or Packed
        Pickled.
    digest : bytes
        SHA-256 of that.
    name : str
        What to call the function.
    chunk : int
        Tasks for one worker at a time; 0 if nobody said.
    seed : bytes
        Of the tasks' random numbers, packed; or nothing.
    number : int
        Given by the dispatcher.
    left : int
        Tasks that have come and of which the caller was not told yet.
    growing : bool
        More tasks may come.
    begin : callable or None
        Called by the dispatcher when it takes the call.
    knows : callable or None
        In a named run: gives what the task of an item is known by.
    """

    kind: int
    function: bytes | Packed
    digest: bytes
    name: str
    chunk: int
    handle: Handle
    seed: bytes = b""
    number: int = 0
    left: int = 0
    growing: bool = True
    begin: Callable[[], object] | None = None
    knows: Callable[[Any], bytes] | None = None

    def digests(self, items: Iterable[Any]) -> list[bytes]:
        """What the tasks of these items are known by; nothing in a run without a name."""
        return [] if self.knows is None else [self.knows(item) for item in items]

    def task(self, index: int) -> str:
        """A task in words."""
        return f"task {index} of call {self.number} ({printable(self.name)})"

    def goes_with(self, other: Call) -> bool:
        """Tasks of both can be in one batch."""
        return (
            self.digest == other.digest
            and self.kind == other.kind
            and self.chunk == other.chunk
            and self.seed == other.seed
        )


@dataclass(slots=True, eq=False)
class Portion:
    """Tasks first, first + 1, ... of a call, each item packed; maybe the last ones.

    Attributes
    ----------
    common : sequence of Common
        What several items refer to.
    digests : list of bytes
        In a named run, of each task: what it is known by when the program is started again. Empty
        if nothing is.
    """

    call: Call
    first: int
    items: Sequence[bytes | Packed]
    final: bool
    digests: list[bytes] = field(default_factory=list)
    common: Sequence[Common] = ()

    def part(self, start: int, end: int) -> Portion:
        """Its items start, ..., end - 1 alone."""
        return Portion(
            self.call,
            self.first + start,
            self.items[start:end],
            self.final,
            self.digests[start:end],
            self.common,
        )

    @property
    def size(self) -> int:
        """Bytes of its items."""
        if isinstance(self.items, Column):
            return self.items.size
        return sum(map(len, self.items))


class Part(NamedTuple):
    """From task `start` of a batch on: the tasks first, first + 1, ... of a call."""

    start: int
    call: Call
    first: int


@dataclass(slots=True, eq=False)
class Batch:
    """Tasks that are written at once. They have the function, kind, chunk and seed of the first.

    Attributes
    ----------
    items, digests : list
        The packed items and their digests, until they are written.
    common : dict of int to bytes or Packed
        By serial number, what several items refer to; likewise.
    count, size : int
        How many they are, and their bytes.
    left : int
        Tasks of which their caller was not told yet.
    several : bool
        It has items of several portions.
    """

    number: int
    parts: list[Part] = field(default_factory=list)
    items: Sequence[bytes | Packed] = ()
    common: dict[int, bytes | Packed] = field(default_factory=dict)
    digests: list[bytes] = field(default_factory=list)
    count: int = 0
    size: int = 0
    left: int = 0
    several: bool = False

    @property
    def call(self) -> Call:
        return self.parts[0].call

    def add(self, portion: Portion) -> None:
        if not self.count:
            self.items = portion.items
        elif isinstance(self.items, Column):
            self.items = self.items.joined(portion.items)
        elif self.several and isinstance(self.items, list):
            self.items += portion.items
        else:  # the first ones belong to their portion
            self.items = [*self.items, *portion.items]
            self.several = True
        if not self.parts or self.task(self.count) != (portion.call, portion.first):
            self.parts.append(Part(self.count, portion.call, portion.first))
        self.digests += portion.digests
        self.count += len(portion.items)
        self.left += len(portion.items)
        new = {each.serial: each.packed for each in portion.common}
        self.size += portion.size
        self.size += sum(len(new[serial]) for serial in new.keys() - self.common.keys())
        self.common |= new

    def takes(self, portion: Portion) -> bool:
        """Whether that can be in the same batch, with whole chunks before it."""
        return not self.parts or (
            portion.call.goes_with(self.call)
            and not self.count % (self.call.chunk or 1)
            and self.count + len(portion.items) <= GROUP_TASKS
            and self.size + portion.size <= GROUP_BYTES
        )

    def task(self, index: int) -> tuple[Call, int]:
        """The call to which a task belongs, and its index there."""
        call, own_index, _ = self.run(index, 1)
        return call, own_index

    def run(self, index: int, most: int) -> tuple[Call, int, int]:
        """As `task`; and how many of that task and those behind it are of the same part."""
        number = 1 if len(self.parts) == 1 else bisect_right(self.parts, index, key=_start)
        part = self.parts[number - 1]
        if number < len(self.parts):
            most = min(most, self.parts[number].start - index)
        return part.call, part.first + index - part.start, most


def _start(part: Part) -> int:
    return part.start


class Calls:
    """Those that are open."""

    def __init__(self) -> None:
        self._open: dict[int, Call] = {}
        self._batches: dict[int, Batch] = {}
        self._numbers = 0

    def __bool__(self) -> bool:
        return bool(self._open)

    def take(self, portion: Portion) -> None:
        """More of a call, or all of it."""
        call = portion.call
        if not call.number:
            self._numbers += 1
            call.number = self._numbers
            self._open[call.number] = call
            if not self._begins(call):
                return
        call.left += len(portion.items)
        call.growing = not portion.final
        self._close_if_over(call)

    def _begins(self, call: Call) -> bool:
        """Whether the call can be begun: there may be no thread left for its feed."""
        try:
            if call.begin is not None:
                call.begin()
        except RuntimeError as error:
            del self._open[call.number]
            told = PoolError(f"{printable(call.name)} cannot be called: {error}")
            told.__cause__ = error
            call.handle.fail(told)
            return False
        return True

    def written(self, batch: Batch) -> None:
        """What is on disk need not stay in memory."""
        self._batches[batch.number] = batch
        batch.items = ()
        batch.common = {}
        batch.digests = []
        for part in batch.parts:
            if not part.call.growing:
                part.call.function = b""

    def batch(self, number: int) -> Batch | None:
        """The batch, while somebody waits for a task of it."""
        return self._batches.get(number)

    def tell(self, batch: Batch, index: int, success: bool, value: Any) -> None:
        """Tells the caller what came of a task."""
        call, own_index = batch.task(index)
        call.handle.set_item(own_index, success, value)
        batch.left -= 1
        if not batch.left:
            self._batches.pop(batch.number, None)
        call.left -= 1
        self._close_if_over(call)

    def tell_all(self, batch: Batch, index: int, values: list[Any]) -> None:
        """Tells the values of the task and those behind it, which are light."""
        told = 0
        while told < len(values):
            call, own_index, count = batch.run(index + told, len(values) - told)
            call.handle.set_items(own_index, values[told : told + count])
            told += count
            batch.left -= count
            if not batch.left:
                self._batches.pop(batch.number, None)
            call.left -= count
            self._close_if_over(call)

    def adopt(self, batch: Batch) -> None:
        """Tasks of an earlier life's batch are waited for again."""
        self._batches[batch.number] = batch

    def answer(self, call: Call, index: int, value: Any) -> None:
        """Tells the caller what a task has returned in an earlier life."""
        call.handle.set_item(index, True, value)
        call.left -= 1
        self._close_if_over(call)

    def fail_batch(self, batch: Batch, error: BaseException) -> None:
        """None of the calls that have tasks in it can be completed."""
        self._batches.pop(batch.number, None)
        for part in batch.parts:
            self._open.pop(part.call.number, None)
            part.call.handle.fail(error)

    def fail_all(self, error: BaseException, quietly: bool = False) -> None:
        """No call can be completed; maybe no callback is to hear of it."""
        self._batches.clear()
        while self._open:
            self._open.popitem()[1].handle.fail(error, quietly)

    def _close_if_over(self, call: Call) -> None:
        if not call.left and not call.growing:
            self._open.pop(call.number, None)
