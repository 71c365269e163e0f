"""What items have in common is sent once, and tasks see nothing of it."""

import functools
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from pypool import packing, pickling
from pypool.items import ItemPickler, pack_items
from pypool.packing import HEAVY, Packed


class Model:
    """Something heavy."""

    def __init__(self, size: int = 2000) -> None:
        self.data = np.arange(float(size))
        self.name = "model"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and np.array_equal(self.data, other.data)

    __hash__ = None  # type: ignore[assignment]


class Proposal:
    def __init__(self, model: Model, number: int) -> None:
        self.model = model
        self.number = number


def bring_back(items: Sequence[Any]) -> tuple[list[Any], int]:
    """What tasks get of the items, and how many common objects there were."""
    packed, common = pack_items(items)
    shared = {each.serial: flat(each.packed) for each in common}

    def load(data: bytes | Packed) -> Any:
        met: dict[int, Any] = {}

        def meet(serial: int) -> Any:
            if serial not in met:
                met[serial] = packing.loads_flat(shared[serial])
            return met[serial]

        memory = flat(data)
        return packing.loads(
            memory, lambda places: [memory[start : start + size] for start, size, _ in places], meet
        )

    return [load(each) for each in packed], len(shared)


def flat(packed: bytes | Packed) -> bytearray:
    pieces = packing.flat(packed) if isinstance(packed, Packed) else [packed]
    return bytearray().join(pieces)


def size_of(items: Sequence[Any]) -> int:
    packed, common = pack_items(items)
    return sum(map(len, packed)) + sum(len(each.packed) for each in common)


MODEL = Model()
OPTIONS = {"model": MODEL, "table": list(range(3000))}

WAYS: list[Callable[[int], Any]] = [
    lambda number: (number, MODEL),
    lambda number: [MODEL, {"number": number}],
    lambda number: {"number": number, "inner": (1, MODEL)},
    lambda number: Proposal(MODEL, number),
    lambda number: functools.partial(max, MODEL.name, MODEL.data, number),
    lambda number: MODEL,
]


@pytest.mark.parametrize("way", WAYS)
def test_what_items_have_in_common_is_sent_once(way: Callable[[int], Any]) -> None:
    """In a tuple, a list, a dictionary, an object, a partial; or it is the item."""
    assert size_of([way(number) for number in range(50)]) < 1.5 * size_of([way(0)]) + 50 * 300


@pytest.mark.parametrize("way", WAYS[:3])
def test_tasks_get_what_was_meant(way: Callable[[int], Any]) -> None:
    items = [way(number) for number in range(10)]
    found, common = bring_back(items)
    assert found == items
    assert common == 1


def test_each_task_gets_it_anew() -> None:
    """What one does to it the next one does not see."""
    found, _ = bring_back([(number, OPTIONS) for number in range(3)])
    found[0][1]["table"].clear()
    assert len(found[1][1]["table"]) == 3000


def test_within_an_item_one_object_is_one_object() -> None:
    """Twice the common object, or the object and a part of it that could be changed."""
    twice, _ = bring_back([(number, MODEL, [MODEL]) for number in range(3)])
    assert all(item[1] is item[2][0] for item in twice)
    part, _ = bring_back([(number, OPTIONS, OPTIONS["table"]) for number in range(3)])
    assert all(item[1]["table"] is item[2] for item in part)
    nested, _ = bring_back([(number, OPTIONS, MODEL) for number in range(3)])
    assert all(item[1]["model"] is item[2] for item in nested)


