"""Items of a program's own classes name their classes; plain ones pay nothing for that."""

import collections
import dataclasses
import enum
import functools
import pickle
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any

import cloudpickle
import numpy as np
import pytest

from pypool import definitions, packing, pickling
from pypool.items import ItemPickler, pack_items, pack_plain
from pypool.packing import HEAVY, Packed

PROGRAM = """
@dataclasses.dataclass
class Job:
    number: int
    name: str = "job"

class Plain:
    limits = [1, 2]
    def __init__(self, number): self.number = number
    @staticmethod
    def twice(number): return 2 * number

Pair = collections.namedtuple("Pair", "number more")

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

class Once:
    def __init__(self, data): self.data = data
    def __reduce__(self):
        if not self.data:
            raise RuntimeError("it has been pickled")
        data, self.data = self.data, ""
        return Once, (data,)

def helper(number): return number + 1

@functools.lru_cache
def remembered(number): return number

class Recursive:
    pass
Recursive.first = Recursive()
"""


@pytest.fixture
def program() -> Iterator[Any]:
    """A module that travels by value, as a script does."""
    module = types.ModuleType("a_program")
    sys.modules[module.__name__] = module
    used = (collections, dataclasses, enum, functools)
    vars(module).update({each.__name__: each for each in used})
    exec(PROGRAM, vars(module))
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules[module.__name__]


@pytest.fixture(autouse=True)
def _nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "_source", definitions._source)


def arrived(packed: Sequence[bytes | Packed], common: Sequence[Any]) -> list[Any]:
    """The items in a worker, and all that is common loaded once."""
    flat = {each.serial: flattened(each.packed) for each in common}

    @functools.lru_cache
    def meet(number: int) -> Any:
        return packing.loads_flat(flat[number])

    definitions.come_from(meet)
    return [_load(flattened(each), meet) for each in packed]


def _load(memory: bytearray, meet: Any) -> Any:
    def fetch(places: list[packing.Place]) -> list[bytearray]:
        return [memory[start : start + size] for start, size, _ in places]

    return packing.loads(memory, fetch, meet)


def flattened(packed: bytes | Packed) -> bytearray:
    return bytearray().join(packing.flat(packed) if isinstance(packed, Packed) else [packed])


