"""Lengths, offsets and counts that lie: no memory is taken for them, and nobody reads for ever."""

import os
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast
from zlib import crc32

import pytest

from pypool import RunDirectoryError, packing
from pypool.engine.calls import Call
from pypool.engine.outcomes import Outcomes
from pypool.packing import PackingDamaged
from pypool.rundir import batch, names, records
from pypool.rundir.batch import BatchDamaged, BatchReader
from pypool.rundir.mailbox import READ_LIMIT, FileReader, OutboxReader
from pypool.rundir.messages import VALUE, VALUES, Entry, pack_entry
from pypool.rundir.run import INFO_LIMIT, RunDirectory
from pypool.worker.borrowed import Borrowed
from pypool.worker.objects import Objects

from .threats import against

HUGE = 10 << 30
ELEMENT = "elements/token/0"

pytestmark = pytest.mark.timeout(60)


@contextmanager
def little_memory(limit: int = 64 << 20) -> Iterator[None]:
    """Fails if more was taken at any time within the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def lying_header(mark: bytes, kind: int, length: int) -> bytes:
    """A header that is fine but for the length that it speaks of."""
    head = records.HEADER.pack(mark, kind, 1, 0, length, crc32(b"short"))
    return head + struct.pack("<I", crc32(head))


def huge_and_empty(run: RunDirectory, name: str) -> None:
    """A file that says to have 10 GiB and takes no room."""
    fd = run.open_file(name, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, HUGE)
    os.close(fd)


@against("Numbers that ask for too much")
@pytest.mark.parametrize("length", [100, records.FRAME_LIMIT, (1 << 32) - 1])
def test_a_record_that_says_to_be_long(run: RunDirectory, length: int) -> None:
    """It is not there yet; what follows it is found."""
    name = names.outbox(ELEMENT, 1)
    run.write(name, [lying_header(run.mark, records.RESULTS, length), b"short"])
    reader = FileReader(run.open_file, name, run.mark)
    with little_memory():
        assert reader.read() == []
    whole = records.frame(run.mark, records.BEAT, b"{}")
    run.write(name, [whole], records.HEADER_SIZE + 5)
    assert [record.kind for record in reader.read()] == [records.BEAT]


@against("Numbers that ask for too much")
def test_a_mailbox_of_ten_gib(run: RunDirectory) -> None:
    """It is read in pieces, and nothing in it is taken for a record."""
    name = names.outbox(ELEMENT, 1)
    huge_and_empty(run, name)
    reader = FileReader(run.open_file, name, run.mark)
    with little_memory():
        for _ in range(3):
            assert reader.read() == []
    assert 0 < reader.offset <= 3 * READ_LIMIT


@against("Numbers that ask for too much")
def test_a_million_records(run: RunDirectory) -> None:
    """They come in portions."""
    name = names.outbox(ELEMENT, 1)
    beat = records.frame(run.mark, records.BEAT)
    run.write(name, [beat * (1 << 20)])
    reader = FileReader(run.open_file, name, run.mark)
    counts = []
    while count := len(reader.read()):
        counts.append(count)
    assert sum(counts) == 1 << 20
    assert max(counts) <= READ_LIMIT // len(beat)


@against("Numbers that ask for too much")
@pytest.mark.parametrize("part", [0, 1, 3, 1 << 60])
def test_an_outbox_that_goes_on_in_itself(run: RunDirectory, part: int) -> None:
    """The next part of a file is the next one: nobody reads in circles."""
    name = names.outbox(ELEMENT, 1)
    goes_on = records.frame(run.mark, records.CONTINUED, key=part)
    run.write(name, [records.frame(run.mark, records.BEAT), goes_on])
    reader = OutboxReader(run.open_file, ELEMENT, run.mark)
    assert [record.kind for record in reader.read()] == [records.BEAT]
    assert reader.read() == []
    assert reader.position[0] == 1
    assert reader.scanner.damaged == 1


@against("Numbers that ask for too much")
@pytest.mark.parametrize(
    ("offset", "size"), [(0, HUGE), (HUGE, 5), (1 << 63, 5), (0, (1 << 64) - 1), (3, 100)]
)
def test_a_result_that_says_to_be_elsewhere(run: RunDirectory, offset: int, size: int) -> None:
    """The caller is told which file is damaged."""
    run.write(names.data(ELEMENT, 0, 1), [b"a result"])
    elsewhere = (1, offset, size, 0)
    entry = Entry(pack_entry(0, 1, VALUE, 0, 0.0, 0.0, 0, (0, 0), b"", elsewhere))
    link = SimpleNamespace(element=ELEMENT, host="a node")
    with little_memory():
        success, error = Outcomes(run).decode(cast("Any", link), entry, cast("Call", None), 0)
    assert not success
    assert isinstance(error, RunDirectoryError)
    assert "elements/token/0/data.0.1 is damaged" in str(error)


@contextmanager
def opened(run: RunDirectory, name: str) -> Iterator[int]:
    fd = run.open_file(name, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def encoded(run: RunDirectory, items: list[bytes]) -> list[bytes]:
    return batch.encode(run.mark, 1, batch.MAP, bytes(32), items)


@against("Numbers that ask for too much")
@pytest.mark.parametrize("offset", [5, HUGE, 1 << 63, (1 << 64) - 1])
def test_a_batch_that_lies_behind_the_end(run: RunDirectory, offset: int) -> None:
    """A share may say any place."""
    run.write(names.batches(1), encoded(run, [b"item"]))
    with opened(run, names.batches(1)) as fd, pytest.raises(BatchDamaged):
        BatchReader(fd, run.mark, 1, offset)


@against("Numbers that ask for too much")
@pytest.mark.parametrize(("first", "last"), [(0, 2), (0, (1 << 32) - 1), (1, 0), (5, 6)])
def test_items_that_a_batch_does_not_have(run: RunDirectory, first: int, last: int) -> None:
    """A share may speak of any of them."""
    run.write(names.batches(1), encoded(run, [b"item"]))
    with opened(run, names.batches(1)) as fd, little_memory():
        reader = BatchReader(fd, run.mark, 1, 0)
        with pytest.raises(BatchDamaged):
            reader.items(first, last)


@against("Numbers that ask for too much")
@pytest.mark.parametrize("end", [HUGE, (1 << 64) - 1, 1])
def test_a_table_of_items_that_lies(run: RunDirectory, end: int) -> None:
    """It is no more protected than the items, whose checksums tell."""
    head, _, checks, *items = encoded(run, [b"item"])
    run.write(names.batches(1), [head, struct.pack("<QQ", 0, end), checks, *items])
    with opened(run, names.batches(1)) as fd, little_memory():
        reader = BatchReader(fd, run.mark, 1, 0)
        with pytest.raises(BatchDamaged):
            reader.items(0, 1)


@against("Numbers that ask for too much")
@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"\x00" * 5,
        batch.META.pack(0, b"p", 1, bytes(32), (1 << 32) - 1, 0),
        batch.META.pack(0, b"p", 1, bytes(32), 1, (1 << 32) - 1),
        batch.META.pack(0, b"p", (1 << 32) - 1, bytes(32), 0, 0),
        batch.META.pack(0, b"z", 1, bytes(32), 1, 0) + bytes(12),
        batch.META.pack(0, b"\xff", 1, bytes(32), 1, 0) + bytes(12),
    ],
)
def test_a_head_of_a_batch_that_lies(run: RunDirectory, meta: bytes) -> None:
    """However many parts it says to have."""
    run.write(names.batches(1), [records.frame(run.mark, records.BATCH, meta, key=1), bytes(100)])
    with opened(run, names.batches(1)) as fd, little_memory(), pytest.raises(BatchDamaged):
        BatchReader(fd, run.mark, 1, 0)


@against("Numbers that ask for too much")
def test_a_batch_of_very_many_numbers(run: RunDirectory) -> None:
    """Its file ends before."""
    meta = batch.META.pack(0, b"q", (1 << 32) - 1, bytes(32), 1, 0) + bytes(12)
    run.write(names.batches(1), [records.frame(run.mark, records.BATCH, meta, key=1), bytes(100)])
    with opened(run, names.batches(1)) as fd, little_memory(), pytest.raises(BatchDamaged):
        BatchReader(fd, run.mark, 1, 0).values(0, (1 << 32) - 1)


@against("Numbers that ask for too much")
@pytest.mark.parametrize("outcome", [VALUE, VALUES])
@pytest.mark.parametrize("body", [b"", b"0", b"d" + bytes(8), b"p"])
def test_an_entry_that_says_to_tell_of_many_tasks(outcome: int, body: bytes) -> None:
    """It cannot have so many values."""
    entry = pack_entry(0, 1, outcome, 0, 0.0, 0.0, 0, (0, 0), body, count=(1 << 32) - 1)
    with little_memory(), pytest.raises(ValueError, match="are no 4294967295 values"):
        Entry(entry)


@against("Numbers that ask for too much")
def test_a_function_that_says_to_be_long(run: RunDirectory) -> None:
    """It is not whole, and the file is named."""
    digest = bytes(32)
    name = names.function(digest.hex())
    run.write(name, [lying_header(run.mark, records.FUNCTION, (1 << 32) - 1), b"short"])
    with little_memory(), pytest.raises(BatchDamaged, match=digest.hex()):
        Objects(run, {}).file(digest)


@against("Numbers that ask for too much")
@pytest.mark.parametrize("place", [(1 << 60, 100, 0), (0, 1 << 60, 0), (0, 1 << 21, 0)])
def test_a_buffer_that_says_to_be_long(run: RunDirectory, place: packing.Place) -> None:
    """Neither is memory taken for it, nor is it mapped."""
    run.write(names.batches(1), [bytes(1000)])
    head = packing.Packed(b"", ()).head([place])
    with opened(run, names.batches(1)) as fd, little_memory(), pytest.raises(PackingDamaged):
        packing.loads(head, Borrowed().fetch(fd, 0))
    with little_memory(), pytest.raises(PackingDamaged):
        packing.loads_flat(head)


@against("Numbers that ask for too much")
def test_information_of_ten_gib(run: RunDirectory) -> None:
    """A run whose `run.json` is not what it was is refused."""
    huge_and_empty(run, names.RUN_INFO)
    with little_memory(4 * INFO_LIMIT), pytest.raises(RunDirectoryError, match="cannot be read"):
        RunDirectory.open(run.path)


@against("Numbers that ask for too much")
def test_the_end_of_a_long_log(run: RunDirectory) -> None:
    """Only the end is read."""
    name = f"{names.SCHEDULER}/1_0.out"
    huge_and_empty(run, name)
    run.write(name, [b"the end"], HUGE)
    with little_memory():
        assert run.tail(name, 100).endswith(b"\0the end")
