"""The dispatcher: the one thread of a pool that reads, lets the dealer decide, and acts.

It alone writes to the run directory and speaks to the scheduler. Callers hand it calls and get
passive handles; what is known of tasks and agents is in `deal`, which does no I/O; what is done
about elements is in `submission` or `this_machine`. A fork of the driver has no such thread and
cleans nothing up.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path
from typing import NamedTuple

from pypool.engine import endings
from pypool.engine.backend import Backend, WorkerRules
from pypool.engine.calls import Batch, Calls, Portion
from pypool.engine.dealing import deal
from pypool.engine.dealing.deal import Deal
from pypool.engine.dealing.losses import FULL_DISK
from pypool.engine.dealing.needs import Need
from pypool.engine.disk_watch import DiskWatch
from pypool.engine.elements.submission import Ended, Grace, Listed, Refused, Shrunk
from pypool.engine.intake import Intake
from pypool.engine.journal import Journal
from pypool.engine.links import FileLink, Link
from pypool.engine.outcomes import Outcomes, lost
from pypool.engine.patience import Patience
from pypool.engine.polling import FEW
from pypool.engine.post import Post
from pypool.engine.progress import Progress
from pypool.engine.runs.named import COMPLETE, DONE, Opened
from pypool.engine.runs.resume import Resumed
from pypool.engine.store import Store
from pypool.errors import AgentStartError, PoolError, RunDirectoryError, SubmitError
from pypool.results import pieces
from pypool.rundir import messages, names, records
from pypool.rundir.mailbox import FileWriter, TakenOver
from pypool.rundir.records import Record
from pypool.rundir.run import unusable
from pypool.rundir.waiting import wait_for, wake_in_time

log = logging.getLogger("pypool")

BEAT_SECONDS = 15.0
LONGEST_SLEEP = 0.25
COMMAND_SLEEP = 0.02
GOODBYE_PATIENCE = 5.0
DISK_LOOK_SECONDS = 5.0
GAP = 2.0
COMPLETE_ROUND_SECONDS = 0.1
"""So long what is in no hurry may wait for what is."""

MOMENT = 0.002
"""As long as nobody says anything, so much later there is something to decide again, if there are
elements: that some are to be asked for is decided at once."""

ZOMBIE_SECONDS = 600.0
"""So long the mailbox of an ended element is read on: it may have ended in name only."""

AT_ONCE = ("terminate", "detach")

LARGE = 64 << 20
"""A batch of so many bytes takes its time to be written, and agents are told to wait for it."""


EXPECTING_PATIENCE = 0.1


class Coming(NamedTuple):
    """Tasks that a caller is packing; `met` once elements have been asked for."""

    function: str
    tasks: int
    met: threading.Event


class Dispatcher:
    """See the module.

    Parameters
    ----------
    backend : Backend
        Makes the run directory and the elements.
    rules : WorkerRules
        How workers begin and when they end.
    """

    def __init__(self, backend: Backend, rules: WorkerRules) -> None:
        self._backend = backend
        self._rules = rules
        self._pid = os.getpid()
        self._opened: Opened | None = None
        self._over: BaseException | None = None
        self._quietly = False
        self._stop: str | None = None
        self._requests: deque[Portion] = deque()
        self._coming: list[Coming] = []
        self._undoing = ExitStack()
        self._claim = threading.Lock()  # for whoever ends it: the thread, or else `begin`
        self._living = threading.Lock()  # held by the thread as long as it lives, see `wait`
        self.thread = threading.Thread(target=self._live, name="pypool-dispatcher", daemon=True)

    def begin(self) -> None:
        """Opens the run and starts the thread.

        Whatever comes in between, Ctrl-C for one: nothing stays open then, and nobody lives.
        """
        try:
            self._open()
            self._living.acquire()
            self.thread.start()
        except BaseException as error:
            opened = self._opened
            if self._claim.acquire(blocking=False):
                self._undo()
            else:  # it lives already
                self.stop("terminate")
            if opened is not None and isinstance(error, OSError) and error.errno is not None:
                raise unusable(opened.run.path, error) from error  # else a signal handler's
            raise

    def _open(self) -> None:
        backend = self._backend
        self._opened = opened = backend.open(self._rules)
        self._run = opened.run
        now = time.monotonic()
        self._deal = Deal(backend.policy)
        self._store = Store(self._run)
        self._calls = Calls()
        self._journal = Journal(self._run, now)
        self._driver = self._open_driver_file()
        if self._rules.initializer is not None:
            self._store.keep(self._rules.initializer)
        outcomes = Outcomes(self._run)
        self._intake = Intake(self._deal, self._calls, outcomes, self._journal, backend.linger)
        self._resumed: Resumed | None = None
        if opened.old is not None:
            self._resumed = Resumed(opened.old, self._deal, self._calls, outcomes)
        self._numbers = 0
        self._post = Post(now)
        self._ended: dict[str, float] = {}
        self._disk = DiskWatch(self._run.path)
        self._disk_look_at = now
        self._failed: set[int] = set()
        self._progress = Progress(backend.options.progress, now)
        self._beat_at = self._listened_at = self._complete_round_at = now
        self._dealt_at = 0.0
        self._wake, self._wakeup = socket.socketpair()  # who rings too late writes to no file
        for end in (self._wake, self._wakeup):
            self._undoing.enter_context(end).setblocking(False)
        self._elements = backend.elements(self._run, self._journal)
        self._undoing.callback(endings.unwatch, self)
        endings.watch(self, signals=not backend.local)

    def _undo(self) -> None:
        """The thread was not started."""
        self._over = PoolError("this pool could not be begun")
        self._undoing.close()
        opened, self._opened = self._opened, None
        if opened is not None:
            if not opened.run.named:
                opened.run.remove_tree("")  # nobody has heard of it
            self._backend.close(opened)
        if self._living.locked():
            self._living.release()

    def _open_driver_file(self) -> FileWriter:
        run = self._run
        if run.life > 1:
            with suppress(FileNotFoundError):  # somebody has tidied up; what it said is old
                return FileWriter.resume(run.open_file, names.DRIVER, run.mark, run.life)
            run.make_file(names.DRIVER)
        return FileWriter(run.open_file, names.DRIVER, run.mark, run.life)

    # -- for the callers' threads: without a lock, for a signal handler that comes in between may
    #    wait for the thread, and the thread would wait for the lock

    @property
    def run_path(self) -> str:
        return self._run.path

    @property
    def ours(self) -> bool:
        """This is the process that made it, not a fork."""
        return os.getpid() == self._pid

    @property
    def named(self) -> bool:
        """The run outlives this process, if need be."""
        return self._run.named

    @property
    def has_begun(self) -> bool:
        """Its thread lives, or has lived."""
        return self._claim.locked()

    @property
    def over(self) -> bool:
        """The thread takes no more calls."""
        return self._over is not None

    def take(self, portion: Portion) -> bool:
        """Takes tasks; their call's handle is fed from now on. False if it was told of the end."""
        self._requests.append(portion)
        if self._over is None:  # else the thread may not have seen it
            self._ring()
            return True
        portion.call.handle.fail(self._over, quietly=self._quietly)
        return False

    @contextmanager
    def expecting(self, function: str, tasks: int) -> Iterator[None]:
        """While the caller packs so many tasks: if nobody is there yet, elements are asked for.

        That is waited for, but not long: two threads get in each other's way.
        """
        if self._deal.agents or self.over:
            yield
            return
        coming = Coming(function, tasks, threading.Event())
        try:
            self._coming.append(coming)
            self._ring()
            coming.met.wait(EXPECTING_PATIENCE)
            yield
        finally:
            with suppress(ValueError):  # Ctrl-C came first
                self._coming.remove(coming)

    def stop(self, how: str) -> None:
        """Asks the thread to end: "close" when all is done, "terminate" at once.

        "detach" at once, too, but a named run goes on without its driver.
        """
        self._stop = self._stop if self._stop in AT_ONCE else how
        self._ring()

    def spoil(self) -> None:
        """The program ends by an exception: a named run is not over, whatever it has done."""
        self._spoilt = True

    def join(self) -> None:
        """Waits until the thread has ended."""
        if threading.current_thread() is not self.thread:
            self.wait(-1)
            endings.unwatch(self)

    def wait(self, seconds: float) -> bool:
        """Whether the thread has ended within so many seconds; -1: waits as long as it takes.

        `Thread.join` will not do: one that Ctrl-C has interrupted makes Python 3.11 believe that
        the thread has ended, and nobody waits for it any more.
        """
        for piece in pieces(None if seconds < 0 else seconds):
            if self._living.acquire(timeout=piece):
                self._living.release()
                return True
        return False

    def _ring(self) -> None:
        try:
            self._wakeup.send(b".")
        except OSError as error:
            if error.errno is None:  # no error of ours: a signal handler has raised it
                raise
            # it has been rung often enough, or is over

    # -- the thread

    def _live(self) -> None:
        if not self._claim.acquire(blocking=False):
            return  # `begin` was interrupted and has undone it
        self._undoing.pop_all()
        self._run.patience = Patience(lambda: self._stop in AT_ONCE or self.over)
        if not self._backend.local:
            wake_in_time()
        error: BaseException | None = None
        try:
            if self._resumed is not None:
                self._take_up(self._resumed, time.monotonic())
            while not self._is_over():
                self._round(time.monotonic())
        except OSError as trouble:
            error = unusable(self._run.path, trouble)
        except TakenOver as trouble:
            self._taken_over = True
            error = RunDirectoryError(f"{self._run.path}: {trouble}")
        except BaseException as bug:
            error = bug
            log.exception("the dispatcher of %s failed", self._run.path)
        try:
            self._end(error)
        finally:
            endings.unwatch(self)
            self._living.release()

    def _is_over(self) -> bool:
        if self._stop in AT_ONCE:
            return True
        return self._stop == "close" and not self._calls and not self._requests

    def _round(self, now: float) -> None:
        """Somebody waits for new tasks to be dealt, or goes on once all are done: these come first.

        What else there is to do comes in one of the next rounds.
        """
        can_wait = now - self._complete_round_at < COMPLETE_ROUND_SECONDS
        if self._take_requests() and can_wait:
            self._do(self._deal.deal_at_once(now))
            self._dealt_at = now
            return
        waited = bool(self._calls)
        heard = self._listen(now)
        if can_wait and waited and now < (until := self._decides_at(heard)):
            self._post.write(now)
            self._sleep(now, until)  # or a caller would wait for this thread to let go of Python
            return
        self._complete_round_at = now
        self._take_news(now)
        self._watch_disk(now)
        new = [each for each in self._coming if not each.met.is_set()]
        for coming in new:
            self._deal.expect(coming.tasks, coming.function)
        self._do(self._deal.decide(now))
        for coming in new:
            coming.met.set()
        self._beat(now)
        self._progress.tell_if_due(self._deal, now)
        self._journal.flush_if_due(now)
        self._sleep(now)

    def _decides_at(self, heard: bool) -> float:
        """Until when nothing need be decided, as far as agents and callers are concerned."""
        if self._coming:
            return 0.0
        if not self._calls:
            return inf
        if heard or not self._deal.agents:
            return 0.0
        return max(self._dealt_at, self._complete_round_at) + MOMENT

    def _do(self, actions: list[deal.Action]) -> None:
        now = time.monotonic()  # to write a batch, or to decide, takes its time
        for action in actions:
            self._act(action, now)
        self._post.write(now)

    def _listen(self, now: float) -> bool:
        """Takes what agents say; whether there was anything."""
        if now - self._listened_at > self._longest_round:  # stopped: nobody is judged unread
            for link in self._post:
                self._read_to_end(link, now)
            now = time.monotonic()  # that may have taken as long
        self._listened_at = now
        heard = False
        for link, new in self._post.due(now):
            self._take_in(link, new, now)
            heard = heard or bool(new) or (link.fd is not None and link.ended)
        return heard

    @property
    def _longest_round(self) -> float:
        """It takes its time to read or write the files of many agents."""
        return GAP if len(self._post) <= FEW else max(GAP, self._deal.policy.lease / 4)

    def _sleep(self, now: float, until: float = inf) -> None:
        """Until something comes through a pipe, a mailbox is due, or it is that time."""
        if self._requests or self._is_over():
            return
        longest = COMMAND_SLEEP if self._elements.waits_for_command else LONGEST_SLEEP
        due = min(now + longest, self._post.next_at, until)
        reading, writing = [self._wake.fileno()], []
        for pipe in self._post.pipes():
            reading.append(pipe.fd)
            writing += [pipe.inbox_fd] if pipe.waiting else []
        if wait_for(reading, writing, due - time.monotonic()):
            self._hush()

    def _hush(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(4096)

    def _beat(self, now: float) -> None:
        if now >= self._beat_at:
            self._say_alive(now, records.WRITING if self._coming else b"")

    def _say_alive(self, now: float, what: bytes = b"") -> None:
        self._beat_at = now + BEAT_SECONDS
        self._driver.put(records.DRIVER_BEAT, what)
        self._driver.flush()

    def _take_up(self, resumed: Resumed, now: float) -> None:
        """What an earlier life has left: batches, elements, and what those hold."""
        self._numbers = resumed.last_batch
        for number, place, chunk, digest in resumed.places():
            self._store.adopt(number, place, chunk, digest)
        for submission, outboxes in resumed.submissions():
            for link in self._elements.adopt(submission, outboxes, now):
                resumed.introduce(link, now)
                self._post.add(link)
        resumed.adopt(now)
        resumed.dismiss(self._run)

    # -- what comes in

    def _take_requests(self) -> bool:
        """Writes what callers have asked for; whether there was anything."""
        waiting = len(self._requests)  # more may come all the time
        took = bool(waiting)
        if self._resumed is not None and waiting:
            self._resumed.new_round()
        while waiting:
            batch = Batch(self._numbers + 1)
            while waiting and batch.takes(self._requests[0]):
                portion = self._requests.popleft()
                waiting -= 1
                self._calls.take(portion)
                for part in self._unclaimed(portion):
                    batch.add(part)
            if batch.count:
                self._numbers = batch.number
                self._write_or_tell(batch)
        return took

    def _unclaimed(self, portion: Portion) -> list[Portion]:
        """What no earlier life has done or begun."""
        if self._resumed is None:
            return [portion]
        return self._resumed.claim(portion, time.monotonic())

    def _write_or_tell(self, batch: Batch) -> None:
        """What is wrong with one batch is told to its callers, and to nobody else."""
        try:
            self._write(batch)
        except OSError:
            raise  # the disk is everybody's
        except Exception as bug:
            log.exception("a batch of %s cannot be written", self._run.path)
            error = PoolError(f"the tasks cannot be sent: {type(bug).__name__}: {bug}")
            error.__cause__ = bug
            self._calls.fail_batch(batch, error)

    def _write(self, batch: Batch) -> None:
        if batch.size > LARGE:
            self._say_alive(time.monotonic(), records.WRITING)
        self._store.add(batch)
        if batch.size > LARGE:
            self._say_alive(time.monotonic())
        if not self._backend.local:
            self._journal.opened(batch, self._store.share(batch.number, 0, batch.count, 1, 0.0))
        self._deal.open_batch(batch.number, batch.count, batch.call.name, batch.call.chunk)
        self._calls.written(batch)

    def _take_in(self, link: Link, new: list[Record], now: float) -> None:
        """What was read of it, and when to look again."""
        self._take(link, new, now)
        if link.looks is not None:
            agent = self._deal.agents.get(link.key)
            busy = agent is not None and agent.has_something_to_say
            awaited = len(self._deal.awaited) if agent is not None and agent.pending else 0
            expected = self._deal.expects(link.key)
            link.looks.looked(time.monotonic(), bool(new), busy, awaited, expected)
            self._post.plan(link)

    def _read_to_end(self, link: Link, now: float) -> None:
        """All there is, whatever is due."""
        self._take(link, link.read_to_end(now), now)

    def _take(self, link: Link, new: list[Record], now: float) -> None:
        for record in new:
            if self._resumed is not None and record.kind == records.RESULTS:
                self._resumed.note(link, record)
            if record.kind == records.HELLO:
                self._disk.can_begin()
            if record.kind == records.BEAT:
                self._disk.said(link.key, messages.unpack(record.payload).get("disk", 0), now)
            if not self._intake.take(link, record, now):
                self._drop(link)
        link.remove_read_parts()

    def _drop(self, link: Link) -> None:
        """It has said its last word, and everything before that has been delivered."""
        self._disk.said(link.key, 0, 0.0)
        self._elements.forget(link.key)
        if isinstance(link, FileLink):
            self._post.drop(link.key)
            self._ended.pop(link.key, None)
            if not self._failed:  # else whoever looks for the reason needs its words
                self._backend.clean_element(self._run, link.element)

    def _take_news(self, now: float) -> None:
        for key in [key for key, at in self._ended.items() if now - at > ZOMBIE_SECONDS]:
            del self._ended[key]
            self._post.drop(key)
            self._deal.forgotten(key)
        asks = now >= self._elements.next_look and self._deal.asks_scheduler(now)
        for news in self._elements.advance(now, asks, self._deal.awaited):
            if isinstance(news, Refused):
                self._refusal = news.error
                for key in news.keys:
                    self._post.drop(key)
                error = news.error
                later = isinstance(error, SubmitError) and (error.temporary or error.too_many)
                self._deal.refused(news.keys, str(error), now, for_now=later)
            elif isinstance(news, Shrunk):
                for key in news.keys:
                    self._post.drop(key)
                self._deal.withdrawn(news.keys, now, at_once=news.in_one_array)
            elif isinstance(news, Listed):
                self._deal.listed(news.states, now)
            elif isinstance(news, Grace):
                self._intake.learn_grace(news.seconds, self._post)
            elif isinstance(news, Ended):
                self._take_end(news, now)

    def _watch_disk(self, now: float) -> None:
        """An agent that is not heard may have no room to say anything."""
        if now >= self._disk_look_at:
            self._disk_look_at = now + DISK_LOOK_SECONDS
            for agent in self._deal.silent(now):
                link = self._post.get(agent)
                if isinstance(link, FileLink) and link.had_no_disk():
                    self._disk.said(agent, errno.ENOSPC, now)
        self._disk.check(now)

    def _take_end(self, news: Ended, now: float) -> None:
        """The disk is the truth: what the element wrote last is read before it is lost."""
        link = self._post.get(news.key)
        if link is not None:
            self._read_to_end(link, now)
        how = news.how
        if how == "failed" and isinstance(link, FileLink) and link.had_no_disk():
            how = "disk"
        self._disk.said(news.key, 0, now)
        failed = how in ("failed", "disk") and news.key in self._deal.awaited
        if failed and self._disk.ends_early(now):
            how = FULL_DISK
            self._elements.pardon_nodes()
        self._deal.ended(news.key, how, now, news.words)
        if link is not None and link.fd is None:
            self._ended[news.key] = now
        elif link is not None:
            link.close()
            self._post.drop(news.key)

    # -- what goes out

    def _act(self, action: deal.Action, now: float) -> None:
        match action:
            case deal.Submit(elements, need):
                self._submit(elements, need, now)
            case deal.DealShare(agent, number, batch, first, last, attempt, seconds):
                share = self._store.share(batch, first, last, attempt, seconds)
                link = self._post[agent]
                link.send(records.SHARE, share.pack(), key=number)
                if link.looks is not None:
                    book = self._deal.agents[agent]
                    work = seconds * (last - first) / book.slots
                    link.looks.dealt(now, work, is_first=book.comes_to(number))
                    self._post.plan(link)
            case deal.AskBack(agent, number):
                self._ask(agent, records.RETURN, now, number)
            case deal.Fail(number, task, loss):
                waiting = self._calls.batch(number)
                if waiting is not None:
                    self._failed.add(number)
                    call, index = waiting.task(task)
                    self._calls.tell(waiting, task, False, lost(loss, call.task(index)))
            case deal.Dismiss(agent):
                self._ask(agent, records.STOP, now)
            case deal.Cancel(agent):
                self._elements.cancel([agent])
            case deal.Remove(number):
                if number not in self._failed:  # whoever looks for the reason needs its items
                    self._store.remove(number)
            case deal.GiveUp(why):
                self._give_up(why)

    def _ask(self, agent: str, kind: int, now: float, number: int = 0) -> None:
        """The agent's answer is waited for."""
        link = self._post[agent]
        link.send(kind, key=number)
        if link.looks is not None:
            link.looks.asked(now)
            self._post.plan(link)

    _refusal: PoolError | None = None
    _taken_over = _spoilt = False

    def _submit(self, elements: int, need: Need, now: float) -> None:
        links = self._elements.submit(elements, now, need)
        for link in links:
            self._post.add(link)
        self._deal.submitted([link.key for link in links], now, need)

    def _give_up(self, why: str) -> None:
        """Nobody plays and nobody will come: every caller is told."""
        error: PoolError
        if self._refusal is not None and why == str(self._refusal):
            error = self._refusal
        elif why in self._intake.refusals:
            error = self._intake.refusals[why]
        else:
            error = AgentStartError(f"{why}\n{self._elements.explain()}")
        self._calls.fail_all(error)
        self._deal.drop_batches()

    # -- the end

    def _end(self, error: BaseException | None) -> None:
        """Tells everybody who still waits, tells agents to stop, cancels what is pending.

        Whatever went wrong before: no caller is left waiting, and each step is tried.
        """
        if error is not None and not self._calls and not self._requests:
            log.warning("%s The next call begins a new run.", error)
        leaves = self._stop == "detach" and error is None
        if leaves:
            self._try(self._deal_everything)
        at_once = bool(self._calls) or error is not None
        told = error or PoolError("the pool was terminated before this call was done")
        self._quietly = error is None
        self._over = told
        while self._requests:
            self._requests.popleft().call.handle.fail(told, self._quietly)
        self._calls.fail_all(told, self._quietly)
        complete = not (at_once or leaves or self._spoilt)
        if leaves:
            self._try(self._elements.leave)
            self._try(lambda: self._journal.ended("detach"))
        elif not self._taken_over:  # else all that follows is another driver's affair
            well = DONE if self.named else COMPLETE  # what is behind the pool may still fail
            self._try(lambda: self._journal.ended(well if complete else "terminate"))
            self._try(self._say_stop)
            self._try(lambda: self._await_goodbyes(at_once))
            pending = [key for key, agent in self._deal.agents.items() if agent.pending]
            self._try(lambda: self._elements.end(pending, at_once))
            if not (complete and self.named):
                self._try(lambda: self._backend.clean_up(self._run, bool(self._failed), complete))
        self._post.close()
        self._wake.close()
        self._wakeup.close()
        if complete and self.named:
            endings.finish_with_program(self._run.path, self._finish)
        else:
            self._close()

    def _finish(self, well: bool) -> None:
        """The end of a named run is that of its program, or of its name's next use in it."""
        if self._opened is None:
            return
        if well and Path(self._run.path).is_dir():  # the user may have removed it
            self._try(lambda: self._journal.ended(COMPLETE))
            self._try(lambda: self._backend.clean_up(self._run, bool(self._failed), True))
        self._close()

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self._try(lambda: self._backend.close(opened))

    def _deal_everything(self) -> None:
        """What was asked for is asked for, and every element gets its part of all there is."""
        now = time.monotonic()
        self._take_requests()
        for action in [*self._deal.decide(now), *self._deal.leave(now)]:
            self._act(action, now)
        self._say_last_words()

    def _say_last_words(self) -> None:
        for error in self._post.last_words():
            log.warning("at the end of %s: %s", self._run.path, error)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # the steps behind it are to be tried too
            log.warning("at the end of %s: %s: %s", self._run.path, type(error).__name__, error)

    def _say_stop(self) -> None:
        for link in self._post:
            link.send(records.STOP)
        self._say_last_words()
        self._driver.put(records.STOP)
        self._driver.flush()

    def _await_goodbyes(self, at_once: bool) -> None:
        """Agents that play leave by themselves; their last word is waited for, but not long."""
        deadline = time.monotonic() + GOODBYE_PATIENCE
        while time.monotonic() < deadline:
            players = [key for key, agent in self._deal.agents.items() if agent.plays]
            if not players or (at_once and not self._backend.local):
                return
            now = time.monotonic()
            for key in players:
                link = self._post.get(key)
                if link is None:
                    self._deal.agents.pop(key)
                    continue
                self._take_in(link, link.read(now), now)
                if link.fd is not None and link.waiting:
                    link.flush()
            if self._backend.local:
                self._take_news(now)  # an agent that was killed says nothing
            time.sleep(0.002)
