import random
from collections.abc import Iterator
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypool.rundir import records
from pypool.rundir.records import Record, Scanner

from . import quick
from .disk import MARK

payloads = st.lists(st.binary(max_size=120), min_size=1, max_size=8)


def framed(written: list[Record]) -> list[bytes]:
    return [records.frame(MARK, r.kind, r.payload, r.key, r.life) for r in written]


def numbered(contents: list[bytes]) -> list[Record]:
    return [Record(records.RESULTS, key, content) for key, content in enumerate(contents, 1)]


def in_order(found: list[Record], written: list[Record]) -> bool:
    """Whether `found` is `written` with some left out."""
    rest = iter(written)
    return all(record in rest for record in found)


def untouched(frames: list[bytes], first: int, last: int) -> list[bool]:
    """For each frame, whether none of its bytes is among first, ..., last - 1."""
    ends = accumulate(map(len, frames), initial=0)
    return [end <= first or start >= last for start, end in pairwise(ends)]


def kept(written: list[Record], flags: list[bool]) -> list[Record]:
    return [record for record, flag in zip(written, flags, strict=True) if flag]


@quick
@given(
    kind=st.integers(0, 255),
    key=st.integers(0, 2**64 - 1),
    life=st.integers(0, 2**16 - 1),
    payload=st.binary(max_size=300),
)
def test_frame_and_scan_are_inverse(kind: int, key: int, life: int, payload: bytes) -> None:
    """A record comes out of its frame with every field as it went in."""
    frame = records.frame(MARK, kind, payload, key, life)
    found, done = Scanner(MARK).scan(frame)
    assert found == [Record(kind, key, payload, life)]
    assert done == len(frame) == records.HEADER_SIZE + len(payload)


@quick
@given(contents=payloads, data=st.data())
def test_scan_in_pieces(contents: list[bytes], data: st.DataObject) -> None:
    """However the bytes come, every record is found once, in order, and nothing is damage."""
    written = numbered(contents)
    whole = b"".join(framed(written))
    scanner, found, position, seen = Scanner(MARK), [], 0, 0
    while seen < len(whole):
        seen += data.draw(st.integers(1, len(whole) - seen))
        news, done = scanner.scan(whole[position:seen])
        position += done
        found += news
    assert found == written
    assert scanner.damaged == scanner.skipped == scanner.superseded == 0


@quick
@given(contents=payloads, data=st.data())
def test_zeros_at_the_end(contents: list[bytes], data: st.DataObject) -> None:
    """Zeros where bytes have not arrived are neither a record nor damage."""
    written = numbered(contents)
    frames = framed(written)
    whole = b"".join(frames)
    arrived = data.draw(st.integers(0, len(whole)))
    scanner = Scanner(MARK)
    found, done = scanner.scan(whole[:arrived] + bytes(len(whole) - arrived))
    # zeros may happen to be what was to arrive
    assert in_order(found, written)
    assert len(found) >= sum(untouched(frames, arrived, len(whole)))
    found += scanner.scan(whole[done:])[0]
    assert found == written
    assert scanner.damaged == 0


