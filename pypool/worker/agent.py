"""The agent: one process per array element, a small pool of its own.

It reads what the dispatcher deals, feeds its slots, watches their workers die, refills the slots,
and reports. It is single-threaded, never calls or unpickles what belongs to the user, and has
exit codes of its own. The same agent serves the cluster, with files as mailboxes, and
`pypool.local.Pool`, with pipes.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque

from pypool.rundir import records
from pypool.rundir.messages import DEFAULT_LINGER, Share, beat_seconds, unpack
from pypool.rundir.waiting import give_way, wait_for, wake_in_time
from pypool.worker import memory
from pypool.worker.ahead import Ahead, adopt_authkey
from pypool.worker.arrival import REFUSED
from pypool.worker.log import say
from pypool.worker.mail import HELD_BYTES, as_ranges
from pypool.worker.naps import Naps
from pypool.worker.slots import LONG_SECONDS, Held, Outcome, Piece, Slot, take_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from pypool.rundir.records import Record
    from pypool.worker.arrival import Arrival

# Exit codes, with REFUSED. Never 99 or 100: Grid Engine reruns and holds on those.
LEFT = 0
DISK = 4

DISK_PATIENCE = 600.0
GONE_PATIENCE = 5.0
"""Seconds after which a run directory that is not there has been removed."""

DISMISSAL_PATIENCE = 2.0
"""Seconds that workers without work have to end by themselves."""

FORK_PAUSE = 2.0
FORK_PATIENCE = 300.0
"""Seconds to the next try if no worker can be started; after which there is no use in trying."""

EARLY_DEATHS = 5
"""Workers that die in a row without having begun a task: no use in starting another one."""


REST_SECONDS = 2.0
"""So long an agent that holds no share looks at nothing but its inbox, if nothing is due before."""

MOST_TOLD = 1000
"""Of each thing in a beat, which has to fit into one record."""


class Agent:
    """See the module; it begins when its hello has been said."""

    def __init__(self, arrival: Arrival) -> None:
        run, pipes = arrival.run, arrival.mail.pipes
        info = run.info
        now = time.monotonic()
        self._arrival = arrival
        self._run = run
        self._mail = arrival.mail
        self._ending = arrival.ending
        self._slots = [
            Slot(number, run, arrival.element, on_disk=pipes is None)
            for number in range(info["workers_per_element"])
        ]
        self._todo: deque[Piece] = deque()
        self._held: dict[int, Held] = {}
        self._read_to = 0
        self._reason: str | None = None
        self._early_deaths = 0
        self._naps = Naps()
        self._empty: list[Slot] = []
        self._fill_at = float("inf")
        self._deserted_since: float | None = None
        self._told_of_room = False
        self._trouble = 0
        self._sent_away: set[int] = set()
        self._linger = DEFAULT_LINGER if pipes is None else float("inf")
        self._ahead = Ahead(run)
        self._out_of_memory = memory.OutOfMemory()
        self._cut: list[tuple[Held, int, float]] = []
        self._named = info.get("name") is not None
        self._beat_every = beat_seconds(info["elements"])
        self._beat_at = now + self._beat_every
        self._mail.looking.active = now  # the driver answers the hello: that is looked for often

    def play(self) -> int:
        """Works until there is a reason to leave; gives the exit code."""
        if self._mail.pipes is not None:
            for record in self._mail.read(time.monotonic(), enough_to_do=False):
                self._take(record)
        else:
            wake_in_time()
        if self._mail.stopped:
            self._reason = "stop"
        else:
            self._begin()
        came: list[Record] = []
        while self._reason is None:
            now = time.monotonic()
            for record in came or self._look(now):
                self._take(record)
            if self._ending.told(now):
                self._wind_up(now)
            self._fill(now)
            self._feed(now)
            self._relieve(now)
            self._report(now)
            self._check_leaving(now)
            if self._reason is None:
                came, ready = self._wait(now)
                self._collect(ready)
                self._tell(time.monotonic())  # a caller may wait for it: before the next look
                self._naps.learn(waited=ready is None and self._some_waited())
        return self._leave()

    @property
    def run_is_over(self) -> bool:
        """The driver has stopped or is gone."""
        return self._reason in ("stop", "orphan")

    def refuse(self, why: str, initializer: bool = False, error: bytes | None = None) -> None:
        """Says why no task can be run here, and leaves."""
        self._arrival.refuse(why, initializer=initializer, error=error)
        self._reason = "refused"

    # -- coming and going

    def _wind_up(self, now: float) -> None:
        """The scheduler wants the place back, or soon will: nothing more is begun.

        If the driver has cancelled the element, it has said `stop` before.
        """
        self._mail.read_driver(now)
        self._mail.looking.due = now
        for record in self._mail.read(now, enough_to_do=False):
            self._take(record)
        if not self._mail.stopped and self._reason is None:
            self._return_unbegun(0, late=True)

    def _begin(self) -> None:
        if self._run.info["chunks_per_worker"] is not None:
            self._ahead.load()
        for slot in self._slots:
            self._start(slot)

    def _start(self, slot: Slot) -> None:
        arrival = self._arrival
        fds = [arrival.wake, arrival.wakeup, *(self._mail.pipes or ())]
        try:
            slot.start(self._slots, fds, self._run.info, self._ahead.functions(self._held))
        except OSError as error:
            self._stays_empty(slot, error)

    def _stays_empty(self, slot: Slot, error: OSError) -> None:
        """There is no room for another process now; those that are there are well."""
        now = time.monotonic()
        self._empty.append(slot)
        self._fill_at = now + FORK_PAUSE
        if self._deserted_since is None and not any(each.pid for each in self._slots):
            self._deserted_since = now
        why = f"no worker can be started on {os.uname().nodename}: {error}"
        if not self._told_of_room:
            self._told_of_room = True
            say(f"pypool: {why}; tries again every few seconds")
        since = self._deserted_since
        if self._reason is None and since is not None and now - since > FORK_PATIENCE:
            self.refuse(f"{why}; nor could one for {FORK_PATIENCE:.0f} s")

    def _fill(self, now: float) -> None:
        """Tries again to start the workers for which there was no room."""
        if now < self._fill_at:
            return
        self._fill_at = float("inf")
        empty, self._empty = self._empty, []
        for slot in empty if self._ending.leave_at is None else ():
            self._start(slot)
        if any(slot.pid for slot in self._slots):
            self._deserted_since = None

    def _check_leaving(self, now: float) -> None:
        mail, ending = self._mail, self._ending
        trouble, gone = mail.trouble_since, mail.gone_since
        idle = not any(slot.outstanding for slot in self._slots)
        if mail.broken:
            self._reason = "orphan"
        elif mail.stopped:
            self._reason = "stop"
        elif gone is not None and now - gone > GONE_PATIENCE:
            self._reason = "gone"
        elif trouble is not None and now - trouble > DISK_PATIENCE:
            self._reason = "disk"
        elif mail.pipes is None and not self._named and self._is_orphan(now):
            self._reason = "orphan"
        elif over := ending.over(now, idle):
            self._reason = over
        elif not self._held and now - mail.looking.active > self._linger:
            mail.read_driver(now)
            if mail.driver_writes and not self._driver_silent(now):
                mail.looking.active = now
            else:
                self._reason = "idle"

    def _driver_silent(self, now: float) -> bool:
        return now - self._mail.driver_seen > float(self._run.info["orphan_timeout"])

    def _is_orphan(self, now: float) -> bool:
        """What the driver said last may not have been read: that happens once a beat."""
        if self._driver_silent(now):
            self._mail.read_driver(now)
        return self._driver_silent(now)

    def _leave(self) -> int:
        """Says goodbye: what was read, what was cut off. Then nothing of ours is left."""
        self._collect()
        at_work = [slot.at_work() for slot in self._slots]
        cut = [
            [held.share.batch, index, seconds]
            for held, index, seconds in [*self._cut, *filter(None, at_work)]
        ]
        self._dismiss()
        for slot in self._slots:
            if slot.pid:
                slot.kill()
                os.waitpid(slot.pid, 0)
                for outcome in slot.bury()[0]:
                    self._note(outcome)
        if self._reason == "refused":
            return REFUSED  # that was the last word: what was said before may be removed by now
        if self._reason == "gone":
            return DISK  # there is nobody to say anything to
        goodbye = {"reason": self._reason, "read": self._read_to, "cut": cut}
        self._mail.put(records.GOODBYE, goodbye)
        self._mail.say_all()
        if self._reason == "disk" or (self._mail.waiting and not self._mail.broken):
            self._mail.say_disk(self._mail.trouble or errno.ENOSPC)
            return DISK
        return LEFT

    def _dismiss(self) -> None:
        """Workers without work end by themselves, so that what they hold is closed properly."""
        leaving = [slot for slot in self._slots if slot.pid and slot.dismiss()]
        deadline = time.monotonic() + DISMISSAL_PATIENCE
        while leaving and time.monotonic() < deadline:
            for slot in leaving[:]:
                if os.waitpid(slot.pid, os.WNOHANG)[0]:
                    leaving.remove(slot)
                    slot.kill_group()
                    for outcome in slot.bury()[0]:
                        self._note(outcome)
            time.sleep(0.001 if leaving else 0)

    # -- what the dispatcher says

    def _look(self, now: float) -> list[Record]:
        """What is new in an inbox on disk, if it is time; a pipe says itself that it has news."""
        return self._mail.read(now, self._has_enough()) if self._mail.pipes is None else []

    def _take(self, record: Record) -> None:
        if record.kind == records.SHARE:
            held = Held(record.key, Share.unpack(record.payload))
            self._read_to = record.key
            self._held[record.key] = held
            self._todo.append(Piece(held, held.share.first, held.share.last))
        elif record.kind == records.RETURN:
            self._return_unbegun(record.key)
        elif record.kind == records.WELCOME:
            words = unpack(record.payload)
            self._linger = float(words["linger"])
            self._ending.is_given(words.get("time"), words.get("grace") or 0.0)
        elif record.kind == records.STOP:
            self._reason = "stop"
        elif record.kind == records.LIFE:  # a driver that waits for word of us
            self._reason = None if self._reason == "stop" else self._reason
            self._beat(time.monotonic())
        elif record.kind == records.AUTHKEY:
            adopt_authkey(record.payload)

    # -- what goes to the slots

    def _has_enough(self) -> bool:
        return self._mail.looking.has_enough(bool(self._todo), self._all_busy())

    def _all_busy(self) -> bool:
        """Slots without a worker wait for nothing."""
        return all(slot.outstanding for slot in self._slots if slot.pid)

    def _feed(self, now: float) -> None:
        """One message to each slot that wants one, again and again until none does."""
        if self._todo and self._ending.begins_nothing(now):
            self._return_unbegun(0, late=True)
        if self._mail.trouble_since is not None:
            return
        able = list(self._slots)
        while takers := self._takers(able):
            for place, slot in enumerate(takers):
                if self._todo and not self._feed_one(slot, len(takers) - place):
                    able.remove(slot)

    def _takers(self, able: list[Slot]) -> list[Slot]:
        """Those that want something of what is next: while some have nothing to do, these alone."""
        if not self._todo:
            return []
        held = self._todo[0].held
        takers = sorted((slot for slot in able if slot.wants(held)), key=Slot.backlog)
        return [slot for slot in takers if not slot.outstanding] or takers

    def _relieve(self, now: float) -> None:
        """What waits behind a task that takes long goes to a slot that has nothing to do."""
        if self._todo or not self._some_idle():
            return
        self._todo.extend(take_back(slot for slot in self._slots if slot.is_held_up()))
        self._feed(now)

    def _some_idle(self) -> bool:
        return any(slot.pid and slot.ready and not slot.outstanding for slot in self._slots)

    def _some_waited(self) -> bool:
        """A worker had nothing to do, though there was more, or no room for what it had to say."""
        if self._todo and self._some_idle():
            return True
        return any(slot.was_full for slot in self._slots if slot.pid)

    def _feed_one(self, slot: Slot, takers: int) -> bool:
        """A fair part of what is there, if so many slots are to get one, this one first."""
        piece = self._todo[0]
        wanted = slot.wants(piece.held)
        if not wanted:
            return False
        fair = -(-(piece.last - piece.first) // takers)
        count = min(wanted, max(fair, piece.held.worth_waking_for))
        last = min(piece.held.whole_chunk(piece.first + count), piece.last)
        part = Piece(piece.held, piece.first, last)
        if not slot.send(part):
            return False
        piece.first = part.last
        if piece.first == piece.last:
            self._todo.popleft()
        return True

    def _return_unbegun(self, asked: int, late: bool = False) -> None:
        """Gives back everything that no worker has begun."""
        pieces = [*self._todo, *take_back(self._slots)]
        self._todo.clear()
        self._return(pieces, asked, late=late)

    def _return(
        self, pieces: list[Piece], asked: int = 0, why: str = "", late: bool = False
    ) -> None:
        ranges = [[piece.held.share.batch, piece.first, piece.last] for piece in pieces]
        for piece in pieces:
            self._answered(piece.held, piece.last - piece.first)
        for start in range(0, len(ranges) or 1, 1000):
            words = {"ranges": ranges[start : start + 1000], "why": why, "late": late}
            self._mail.put(records.RETURNED, words, key=asked)

    # -- what comes from the slots

    def _wait(self, now: float) -> tuple[list[Record], Collection[int] | None]:
        """Until a worker, a signal or a pipe has something, or it is time for something.

        Gives what came in the inbox, if that was seen here, and the descriptors that are ready;
        None if any may be. While no share is held the inbox alone is looked at for the most part.
        """
        mail = self._mail
        due = min(self._beat_at, mail.flush_at(), self._ending.next_at, self._fill_at)
        reading = [self._arrival.wake]
        takes = mail.waiting < HELD_BYTES
        nap = self._nap() if takes else 0.0
        if nap:
            due = min(due, now + nap)
        elif takes:
            reading += [slot.outcomes for slot in self._slots if slot.pid]
        some_idle = some_ahead = False
        for slot in self._slots:
            if not slot.pid:
                continue
            if not slot.outstanding:
                some_idle = some_idle or slot.ready
                continue
            some_ahead = some_ahead or slot.has_more()
            due = min(due, now + slot.laid_by_in())
        if some_idle and some_ahead:
            due = min(due, now + LONG_SECONDS)
        if mail.pipes is None:
            enough = self._has_enough()
            if not enough:
                mail.looking.look_sooner(now)
            if not self._held:
                leaves_at = mail.looking.active + self._linger
                return self._rest(reading, min(due, leaves_at, now + REST_SECONDS), enough)
            ready = wait_for(reading, (), min(due, mail.looking.due) - now)
            return [], None if nap else ready
        reading.append(mail.pipes[0])
        writing = [mail.pipes[1]] if mail.refused else []
        ready = wait_for(reading, writing, due - now)
        came = mail.pipes[0] in ready
        found = mail.read(time.monotonic(), enough_to_do=False) if came else []
        return found, None if nap else ready

    def _nap(self) -> float:
        """Seconds for which workers need not be listened to, for all of them have enough to do."""
        if not self._todo:
            return 0.0
        reserves = [slot.reserve() for slot in self._slots if slot.pid and slot.ready]
        return self._naps.next(min(reserves, default=0.0))

    def _rest(
        self, reading: list[int], until: float, enough: bool
    ) -> tuple[list[Record], Collection[int]]:
        """Nothing but the inbox is looked at, at least as often as else: that is cheap.

        As long as there is no sleep between two looks, signals and workers wait for that moment.
        """
        looking = self._mail.looking
        while (now := time.monotonic()) < until:
            if came := self._mail.read(now, enough):
                return came, ()
            if looking.is_keen(now):
                looking.due = now
                if give_way():
                    looking.disturbed = now
                continue
            if ready := wait_for(reading, (), min(until, looking.due) - now):
                return [], ready
        return [], ()

    def _collect(self, ready: Collection[int] | None = None) -> None:
        """What workers say, at those descriptors, or at all."""
        for slot in self._slots:
            if not slot.pid:
                continue
            if ready is None or slot.outcomes in ready:
                for outcome in slot.receive():
                    self._note(outcome)
                self._todo.extendleft(reversed(slot.given_back))
                slot.given_back.clear()
                if slot.raised and self._reason is None:
                    self._not_ready(slot)
            if (laid_by := slot.take_laid_by()) is not None:
                self._note(laid_by)
        if (ready is None or self._arrival.wake in ready) and self._was_woken():
            self._reap()

    def _was_woken(self) -> bool:
        """Whether signals have come since the last time."""
        try:
            return bool(os.read(self._arrival.wake, 4096))
        except BlockingIOError:
            return False

    def _note(self, outcome: Outcome) -> None:
        held = outcome.held
        self._mail.looking.finished(time.monotonic(), self._count_free)
        self._early_deaths = 0
        if outcome.void_to:
            why = outcome.why()
            self._return([Piece(held, outcome.index, outcome.void_to)], why=why)
            return
        self._mail.put_outcome(held.share.batch, outcome.entry)
        self._ending.longest_task = max(self._ending.longest_task, outcome.seconds)
        self._answered(held, outcome.count)

    def _count_free(self) -> tuple[int, int]:
        """How many slots have nothing to do, and how many there are with a worker."""
        ready = [slot for slot in self._slots if slot.pid and slot.ready]
        return 0 if self._todo else sum(not slot.outstanding for slot in ready), len(ready)

    def _answered(self, held: Held, count: int) -> None:
        held.unanswered -= count
        if not held.unanswered:
            self._held.pop(held.number, None)
            self._mail.share_is_done()

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for slot in self._slots:
                if slot.pid == pid:
                    self._bury(slot, os.waitstatus_to_exitcode(status), memory.used(usage))

    def _bury(self, slot: Slot, code: int, used: int) -> None:
        """Reports the death of a worker and fills its slot again."""
        slot.kill_group()  # what the worker had started dies with it
        ended_well = slot.leaving or slot.pid in self._sent_away
        self._sent_away.discard(slot.pid)
        ready = slot.ready
        outcomes, victim, rest = slot.bury()
        for outcome in outcomes:
            self._note(outcome)
        self._todo.extendleft(reversed(rest))
        if self._ending.died_with_us(code):
            self._cut += [victim] if victim is not None else []
            return
        if victim is None and not ended_well:
            self._early_deaths += 1
            if self._early_deaths >= EARLY_DEATHS and not ready:
                self._refuse_initializer(f"ended its process {EARLY_DEATHS} times, at last {code}")
                return
            if self._early_deaths >= EARLY_DEATHS:
                self.refuse(f"workers end before their first task, the last with {code}")
                return
        elif victim is not None:
            self._report_death(slot, victim, code, used)
        if self._ending.leave_at is None:
            self._start(slot)

    def _not_ready(self, slot: Slot) -> None:
        """The initializer raised. Where it has worked before, it may do so again."""
        raised, slot.raised = slot.raised, b""
        worked = any(each.was_ready for each in self._slots)
        if worked and slot.failures < EARLY_DEATHS:
            self._sent_away.add(slot.pid)
            slot.kill()  # the next one tries
        else:
            self._refuse_initializer("raised an exception", raised)

    def _refuse_initializer(self, what: str, error: bytes | None = None) -> None:
        name = self._run.info["initializer_name"]
        why = f"the initializer {name} {what} on {os.uname().nodename}"
        self.refuse(why, initializer=True, error=error)

    def _report_death(
        self, slot: Slot, victim: tuple[Held, int, float], code: int, used: int
    ) -> None:
        held, index, seconds = victim
        words = {
            "batch": held.share.batch,
            "index": index,
            "attempt": held.share.attempt,
            "code": code,
            "seconds": seconds,
            "slot": slot.number,
            "host": os.uname().nodename,
            "memory": used,
            "oom": self._out_of_memory.again(),
        }
        self._mail.put(records.DEATH, words)
        self._mail.looking.active = time.monotonic()
        self._answered(held, 1)

    def _report(self, now: float) -> None:
        trouble = self._mail.trouble or max(slot.disk_trouble for slot in self._slots)
        if trouble != self._trouble:
            self._trouble = trouble
            self._beat_at = now
            self._mail.say_disk(trouble)
        if now >= self._beat_at:
            self._beat(now)
        self._tell(now)

    def _tell(self, now: float) -> None:
        """What was done, if it is time for that."""
        dry = not self._todo and not self._all_busy()
        self._mail.flush_if_due(now, dry)

    def _beat(self, now: float) -> None:
        """Proof of life, and what the agent holds: the dispatcher compares."""
        self._beat_at = now + self._beat_every
        self._mail.read_driver(now)
        at_work = [
            [held.share.batch, index, round(seconds, 3)]
            for held, index, seconds in filter(None, (slot.at_work() for slot in self._slots))
        ]
        words = {
            "read": self._read_to,
            "held": as_ranges(sorted(self._held), MOST_TOLD),
            "at_work": at_work[:MOST_TOLD],
            "memory": [
                memory.peak(slot.pid) if slot.pid else 0 for slot in self._slots[:MOST_TOLD]
            ],
            "disk": self._trouble,
        }
        self._mail.put(records.BEAT, words)
