"""Slots: the agent's places for workers. Each is fed ahead, watched and, after a death, refilled.

A slot has two pipes. Shares go in as packets, and the agent keeps a reading end: what the worker
has not read yet it can take back from behind a long task. What it has read, but not begun, the
agent takes back by a bar (see `bar`), if the tasks are short. Outcomes come out as a stream. The
agent never waits on any of them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from pypool.rundir import names
from pypool.rundir.mailbox import PIECE
from pypool.rundir.messages import (
    ENTRY_SIZE,
    READY,
    STOPPED,
    VALUES,
    VOID,
    Entry,
    Share,
    cut_entries,
    pack_entry,
)
from pypool.rundir.pipes import PIPE_BYTES, enlarge, packets_held
from pypool.rundir.run import RunDirectory
from pypool.rundir.waiting import wake_as_usual
from pypool.worker.bar import SETTLED_SECONDS, pack_message, unpack_message, unpack_stop
from pypool.worker.ending import leave_to_agent
from pypool.worker.gpus import own_devices
from pypool.worker.page import Page
from pypool.worker.worker import SHORT, Worker, become_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pypool.worker.objects import ObjectFile

AHEAD_SECONDS = 0.064
"""How much work a slot is given in advance, so that an agent may nap. What its worker has not begun
can be taken back."""

LONG_SECONDS = 0.002
"""A task that has taken so long holds up what waits behind it."""

LAID_BY_SECONDS = 0.01
"""So often it is looked what a worker has laid by, while it says nothing."""

MOVED_SECONDS = 0.001
"""So much work behind a task is worth moving to a slot that has none."""

AHEAD_MESSAGES = 14
MESSAGE_SECONDS = 0.032
"""How much work of short tasks is passed on at once; others are passed on one by one. A message
costs a worker 70 microseconds."""

MESSAGE_TASKS = 4000
"""Items of more do not stay in the cache of a processor until they are called with."""

WAKING_SECONDS = 100e-6
LEAST_SECONDS = 0.2e-6
"""What a task costs at least: the call, and to lay by its value."""

REMEMBERED = 64
"""So many tasks of a share say how long the others take, or as many as were told of together."""

NO_RESERVE = 20e-6
"""Tasks that take no longer are done sooner than is thought: they are no reserve."""

FEW_TIMED = 10
"""The first calls of a function may take many times as long as others: so many count for little."""


class Held:
    """A share that the agent has been dealt and has not answered to its end."""

    __slots__ = ("number", "seconds", "share", "timed", "unanswered")

    def __init__(self, number: int, share: Share) -> None:
        self.number = number
        self.share = share
        self.unanswered = share.last - share.first
        self.seconds = share.seconds
        self.timed = 0

    def learn(self, seconds: float, count: int) -> None:
        """So many tasks took so long each: a running mean, in which about REMEMBERED of them count.

        The first ones take the place of what the driver thought. If they counted as much later on,
        a slow first call would have thousands of short ones passed on one by one.
        """
        self.timed = min(self.timed + count, REMEMBERED)
        weight = min(count / self.timed, 1.0)
        self.seconds += weight * (max(seconds, LEAST_SECONDS) - self.seconds)

    @property
    def known(self) -> bool:
        return self.seconds > 0

    @property
    def is_reserve(self) -> bool:
        """Its tasks will take as long as is thought, or not much shorter."""
        is_sure = self.timed > FEW_TIMED or self.share.seconds > 0
        return is_sure and self.seconds > NO_RESERVE

    def message_size(self) -> int:
        """Tasks that are passed on together: a chunk, or of short tasks some milliseconds' work."""
        if self.share.chunk > 1:
            return self.share.chunk
        if not 0 < self.seconds <= SHORT:
            return 1
        return min(int(MESSAGE_SECONDS / self.seconds), MESSAGE_TASKS)

    @property
    def worth_waking_for(self) -> int:
        """So many tasks take as long as it takes to wake a worker; with fewer it does not pay."""
        return max(1, int(WAKING_SECONDS / self.seconds)) if self.known else 1

    def whole_chunk(self, last: int) -> int:
        """Where a piece may end, `last` or after: a chunk is for one worker."""
        chunk = self.share.chunk or 1
        return -(-last // chunk) * chunk


class Piece:
    """Tasks first, ..., last - 1 of a held share.

    Attributes
    ----------
    are_short : bool
        The worker was told that they are: it lays their values by.
    message : int
        Number of the message that passed them on, if it can have a bar; else 0.
    """

    __slots__ = ("are_short", "first", "held", "last", "message")

    def __init__(self, held: Held, first: int, last: int) -> None:
        self.held = held
        self.first = first
        self.last = last
        self.are_short = False
        self.message = 0

    def part(self, first: int, last: int) -> Piece:
        """Some of its tasks, passed on by the same message."""
        part = Piece(self.held, first, last)
        part.are_short, part.message = self.are_short, self.message
        return part

    @property
    def name(self) -> tuple[int, int, int, int]:
        """What its message says."""
        share = self.held.share
        return share.batch, self.first, self.last, share.attempt


class Outcome:
    """What a slot has to say of one task, or of `count` that follow each other."""

    __slots__ = ("count", "entry", "held", "index", "seconds", "void_to")

    def __init__(
        self,
        held: Held,
        index: int,
        entry: bytes,
        seconds: float,
        void_to: int = 0,
        count: int = 1,
    ) -> None:
        self.held = held
        self.index = index
        self.count = count
        self.entry = entry
        self.seconds = seconds
        self.void_to = void_to
        """If not 0: tasks index, ..., void_to - 1 were not begun, and the entry says why."""

    def why(self) -> str:
        return self.entry[ENTRY_SIZE:].decode(errors="replace")


class Slot:
    """One place for a worker.

    Attributes
    ----------
    outstanding : deque of Piece
        What the worker was given and has not answered, in order.
    pid : int
        The worker's process, 0 if there is none.
    ready : bool
        The worker has been initialized, if that is wanted.
    raised : bytes
        What the initializer has raised, pickled.
    was_ready : bool
        Some worker in this slot has been initialized.
    failures : int
        Workers in a row that could not be initialized.
    given_back : list of Piece
        What the worker has not begun of a message that it could not read to its end.
    was_full : bool
        So much had come when it was read last that the worker may have waited for room.
    """

    def __init__(self, number: int, run: RunDirectory, element: str, on_disk: bool) -> None:
        self.number = number
        self.pid = 0
        self.outstanding: deque[Piece] = deque()
        self._run = run
        self._element = element
        self._on_disk = on_disk
        self._left = b""
        self._taken_seconds = 0.0  # what was said of those that were taken; nobody knows it
        self.ready = False
        self.raised = b""
        self.was_ready = False
        self.failures = 0
        self.was_full = False
        self._room = 0
        self.given_back: list[Piece] = []
        self._by_chunks = run.info["chunks_per_worker"] is not None
        self._page = Page()
        self._seen = -1, -1  # at work, when that was looked at last
        self._seen_after = self._looked = 0.0
        self._messages = 0
        self._most_messages = AHEAD_MESSAGES
        self._unread: list[tuple[int, int, int, int]] = []
        self._barred = self._barred_from = 0
        self._packets_in = self._packets_kept = self.outcomes = -1

    def start(
        self,
        slots: list[Slot],
        fds: list[int],
        info: dict[str, Any],
        known: dict[bytes, ObjectFile],
    ) -> None:
        """Forks the worker, which closes the agent's `fds` and those of all `slots`.

        `info` is what the driver has said of itself and of what workers get, `known` is what the
        agent has read for them.

        The agent is single-threaded, so a fork is safe.

        Raises
        ------
        OSError
            If there is no room for another process here; the slot is empty then.
        """
        self._page.clear()
        self.ready = info["initializer"] is None
        agent = os.getpid()
        worker_packets, worker_outcomes = self._fork()
        if self.pid:
            self._packets_kept = worker_packets
            os.close(worker_outcomes)
            return
        try:
            for slot in slots:
                slot.close()
            for fd in fds:
                os.close(fd)
            wake_as_usual()
            become_worker(info["main_file"], info["argv"], lambda: die_with(agent))
            leave_to_agent(info["scheduler"])
            os.environ.update(own_devices(self.number, info, self._element))
            if self._on_disk:
                self._redirect_output()
            Worker(
                self._run,
                self._element,
                self.number,
                worker_packets,
                worker_outcomes,
                self._page,
                self._on_disk,
                known,
            ).serve()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(1)

    def _fork(self) -> tuple[int, int]:
        """Two processes with pipes between them; gives the worker's ends, to both."""
        ends: list[int] = []
        try:
            reading, self._packets_in = packet_pipe()
            ends.append(reading)
            room = packets_held(reading)
            self._most_messages = min(room or AHEAD_MESSAGES, AHEAD_MESSAGES)
            self.outcomes, writing = os.pipe()
            ends.append(writing)
            os.set_blocking(self.outcomes, False)
            self._room = enlarge(writing)
            self.pid = os.fork()
        except OSError:
            for fd in ends:
                os.close(fd)
            self.close()
            raise
        return reading, writing

    def _redirect_output(self) -> None:
        name = names.output(self._element, self.number)
        fd = self._run.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.lseek(fd, 0, os.SEEK_END)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)

    def wants(self, held: Held) -> int:
        """How many more tasks of this share the worker should be given now."""
        if not self.pid or not self.ready or len(self.outstanding) >= self._most_messages:
            return 0
        size = held.message_size()
        if held.share.chunk <= 1 and self._by_chunks:
            size = 1  # what the worker has read could not be taken back
        if not self.outstanding:
            return size
        if not held.known:
            return size if len(self.outstanding) < 2 else 0
        work = 0.0
        for piece in self.outstanding:
            work += (piece.last - piece.first) * (piece.held.seconds or AHEAD_SECONDS)
        return size if work < AHEAD_SECONDS else 0

    def reserve(self) -> float:
        """Seconds of work behind the task at work, as far as it is known; 0 if it is not."""
        work = 0.0
        for piece in self.outstanding:
            if not piece.held.is_reserve:
                return 0.0
            work += (piece.last - piece.first) * piece.held.seconds
        return work - self.outstanding[0].held.seconds if work else 0.0

    def backlog(self) -> int:
        """How many messages the worker has not answered."""
        return len(self.outstanding)

    def has_more(self) -> bool:
        """There may be something that can be taken back."""
        if len(self.outstanding) != 1:
            return len(self.outstanding) > 1
        piece = self.outstanding[0]
        return piece.message > 0 and piece.last - piece.first > 1

    def is_held_up(self) -> bool:
        """Tasks that can be taken back wait behind one that takes long, or for long."""
        if not self.has_more():
            return False
        at_work = self.at_work()
        if at_work is not None and at_work[2] > LONG_SECONDS:
            return True
        return self.reserve() > MOVED_SECONDS

    def send(self, piece: Piece) -> bool:
        """Gives the worker a piece; False if its pipe is full."""
        held, first, last = piece.held, piece.first, piece.last
        share = held.share.part(first, last)
        share.seconds = held.seconds
        piece.are_short = 0 < share.seconds <= SHORT and last - first > 1 and not self._by_chunks
        number = 0
        if piece.are_short and share.chunk <= 1:  # else it is for one worker
            self._messages = number = self._messages + 1
        try:
            os.write(self._packets_in, pack_message(share, number))
        except BlockingIOError:
            return False
        piece.message = number
        self.outstanding.append(piece)
        return True

    def receive(self) -> list[Outcome]:
        """Outcomes that have come since the last call."""
        data = self._read()
        return self._whole(data) if data else []

    def _whole(self, data: bytes) -> list[Outcome]:
        if self._left:
            data = self._left + data
        cut, done = cut_entries(data)
        self._left = data[done:]
        if cut and cut[0][2] == READY:
            self.raised = cut.pop(0)[-1][ENTRY_SIZE:]
            self.ready = not self.raised
            self.was_ready = self.was_ready or self.ready
            self.failures = 0 if self.ready else self.failures + 1
        return [found for each in cut if (found := self._outcome(*each)) is not None]

    def _read(self) -> bytes:
        """What is there, a pipeful at most."""
        pieces: list[bytes] = []
        with suppress(BlockingIOError):
            while len(pieces) < PIPE_BYTES // PIECE:
                pieces.append(os.read(self.outcomes, PIECE))
                if len(pieces[-1]) < PIECE:
                    break
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.was_full = 2 * len(data) > self._room
        return data

    def _outcome(
        self, index: int, count: int, outcome: int, seconds: float, entry: bytes
    ) -> Outcome | None:
        if outcome == STOPPED:
            self._has_stopped(unpack_stop(entry[ENTRY_SIZE:]), index)
            return None
        piece = self.outstanding[0]
        if outcome == VOID:
            if self._page.bar.message == piece.message:
                self._page.bar.lift()
            self.outstanding.popleft()
            while piece.message and self.outstanding:  # the worker has given up all the message
                if self.outstanding[0].message != piece.message:
                    break
                self.given_back.append(self.outstanding.popleft())
            return Outcome(piece.held, piece.first, entry, seconds, piece.last)
        new = index + count - piece.first
        taken, self._taken_seconds = self._taken_seconds, 0.0
        if 0 < new < count:
            seconds = max(seconds * count - taken, 0.0) / new
        told = self._told(index, count, seconds, entry)
        if told is not None:
            told.held.learn(seconds, told.count)
        return told

    def _told(self, index: int, count: int, seconds: float, entry: bytes) -> Outcome | None:
        """What has come of so many tasks, without what was known before."""
        piece = self.outstanding[0]
        new = index + count - piece.first
        if new <= 0:
            return None  # it was taken from what was laid by
        if new < count:  # and so were the first of these
            entry = Entry(entry).without(count - new, seconds)
            index = piece.first
        piece.first += new
        if piece.first == piece.last:
            self.outstanding.popleft()
        return Outcome(piece.held, index, entry, seconds, count=new)

    @property
    def has_laid_by(self) -> bool:
        """The worker keeps values that it has not sent."""
        if not self.pid or not self.outstanding:
            return False
        return self._is_next(*self._page.laid_by.place)

    def _is_next(self, batch: int, first: int, count: int) -> bool:
        """Whether the first task of which nothing is known is among these.

        What the worker has sent stays where it was laid by until it lays by again, and its next
        piece may lie before that. And it may have begun anew just now: what it has sent before may
        still be on its way.
        """
        piece = self.outstanding[0]
        return piece.held.share.batch == batch and first <= piece.first < first + count

    def laid_by_in(self) -> float:
        """Seconds after which to look what the worker has laid by, for nothing else tells of it.

        While it is at its first task for long, or loads the function, that is ever later.
        """
        if not self.outstanding or not self.outstanding[0].are_short:
            return float("inf")
        at_work = self.at_work()
        if at_work is None or self.has_laid_by:
            return LAID_BY_SECONDS
        return max(LAID_BY_SECONDS, at_work[2])

    def take_laid_by(self) -> Outcome | None:
        """What the worker keeps while it is at a task that takes longer than was thought.

        It will send that again, with what comes of the task: until then its piece is outstanding.
        """
        at_work = self.at_work()
        if at_work is None or at_work[2] < LONG_SECONDS or not self.has_laid_by:
            return None
        return self._laid_by_outcome(at_work[1])

    def _laid_by_outcome(self, end: int) -> Outcome | None:
        found = self._page.laid_by.taken()
        if found is None:
            return None
        batch, first, count, body = found
        if first + count > end or not self._is_next(batch, first, count):
            return None
        seconds = self.outstanding[0].held.seconds
        entry = pack_entry(
            first,
            self._page.laid_by.attempt,
            VALUES,
            self.number,
            time.time(),
            seconds,
            0,
            (0, 0),
            body,
            count=count,
        )
        if self._run.mark in entry:  # it would not go into a record: the worker sends it otherwise
            return None
        taken = self._told(first, count, seconds, entry)
        if taken is not None:
            self._taken_seconds += seconds * taken.count
        return taken

    def call_back(self) -> bool:
        """Reads again what the worker has not read, and bars it from what it has not begun.

        `take_back` gives what that comes to; after SETTLED_SECONDS, if this says so. The worker may
        read at the same time, so any message may be missing, not only the first.
        """
        while True:
            try:
                packet = os.read(self._packets_kept, 4096)
            except BlockingIOError:
                break
            if not packet:
                break
            share, _ = unpack_message(packet)
            self._unread.append((share.batch, share.first, share.last, share.attempt))
        message = self._last_read()
        if not message or message <= self._page.bar.message:
            return False
        reached = self._page.reached(message)
        first = min(piece.first for piece in self.outstanding if piece.message == message)
        self._barred_from = first if reached is None else reached + 1
        self._page.bar.lower(message, self._barred_from)
        self._barred = message
        return True

    def _last_read(self) -> int:
        """The number of the message that the worker has read last; 0 if it can have no bar."""
        unread = self._unread[:]
        for piece in reversed(self.outstanding):
            if not unread or piece.name != unread[-1]:
                return piece.message
            unread.pop()
        return 0

    def take_back(self) -> list[Piece]:
        """What was called back and is not begun by the worker."""
        unread, self._unread = self._unread, []
        message, self._barred = self._barred, 0
        reached = self._page.reached(message)
        end = self._barred_from
        if reached is not None and reached >= end:  # it may have looked before it saw the bar
            end = reached + 1
        taken: list[Piece] = []
        kept: list[Piece] = []
        while self.outstanding:
            piece = self.outstanding.pop()
            if unread and piece.name == unread[-1]:
                unread.pop()
                taken.append(piece)
                continue
            if message and piece.message == message and piece.last > end:
                taken.append(piece.part(max(piece.first, end), piece.last))
                piece.last = end
            if piece.first < piece.last:
                kept.append(piece)
        self.outstanding.extend(reversed(kept))
        if message and not any(piece.message == message for piece in taken):
            self._page.bar.lift()
        return taken[::-1]

    def _has_stopped(self, message: int, index: int) -> None:
        """The worker has met a bar before that task, and what is left there is not its own."""
        if self._page.bar.message == message:
            self._page.bar.lift()
        while self.outstanding and self.outstanding[0].message == message:
            piece = self.outstanding.popleft()
            if index < piece.last:
                self.given_back.append(piece.part(max(piece.first, index), piece.last))

    @property
    def disk_trouble(self) -> int:
        """The errno with which the disk refuses what the worker has to write; 0 if it does not."""
        return self._page.trouble if self.pid else 0

    def at_work(self) -> tuple[Held, int, float] | None:
        """The share and index of the task at work and its seconds so far."""
        at_work = self._page.at_work
        if at_work is None or not self.outstanding:
            return None
        batch, index, since = at_work
        piece = self.outstanding[0]
        if piece.held.share.batch != batch or not piece.first <= index < piece.last:
            return None  # its outcome is in the pipe already
        now = time.monotonic()
        if (batch, index) != self._seen:  # it has begun since the last look
            self._seen, self._seen_after = (batch, index), self._looked
        self._looked = now
        return piece.held, index, now - max(since, self._seen_after)

    @property
    def leaving(self) -> bool:
        """The worker ends, or has ended, by itself."""
        return self._page.leaving

    def dismiss(self) -> bool:
        """Lets a worker that has nothing to do end by itself; False if it has."""
        if self.outstanding or not self.ready:
            return False
        self._close_packets()
        return True

    def bury(self) -> tuple[list[Outcome], tuple[Held, int, float] | None, list[Piece]]:
        """After the worker's death: last outcomes, the task it died with, what it had not begun."""
        outcomes: list[Outcome] = []
        while data := self._read():  # which may end in the middle of one
            outcomes += self._whole(data)
        if self.has_laid_by and (laid_by := self._laid_by_outcome(end=1 << 32)) is not None:
            outcomes.append(laid_by)
        victim = self.at_work()
        if victim is not None:
            self._cut_out(victim[1])
        rest = [*self.given_back, *self.outstanding]
        self.given_back.clear()
        self.outstanding.clear()
        self._left = b""
        self._taken_seconds = 0.0
        self.pid = 0
        self.close()
        return outcomes, victim, rest

    def _cut_out(self, index: int) -> None:
        """That task of the first piece is not there any more."""
        piece = self.outstanding.popleft()
        before = Piece(piece.held, piece.first, index)
        behind = Piece(piece.held, index + 1, piece.last)
        self.outstanding.extendleft(each for each in (behind, before) if each.first < each.last)

    def kill(self) -> None:
        """Ends the worker and what it started; `waitpid` still has to be called."""
        os.kill(self.pid, signal.SIGKILL)
        self.kill_group()

    def kill_group(self) -> None:
        """Ends what the worker has started and left behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        self._close_packets()
        if self.outcomes >= 0:
            os.close(self.outcomes)
        self.outcomes = -1

    def _close_packets(self) -> None:
        for fd in (self._packets_in, self._packets_kept):
            if fd >= 0:
                os.close(fd)
        self._packets_in = self._packets_kept = -1


def take_back(slots: Iterable[Slot]) -> list[Piece]:
    """What their workers have not begun."""
    called = [slot for slot in slots if slot.pid]
    if sum(slot.call_back() for slot in called):
        time.sleep(SETTLED_SECONDS)
    return [piece for slot in called for piece in slot.take_back()]


def packet_pipe() -> tuple[int, int]:
    """A reading and a writing end that keep messages apart; neither blocks."""
    if hasattr(os, "pipe2") and hasattr(os, "O_DIRECT"):
        return os.pipe2(os.O_DIRECT | os.O_NONBLOCK | os.O_CLOEXEC)
    import socket

    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    reading.setblocking(False)
    writing.setblocking(False)
    return reading.detach(), writing.detach()


def death_signal() -> Callable[[], None]:
    """What a process calls to be killed when its parent dies; looked up before any fork."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL, 0, 0, 0)


_ask_to_die = death_signal()


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process with its parent, unless that is dead already."""
    _ask_to_die()
    if os.getppid() != parent:
        os._exit(1)