@quick
@given(contents=payloads, data=st.data())
def test_one_flipped_bit(contents: list[bytes], data: st.DataObject) -> None:
    """A flipped bit costs the record it lies in and no other, and its bytes are counted."""
    written = numbered([*contents, b"behind"])
    frames = framed(written)
    whole = bytearray(b"".join(frames))
    place = data.draw(st.integers(0, len(whole) - len(frames[-1]) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    fine = untouched(frames, place, place + 1)
    scanner = Scanner(MARK)
    found, done = scanner.scan(bytes(whole))
    assert found == kept(written, fine)
    assert done == len(whole)
    assert scanner.damaged == 1
    assert scanner.skipped == len(frames[fine.index(False)])


def test_every_bit_of_a_frame() -> None:
    """There is no bit in a frame whose flip goes unnoticed."""
    frame = records.frame(MARK, records.SHARE, b"a share", key=7, life=3)
    behind = records.frame(MARK, records.STOP, life=3)
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        scanner = Scanner(MARK)
        found, _ = scanner.scan(bytes(damaged) + behind)
        assert [record.kind for record in found] == [records.STOP]
        assert (scanner.damaged, scanner.skipped) == (1, len(frame))


@quick
@given(contents=payloads, data=st.data())
def test_flipped_bit_in_the_last_frame(contents: list[bytes], data: st.DataObject) -> None:
    """A bad last frame is waited for, and is damage as soon as a good one lies behind it."""
    written = numbered(contents)
    frames = framed(written)
    whole = bytearray(b"".join(frames))
    last = len(whole) - len(frames[-1])
    whole[data.draw(st.integers(last, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    scanner = Scanner(MARK)
    found, done = scanner.scan(bytes(whole))
    assert (found, done, scanner.damaged) == (written[:-1], last, 0)
    behind = Record(records.GOODBYE, 99, b"")
    assert scanner.scan(bytes(whole[done:]) + framed([behind])[0])[0] == [behind]
    assert (scanner.damaged, scanner.skipped) == (1, len(frames[-1]))


@quick
@given(contents=payloads, data=st.data(), noise=st.randoms(use_true_random=False))
def test_run_of_damaged_bytes(
    contents: list[bytes], data: st.DataObject, noise: random.Random
) -> None:
    """Overwritten bytes cost the records they lie in and no other."""
    written = numbered([*contents, b"behind"])
    frames = framed(written)
    whole = b"".join(frames)
    limit = len(whole) - len(frames[-1])
    first = data.draw(st.integers(0, limit - 1))
    last = data.draw(st.integers(first + 1, limit))
    changed = bytes(byte ^ noise.randrange(1, 256) for byte in whole[first:last])
    fine = untouched(frames, first, last)
    scanner = Scanner(MARK)
    found, _ = scanner.scan(whole[:first] + changed + whole[last:])
    assert found == kept(written, fine)
    assert scanner.damaged == 1
    assert scanner.skipped == sum(
        len(frame) for frame, flag in zip(frames, fine, strict=True) if not flag
    )


def same_loss(whole: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """All stretches whose loss leaves the same bytes: nobody can tell which one is missing."""
    start = first
    while start and whole[start - 1] == whole[start - 1 + last - first]:
        start -= 1
    yield start, start + last - first
    while start + last - first < len(whole) and whole[start] == whole[start + last - first]:
        start += 1
        yield start, start + last - first


@quick
@given(contents=payloads, data=st.data())
def test_missing_bytes(contents: list[bytes], data: st.DataObject) -> None:
    """Bytes lost from the middle make no record that was not written and hide no whole one."""
    written = numbered([*contents, b"behind"])
    frames = framed(written)
    whole = b"".join(frames)
    limit = len(whole) - len(frames[-1])
    first = data.draw(st.integers(0, limit - 1))
    last = data.draw(st.integers(first + 1, limit))
    scanner = Scanner(MARK)
    found, done = scanner.scan(whole[:first] + whole[last:])
    assert in_order(found, written)
    losses = [untouched(frames, *each) for each in same_loss(whole, first, last)]
    fine = [all(flags) for flags in zip(*losses, strict=True)]
    assert in_order(kept(written, fine), found)
    if fine[-1]:  # else the last one may not be whole yet
        assert done == len(whole) - (last - first)
    assert scanner.skipped == done - sum(map(len, framed(found)))
    assert bool(scanner.damaged) == bool(scanner.skipped)


@quick
@given(noise=st.binary(max_size=300), marks=st.lists(st.integers(0, 300), max_size=5))
def test_noise_with_marks(noise: bytes, marks: list[int]) -> None:
    """The magic alone makes no record."""
    data = noise
    for place in marks:
        data = data[:place] + MARK + data[place:]
    assert Scanner(MARK).scan(data) == ([], 0)


def test_another_run() -> None:
    """Frames of another run are no records of this one."""
    foreign = records.frame(records.magic(b"other"), records.STOP)
    assert Scanner(MARK).scan(foreign) == ([], 0)


@quick
@given(lives=st.lists(st.integers(1, 4), max_size=12))
def test_lower_life_behind_a_later_one(lives: list[int]) -> None:
    """Records of a lower life behind those of a later one are dropped and counted."""
    written = [Record(records.SHARE, key, b"x", life) for key, life in enumerate(lives)]
    scanner = Scanner(MARK)
    found, _ = scanner.scan(b"".join(framed(written)))
    highest = list(accumulate(lives, max))
    assert found == kept(written, [life == top for life, top in zip(lives, highest, strict=True)])
    assert scanner.superseded == len(lives) - len(found)
    assert scanner.damaged == 0


def test_largest_payload() -> None:
    """A frame of PAYLOAD_LIMIT bytes fills one write of 128 KiB, and a larger one is refused."""
    largest = bytes(records.PAYLOAD_LIMIT)
    assert len(records.frame(MARK, records.RESULTS, largest)) == 128 << 10
    with pytest.raises(ValueError, match="a record takes"):
        records.frame(MARK, records.RESULTS, largest + b"0")


def test_payload_with_the_magic() -> None:
    """A payload that holds the run's magic is refused: seen in part it would pass for a frame."""
    inner = records.frame(MARK, records.STOP)
    with pytest.raises(ValueError, match="magic"):
        records.frame(MARK, records.RESULTS, b"before" + inner + b"behind")


def test_equal_records() -> None:
    """Records with equal fields are equal, hash alike, and say what they are."""
    one, other = Record(records.STOP, 1, b"a"), Record(records.STOP, 1, b"a")
    assert one == other
    assert len({one, other, Record(records.STOP, 1, b"a", life=2)}) == 2
    assert repr(one) == "Record(kind=4, key=1, life=1, b'a')"
