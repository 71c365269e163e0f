import os
import pickle
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypool.columns import BlockColumn, Column
from pypool.rundir import batch, records
from pypool.rundir.batch import BatchDamaged, BatchReader

from . import quick
from .disk import MARK

DIGEST = sha256(b"the function").digest()
HEAD = records.HEADER_SIZE + batch.META.size + batch.PART.size

pickled = st.lists(st.binary(max_size=60), min_size=1, max_size=10)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """An empty file of batches, open."""
    fd = os.open(tmp_path / "1", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def encoded(number: int, items: list[bytes], call: int = batch.MAP) -> bytes:
    return b"".join(batch.encode(MARK, number, call, DIGEST, items))


def fill(fd: int, content: bytes) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, content, 0)


def all_ranges(items: list[bytes]) -> list[tuple[int, int]]:
    count = len(items)
    return [(first, last) for first in range(count + 1) for last in range(first, count + 1)]


@quick
@given(items=pickled, number=st.integers(0, 2**64 - 1))
def test_any_range(file: int, items: list[bytes], number: int) -> None:
    """Every range of a batch reads back as it was written."""
    fill(file, encoded(number, items, batch.STARMAP))
    reader = BatchReader(file, MARK, number, 0)
    assert (reader.call, reader.count, reader.digest) == (batch.STARMAP, len(items), DIGEST)
    for first, last in all_ranges(items):
        assert reader.items(first, last) == items[first:last]


def test_no_items(file: int) -> None:
    """A batch may be empty."""
    fill(file, encoded(1, []))
    assert BatchReader(file, MARK, 1, 0).items(0, 0) == []


@quick
@given(batches=st.lists(pickled, min_size=1, max_size=5))
def test_several_in_one_file(file: int, batches: list[list[bytes]]) -> None:
    """Batches one behind the other are each found at their place."""
    whole = [encoded(number, items) for number, items in enumerate(batches)]
    fill(file, b"".join(whole))
    places = accumulate(map(len, whole), initial=0)
    for number, (offset, items) in enumerate(zip(places, batches, strict=False)):
        assert BatchReader(file, MARK, number, offset).items(0, len(items)) == items


@quick
@given(batches=st.lists(pickled, min_size=2, max_size=4), data=st.data())
def test_wrong_place(file: int, batches: list[list[bytes]], data: st.DataObject) -> None:
    """At any other place than its own a batch is not found."""
    whole = [encoded(number, items) for number, items in enumerate(batches)]
    fill(file, b"".join(whole))
    places = list(accumulate(map(len, whole[:-1]), initial=0))
    wanted = data.draw(st.integers(0, len(batches) - 1))
    offset = data.draw(st.integers(0, sum(map(len, whole)) + 10))
    if offset != places[wanted]:
        with pytest.raises(BatchDamaged, match=f"batch {wanted} is not whole at byte {offset}"):
            BatchReader(file, MARK, wanted, offset)


def right_or_refused(fd: int, items: list[bytes], number: int, offset: int) -> int:
    """How many ranges are refused; a wrong item fails the test."""
    refused = 0
    for first, last in all_ranges(items):
        try:
            found = BatchReader(fd, MARK, number, offset).items(first, last)
        except BatchDamaged:
            refused += 1
        else:
            assert found == items[first:last]
    return refused


@settings(quick, max_examples=400)
@given(items=pickled, data=st.data())
def test_flipped_bit(file: int, items: list[bytes], data: st.DataObject) -> None:
    """A flipped bit anywhere in a batch is noticed by who reads it all, and gives nothing wrong."""
    before = encoded(1, [b"of another batch"])
    whole = bytearray(before + encoded(2, items))
    place = data.draw(st.integers(len(before), len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    fill(file, bytes(whole) + encoded(3, [b"of another batch"]))
    assert right_or_refused(file, items, 2, len(before)) > 0
    assert BatchReader(file, MARK, 1, 0).items(0, 1) == [b"of another batch"]
    assert BatchReader(file, MARK, 3, len(whole)).items(0, 1) == [b"of another batch"]


@quick
@given(items=pickled, data=st.data())
def test_run_of_damaged_bytes(file: int, items: list[bytes], data: st.DataObject) -> None:
    """Overwritten bytes never give a wrong item, nor any error but BatchDamaged."""
    whole = encoded(2, items)
    first = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=40))
    fill(file, (whole[:first] + noise + whole[first + len(noise) :])[: len(whole)])
    right_or_refused(file, items, 2, 0)


