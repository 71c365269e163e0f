"""The agent: one process per array element, a small pool of its own.

It reads what the dispatcher deals, feeds its slots, watches their workers die, refills the slots,
and reports. It is single-threaded, never calls or unpickles what belongs to the user, and has
exit codes of its own. The same agent serves the cluster, with files as mailboxes, and
`pypool.local.Pool`, with pipes.
"""

import os
import select
import signal
import sys
import time
from collections import deque
from types import FrameType

from pypool.errors import RunDirectoryError
from pypool.rundir import names, records
from pypool.rundir.mailbox import (
    FileReader,
    OutboxWriter,
    PipeReader,
    PipeWriter,
    TakenOver,
)
from pypool.rundir.messages import DEFAULT_LINGER, Share, pack, unpack
from pypool.rundir.records import Record
from pypool.rundir.run import RunDirectory
from pypool.version import VERSION
from pypool.worker.slots import Held, Outcome, Piece, Slot

# Exit codes. Never 99 or 100: Grid Engine reruns and holds on those.
LEFT = 0
REFUSED = 3
DISK = 4
OWNED = 5

HELD_BYTES = 64 << 20
"""With this much waiting for the disk the agent reads no more outcomes, so workers wait."""

DISK_PATIENCE = 600.0
SHORTEST_SLEEP = 0.0005
EARLY_DEATHS = 5
"""Workers that die in a row without having begun a task: no use in starting another one."""


