"""A slot by itself: what it takes back from its worker, alive or dead."""

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from pypool.kinds import PICKLES
from pypool.rundir.messages import STOPPED, VALUE, VOID, Share, pack_entry
from pypool.rundir.pipes import packets_held
from pypool.worker import slots
from pypool.worker.bar import pack_stop, unpack_message
from pypool.worker.slots import Held, Piece, Slot

from .player import run_info


def send(slot: Slot, count: int) -> list[Piece]:
    held = Held(1, Share(1, 1, 0, 0, count))
    pieces = [Piece(held, index, index + 1) for index in range(count)]
    assert all(slot.send(piece) for piece in pieces)
    return pieces


def test_what_the_worker_has_read_stays_with_it(slot: Slot) -> None:
    """The rest comes back, in order."""
    first, second, third = send(slot, 3)
    os.read(slot._packets_kept, 4096)
    assert slots.take_back([slot]) == [second, third]
    assert list(slot.outstanding) == [first]


def test_a_worker_may_read_while_its_tasks_are_taken_back(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever message it gets between two of ours: no task is lost, none is run twice."""
    first, second, third, fourth = send(slot, 4)
    os.read(slot._packets_kept, 4096)
    read = os.read
    reads = 0

    def read_with_a_rival(fd: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 2:
            read(fd, size)
        return read(fd, size)

    monkeypatch.setattr(slots.os, "read", read_with_a_rival)
    assert slots.take_back([slot]) == [second, fourth]
    assert list(slot.outstanding) == [first, third]


def ranges(pieces: Iterable[Piece]) -> list[tuple[int, int]]:
    return [(piece.first, piece.last) for piece in pieces]


def read_message(slot: Slot, at: int) -> int:
    """The worker reads one, and is at that task of it; gives its number."""
    share, number = unpack_message(os.read(slot._packets_kept, 4096))
    slot._page.reads(number, share.last)
    slot._page.begins(share.batch, at, 0.0)
    return number


def stop(slot: Slot, first: int, index: int, message: int) -> list[Piece]:
    """The worker says what came of some tasks, and that it has met a bar behind them.

    Gives what that leaves to be done.
    """
    for done in range(first, index):
        slot._whole(pack_entry(done, 1, VALUE, 0, 0, 1e-3, 0, (0, 0), b"its value"))
    assert slot._whole(pack_entry(index, 1, STOPPED, 0, 0, 0, 0, (0, 0), pack_stop(message))) == []
    left, slot.given_back = slot.given_back, []
    return left


def test_what_a_worker_may_not_begin_any_more_comes_back(slot: Slot) -> None:
    """Out of a message that it has read; what it has begun stays with it."""
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    assert slot.send(Piece(held, 10, 20))
    number = read_message(slot, at=1)
    assert ranges(slots.take_back([slot])) == [(2, 10), (10, 20)]
    assert ranges(slot.outstanding) == [(0, 2)]
    assert slots.take_back([slot]) == []
    bar = slot._page.bar
    assert [bar.bars(number, task) for task in (1, 2, 9)] == [False, True, True]
    assert stop(slot, 0, 2, number) == []
    assert not bar.bars(number, 2)
    assert not slot.outstanding


def test_a_message_that_was_read_just_now_comes_back_as_a_whole(slot: Slot) -> None:
    """The worker has not said that it has it; it will stop at once."""
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    _, number = unpack_message(os.read(slot._packets_kept, 4096))
    assert ranges(slots.take_back([slot])) == [(0, 10)]
    assert not slot.outstanding
    assert slot._page.bar.bars(number, 0)
    assert stop(slot, 0, 0, number) == []


@pytest.mark.parametrize("begins", [True, False])
def test_what_may_have_been_begun_while_the_bar_was_set_stays(
    slot: Slot, monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    """Until the worker has done it, or has said that it stopped before it."""

    def go_on(_: float) -> None:
        slot._page.begins(1, 5, 0.0)

    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    number = read_message(slot, at=3)
    monkeypatch.setattr(slots.time, "sleep", go_on)
    assert ranges(slots.take_back([slot])) == [(6, 10)]
    assert ranges(slot.outstanding) == [(0, 6)]
    left = stop(slot, 0, 6 if begins else 5, number)
    assert ranges(left) == ([] if begins else [(5, 6)])
    assert not slot.outstanding


def test_at_its_last_task_a_worker_needs_no_bar(slot: Slot) -> None:
    """It would not say that it has met one."""
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    read_message(slot, at=9)
    assert slots.take_back([slot]) == []
    assert slot._page.bar.message == 0
    assert ranges(slot.outstanding) == [(0, 10)]


def test_who_goes_on_meets_no_bar_of_an_earlier_message(slot: Slot) -> None:
    """However late it says where it has stopped."""
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    before = read_message(slot, at=1)
    slots.take_back([slot])
    assert slot.send(Piece(held, 20, 30))
    after = read_message(slot, at=20)
    assert not slot._page.bar.bars(after, 20)
    assert ranges(slots.take_back([slot])) == [(21, 30)]
    assert slot._page.bar.bars(after, 21)
    assert stop(slot, 0, 2, before) == []
    assert slot._page.bar.bars(after, 21)


def test_what_an_earlier_message_has_to_say_lifts_no_bar(slot: Slot) -> None:
    """The worker has read the next one, but not said so; what it did before is on its way."""
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    assert slot.send(Piece(held, 10, 20))
    read_message(slot, at=9)
    slot._page.rests_before(10)
    _, number = unpack_message(os.read(slot._packets_kept, 4096))
    assert ranges(slots.take_back([slot])) == [(10, 20)]
    assert slots.take_back([slot]) == []
    assert slot._page.bar.bars(number, 10)
    slot._whole(pack_entry(0, 1, VOID, 0, 0, 0, 0, (0, 0), b"it is damaged"))
    assert slot._page.bar.bars(number, 10)


def test_what_a_worker_gives_up_needs_no_bar(slot: Slot) -> None:
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    number = read_message(slot, at=1)
    assert ranges(slots.take_back([slot])) == [(2, 10)]
    slot._whole(pack_entry(0, 1, VOID, 0, 0, 0, 0, (0, 0), b"it is damaged"))
    assert not slot._page.bar.bars(number, 2)


def test_a_message_of_which_some_was_taken_back_may_be_void(slot: Slot) -> None:
    """All that was left of it is done elsewhere."""
    held = Held(1, Share(1, 1, 0, 0, 30, seconds=1e-3))
    assert slot.send(Piece(held, 0, 10))
    piece = slot.outstanding.popleft()
    slot.outstanding.extend([piece.part(0, 2), piece.part(5, 6)])
    assert slot.send(Piece(held, 10, 20))
    entry = pack_entry(0, 1, VOID, 0, 0, 0, 0, (0, 0), b"it is damaged")
    (outcome,) = slot._whole(entry)
    assert (outcome.index, outcome.void_to) == (0, 2)
    assert ranges(slot.given_back) == [(5, 6)]
    assert ranges(slot.outstanding) == [(10, 20)]


def test_what_goes_into_the_pipe_is_all_that_a_worker_gets(slot: Slot) -> None:
    """A user whose pipes have used up their allowance has small ones; then no message fails."""
    fcntl.fcntl(slot._packets_in, fcntl.F_SETPIPE_SZ, 4096)
    room = packets_held(slot._packets_kept)
    assert room == 4096 // os.sysconf("SC_PAGE_SIZE")
    slot.ready = True
    slot._most_messages = room
    held = Held(1, Share(1, 1, 0, 0, 100, seconds=1e-3))
    sent = 0
    while slot.wants(held):
        assert slot.send(Piece(held, sent, sent + 2))
        sent += 2
    assert sent == 2 * room


def test_a_chunk_is_for_one_worker(slot: Slot) -> None:
    """None of it can be taken back."""
    held = Held(1, Share(1, 1, 0, 0, 10, seconds=1e-3, chunk=10))
    assert slot.send(Piece(held, 0, 10))
    assert read_message(slot, at=3) == 0
    assert slots.take_back([slot]) == []
    assert ranges(slot.outstanding) == [(0, 10)]


def test_after_a_slow_first_call_short_tasks_are_soon_passed_on_together() -> None:
    """It may have imported something: neither one by one for long, nor all after one of them."""
    held = Held(1, Share(1, 1, 0, 0, 100_000))
    held.learn(0.1, 1)
    sizes = [held.message_size()]
    while held.message_size() < 1000:
        held.learn(1e-6, held.message_size())
        sizes.append(held.message_size())
    assert sizes[:10] == [1] * 10
    assert len(sizes) < 100


def test_when_tasks_become_long_they_are_soon_passed_on_one_by_one() -> None:
    """However many short ones there were before: a few of 10 ms are enough."""
    held = Held(1, Share(1, 1, 0, 0, 100_000))
    held.learn(1e-6, 50_000)
    assert held.message_size() > 1000
    held.learn(0.01, 1)
    assert held.message_size() < 300
    for _ in range(20):
        held.learn(0.01, 1)
    assert held.message_size() == 1


def test_tasks_that_are_to_go_one_by_one_can_be_taken_back_one_by_one(slot: Slot) -> None:
    """`chunksize=1` was asked for: short ones travel together, but none is held up by another."""
    held = Held(1, Share(1, 1, 0, 0, 10_000, seconds=2e-6, chunk=1))
    slot.ready = True
    size = slot.wants(held)
    assert size == slots.MESSAGE_TASKS
    assert slot.send(Piece(held, 0, size))
    read_message(slot, at=0)
    assert ranges(slots.take_back([slot])) == [(1, size)]


@pytest.mark.parametrize(("chunk", "size"), [(0, 1), (1, 1), (7, 7)])
def test_what_cannot_be_taken_back_goes_one_by_one(slot: Slot, chunk: int, size: int) -> None:
    """Workers that end after some chunks know no bar."""
    slot.ready = True
    held = Held(1, Share(1, 1, 0, 0, 1000, seconds=1e-5, chunk=chunk))
    usual = slot.wants(held)
    assert usual > 1
    slot._by_chunks = True
    assert slot.wants(held) == size


def test_a_slot_without_room_for_a_worker_is_empty(
    slot: Slot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the caller's affair; no pipe is left of the attempt."""

    def no_room() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    slot.close()
    slot.pid = 0
    before = sorted(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(slots.os, "fork", no_room)
    with pytest.raises(BlockingIOError):
        slot.start([slot], [], run_info(tmp_path, 1), {})
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert slot.pid == 0
    assert slot.wants(Held(1, Share(1, 1, 0, 0, 1))) == 0


def test_what_a_worker_has_sent_is_no_part_of_its_next_piece(slot: Slot) -> None:
    """A task that was lost comes again, behind others, and its worker dies: it, and nothing else.

    The values of the others have been sent, but are still where they were laid by.
    """
    held = Held(1, Share(1, 1, 0, 7, 8, attempt=2))
    slot.outcomes, writing = os.pipe()
    os.close(writing)
    slot._page.laid_by.begin(1, 100, 1, PICKLES)
    slot._page.laid_by.add(b"the value of task 100")
    slot.outstanding.append(Piece(held, 7, 8))
    slot._page.begins(1, 7, 0.0)
    assert not slot.has_laid_by
    outcomes, victim, rest = slot.bury()
    assert victim is not None
    assert (outcomes, victim[:2], rest) == ([], (held, 7), [])


def test_what_a_worker_lays_by_anew_takes_nothing_with_it(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it laid by before is on its way, while the agent takes what it finds."""
    laid_by = slot._page.laid_by
    taken = laid_by.taken

    def begin_anew_and_take() -> object:
        laid_by.begin(1, 1, 1, "q")
        return taken()

    slot.outstanding.append(Piece(Held(1, Share(1, 1, 0, 0, 7)), 0, 7))
    laid_by.begin(1, 0, 1, "q")
    laid_by.adding("q")(7)
    slot._page.begins(1, 1, 0.0)
    assert slot.has_laid_by
    monkeypatch.setattr(laid_by, "taken", begin_anew_and_take)
    assert slot.take_laid_by() is None
    assert slot.outstanding[0].first == 0


def test_a_task_is_at_work_since_it_was_seen_first(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not since its stretch of short ones began: those before it may have taken long as well."""
    now = [100.0]
    monkeypatch.setattr(slots.time, "monotonic", lambda: now[0])
    slot.outstanding.append(Piece(Held(1, Share(1, 1, 0, 0, 10)), 0, 10))
    page = slot._page
    page.laid_by.begin(1, 0, 1, "q")
    page.since[0] = 100.0
    page.reads(1, 3)
    page.goes_on()
    add = page.laid_by.adding("q")
    seen = []
    for later in (5.0, 0.5, 0.5):
        now[0] += later
        at_work = slot.at_work()
        assert at_work is not None
        seen.append((at_work[1], at_work[2]))
        add(7)
    assert seen == [(0, 5.0), (1, 0.5), (2, 0.5)]
    assert slot.at_work() is None  # the message is at its end
