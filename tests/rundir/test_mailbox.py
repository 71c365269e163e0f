import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from pypool.rundir import mailbox, names, records
from pypool.rundir.mailbox import (
    FileReader,
    FileWriter,
    OutboxReader,
    OutboxWriter,
    PipeReader,
    PipeWriter,
    TakenOver,
)
from pypool.rundir.records import Record

from . import quick
from .disk import FAULTS, MARK, Disk, Killed

contents = st.binary(max_size=150)
several = st.lists(st.binary(max_size=40), min_size=1, max_size=5)
lengths = st.integers(0, 300)
faults = st.sampled_from(FAULTS)
seldom = st.sampled_from([0, 0, 0, 1, 2])


def read_all(read: Callable[[], list[Record]]) -> list[Record]:
    """Everything that is there, in as many reads as it takes."""
    found = []
    while news := read():
        found += news
    return found


def keys(found: list[Record]) -> list[int]:
    return [record.key for record in found if record.kind != records.LIFE]


def torn_record(disk: Disk, length: int) -> FileWriter:
    """The inbox of a writer that put record 1 and died `length` bytes into record 2."""
    writer = FileWriter(disk.open, "inbox", MARK)
    writer.put(records.SHARE, b"first", key=1)
    writer.flush()
    writer.put(records.SHARE, b"second", key=2)
    with disk.trouble("kill", landed=length), contextlib.suppress(Killed):
        writer.flush()
    return writer


class Story(RuleBasedStateMachine):
    """One writer at a time, one reader that sees late and in part, and what must come of it."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk(self.root, "inbox")
        self.reader = FileReader(self.disk.open_late, "inbox", MARK)
        self.writer = FileWriter(self.disk.open, "inbox", MARK)
        self.written: dict[int, bytes] = {}
        self.waiting: list[int] = []
        self.acknowledged: list[int] = []
        self.seen: list[Record] = []

    @rule(payloads=several)
    def put(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            key = len(self.written)
            self.written[key] = payload
            self.waiting.append(key)
            self.writer.put(records.SHARE, payload, key)

    @rule()
    def flush(self) -> None:
        self.writer.flush()
        self.acknowledge()

    @rule(where=faults, landed=lengths, zeros=lengths, after=seldom)
    def flush_in_vain(self, where: str, landed: int, zeros: int, after: int) -> None:
        with self.disk.trouble(where, landed, zeros, after):
            try:
                self.writer.flush()
            except OSError:
                return
        self.acknowledge()

    @rule(hidden=lengths, zeros=lengths)
    def poll(self, hidden: int, zeros: int) -> None:
        self.disk.hidden, self.disk.zeros = hidden, zeros
        self.seen += self.reader.read()

    def acknowledge(self) -> None:
        self.acknowledged += self.waiting
        self.waiting = []

    def teardown(self) -> None:
        """Whole records once, as written and in order; none lost that a flush has confirmed."""
        self.disk.hidden = 0
        self.seen += read_all(self.reader.read)
        found = [record for record in self.seen if record.kind != records.LIFE]
        assert keys(found) == sorted(set(keys(found)))
        assert all(record.payload == self.written.get(record.key) for record in found)
        assert set(self.acknowledged) <= set(keys(found))
        assert [record.life for record in self.seen] == sorted(r.life for r in self.seen)
        assert self.reader.scanner.damaged == 0


class OneLife(Story):
    """The writer meets errors, and lives."""

    def teardown(self) -> None:
        self.writer.flush()
        self.acknowledge()
        super().teardown()
        assert keys(self.seen) == list(self.written)


class ManyLives(Story):
    """The writer dies, is succeeded, and comes back all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.life = 1
        self.former: list[FileWriter] = []

    @rule(landed=lengths, zeros=lengths, after=seldom)
    def die(self, landed: int, zeros: int, after: int) -> None:
        with (
            self.disk.trouble("kill", landed, zeros, after),
            contextlib.suppress(Killed),
        ):
            self.writer.flush()
            self.acknowledge()
        self.succeed()

    @rule()
    def succeed(self) -> None:
        self.former.append(self.writer)
        self.waiting = []
        self.life += 1
        self.writer = FileWriter.resume(self.disk.open, "inbox", MARK, self.life)
        self.comes_back(self.former[-1])

    @rule(where=faults, landed=lengths)
    def succeed_at_the_second_try(self, where: str, landed: int) -> None:
        with self.disk.trouble(where, landed), contextlib.suppress(OSError):
            FileWriter.resume(self.disk.open, "inbox", MARK, self.life + 1)
        self.succeed()

    @precondition(lambda self: self.former)
    @rule(data=st.data())
    def a_former_one_comes_back(self, data: st.DataObject) -> None:
        self.comes_back(data.draw(st.sampled_from(self.former)))

    def comes_back(self, writer: FileWriter) -> None:
        before = self.disk.content("inbox")
        writer.put(records.SHARE, b"of a former life", key=10**6)
        with pytest.raises(TakenOver, match="another driver has taken this run over"):
            writer.flush()
        assert self.disk.content("inbox") == before