@quick
@given(items=pickled, data=st.data())
def test_ends_too_early(file: int, items: list[bytes], data: st.DataObject) -> None:
    """Of a file cut short nothing wrong is read, and no range that is missing."""
    whole = encoded(2, items)
    length = data.draw(st.integers(0, len(whole) - 1))
    fill(file, whole[:length])
    right_or_refused(file, items, 2, 0)
    with pytest.raises(BatchDamaged):
        BatchReader(file, MARK, 2, 0).items(0, len(items))


def test_damage_elsewhere(file: int) -> None:
    """A worker whose range is whole does not mind damage in other items."""
    items = [bytes([index]) * 50 for index in range(10)]
    whole = bytearray(encoded(1, items))
    whole[-1] ^= 1
    fill(file, bytes(whole))
    reader = BatchReader(file, MARK, 1, 0)
    assert reader.items(0, 9) == items[:9]
    with pytest.raises(BatchDamaged, match="item 9 is damaged"):
        reader.items(9, 10)


numbers = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=300)


def encoded_numbers(items: list[int], call: int = batch.MAP) -> bytes:
    column = Column.of(items)
    assert column is not None
    return b"".join(batch.encode(MARK, 1, call, DIGEST, column))


@quick
@given(items=numbers, data=st.data())
def test_any_range_of_numbers(file: int, items: list[int], data: st.DataObject) -> None:
    """A batch of numbers reads back as such, and as what other batches have: pickles."""
    fill(file, encoded_numbers(items))
    first = data.draw(st.integers(0, len(items)))
    last = data.draw(st.integers(first, len(items)))
    reader = BatchReader(file, MARK, 1, 0)
    assert reader.is_column
    assert reader.count == len(items)
    assert reader.values(first, last) == items[first:last]
    again = data.draw(st.integers(0, len(items)))
    assert reader.values(min(first, again), again) == items[min(first, again) : again]
    assert reader.items(first, last) == [pickle.dumps(each, 5) for each in items[first:last]]


plain = st.lists(st.text() | st.none() | st.integers() | st.booleans(), min_size=1, max_size=200)


def encoded_texts(items: list[Any]) -> bytes:
    column = Column.of(items)
    assert isinstance(column, BlockColumn)
    return b"".join(batch.encode(MARK, 1, batch.MAP, DIGEST, column))


@quick
@given(items=plain, data=st.data())
def test_any_part_of_plain_items(file: int, items: list[Any], data: st.DataObject) -> None:
    """A batch of blocks reads back as values, and as what other batches have: pickles."""
    items = [*items, "a text"]
    fill(file, encoded_texts(items))
    reader = BatchReader(file, MARK, 1, 0)
    assert reader.is_column
    assert reader.count == len(items)
    for _ in range(3):
        first = data.draw(st.integers(0, len(items)))
        last = data.draw(st.integers(first, len(items)))
        assert reader.values(first, last) == items[first:last]
        assert reader.items(first, last) == [pickle.dumps(each, 5) for each in items[first:last]]
    with pytest.raises(BatchDamaged, match="has"):
        reader.values(0, len(items) + 1)


def test_what_a_task_does_to_an_item_nobody_else_sees(file: int) -> None:
    """Not the next one, nor the same task when it is run again."""
    fill(file, encoded_texts([[number] for number in range(200)]))
    reader = BatchReader(file, MARK, 1, 0)
    for first, last in ((0, 10), (10, 70), (5, 80), (199, 200), (0, 200)):
        given = reader.values(first, last)
        assert given == [[number] for number in range(first, last)]
        for each in given:
            each.clear()
    assert list(map(pickle.loads, reader.items(0, 3))) == [[0], [1], [2]]


def test_damage_in_one_block(file: int) -> None:
    """A worker whose blocks are whole does not mind; and it may arrive yet."""
    items = [f"text {number}" for number in range(200)]
    whole = bytearray(encoded_texts(items))
    whole[-3] ^= 1
    fill(file, bytes(whole))
    reader = BatchReader(file, MARK, 1, 0)
    assert reader.values(10, 192) == items[10:192]
    with pytest.raises(BatchDamaged, match="the items from 192 on are damaged"):
        reader.values(191, 193)
    whole[-3] ^= 1
    fill(file, bytes(whole))
    assert reader.values(191, 193) == items[191:193]


