"""What is read back of a run: batches, calls, and what is in whose hands."""

from pathlib import Path

import pytest

from pypool.engine.runs.recovery import OldBatch, OldCall, OldElement, Stretch, read_run
from pypool.rundir import messages, names, records
from pypool.rundir.mailbox import FileWriter, OutboxReader
from pypool.rundir.messages import Share
from pypool.rundir.run import RunDirectory

TOKEN = "0123abcd"
ELEMENT = names.element(TOKEN, 0)

Words = dict[str, object]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """With one element, whose mailboxes are empty."""
    run = RunDirectory.create(str(tmp_path), {"name": "survey"}, name="survey")
    run.make_directory(f"{names.ELEMENTS}/{TOKEN}")
    run.make_directory(ELEMENT)
    run.make_file(names.inbox(ELEMENT))
    run.make_file(names.outbox(ELEMENT, 1))
    write(run, names.JOURNAL, (records.LIFE, 1, {"start": 1.0}))
    write(run, names.JOURNAL, (records.SUBMITTING, 0, {"token": TOKEN, "elements": 1}))
    return run


def write(run: RunDirectory, name: str, *said: tuple[int, int, "Words | bytes"]) -> None:
    """Appends records: kind, key and payload."""
    size = Path(run.path, name).stat().st_size
    writer = FileWriter(run.open_file, name, run.mark, offset=size)
    for kind, key, payload in said:
        packed = payload if isinstance(payload, bytes) else messages.pack(payload)
        writer.put(kind, packed, key)
    writer.flush()


def deal(run: RunDirectory, number: int, first: int, last: int) -> None:
    share = Share(batch=1, file=1, offset=0, first=first, last=last)
    write(run, names.inbox(ELEMENT), (records.SHARE, number, share.pack()))


def say(run: RunDirectory, kind: int, key: int, payload: "Words | bytes") -> None:
    write(run, names.outbox(ELEMENT, 1), (kind, key, payload))


def returned(*ranges: tuple[int, int]) -> Words:
    return {"ranges": [[1, *each] for each in ranges], "why": "", "late": False}


def done(*indexes: int) -> bytes:
    parts = [
        messages.pack_entry(index, 1, messages.VALUE, 0, 0.0, 0.1, 0, (0, 0), b"x")
        for index in indexes
    ]
    return b"".join(parts)


def element(run: RunDirectory) -> OldElement:
    return read_run(run).elements[f"{TOKEN}/0"]


def in_hand(found: OldElement) -> dict[int, list[tuple[int, int]]]:
    return {number: list(silent) for number, silent in found.silent.items() if silent}


def test_what_is_not_answered_is_in_its_hands(run: RunDirectory) -> None:
    deal(run, 1, 0, 5)
    deal(run, 2, 5, 9)
    say(run, records.RESULTS, 1, done(0, 1, 6))
    say(run, records.DEATH, 0, {"batch": 1, "index": 3})
    assert in_hand(element(run)) == {1: [(2, 3), (4, 5)], 2: [(5, 6), (7, 9)]}
    assert read_run(run).requests == 2


def test_what_it_returned_and_was_dealt_again_is_in_its_hands(run: RunDirectory) -> None:
    """All of the inbox is read before the outbox: a word counts for the first share it fits."""
    deal(run, 1, 0, 8)
    write(run, names.inbox(ELEMENT), (records.RETURN, 7, b""))
    say(run, records.RETURNED, 7, returned((4, 8)))
    deal(run, 2, 6, 8)
    assert in_hand(element(run)) == {1: [(0, 4)], 2: [(6, 8)]}
    say(run, records.RESULTS, 1, done(0, 1, 2, 3, 6))
    assert in_hand(element(run)) == {2: [(7, 8)]}
    assert read_run(run).requests == 7


def test_a_beat_tells_what_was_never_read(run: RunDirectory) -> None:
    deal(run, 1, 0, 4)
    deal(run, 2, 4, 8)
    say(run, records.BEAT, 0, {"read": 2, "held": [[2, 3]]})
    assert in_hand(element(run)) == {2: [(4, 8)]}


def test_half_a_record_at_the_end_does_not_count(run: RunDirectory) -> None:
    deal(run, 1, 0, 4)
    size = Path(run.path, names.inbox(ELEMENT)).stat().st_size
    deal(run, 2, 4, 8)
    with Path(run.path, names.inbox(ELEMENT)).open("r+b") as inbox:
        inbox.truncate(size + 20)
    assert in_hand(element(run)) == {1: [(0, 4)]}


def test_files_that_were_removed_are_passed_over(run: RunDirectory) -> None:
    say(run, records.HELLO, 0, {"slots": 2, "host": "n", "job": "5"})
    Path(run.path, names.inbox(ELEMENT)).unlink()
    found = element(run)
    assert found.said_hello
    assert found.left
    Path(run.path, names.outbox(ELEMENT, 1)).unlink()
    assert not element(run).said_hello


def test_an_agent_without_mailboxes_has_left(run: RunDirectory) -> None:
    """Nobody can be spoken with there: what it had in hand is somebody else's."""
    assert not element(run).left
    Path(run.path, names.outbox(ELEMENT, 1)).unlink()
    assert element(run).left


def test_the_last_life_counts(run: RunDirectory) -> None:
    write(run, names.JOURNAL, (records.ENDED, 0, {"how": "close"}))
    assert read_run(run).ended == "close"
    write(run, names.JOURNAL, (records.LIFE, 2, {"start": 2.0}))
    old = read_run(run)
    assert (old.lives, old.ended) == (2, "")


def test_batches_calls_and_digests(run: RunDirectory) -> None:
    """One batch has tasks of two calls, and its journal is in two records."""
    words = {"file": 3, "offset": 8, "count": 5, "chunk": 1, "function": "f", "digest": "00"}
    write(
        run,
        names.JOURNAL,
        (records.OPENED, 4, words | {"parts": [[0, 1, 0]], "to": 2}),
        (records.OPENED, 4, words | {"parts": [[2, 2, 7]], "to": 5}),
        (records.DIGESTS, 4, b"a" * 16 + bytes(16)),
        (records.DIGESTS, 4, b"c" * 16 + b"d" * 16 + b"e" * 16),
    )
    old = read_run(run)
    batch = old.batches[4]
    assert [batch.digest_of(task) for task in range(3)] == [b"a" * 16, b"", b"c" * 16]
    assert old.calls[2].find(8) == (batch, 3)
    assert old.calls[2].find(6) is None
    assert old.calls[1].find(2) is None
    assert [len(old.calls[number]) for number in (1, 2)] == [2, 10]


def test_of_a_task_that_was_sent_twice_the_last_one_counts() -> None:
    first, second = (OldBatch(number, 1, 0, 9, 1, "f", "00") for number in (1, 2))
    call = OldCall(1, "f")
    for stretch in (Stretch(0, 9, first, 0), Stretch(3, 2, second, 0), Stretch(9, 1, second, 2)):
        call.add(stretch)
    assert len(call.layers) == 2
    assert len(call) == 10
    assert call.find(2) == (first, 2)
    assert call.find(4) == (second, 1)
    assert call.find(5) == (first, 5)


def test_reading_can_go_on(run: RunDirectory) -> None:
    say(run, records.RESULTS, 1, done(0))
    outbox = element(run).outbox
    assert isinstance(outbox, OutboxReader)
    say(run, records.RESULTS, 1, done(1))
    assert [entry.index for entry in messages.entries(outbox.read()[0].payload)] == [1]