class Agent:
    """See the module."""

    def __init__(self, run: RunDirectory, element: str, pipes: tuple[int, int] | None) -> None:
        info = run.info
        self._run = run
        self._element = element
        self._pipes = pipes
        self._agents = int(info["elements"])
        self._slots = [
            Slot(number, run, element, prints_to_file=pipes is None)
            for number in range(info["workers_per_element"])
        ]
        self._inbox: FileReader | PipeReader
        self._outbox: OutboxWriter | PipeWriter
        if pipes is None:
            self._inbox = FileReader(run.open_file, names.inbox(element), run.mark)
            self._outbox = OutboxWriter(run.open_file, element, run.mark)
        else:
            self._inbox = PipeReader(pipes[0], run.mark)
            self._outbox = PipeWriter(pipes[1], run.mark)
        self._driver = FileReader(run.open_file, names.DRIVER, run.mark)
        self._driver_waits = False
        self._todo: deque[Piece] = deque()
        self._held: dict[int, Held] = {}
        self._read_to = 0
        self._outcomes: dict[int, list[bytes]] = {}
        self._outcome_bytes = 0
        self._news = False
        self._early_deaths = 0
        self._linger: float = DEFAULT_LINGER
        self._end: float | None = None
        self._longest_task = 0.0
        self._reason: str | None = None
        now = time.monotonic()
        self._active = self._flushed = self._driver_seen = now
        self._inbox_due = now
        self._beat_every = min(max(self._agents / 100, 10.0), 60.0)
        self._beat_due = now + self._beat_every
        self._flush_every = max(0.1, self._agents / 500) if pipes is None else 0.01
        self._longest_sleep = min(max(self._agents / 500, 0.02), 20.0)
        self._disk_trouble: float | None = None
        if info["time"] is not None:
            self._end = now + float(info["time"])

    # -- the life of an agent

    def play(self) -> int:
        """Works until there is a reason to leave; gives the exit code."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        wake, wakeup = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self._wake = wake
        self._own_fds = [wake, wakeup, *(self._pipes or ())]
        self._read_driver()
        if self._reason is None:
            self._say_hello()
        while self._reason is None:
            self._round()
        return self._leave()

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        self._reason = self._reason or "signal"

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._inbox_due or self._pipes is not None:
            self._read_inbox(now)
        self._feed()
        self._report(now)
        self._check_leaving(now)
        if self._reason is None:
            self._wait(now)
            self._collect()

    def _say_hello(self) -> None:
        self._outbox.put(
            records.HELLO,
            pack(
                {
                    "host": os.uname().nodename,
                    "pid": os.getpid(),
                    "slots": len(self._slots),
                    "python": sys.version.split()[0],
                    "pypool": VERSION,
                    "job": os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID"),
                    "index": os.environ.get("SLURM_ARRAY_TASK_ID"),
                }
            ),
        )
        self._flush(time.monotonic())
        for slot in self._slots:
            self._start(slot)

    def _start(self, slot: Slot) -> None:
        info = self._run.info
        slot.start(self._slots, self._own_fds, info["main_file"], info["argv"])

    def _leave(self) -> int:
        """Says goodbye: what was read, what was cut off. Then nothing of ours is left."""
        self._collect()
        cut = []
        for slot in self._slots:
            at_work = slot.at_work()
            if at_work is not None:
                held, index, seconds = at_work
                cut.append([held.share.batch, index, seconds])
        for slot in self._slots:
            if slot.pid:
                slot.kill()
                os.waitpid(slot.pid, 0)
        for slot in self._slots:
            for outcome in slot.bury()[0]:
                self._note(outcome)
        self._report(time.monotonic(), now_or_never=True)
        self._outbox.put(
            records.GOODBYE, pack({"reason": self._reason, "read": self._read_to, "cut": cut})
        )
        self._flush(time.monotonic(), sync=True)
        deadline = time.monotonic() + 5
        while self._outbox.waiting and time.monotonic() < deadline and self._reason != "orphan":
            time.sleep(0.01)
            self._flush(time.monotonic(), sync=True)
        return DISK if self._reason == "disk" else LEFT

    def _check_leaving(self, now: float) -> None:
        if self._disk_trouble is not None and now - self._disk_trouble > DISK_PATIENCE:
            self._reason = "disk"
        elif self._out_of_time(now):
            self._reason = "time"
        elif self._pipes is None and not self._held and now - self._active > self._linger:
            self._read_driver()
            if self._driver_waits:
                self._active = now  # it is writing a batch
            else:
                self._reason = self._reason or "idle"

    def _out_of_time(self, now: float) -> bool:
        """Too little is left to begin another task, and none is at work."""
        if self._end is None or any(slot.outstanding for slot in self._slots):
            return False
        begun = self._longest_task > 0
        return begun and self._end - now < self._needed()

    def _needed(self) -> float:
        return 1.5 * self._longest_task + 30

    # -- what comes in

    def _read_inbox(self, now: float) -> None:
        try:
            found = self._inbox.read()
        except OSError as error:
            self._trouble(now, error)
            found = []
        for record in found:
            self._take(record)
        if found:
            self._active = now
        if isinstance(self._inbox, PipeReader) and self._inbox.ended:
            self._reason = "orphan"
        self._inbox_due = now + self._inbox_sleep(now)

    def _inbox_sleep(self, now: float) -> float:
        """Short right after activity, then longer; the longest while there is enough to do."""
        if self._todo and all(slot.outstanding for slot in self._slots):
            return self._longest_sleep
        if now - self._active > 60:
            return max(0.2, self._longest_sleep)
        return min(max((now - self._active) / 10, SHORTEST_SLEEP), self._longest_sleep)

    def _take(self, record: Record) -> None:
        if record.kind == records.SHARE:
            held = Held(record.key, Share.unpack(record.payload))
            self._read_to = record.key
            self._held[record.key] = held
            self._todo.append(Piece(held, held.share.first, held.share.last))
        elif record.kind == records.RETURN:
            self._return_all(record.key)
        elif record.kind == records.WELCOME:
            words = unpack(record.payload)
            self._linger = words["linger"]
        elif record.kind == records.STOP:
            self._reason = "stop"

    def _read_driver(self) -> None:
        """Whether the driver lives, waits for itself, or has stopped."""
        if self._pipes is not None:
            return
        try:
            found = self._driver.read()
        except OSError:
            return
        now = time.monotonic()
        for record in found:
            self._driver_seen = now
            self._driver_waits = record.payload == b"busy"
            if record.kind == records.STOP:
                self._reason = "stop"
        if now - self._driver_seen > self._run.info["orphan_timeout"]:
            self._reason = "orphan"

    # -- what goes to the slots

    def _feed(self) -> None:
        """One message to each slot that wants one, again and again until none does."""
        late = self._end is not None and self._end - time.monotonic() < self._needed()
        if late and self._longest_task:
            self._return_all(0)
            return
        if self._disk_trouble is not None:
            return
        fed = True
        while fed and self._todo:
            fed = False
            for slot in self._slots:
                if self._todo and self._feed_one(slot):
                    fed = True

    def _feed_one(self, slot: Slot) -> bool:
        piece = self._todo[0]
        fair = -(-(piece.last - piece.first) // len(self._slots))
        count = min(slot.wants(piece.held), max(fair, 1))
        if not count:
            return False
        part = Piece(piece.held, piece.first, min(piece.first + count, piece.last))
        if not slot.send(part):
            return False
        piece.first = part.last
        if piece.first == piece.last:
            self._todo.popleft()
        return True

    def _return_all(self, asked: int) -> None:
        """Gives back everything that no worker has read."""
        pieces = list(self._todo)
        self._todo.clear()
        for slot in self._slots:
            if slot.pid:
                pieces += slot.take_back()
        if pieces or asked:
            self._return(pieces, asked)

    def _return(self, pieces: list[Piece], asked: int = 0, why: str = "") -> None:
        ranges = [[piece.held.share.batch, piece.first, piece.last] for piece in pieces]
        for piece in pieces:
            self._answered(piece.held, piece.last - piece.first)
        self._put_results()
        for start in range(0, len(ranges) or 1, 1000):
            words = {"ranges": ranges[start : start + 1000], "why": why}
            self._outbox.put(records.RETURNED, pack(words), key=asked)
        self._news = True

    # -- what comes from the slots

    def _wait(self, now: float) -> None:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._outcome_bytes + self._outbox.waiting < HELD_BYTES:
            for slot in self._slots:
                if slot.pid:
                    poller.register(slot.outcomes, select.POLLIN)
        due = self._beat_due
        if self._pipes is None:
            due = min(due, self._inbox_due)
        else:
            poller.register(self._pipes[0], select.POLLIN)
            if self._outbox.waiting:
                poller.register(self._pipes[1], select.POLLOUT)
        if self._outcomes or self._outbox.waiting:
            due = min(due, self._flushed + self._flush_every)
        if any(not slot.pid for slot in self._slots):
            due = min(due, now + 0.1)
        poller.poll(max(0.0, due - now) * 1000)

    def _collect(self) -> None:
        try:
            woken = bool(os.read(self._wake, 4096))
        except BlockingIOError:
            woken = False
        for slot in self._slots:
            if slot.pid:
                for outcome in slot.receive():
                    self._note(outcome)
        if woken:
            self._reap()

    def _note(self, outcome: Outcome) -> None:
        held = outcome.held
        self._active = time.monotonic()
        self._early_deaths = 0
        if outcome.void_to:
            why = outcome.entry[-1000:].decode(errors="replace")
            self._return([Piece(held, outcome.index, outcome.void_to)], why=why)
            return
        self._outcomes.setdefault(held.share.batch, []).append(outcome.entry)
        self._outcome_bytes += len(outcome.entry)
        self._longest_task = max(self._longest_task, outcome.seconds)
        self._answered(held, 1)

    def _answered(self, held: Held, count: int) -> None:
        held.unanswered -= count
        if not held.unanswered:
            self._held.pop(held.number, None)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for slot in self._slots:
                if slot.pid == pid:
                    self._bury(slot, os.waitstatus_to_exitcode(status))

    def _bury(self, slot: Slot, code: int) -> None:
        """Reports the death of a worker and fills its slot again."""
        slot.kill_group()  # what the worker had started dies with it
        outcomes, victim, rest = slot.bury()
        for outcome in outcomes:
            self._note(outcome)
        self._todo.extendleft(reversed(rest))
        if victim is None:
            self._early_deaths += 1
            if self._early_deaths >= EARLY_DEATHS:
                self._refuse(f"workers end before their first task, the last with {code}")
                return
        else:
            self._report_death(slot, victim, code)
        self._start(slot)

    def _report_death(self, slot: Slot, victim: tuple[Held, int, float], code: int) -> None:
        held, index, seconds = victim
        self._put_results()
        words = {
            "batch": held.share.batch,
            "index": index,
            "attempt": held.share.attempt,
            "code": code,
            "seconds": seconds,
            "slot": slot.number,
            "host": os.uname().nodename,
        }
        self._outbox.put(records.DEATH, pack(words))
        self._answered(held, 1)
        self._news = True
        self._active = time.monotonic()

    def _refuse(self, why: str) -> None:
        self._outbox.put(records.REFUSED, pack({"why": why}))
        self._news = True
        self._reason = "refused"

    # -- what goes out

    def _report(self, now: float, now_or_never: bool = False) -> None:
        """Appends what there is: at once when the agent has run dry, else in groups."""
        if now >= self._beat_due:
            self._beat(now)
        elif not self._worth_writing(now) and not now_or_never:
            return
        self._put_results()
        self._flush(now)

    def _worth_writing(self, now: float) -> bool:
        if not (self._outcomes or self._news or self._outbox.waiting):
            return False
        dry = not self._todo and not all(slot.outstanding for slot in self._slots)
        due = now - self._flushed >= self._flush_every
        return self._news or dry or due or self._outcome_bytes > 1 << 20

    def _put_results(self) -> None:
        for batch, entries in self._outcomes.items():
            for payload in grouped(entries):
                self._outbox.put(records.RESULTS, payload, key=batch)
        self._outcomes.clear()
        self._outcome_bytes = 0

    def _beat(self, now: float) -> None:
        self._beat_due = now + self._beat_every
        self._read_driver()
        at_work = [
            [held.share.batch, index, round(seconds, 3)]
            for held, index, seconds in filter(None, (slot.at_work() for slot in self._slots))
        ]
        self._put_results()
        held = list(self._held)[:4000]
        words = {"read": self._read_to, "held": held, "at_work": at_work}
        self._outbox.put(records.BEAT, pack(words))

    def _flush(self, now: float, sync: bool = False) -> None:
        try:
            self._outbox.flush(sync)
        except BrokenPipeError:
            self._reason = "orphan"
        except OSError as error:
            self._trouble(now, error)
        else:
            self._disk_trouble = None
            self._news = False
        self._flushed = now

    def _trouble(self, now: float, error: OSError) -> None:
        if self._disk_trouble is None:
            self._disk_trouble = now
            print(f"pypool: {self._run.path}/{self._element}: {error}", file=sys.stderr, flush=True)


def grouped(entries: list[bytes]) -> list[bytes]:
    """Entries put together as far as a record takes them."""
    groups: list[bytes] = []
    start = size = 0
    for position, entry in enumerate(entries):
        if size and size + len(entry) > records.PAYLOAD_LIMIT:
            groups.append(b"".join(entries[start:position]))
            start, size = position, 0
        size += len(entry)
    groups.append(b"".join(entries[start:]))
    return groups


def unfit(run: RunDirectory) -> str | None:
    """Why this process cannot serve the run; None if it can."""
    info = run.info
    here, there = sys.version_info[:2], tuple(info["python_version"])
    if here != there:
        return (
            f"Python {here[0]}.{here[1]} ({sys.executable}) runs on {os.uname().nodename}, "
            f"the driver runs Python {there[0]}.{there[1]}: what one pickles the other may not read"
        )
    if info["pypool"] != VERSION:
        return (
            f"pypool {VERSION} ({__file__}) runs on {os.uname().nodename}, "
            f"the driver runs pypool {info['pypool']}"
        )
    try:
        os.chdir(info["directory"])
    except OSError as error:
        return (
            f"the driver's working directory {info['directory']} cannot be entered on "
            f"{os.uname().nodename}: {error.strerror}"
        )
    return None


def own(run: RunDirectory, element: str) -> bool:
    """Whether this agent is the first one in its element."""
    try:
        fd = run.open_file(names.owner(element), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    os.write(fd, f"{os.uname().nodename} {os.getpid()}\n".encode())
    os.close(fd)
    return True


def main(argv: list[str]) -> int:
    """Serves the element; see `pypool.worker.start` for the arguments."""
    path, element = argv[:2]
    pipes = (int(argv[2]), int(argv[3])) if len(argv) > 2 else None
    try:
        run = RunDirectory.open(path)
        if pipes is None and not own(run, element):
            print(f"pypool: {element} has an owner already, leaving", file=sys.stderr)
            return OWNED
    except (OSError, RunDirectoryError) as error:
        print(f"pypool: {error}", file=sys.stderr)
        return REFUSED
    why = unfit(run)
    sys.path[:] = run.info["sys_path"]
    try:
        agent = Agent(run, element, pipes)
        if why is not None:
            print(f"pypool: {why}", file=sys.stderr)
            agent._refuse(why)
            agent._flush(time.monotonic())
            return REFUSED
        code = agent.play()
    except TakenOver as error:
        print(f"pypool: {error}", file=sys.stderr)
        return OWNED
    if pipes is not None:
        import shutil

        shutil.rmtree(run.path, ignore_errors=True)  # the driver has stopped or is gone
    return code