@pytest.mark.parametrize("story", [OneLife, ManyLives])
def test_story(tmp_path: Path, story: type[Story]) -> None:
    """Whatever fails, dies or lags: whole records once, in order, and nothing of a former life."""
    story.root = tmp_path
    with mock.patch.object(mailbox, "WRITE_LIMIT", 300):
        run_state_machine_as_test(story, settings=settings(quick, max_examples=400))


@pytest.mark.parametrize("where", FAULTS)
def test_error_and_retry(tmp_path: Path, where: str) -> None:
    """After an error, wherever half of the bytes came to lie, the next flush makes it good."""
    disk = Disk(tmp_path, "outbox")
    writer = FileWriter(disk.open, "outbox", MARK)
    writer.put(records.RESULTS, b"x" * 100, key=1)
    with disk.trouble(where, landed=66), pytest.raises(OSError, match=r"injected|took 66"):
        writer.flush()
    assert (writer.waiting, writer.offset) == (132, 0)
    writer.put(records.RESULTS, b"y" * 100, key=2)
    writer.flush()
    assert (writer.waiting, writer.offset) == (0, 264)
    assert keys(FileReader(disk.open, "outbox", MARK).read()) == [1, 2]


def test_disk_full(tmp_path: Path) -> None:
    """A write that takes fewer bytes than it was given is reported as a full disk."""
    disk = Disk(tmp_path, "outbox")
    writer = FileWriter(disk.open, "outbox", MARK)
    writer.put(records.BEAT)
    with disk.trouble("short", landed=31), pytest.raises(OSError, match="31 of 32") as caught:
        writer.flush()
    assert caught.value.errno == errno.ENOSPC


def test_fsync_fails(tmp_path: Path) -> None:
    """An error of fsync is an error of the append, which is tried again."""
    disk = Disk(tmp_path, "journal")
    writer = FileWriter(disk.open, "journal", MARK)
    writer.put(records.SUBMITTING, key=1)
    with (
        mock.patch.object(os, "fsync", side_effect=OSError(errno.EIO, "injected")),
        pytest.raises(OSError, match="injected"),
    ):
        writer.flush(sync=True)
    assert writer.waiting == 32
    with mock.patch.object(os, "fsync") as fsync:
        writer.flush(sync=True)
    assert fsync.call_count == 1
    assert keys(FileReader(disk.open, "journal", MARK).read()) == [1]


def test_writes_of_128_kib(tmp_path: Path) -> None:
    """No write is larger than 128 KiB, and none holds less than it could."""
    disk = Disk(tmp_path, "outbox")
    writer = FileWriter(disk.open, "outbox", MARK)
    for size in (records.PAYLOAD_LIMIT, 60_000, 60_000, 60_000, records.PAYLOAD_LIMIT):
        writer.put(records.RESULTS, bytes(size))
    with mock.patch.object(os, "pwrite", side_effect=os.pwrite) as pwrite:
        writer.flush()
    sizes = [len(call.args[1]) for call in pwrite.call_args_list]
    assert sizes == [128 << 10, 2 * 60_032, 60_032, 128 << 10]


@pytest.mark.parametrize("change", [-1, 1, 32, 10_000])
def test_length_that_is_not_ours(tmp_path: Path, change: int) -> None:
    """A writer that finds its file longer or shorter than it left it changes nothing."""
    disk = Disk(tmp_path, "inbox")
    writer = FileWriter(disk.open, "inbox", MARK)
    writer.put(records.SHARE, b"a share")
    writer.flush()
    os.truncate(disk.root / "inbox", writer.offset + change)
    before = disk.content("inbox")
    writer.put(records.STOP)
    with pytest.raises(TakenOver):
        writer.flush()
    assert disk.content("inbox") == before