@pytest.mark.parametrize("numbers", [range(7), range(10, -70, -1), range(2**64, 2**64 + 9, 3)])
def test_any_part_of_a_range(file: int, numbers: range) -> None:
    """It has no items to be read, and no room of its own."""
    column = Column.of(numbers)
    assert column is not None
    pieces = batch.encode(MARK, 1, batch.MAP, DIGEST, column)
    assert len(pieces) == 1
    fill(file, bytes(pieces[0]))
    reader = BatchReader(file, MARK, 1, 0)
    assert reader.is_column
    assert reader.count == len(numbers)
    for first in range(len(numbers) + 1):
        for last in range(first, len(numbers) + 1):
            assert [*reader.values(first, last)] == [*numbers[first:last]]
            assert list(map(pickle.loads, reader.items(first, last))) == [*numbers[first:last]]
    with pytest.raises(BatchDamaged, match="has"):
        reader.values(0, len(numbers) + 1)


@pytest.mark.parametrize("there", [0, 4, 8 * 63, 8 * 64 + 3, 8 * 100 - 1])
def test_numbers_that_have_not_arrived(file: int, there: int) -> None:
    """The file may be short for a while, or have zeros in it."""
    items = [-7] * 100
    whole = encoded_numbers(items)
    cut = whole[: len(whole) - 800 + there]
    for content in (cut, cut.ljust(len(whole), b"\0")):
        fill(file, content)
        reader = BatchReader(file, MARK, 1, 0)
        with pytest.raises(BatchDamaged):
            reader.values(64, 100)
        fill(file, whole)
        assert reader.values(0, 100) == items


def test_damage_among_other_numbers(file: int) -> None:
    """A worker whose blocks are whole does not mind."""
    whole = bytearray(encoded_numbers([*range(200)]))
    whole[-1] ^= 1
    fill(file, bytes(whole))
    reader = BatchReader(file, MARK, 1, 0)
    assert reader.values(10, 190) == [*range(10, 190)]
    with pytest.raises(BatchDamaged, match="the items from 192 on are damaged"):
        reader.values(192, 193)


def test_blocks_of_numbers_change_places(file: int) -> None:
    """With their checksums: they are refused."""
    whole = encoded_numbers([1] * 64 + [2] * 64)
    checks, data = whole[HEAD : HEAD + 8], whole[HEAD + 8 :]
    fill(file, whole[:HEAD] + checks[4:] + checks[:4] + data[512:] + data[:512])
    with pytest.raises(BatchDamaged):
        BatchReader(file, MARK, 1, 0).values(0, 1)


def test_a_small_batch_is_read_at_once(file: int) -> None:
    """Its items came with its head."""
    fill(file, encoded(1, [b"a", b"b"]))
    reader = BatchReader(file, MARK, 1, 0)
    os.ftruncate(file, 0)
    assert reader.items(0, 2) == [b"a", b"b"]


def test_what_arrives_late_is_read_again(file: int) -> None:
    """Behind a head there may be zeros for a moment."""
    whole = encoded(1, [b"a", b"b"])
    fill(file, whole[:HEAD].ljust(len(whole), b"\0"))
    reader = BatchReader(file, MARK, 1, 0)
    with pytest.raises(BatchDamaged):
        reader.items(0, 2)
    fill(file, whole)
    assert reader.items(0, 2) == [b"a", b"b"]


def test_items_change_places(file: int) -> None:
    """Items that stand in each other's place with their checksums are refused."""
    whole = encoded(1, [b"aaaa", b"bbbb"])
    checks = HEAD + 3 * 8
    one, other = whole[checks : checks + 4], whole[checks + 4 : checks + 8]
    fill(file, whole[:checks] + other + one + b"bbbb" + b"aaaa")
    assert right_or_refused(file, [b"aaaa", b"bbbb"], 1, 0) == 3


@pytest.mark.parametrize("bit", range(64))
def test_flipped_offset_takes_no_memory(file: int, bit: int) -> None:
    """A flipped bit in the table of items is no reason to ask for memory beyond the file."""
    items = [b"x" * 100] * 4
    whole = bytearray(encoded(1, items))
    whole[HEAD + 2 * 8 + bit // 8] ^= 1 << bit % 8
    fill(file, bytes(whole))
    tracemalloc.start()
    try:
        assert right_or_refused(file, items, 1, 0) > 0
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("start", [2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 20])
def test_offsets_far_behind_the_end(file: int, start: int) -> None:
    """Two damaged offsets that agree with each other are refused where the file has ended."""
    whole = bytearray(encoded(1, [b"a" * 10]))
    whole[HEAD : HEAD + 8] = start.to_bytes(8, "little")
    whole[HEAD + 8 : HEAD + 16] = (start + 10).to_bytes(8, "little")
    fill(file, bytes(whole))
    with pytest.raises(BatchDamaged):
        BatchReader(file, MARK, 1, 0).items(0, 1)
