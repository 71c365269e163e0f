"""Packed objects: large buffers beside the pickle, each once, checked and aligned."""

import pickle
from typing import Any

import numpy as np
import pytest

from pypool import packing
from pypool.packing import MAPPED, OUT_OF_BAND, Packed, PackingDamaged, Place, Shelf
from pypool.pickling import pack

SMALL = np.arange(100.0)
LARGE = np.arange(float(OUT_OF_BAND))
HUGE = np.arange(float(MAPPED))


def packed(obj: Any) -> Packed:
    found = pack(obj)
    assert isinstance(found, Packed)
    return found


def flat(obj: Any) -> bytearray:
    return bytearray().join(packing.flat(packed(obj)))


def test_what_is_small_is_a_pickle() -> None:
    """Arrays below the limit stay in it."""
    data = pack({"a": SMALL, "b": 1})
    assert isinstance(data, bytes)
    assert np.array_equal(pickle.loads(data)["a"], SMALL)


def test_large_buffers_stay_out() -> None:
    """The pickle is small, the size tells all."""
    found = packed([LARGE, SMALL, HUGE])
    assert len(found.pickle) < 2000
    assert len(found) == len(found.pickle) + LARGE.nbytes + HUGE.nbytes


def test_nothing_is_copied_unless_it_may_change() -> None:
    """A change before the writing shows, unless copies were asked for."""
    array = LARGE.copy()
    lent, copied = pack(array), pack(array, copies=True)
    array[0] = 7.0
    values = [
        packing.loads_flat(bytearray().join(packing.flat(each)))[0] for each in (lent, copied)
    ]  # type: ignore[arg-type]
    assert values == [7.0, 0.0]


def test_a_flat_object_is_what_it_was() -> None:
    """It can be written to, unless it could not before; it lies in the memory it was read to."""
    fixed = LARGE.copy()
    fixed.setflags(write=False)
    memory = flat({"a": LARGE, "b": [HUGE], "c": fixed})
    found = packing.loads_flat(memory)
    assert np.array_equal(found["a"], LARGE)
    assert np.array_equal(found["b"][0], HUGE)
    assert found["a"].flags.writeable
    assert not found["c"].flags.writeable
    found["a"][0] = 5.0
    assert packing.loads_flat(memory)["a"][0] == 5.0


@pytest.mark.parametrize("array", [np.asfortranarray(np.ones((300, 300))), LARGE[::2], LARGE[5:]])
def test_views_travel(array: Any) -> None:
    """In whatever order they lie, or with gaps between."""
    found = packing.loads_flat(bytearray().join(packing.flat(packed([array, HUGE]))))
    assert np.array_equal(found[0], array)


def test_a_buffer_has_one_place() -> None:
    """However often it comes; large ones begin a page, others where they are aligned."""
    shelf = Shelf(100)
    places = [shelf.place(buffer) for buffer in packed([LARGE, HUGE]).buffers]
    again = [shelf.place(buffer) for buffer in packed((HUGE, LARGE)).buffers]
    assert again == places[::-1]
    assert [place[0] % packing.ALIGNMENT for place in places] == [0, 0]
    assert places[1][0] % packing.PAGE == 0
    assert 100 + sum(map(len, shelf.pieces)) == places[1][0] + HUGE.nbytes


@pytest.mark.parametrize("size", [OUT_OF_BAND, MAPPED, 3 * MAPPED + 17])
@pytest.mark.parametrize("where", [0, -1])
def test_the_check_finds_what_has_not_arrived(size: int, where: int) -> None:
    """Zeros at the beginning or at the end: a network file system may show them for a while."""
    whole = bytes([1]) * size
    lost = bytearray(whole)
    part = slice(0, 4096) if where == 0 else slice(size - 4096, size)
    lost[part] = bytes(4096)
    assert packing.check(whole) != packing.check(lost)
    assert packing.check(whole) == packing.check(memoryview(whole))


def test_the_digest_tells_contents_apart() -> None:
    """Buffers count."""
    other = LARGE.copy()
    other[-1] = 0.0
    digests = {packing.digest(pack(each)) for each in (LARGE, LARGE.copy(), other, SMALL)}
    assert len(digests) == 3


def test_the_digest_tells_where_a_buffer_ends() -> None:
    """The pickle of what has several need not say it."""

    def halves(size: int) -> bytes:
        parts = bytes(size), bytes(5 * OUT_OF_BAND - size)
        return packing.digest(pack([pickle.PickleBuffer(part) for part in parts]))

    assert halves(OUT_OF_BAND) != halves(2 * OUT_OF_BAND)


@pytest.mark.parametrize("data", [b"\0", b"\0" * 8 + b"x", packing._HEAD.pack(0, 9)])
def test_a_head_that_is_not_whole_is_damage(data: bytes) -> None:
    """It is never taken for something else."""

    def fetch(places: list[Place]) -> list[bytes]:
        raise AssertionError("nothing is to be fetched")

    with pytest.raises((PackingDamaged, pickle.UnpicklingError, EOFError)):
        packing.loads(data, fetch)


def test_a_buffer_behind_the_end_is_damage() -> None:
    with pytest.raises(PackingDamaged):
        packing.loads_flat(flat(LARGE)[:-1])


@pytest.mark.parametrize("changed", [None, 0, 70_000, 199_999])
def test_packed_objects_are_equal_byte_for_byte(changed: int | None) -> None:
    """However large their buffers are."""
    array = np.zeros(200_000, np.uint8)
    one = pack((1, array), copies=True)
    if changed is not None:
        array[changed] = 1
    other = pack((1, array), copies=True)
    assert packing.equal(one, other) is (changed is None)
    assert not packing.equal(one, pack((2, array)))
    assert not packing.equal(one, pack((1, array[:100_000])))
    assert not packing.equal(one, pack((1, array, array.copy())))
    assert not packing.equal(one, b"x")
    assert packing.equal(b"x", b"x")