KINDS = ["Job(n)", "Plain(n)", "Pair(n, 2)", "Colour(1 + n % 2)", "{'job': Job(n)}", "helper"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_is_about_as_small_as_its_plain_pickle(program: Any, kind: str) -> None:
    """Its class lies once beside all of them."""
    items = [eval(kind, dict(vars(program), n=n)) for n in range(100)]
    packed, common = pack_items(items)
    assert len(common) == 1
    assert max(map(len, packed)) < len(pickle.dumps(items[0], 5)) + 60
    assert len({type(each) for each in arrived(packed, common)}) == 1


@pytest.mark.parametrize("first", [None, "word", (1, 2.5)])
def test_items_of_a_program_may_stand_behind_others(program: Any, first: Any) -> None:
    items = [first, *(program.Job(n) for n in range(10))]
    packed, common = pack_items(items)
    assert len(common) == 1
    assert [each.number for each in arrived(packed, common)[1:]] == list(range(10))


@pytest.mark.parametrize("heavy", [b"x" * HEAVY, bytearray(1 << 20)], ids=["small", "large"])
@pytest.mark.parametrize("copies", [False, True])
def test_heavy_items_name_their_class_and_share_what_they_have(
    program: Any, heavy: Any, copies: bool
) -> None:
    """Both at once."""
    items = [program.Plain((n, pickle.PickleBuffer(heavy), heavy)) for n in range(20)]
    for each in items:
        each.number = each.number[0], each.number[2]
    packed, common = pack_items(items, copies)
    assert len(common) == 2
    assert sum(map(len, packed)) < 20 * 400
    found = arrived(packed, common)
    assert [each.number for each in found] == [(n, heavy) for n in range(20)]
    assert len({type(each) for each in found}) == 1


def test_what_cannot_be_named_is_carried(program: Any) -> None:
    """Closures may hold something of their item; what decorators make has its own ways."""
    items = [(program.Job(n), lambda n=n: n, program.Plain.twice) for n in range(3)]
    packed, common = pack_items(items)
    assert len(common) <= 2
    found = [(function(), twice(4)) for _, function, twice in arrived(packed, common)]
    assert found == [(0, 8), (1, 8), (2, 8)]


def test_a_class_that_holds_an_instance_of_itself_can_be_named(program: Any) -> None:
    packed, common = pack_items([program.Recursive() for _ in range(3)])
    found = arrived(packed, common)
    assert {type(each) for each in found} == {type(type(found[0]).first)}


def test_a_class_is_named_as_it_is_at_the_call(program: Any) -> None:
    """Of the same content it has the same number, of another one another."""
    items = [program.Plain(1)]
    numbers = [[each.serial for each in pack_items(items)[1]] for _ in range(2)]
    assert numbers[0] == numbers[1]
    program.Plain.limits.append(3)
    assert [each.serial for each in pack_items(items)[1]] != numbers[0]


def test_classes_without_end_are_carried(program: Any) -> None:
    """A call has so many definitions and no more; all items are right."""
    kinds = [type("Kind", (), {"number": n}) for n in range(definitions.MOST + 20)]
    packed, common = pack_items([kind() for kind in kinds])
    assert len(common) <= definitions.MOST
    assert [each.number for each in arrived(packed, common)] == list(range(len(kinds)))


def test_an_item_of_a_program_that_cannot_be_sent_is_named(program: Any) -> None:
    items = [program.Plain(1), program.Plain(threading.Lock())]
    with pytest.raises(pickling.CannotPickle) as caught:
        pack_items(items)
    assert "item 1 cannot be sent" in "".join(caught.value.error.__notes__)


def test_one_by_one_they_name_the_same_definition(program: Any) -> None:
    """So a lazy call packs them."""
    pickler = ItemPickler(copies=True)
    packed = [pickler.pack(program.Job(n)) for n in range(5)]
    with pytest.raises(TypeError):
        pickler.pack(program.Job(threading.Lock()))  # type: ignore[arg-type]
    packed.append(pickler.pack(program.Job(5)))
    assert len(pickler.definitions.common) == 1
    found = arrived(packed, pickler.definitions.common)
    assert [each.number for each in found] == list(range(6))


class Once:
    """Can be pickled once."""

    def __init__(self, data: str) -> None:
        self.data = data

    def __reduce__(self) -> Any:
        if not self.data:
            raise RuntimeError("it has been pickled")
        data, self.data = self.data, ""
        return Once, (data,)


@pytest.mark.parametrize("size", [10, HEAVY, 1 << 20])
@pytest.mark.parametrize("own", [False, True])
def test_an_item_is_pickled_once(program: Any, size: int, own: bool) -> None:
    """Of whatever size, it may be one that can be pickled no second time."""
    kind = program.Once if own else Once
    packed, common = pack_items([kind(size * "x") for _ in range(3)])
    assert [each.data for each in arrived(packed, common)] == 3 * [size * "x"]


def test_plain_items_are_simply_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the C pickler, and that is all."""
    monkeypatch.setattr(ItemPickler, "pack", None)
    items = [1, "a", (2, [3])]
    assert pack_items(items)[0] == [pickle.dumps(each, 5) for each in items]


def test_arrays_are_simply_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever size, for they name nothing; large ones leave their memory where it is."""
    monkeypatch.setattr(ItemPickler, "pack", None)
    items = [np.full(size, 1.0) for size in (300, 4000, 8191, 8192, 100_000)]
    packed, common = pack_items(items)
    assert packed[:3] == [pickle.dumps(each, 5) for each in items[:3]]
    assert all(isinstance(each, Packed) for each in packed[3:])
    assert common == ()
    for item, each in zip(items, arrived(packed, common), strict=True):
        assert (item == each).all()


def test_copies_of_arrays_are_taken_if_need_be() -> None:
    """The caller may change them at once."""
    items = [np.zeros(size) for size in (4000, 100_000)]
    packed, common = pack_items(items, copies=True)
    for each in items:
        each[:] = 1
    assert not any(each.any() for each in arrived(packed, common))


def test_an_array_that_comes_twice_is_sent_once() -> None:
    """Among arrays, too."""
    array = np.zeros(100_000)
    packed, common = pack_items([array, array, np.ones(100_000)])
    assert len(common) == 1
    assert [len(each) < 1000 for each in packed] == [True, True, False]


def test_arrays_of_objects_may_name_what_must_be_sent(program: Any) -> None:
    """They are looked at like lists."""
    array = np.array([program.Job(1), None])
    packed, common = pack_items([array, np.array([program.Job(2)])])
    assert len(common) == 1
    assert [each[0].number for each in arrived(packed, common)] == [1, 2]


class Record(np.void):
    """A type of elements that a program makes."""


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype((Record, [("x", "f8")])),
        np.dtype([("x", "f8")]),
        np.dtype("f8", metadata={"unit": Record}),
    ],
    ids=["its own", "structured", "with metadata"],
)
def test_arrays_of_other_types_are_looked_at(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their types may name what must be sent."""
    looked_at = []
    simply = pickling.contains
    monkeypatch.setattr(pickling, "contains", lambda *args: looked_at.append(1) or simply(*args))  # type: ignore[func-returns-value]
    packed, common = pack_items([np.zeros(1000, dtype), np.ones(1000, dtype)])
    assert looked_at
    assert [len(each) for each in arrived(packed, common)] == [1000, 1000]


def test_numpy_may_just_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another thread: it has nothing in it yet."""
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
    assert pack_items([{1}, {2}])[0] == [pickle.dumps({1}, 5), pickle.dumps({2}, 5)]


class Raising:
    """Its own code raises what no pickler does."""

    def __reduce__(self) -> Any:
        raise LookupError("of its own")


def test_what_an_item_raises_is_told_as_such() -> None:
    """By which item; of several that may be packed together nothing is said yet."""
    with pytest.raises(pickling.CannotPickle) as caught:
        pack_items([{1}, Raising()])
    assert isinstance(caught.value.error, LookupError)
    assert "item 1" in "".join(caught.value.error.__notes__)
    assert pack_plain([{1}, Raising()]) is None
    with pytest.raises(LookupError, match="of its own"):
        ItemPickler().pack(Raising())