def test_torn_at_any_byte(tmp_path: Path) -> None:
    """Wherever the last append broke off, the next life goes on behind the last whole record."""
    for length in range(39):
        disk = Disk(tmp_path, "inbox")
        former = torn_record(disk, length)
        reader = FileReader(disk.open, "inbox", MARK)
        found = reader.read()
        writer = FileWriter.resume(disk.open, "inbox", MARK, life=2)
        before = disk.content("inbox")
        with pytest.raises(TakenOver):
            former.flush()
        assert disk.content("inbox") == before
        writer.put(records.SHARE, b"third", key=3)
        writer.flush()
        found += reader.read()
        assert keys(found) == ([1, 2, 3] if length == 38 else [1, 3])
        assert [r.key for r in found if r.kind == records.LIFE] == [2]
        assert (reader.scanner.damaged, reader.scanner.superseded) == (0, 0)


@pytest.mark.parametrize("where", ["write", "short", "close"])
def test_error_before_being_taken_over(tmp_path: Path, where: str) -> None:
    """A writer whose append failed does not take the next life's records for its own bytes."""
    for landed in range(150):
        disk = Disk(tmp_path, "inbox")
        former = FileWriter(disk.open, "inbox", MARK)
        for key in (1, 2, 3):
            former.put(records.SHARE, b"shares", key=key)
        with disk.trouble(where, landed=landed), contextlib.suppress(OSError):
            former.flush()
        FileWriter.resume(disk.open, "inbox", MARK, life=2)
        before = disk.content("inbox")
        former.put(records.STOP)
        with pytest.raises(TakenOver):
            former.flush()
        assert disk.content("inbox") == before


def test_former_life_writes_in_spite_of_all(tmp_path: Path) -> None:
    """What a former life brings into the file behind a later one is dropped and counted."""
    disk = Disk(tmp_path, "inbox")
    FileWriter.resume(disk.open, "inbox", MARK, life=2)
    former = FileWriter(disk.open, "inbox", MARK, life=1, offset=32)
    former.put(records.STOP)
    former.flush()
    reader = FileReader(disk.open, "inbox", MARK)
    assert [record.kind for record in reader.read()] == [records.LIFE]
    assert reader.scanner.superseded == 1


@pytest.fixture
def small_reads() -> Iterator[int]:
    """Reads and writes with limits that a test can go beyond."""
    with (
        mock.patch.object(mailbox, "PIECE", 512),
        mock.patch.object(mailbox, "READ_LIMIT", 2048),
        mock.patch.object(mailbox, "WRITE_LIMIT", 256),
    ):
        yield 2048


def mailbox_of(disk: Disk, count: int, life: int = 1) -> bytes:
    writer = FileWriter(disk.open, "inbox", MARK, life, len(disk.content("inbox")))
    for key in range(count):
        writer.put(records.SHARE, bytes(100), key=key)
    writer.flush()
    return disk.content("inbox")