class Named:
    """Known by its name, and its value can be changed. It is pickled as something else."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: float) -> None:
        self.name = name
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Named, (self.name, self.value)


def test_what_can_be_changed_is_one_object_though_it_has_a_hash() -> None:
    """What a task does to a parameter is seen by the model that has it, too."""
    parameter = Named("mass", 1.0)
    model = {"parameters": [parameter], "data": list(range(3000))}
    found, _ = bring_back([(number, model, [parameter]) for number in range(3)])
    assert all(item[1]["parameters"][0] is item[2][0] for item in found)


def test_values_may_be_in_several_places() -> None:
    """What cannot be changed is no reason to send anything twice: a dtype, a number, a text."""
    number, text = Decimal("1.5"), "x" * 100
    model = {"data": np.arange(2000.0), "number": number, "text": text}
    _, common = bring_back([(index, model, np.arange(3.0), number, text) for index in range(3)])
    assert common == 1


class Locked:
    """Has something that cannot be sent, and leaves it out; looking at another thing raises."""

    def __init__(self, more: Any) -> None:
        self.lock = threading.Lock()
        self.more = more

    def __getstate__(self) -> dict[str, Any]:
        return {"more": self.more}


class Unlooked:
    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            raise RuntimeError("nobody looks at this")
        return super().__getattribute__(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Unlooked, ()


def test_what_an_object_does_not_send_is_not_looked_at() -> None:
    """Two items hold the same lock, which neither of them sends; or what nobody can look at."""
    one = Locked("more")
    found, common = bring_back([(number, one, MODEL, Unlooked()) for number in range(3)])
    assert [item[:1] + item[2:3] for item in found] == [(number, MODEL) for number in range(3)]
    assert found[2][1].more == "more"
    assert common == 1


class Caching:
    def __init__(self, cache: list[int]) -> None:
        self.cache = cache

    def __getstate__(self) -> dict[str, Any]:
        return {}


def test_what_no_item_refers_to_is_not_sent() -> None:
    cache = list(range(5000))
    packed, common = pack_items([("x" * HEAVY, Caching(cache)) for _ in range(3)])
    assert len(packed) == 3
    assert not common


def test_an_odd_item_that_holds_a_part_elsewhere_is_right() -> None:
    """Those before it share, it does not."""
    items: list[Any] = [(number, OPTIONS, None) for number in range(5)]
    items.append((5, OPTIONS, OPTIONS["table"]))
    found, _ = bring_back(items)
    assert found[5][1]["table"] is found[5][2]
    assert found[:5] == items[:5]


def test_equal_is_not_the_same() -> None:
    """Only the same object is shared: to compare contents would cost more than it brings."""
    found, common = bring_back([(number, Model()) for number in range(5)])
    assert common == 0
    assert found[4] == (4, MODEL)


def test_what_is_renewed_keeps_its_number_unless_it_was_changed() -> None:
    """A lazy call goes on; what was sent before need not be sent again."""
    model = Model()
    sharing = ItemPickler(copies=True).sharing()
    numbers = []
    for change in (0, 0, 1):
        sharing.renew()
        model.data[0] += change
        for number in range(2):
            sharing.look((number, model))
        sharing.pack((1, model))
        (common,) = sharing.common
        assert packing.loads_flat(flat(common.packed)) == model
        numbers.append(common.serial)
        assert sharing.used == {common.serial}
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize("copies", [False, True])
def test_one_buffer_in_many_objects_lies_once_in_a_batch(copies: bool) -> None:
    """Objects differ, the array that they hold is one; and so is its copy."""
    data = np.zeros(100_000)
    items, _ = pack_items([{"n": n, "x": [[[[[n, data]]]]]} for n in range(4)], copies)
    data[:] = 1
    assert [flat(each)[-1] for each in items] == [0 if copies else 0x3F] * 4
    shelf = packing.Shelf(0)
    places = {shelf.place(buffer) for each in items for buffer in each.buffers}  # type: ignore[union-attr]
    assert len(places) == 1


def test_light_items_are_plain_pickles() -> None:
    packed, common = pack_items([(n, "word", 1.5) for n in range(100)])
    assert all(isinstance(each, bytes) for each in packed)
    assert not common


def test_heavy_items_with_nothing_in_common_are_left_alone() -> None:
    """After some of them nobody looks any more; what comes then in common goes with each."""
    items: list[Any] = [("x" * HEAVY + str(n),) for n in range(100)]
    packed, common = pack_items(items + [(n, MODEL) for n in range(3)])
    assert not common
    assert all(isinstance(each, bytes) for each in packed)


def test_an_item_that_cannot_be_sent_is_named() -> None:
    items = [(MODEL, 1), (MODEL, 2), (MODEL, (number for number in range(3)))]
    with pytest.raises(pickling.CannotPickle) as caught:
        pack_items(items)
    assert "item 2 cannot be sent" in "".join(caught.value.error.__notes__)


def test_code_that_goes_by_value_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closure with data, in each item."""
    data = list(range(5000))

    def likelihood(index: int) -> int:
        return data[index]

    items = [(number, likelihood) for number in range(20)]
    assert size_of(items) < 1.2 * size_of(items[:1])
    found, _ = bring_back(items)
    assert [function(number) for number, function in found] == list(range(20))
