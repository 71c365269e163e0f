"""The feed of a lazy call packs chunk after chunk; what items have in common travels once."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import Any, cast

import numpy as np
import pytest

from pypool.engine import feed
from pypool.engine.calls import Call, Portion
from pypool.engine.dispatcher import Dispatcher
from pypool.engine.feed import Feed
from pypool.results import Stream
from pypool.rundir.batch import MAP

COUNT = 30
SIZE = 20_000  # numbers


class Taker:
    """Takes portions in a dispatcher's place."""

    def __init__(self) -> None:
        self.portions: list[Portion] = []
        self.is_over = Event()

    def take(self, portion: Portion) -> bool:
        self.portions.append(portion)
        if len(self.portions) == 1:
            assert portion.call.begin is not None
            portion.call.begin()
        if portion.final:
            self.is_over.set()
        return True

    @property
    def written(self) -> int:
        """Bytes of all items, and of what they have in common, each once."""
        common = {each.serial: each.packed for portion in self.portions for each in portion.common}
        items = sum(portion.size for portion in self.portions)
        return items + sum(map(len, common.values()))


def fed(items: Iterable[Any], chunk: int) -> Taker:
    """All portions of a lazy call whose results nobody waits for."""
    taker, stream = Taker(), Stream(10_000)
    call = Call(MAP, b"", b"", "f", chunk, cast(Any, stream))
    Feed(cast(Dispatcher, taker), call, stream, items).start()
    assert taker.is_over.wait(60)
    return taker


WAYS: dict[str, Callable[[list[Any]], Iterable[Any]]] = {
    "list": list,
    "generator": lambda items: (each for each in items),
    "map": lambda items: map(tuple, items),
    "set": lambda items: dict(enumerate(items)).values(),
}


@pytest.mark.parametrize("chunk", [1, 10, COUNT])
@pytest.mark.parametrize("way", WAYS)
def test_what_items_have_in_common_travels_once(way: str, chunk: int) -> None:
    """Whatever they come from; with the first two it may be."""
    table = np.arange(float(SIZE))
    taker = fed(WAYS[way]([(number, table) for number in range(COUNT)]), chunk)
    assert sum(len(portion.items) for portion in taker.portions) == COUNT
    assert taker.written < 3 * table.nbytes + COUNT * 500


def sizes(taker: Taker) -> list[int]:
    return [len(portion.items) for portion in taker.portions if portion.items]


@pytest.mark.parametrize(("chunk", "at_once"), [(1, 256), (100, 200), (300, 300)])
def test_items_of_a_list_are_sent_many_at_once(
    monkeypatch: pytest.MonkeyPatch, chunk: int, at_once: int
) -> None:
    """In whole chunks. A generator may wait, or be waited for: its chunks go one by one."""
    monkeypatch.setattr(feed, "AT_ONCE", 256)
    items = [str(number) for number in range(3 * at_once)]
    assert sizes(fed(items, chunk)) == [at_once] * 3
    assert sizes(fed(range(3 * at_once), chunk)) == [at_once] * 3
    assert sizes(fed(iter(items), chunk)) == [chunk] * (3 * at_once // chunk)


def test_there_is_no_waiting_until_many_heavy_items_are_packed() -> None:
    """Nor are they all held meanwhile."""
    table = np.zeros(SIZE)
    taker = fed([table + number for number in range(COUNT)], 2)
    assert sum(sizes(taker)) == COUNT
    most = max(sizes(taker))
    assert most % 2 == 0
    assert most * table.nbytes < feed.GROUP_BYTES + 3 * table.nbytes


def test_heavy_items_behind_light_ones_wait_for_room() -> None:
    """All of them have been asked for at once, but some are seen to be heavy."""
    table = np.zeros(SIZE)
    items = [*range(4 * feed.AT_ONCE), *(table + number for number in range(COUNT))]
    stream = Stream(4, most=10_000)
    stream._fast = 10_000
    taker = Taker()
    call = Call(MAP, b"", b"", "f", 1, cast(Any, stream))
    Feed(cast(Dispatcher, taker), call, stream, [str(items[0]), *items]).start()
    while not stream._full:
        assert not taker.is_over.wait(0.01)
    assert stream._begun < len(items)
    stream.lift()
    assert taker.is_over.wait(60)
    assert sum(sizes(taker)) == len(items) + 1


@pytest.mark.parametrize("chunk", [1, 2])
def test_what_a_generator_changes_travels_as_it_was(chunk: int) -> None:
    """Each chunk has it as it was when the last of its items was yielded."""
    table = np.zeros(SIZE)

    def refilled() -> Iterator[Any]:
        for number in range(6):
            table[:] = number
            yield number, table

    taker = fed(refilled(), chunk)
    assert taker.written > 6 // chunk * table.nbytes
    numbers = [{each.serial for each in portion.common} for portion in taker.portions]
    assert len(set().union(*numbers)) == sum(map(len, numbers)) > 0


ALIVE: "weakref.WeakSet[Yielded]" = weakref.WeakSet()


class Yielded:
    """Heavy, and nobody but the generator has had it."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.own = np.zeros(SIZE)
        ALIVE.add(self)


@pytest.mark.parametrize("held", [0, 16 << 20])
def test_what_a_generator_has_yielded_is_not_held(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """Of an endless one the last chunks at most, though they have something in common."""
    monkeypatch.setattr(feed, "HELD_BYTES", held)
    table = np.arange(float(SIZE))
    most = []

    def endless() -> Iterator[Yielded]:
        for _ in range(COUNT):
            most.append(len(ALIVE))
            yield Yielded(table)

    fed(endless(), 2)
    assert max(most) <= (6 if held else 4)