@quick
@given(first=st.integers(0, 12_000), length=st.integers(1, 9_000), polls=st.lists(lengths))
def test_damage_longer_than_a_read(
    tmp_path: Path, small_reads: int, first: int, length: int, polls: list[int]
) -> None:
    """However long the damage, what lies behind it is read, and what was skipped is counted."""
    disk = Disk(tmp_path, "inbox")
    whole = mailbox_of(disk, 100)
    length = min(length, len(whole) - 132 - first)
    changed = whole[:first] + b"\xee" * length + whole[first + length :]
    (disk.root / "inbox").write_bytes(changed)
    reader = FileReader(disk.open_late, "inbox", MARK)
    found = []
    for disk.hidden in polls:
        found += reader.read()
    disk.hidden = 0
    for _ in range(len(whole) // 1000 + 1):
        found += reader.read()
    lost = range(first // 132, (first + length - 1) // 132 + 1)
    assert keys(found) == [key for key in range(100) if key not in lost]
    assert reader.scanner.skipped == 132 * len(lost)
    assert reader.scanner.damaged > 0


@pytest.mark.parametrize("length", [1000, 5000])
def test_resume_behind_long_damage(tmp_path: Path, small_reads: int, length: int) -> None:
    """Damage longer than a read, too, is no reason to cut off whole records behind it."""
    disk = Disk(tmp_path, "inbox")
    whole = mailbox_of(disk, 60)
    changed = whole[:132] + b"\xee" * length + whole[132 + length :]
    (disk.root / "inbox").write_bytes(changed)
    FileWriter.resume(disk.open, "inbox", MARK, life=2)
    assert disk.content("inbox")[:-32] == changed


def test_resume_behind_superseded_records(tmp_path: Path, small_reads: int) -> None:
    """A stretch of dropped records is no reason to cut off what lies behind it."""
    disk = Disk(tmp_path, "inbox")
    mailbox_of(disk, 1, life=2)
    mailbox_of(disk, 60, life=1)
    whole = mailbox_of(disk, 1, life=2)
    FileWriter.resume(disk.open, "inbox", MARK, life=3)
    assert disk.content("inbox")[:-32] == whole


def test_reads_are_limited(tmp_path: Path, small_reads: int) -> None:
    """One read hands out what a limited number of bytes hold, the next goes on there."""
    disk = Disk(tmp_path, "inbox")
    mailbox_of(disk, 20)
    reader = FileReader(disk.open, "inbox", MARK)
    assert [keys(reader.read()) for _ in range(3)] == [[*range(15)], [*range(15, 20)], []]


def test_stale_handle(tmp_path: Path) -> None:
    """A stale handle is answered by opening again, other errors are the caller's."""
    disk = Disk(tmp_path, "inbox")
    mailbox_of(disk, 1)
    answers = [errno.ESTALE, 0, errno.ESTALE, errno.ESTALE, errno.EIO, 0]

    def opener(name: str, flags: int) -> int:
        if code := answers.pop(0):
            raise OSError(code, "injected")
        return disk.open(name, flags)

    reader = FileReader(opener, "inbox", MARK)
    assert keys(reader.read()) == [0]
    for code in (errno.ESTALE, errno.EIO):
        with pytest.raises(OSError, match="injected") as caught:
            reader.read()
        assert caught.value.errno == code
    assert reader.read() == []


def test_nothing_stays_open(tmp_path: Path) -> None:
    """Every descriptor that was opened is closed, when appends fail, too."""
    disk = Disk(tmp_path, "inbox")
    opened: list[int] = []

    def opener(name: str, flags: int) -> int:
        opened.append(disk.open(name, flags))
        return opened[-1]

    writer = FileWriter(opener, "inbox", MARK)
    writer.put(records.STOP)
    for where in ("write", "short", "close"):
        with disk.trouble(where), pytest.raises(OSError, match=r"injected|took"):
            writer.flush()
    writer.flush()
    FileReader(opener, "inbox", MARK).read()
    former = FileWriter(opener, "inbox", MARK)
    former.put(records.STOP)
    FileWriter.resume(opener, "inbox", MARK, life=2)
    with pytest.raises(TakenOver):
        former.flush()
    for fd in set(opened):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


class Outbox(RuleBasedStateMachine):
    """An outbox of tiny parts, whose parts go as soon as they have been read."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk(self.root, names.outbox("element", 1))
        self.writer = OutboxWriter(self.disk.open, "element", MARK, limit=200)
        self.reader = OutboxReader(self.disk.open_late, "element", MARK)
        self.count = 0
        self.seen: list[Record] = []
        self.removed = 0

    @rule(payloads=several)
    def put(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self.writer.put(records.RESULTS, payload, self.count)
            self.count += 1

    @rule()
    def flush(self) -> None:
        self.writer.flush()
        assert self.writer.waiting == 0

    @rule(where=faults, landed=lengths, zeros=lengths, after=seldom)
    def flush_in_vain(self, where: str, landed: int, zeros: int, after: int) -> None:
        with (
            self.disk.trouble(where, landed, zeros, after),
            contextlib.suppress(OSError),
        ):
            self.writer.flush()

    @rule(hidden=lengths, zeros=lengths)
    def poll(self, hidden: int, zeros: int) -> None:
        self.disk.hidden, self.disk.zeros = hidden, zeros
        self.seen += self.reader.read()

    @rule()
    def remove_what_was_read(self) -> None:
        while self.removed < self.reader.part - 1:
            self.removed += 1
            (self.disk.root / names.outbox("element", self.removed)).unlink()

    def teardown(self) -> None:
        self.writer.flush()
        self.disk.hidden = 0
        self.seen += read_all(self.reader.read)
        assert keys(self.seen) == list(range(self.count))
        assert {record.kind for record in self.seen} <= {records.RESULTS}
        assert self.reader.part == self.writer.part
        assert self.reader.scanner.damaged == 0


def test_outbox_in_parts(tmp_path: Path) -> None:
    """Through all parts and errors: every record once, in order; parts that were read may go."""
    Outbox.root = tmp_path
    with mock.patch.object(mailbox, "WRITE_LIMIT", 300):
        run_state_machine_as_test(Outbox, settings=settings(quick, max_examples=400))


def outbox_of_two_parts(tmp_path: Path) -> tuple[Disk, OutboxWriter]:
    disk = Disk(tmp_path, "outbox.1")
    writer = OutboxWriter(disk.open, ".", MARK, limit=100)
    writer.put(records.RESULTS, bytes(100), key=1)
    writer.flush()
    writer.put(records.BEAT, key=2)
    writer.flush()
    return disk, writer


def test_next_part_is_there_first(tmp_path: Path) -> None:
    """The next part exists before the last record of the one before names it."""
    disk = Disk(tmp_path, "outbox.1")
    writer = OutboxWriter(disk.open, ".", MARK, limit=100)
    writer.put(records.RESULTS, bytes(100), key=1)
    with disk.trouble("write", after=1), pytest.raises(OSError, match="injected"):
        writer.flush()
    assert disk.content("outbox.2") == b""
    assert keys(FileReader(disk.open, "outbox.1", MARK).read()) == [1]


def test_a_part_may_go_though_its_end_was_written_in_vain(tmp_path: Path) -> None:
    """The disk reports an error, the last record is there all the same, is read, the part goes."""
    disk = Disk(tmp_path, "outbox.1")
    writer = OutboxWriter(disk.open, ".", MARK, limit=100)
    writer.put(records.RESULTS, bytes(100), key=1)
    with disk.trouble("write", records.HEADER_SIZE, after=1), pytest.raises(OSError, match="inj"):
        writer.flush()
    reader = OutboxReader(disk.open, ".", MARK)
    assert keys(read_all(reader.read)) == [1]
    assert reader.part == 2
    (disk.root / "outbox.1").unlink()
    writer.put(records.BEAT, key=2)
    writer.flush()
    assert keys(read_all(reader.read)) == [2]


def test_a_part_that_goes_before_its_end_was_tried_is_an_error(tmp_path: Path) -> None:
    """Somebody has removed what nobody can have read."""
    disk = Disk(tmp_path, "outbox.1")
    writer = OutboxWriter(disk.open, ".", MARK, limit=100)
    writer.put(records.RESULTS, bytes(100), key=1)
    with disk.trouble("open", after=2), pytest.raises(OSError, match="inj"):
        writer.flush()
    (disk.root / "outbox.1").unlink()
    with pytest.raises(FileNotFoundError):
        writer.flush()


def test_next_part_cannot_be_made(tmp_path: Path) -> None:
    """If the next part cannot be made, records go on in this one until it can."""
    disk = Disk(tmp_path, "outbox.1")
    full = True

    def opener(name: str, flags: int) -> int:
        if full and flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "injected")
        return disk.open(name, flags)

    writer = OutboxWriter(opener, ".", MARK, limit=100)
    for key in (1, 2):
        writer.put(records.RESULTS, bytes(100), key=key)
        with pytest.raises(OSError, match="injected"):
            writer.flush()
    full = False
    writer.flush()
    reader = OutboxReader(disk.open, ".", MARK)
    assert keys(read_all(reader.read)) == [1, 2]
    assert (reader.part, writer.part) == (2, 2)


def test_next_part_cannot_be_read(tmp_path: Path) -> None:
    """An error in the next part costs nothing of what the part before it held."""
    disk, _ = outbox_of_two_parts(tmp_path)
    broken = True

    def opener(name: str, flags: int) -> int:
        if broken and name.endswith("outbox.2"):
            raise OSError(errno.EIO, "injected")
        return disk.open(name, flags)

    reader = OutboxReader(opener, ".", MARK)
    assert keys(reader.read()) == [1]
    assert reader.part == 2
    with pytest.raises(OSError, match="injected"):
        reader.read()
    broken = False
    assert keys(reader.read()) == [2]


def test_one_read_goes_through_parts(tmp_path: Path) -> None:
    """One read of an outbox goes on in the next part, however many there are."""
    disk = Disk(tmp_path, "outbox.1")
    writer = OutboxWriter(disk.open, ".", MARK, limit=1)
    for key in range(1500):
        writer.put(records.BEAT, key=key)
        writer.flush()
    reader = OutboxReader(disk.open, ".", MARK)
    assert keys(reader.read()) == list(range(1500))
    assert reader.part == writer.part == 1501


def test_damage_is_counted_over_all_parts(tmp_path: Path) -> None:
    """What was damaged in one part stays counted when the next is read."""
    disk, writer = outbox_of_two_parts(tmp_path)
    for name, behind in (("outbox.1", False), ("outbox.2", True)):
        content = bytearray(disk.content(name))
        content[5] ^= 1
        (disk.root / name).write_bytes(content)
        if behind:
            writer.put(records.GOODBYE, key=3)
            writer.flush()
    reader = OutboxReader(disk.open, ".", MARK)
    assert keys(read_all(reader.read)) == [3]
    assert (reader.scanner.damaged, reader.scanner.skipped) == (2, 132 + 32)


@contextlib.contextmanager
def open_pipe() -> Iterator[list[int]]:
    ends = list(os.pipe())
    try:
        yield ends
    finally:
        for fd in ends:
            os.close(fd)


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The two ends of a pipe; who closes one takes it out of the list."""
    with open_pipe() as ends:
        yield ends


@quick
@given(payloads=st.lists(contents, max_size=8), data=st.data())
def test_pipe_in_fragments(payloads: list[bytes], data: st.DataObject) -> None:
    """However a pipe cuts the bytes, every record comes once and in order, then the end."""
    whole = b"".join(
        records.frame(MARK, records.RESULTS, payload, key) for key, payload in enumerate(payloads)
    )
    with open_pipe() as ends:
        reader = PipeReader(ends[0], MARK)
        found: list[Record] = []
        while whole:
            size = data.draw(st.integers(1, len(whole)))
            os.write(ends[1], whole[:size])
            whole = whole[size:]
            found += reader.read()
            assert not reader.ended
        os.close(ends.pop())
        assert reader.read() == []
        assert reader.ended
    assert [record.payload for record in found] == payloads
    assert keys(found) == list(range(len(payloads)))


def test_writer_dies_within_a_record(pipe: list[int]) -> None:
    """Of a record that breaks off at the end of a pipe nothing is handed out."""
    whole = records.frame(MARK, records.RESULTS, b"whole", key=1)
    os.write(pipe[1], whole + whole[:-1])
    os.close(pipe.pop())
    reader = PipeReader(pipe[0], MARK)
    found = reader.read() + reader.read()
    assert keys(found) == [1]
    assert reader.ended
    assert reader.scanner.damaged == 0


def test_pipe_writer_never_waits(pipe: list[int]) -> None:
    """A full pipe takes nothing more, keeps nobody waiting, and loses nothing."""
    writer, reader = PipeWriter(pipe[1], MARK), PipeReader(pipe[0], MARK)
    for key in range(20):
        writer.put(records.RESULTS, bytes([key]) * 100_000, key=key)
    writer.flush()
    before = writer.waiting
    assert 0 < before < 20 * 100_032
    writer.flush()
    assert writer.waiting == before
    found: list[Record] = []
    while writer.waiting:
        found += reader.read()
        writer.flush()
    found += read_all(reader.read)
    assert keys(found) == list(range(20))
    assert all(record.payload == bytes([record.key]) * 100_000 for record in found)


@quick
@given(steps=st.lists(st.one_of(st.integers(0, 40_000), st.sampled_from(["flush", "read"]))))
def test_pipe_in_any_order(steps: list[int | str]) -> None:
    """However putting, flushing and reading alternate, every record comes once and in order."""
    sizes: list[int] = []
    found: list[Record] = []
    with open_pipe() as ends:
        reader, writer = PipeReader(ends[0], MARK), PipeWriter(ends[1], MARK)
        for step in steps:
            if step == "flush":
                writer.flush()
            elif step == "read":
                found += reader.read()
            elif isinstance(step, int):
                writer.put(records.RESULTS, bytes(step), key=len(sizes))
                sizes.append(step)
        while writer.waiting:
            writer.flush()
            found += reader.read()
        os.close(ends.pop())
        while not reader.ended:
            found += reader.read()
    assert keys(found) == list(range(len(sizes)))
    assert [len(record.payload) for record in found] == sizes


def test_reader_of_the_pipe_is_gone(pipe: list[int]) -> None:
    """A pipe that nobody reads any more is told to the writer."""
    writer = PipeWriter(pipe[1], MARK)
    os.close(pipe.pop(0))
    writer.put(records.BEAT)
    with pytest.raises(BrokenPipeError):
        writer.flush()
