"""Hands: threads that open files, several at the same time, for the one thread that decides.

They do nothing by themselves and hold nothing, so that a program may end, or fork, at any moment.
"""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

HANDS = 8
"""Files of many agents that are opened at the same time."""


class Hands:
    """So many threads."""

    def __init__(self, count: int) -> None:
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = 0
        for number in range(count):
            name = f"pypool-hand-{number}"
            try:
                threading.Thread(target=self._live, name=name, daemon=True).start()
            except RuntimeError:  # no more threads can be had, or the program is about to end
                break
            self._count += 1

    def _live(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def all(self, what: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Does it with each of them, and gives what that gave, in their order.

        Raises
        ------
        BaseException
            What the first of them raised, when all are done.
        """
        if not self._count:
            return [what(thing) for thing in things]
        came: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()

        def order(place: int, thing: T) -> Callable[[], None]:
            def done() -> None:
                try:
                    came.put((place, what(thing), None))
                except BaseException as error:
                    came.put((place, None, error))

            return done

        for place, thing in enumerate(things):
            self._orders.put(order(place, thing))
        found = sorted((came.get() for _ in things), key=lambda each: each[0])
        for _, _, error in found:
            if error is not None:
                raise error
        return [result for _, result, _ in found]

    def close(self) -> None:
        """The threads end."""
        for _ in range(self._count):
            self._orders.put(None)
        self._count = 0
