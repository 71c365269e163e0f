"""The worker: the process in a slot, which calls the user's function.

It reads shares from a pipe of packets, the tasks' items from the batch file, calls the function
and writes outcomes to a pipe, waiting for no answer: each at once, those of short tasks some at a
time. Which task is at work can be seen in a page shared with the agent, so that a death has a name.
It is forked from the agent and imports what the tasks need, nothing else.
"""

from __future__ import annotations

import atexit
import errno
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from zlib import crc32

from pypool import definitions, packing, pickling, task
from pypool.errors import CodeChangedError
from pypool.packing import Packed, is_plain
from pypool.rundir import names
from pypool.rundir.batch import APPLY, MAP, STARMAP, BatchDamaged, BatchReader
from pypool.rundir.messages import (
    ERROR,
    READY,
    STOPPED,
    VALUE,
    VALUES,
    VOID,
    Entry,
    Share,
    pack_entry,
)
from pypool.rundir.objects import ELSEWHERE
from pypool.rundir.run import RunDirectory
from pypool.rundir.waiting import wait_for
from pypool.task import Task
from pypool.words import unpack
from pypool.worker.bar import pack_stop, unpack_message
from pypool.worker.borrowed import Borrowed
from pypool.worker.defined import Defined
from pypool.worker.log import say
from pypool.worker.objects import ObjectFile, Objects, above_standard
from pypool.worker.outcome import packed_value, pickled_error
from pypool.worker.short import ShortTasks
from pypool.worker.trouble import EXHAUSTED, DiskTrouble, disk_trouble, intact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    from pypool.packing import Buffer
    from pypool.worker.page import Page

    T = TypeVar("T")

SHORT = 0.0025
"""Tasks that are expected to take no longer than so many seconds are told of together."""

VERY_SHORT = 100e-6
"""Of those that take no longer it is not looked which have printed: what an entry says of that is
said of all its tasks."""


WAIT_SECONDS = 3600.0
"""An idle worker looks again then, though nobody has woken it."""

PATIENCE = 2.0
LESS_PATIENCE = 0.05
"""With a batch that was waited for in vain: its tasks are dealt some times more."""

RAISED_BYTES = 60_000
"""So long may be what the initializer has raised."""

LEAVING_SECONDS = 5
"""So long what the tasks have registered for the end may take."""

DISK_PATIENCE = 600.0
DISK_PAUSE = 1.0
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENFILE, errno.ENOMEM)
"""What a disk says that may do again what it was asked."""


class Worker:
    """One process, one slot.

    Parameters
    ----------
    run : RunDirectory
        Inherited open from the agent.
    element : str
        The element's directory, where large results go.
    slot : int
        Number of the slot.
    inbox, outbox : int
        Descriptors: packets with shares; outcomes.
    page : Page
        Shared with the agent.
    on_disk : bool
        Mailboxes are files, not pipes; standard output is one, whose byte ranges belong to tasks.
    known : dict of bytes to ObjectFile
        Functions that the agent has read already, by digest.
    """

    def __init__(
        self,
        run: RunDirectory,
        element: str,
        slot: int,
        inbox: int,
        outbox: int,
        page: Page,
        on_disk: bool,
        known: dict[bytes, ObjectFile],
    ) -> None:
        self._run = run
        self._element = element
        self._slot = slot
        self._inbox = inbox
        self._outbox = outbox
        self._page = page
        self._output = above_standard(os.dup(1)) if on_disk else -1
        self._inline_limit = names.INLINE_LIMIT if on_disk else names.PIPED_LIMIT
        self._avoided = run.mark if on_disk else None
        self._answered = False
        self._pid = os.getpid()
        self._batch: BatchReader | None = None
        self._batch_fd = -1
        self._objects = Objects(run, known)
        self._loaded: tuple[bytes, int, Callable[..., Any]] = b"", -1, len
        self._loading_seconds = 0.0
        self._borrowed = Borrowed()
        self._defined = Defined(self._definition)
        definitions.come_from(self._defined.__getitem__)
        self._short = ShortTasks(page, self._call, self._send_laid_by, self._answer_short, slot)
        self._printed_before = 0
        self._watches = False
        self._refuses = run.info.get("on_change") == "refuse"
        self._told_of_changes = False
        self._data = DataFile(run, element, slot, page)
        self._damaged: set[int] = set()
        self._patience = PATIENCE
        self._chunks_left: int | None = run.info["chunks_per_worker"]

    def serve(self) -> NoReturn:
        """Works until the agent closes the pipe, or its chunks are done."""
        self._initialize()
        while True:
            try:
                packet = os.read(self._inbox, 4096)
            except BlockingIOError:
                self._close_batch()  # a batch that nobody needs may be removed
                wait_for([self._inbox], (), WAIT_SECONDS)
                continue
            if not packet:
                self._leave()
            self._do(*unpack_message(packet))

    def _initialize(self) -> None:
        """Calls the pool's initializer, if there is one."""
        digest = self._run.info["initializer"]
        if digest is None:
            return
        raised = b""
        try:
            file = patiently(lambda: self._objects.file(bytes.fromhex(digest)))
            task.LOADING[0] = True
            initializer, arguments = file.loads(Borrowed())
            task.LOADING[0] = False
            initializer(*arguments)
        except BaseException as error:  # a SystemExit is no reason to end without a word
            raised = pickling.shortened(pickled_error(error), RAISED_BYTES)
        flush_output()
        self._send(pack_entry(0, 0, READY, self._slot, 0, 0, 0, (0, 0), raised))

    def _leave(self) -> NoReturn:
        """Ends as a process of Python ends: what was registered for that is done."""
        self._page.leaves()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LEAVING_SECONDS)  # there is no more work here, and it must not hang
        if "threading" in sys.modules:
            with suppress(Exception):
                sys.modules["threading"]._shutdown()
        with suppress(Exception):
            atexit._run_exitfuncs()
        flush_output()
        os._exit(0)

    def _do(self, share: Share, message: int) -> None:
        """The tasks of one message, up to a bar, if one is set."""
        self._page.reads(message, share.last)
        self._page.begins(share.batch, share.first, time.monotonic())
        if self._page.bar.bars(message, share.first):
            self._stop(share.first, message)
            return
        try:
            self._patience = LESS_PATIENCE if share.batch in self._damaged else PATIENCE
            batch = patiently(lambda: self._open_batch(share), self._patience)
            self._defined.look()
            if self._are_short(share) and self._loads(batch.digest):
                index = self._run_short(batch, share, message)
                self._answered = self._answered or index > share.first
                if index < share.last:
                    self._stop(index, message)
                return
            items = self._items(batch.items, share)
            for index in range(share.first, share.last):
                self._page.begins(share.batch, index, time.monotonic())
                if self._page.bar.bars(message, index):
                    self._stop(index, message)
                    return
                self._task(batch, share, index, items[index - share.first])
                self._page.rests()
                self._answered = True
                if self._chunks_left is not None and share.ends_chunk(index):
                    self._chunks_left -= 1
                    if not self._chunks_left:
                        self._leave()
        except (DiskTrouble, BatchDamaged) as error:
            self._close_batch()  # it is opened anew next time
            if isinstance(error, DiskTrouble) and error.code in EXHAUSTED and self._answered:
                self._leave()  # tasks have left too much open: the next worker begins anew
            if isinstance(error, BatchDamaged):
                self._damaged.add(share.batch)
            reason = f"{os.uname().nodename}: {error}".encode()[:1000]
            first = share.first
            self._send(pack_entry(first, share.attempt, VOID, self._slot, 0, 0, 0, (0, 0), reason))
            self._page.rests()

    def _items(self, read: Callable[[int, int], T], share: Share) -> T:
        """Those of the share."""
        with disk_trouble():
            return patiently(lambda: read(share.first, share.last), self._patience)

    def _stop(self, index: int, message: int) -> None:
        """From that task on the message is not for this worker any more."""
        body = pack_stop(message)
        self._send(pack_entry(index, 1, STOPPED, self._slot, 0, 0, 0, (0, 0), body))
        self._page.rests()

    def _run_short(self, batch: BatchReader, share: Share, message: int) -> int:
        """Gives the first that was not begun."""
        function = self._function(batch.digest)  # its module may want to be before numpy
        are_values = batch.is_column and batch.call in (MAP, STARMAP)
        items: Sequence[Any] = ()
        if are_values:
            try:
                items = self._items(batch.values, share)
            except (DiskTrouble, BatchDamaged):
                raise
            except Exception:  # each task will say what is missing here
                are_values = False
        if not are_values:
            items = self._items(batch.items, share)
        self._printed_before = self._printed()
        self._watches = self._output >= 0 and share.seconds > VERY_SHORT
        has_printed = self._has_printed if self._watches else None
        return self._short.run(batch, share, message, items, function, are_values, has_printed)

    def _are_short(self, share: Share) -> bool:
        """Tasks of which it does not pay to tell one by one."""
        many = share.last - share.first > 1
        return many and 0 < share.seconds <= SHORT and self._chunks_left is None

    def _loads(self, digest: bytes) -> bool:
        """Whether the function can be loaded; if it cannot, each of its tasks says why."""
        try:
            self._function(digest)
        except (DiskTrouble, BatchDamaged):
            raise
        except BaseException:
            return False
        return True

    def _task(self, batch: BatchReader, share: Share, index: int, item: bytes) -> None:
        """One task.

        That this worker has to load the function first says nothing of the others, unless each gets
        a new worker.
        """
        printed = self._printed()
        self._loading_seconds = 0.0
        start, clock = time.time(), time.perf_counter()
        outcome, body = self._call(batch, share, index, item)
        seconds = time.perf_counter() - clock
        if self._chunks_left is None:
            start += self._loading_seconds
            seconds -= self._loading_seconds
        flush_output()
        self._answer(index, share.attempt, outcome, body, start, seconds, printed)

    def _answer_short(
        self,
        index: int,
        attempt: int,
        outcome: int,
        body: bytes | Packed,
        start: float,
        seconds: float,
    ) -> None:
        flush_output()
        self._answer(index, attempt, outcome, body, start, seconds, self._printed_before)
        self._printed_before = self._printed()

    def _has_printed(self) -> bool:
        """Whether short tasks that are watched have printed something that was not told of."""
        flush_output()
        return self._printed() != self._printed_before

    def _send_laid_by(self, start: float, seconds: float) -> None:
        """The values of short tasks, which began then and took so long together."""
        laid_by = self._page.laid_by
        _, first, count = laid_by.place
        if not count:
            return
        printed = self._printed_before
        if not self._watches:  # else they have printed nothing
            flush_output()
            self._printed_before = self._printed()
        self._borrowed.give_back()
        entry = pack_entry(
            first,
            laid_by.attempt,
            VALUES,
            self._slot,
            start,
            seconds / count,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            (printed, max(0, self._printed_before - printed)),
            laid_by.body(count),
            count=count,
        )
        if self._holds_mark(entry):
            for part in Entry(entry).parts():
                self._answer(
                    part.index, part.attempt, VALUE, part.body, start, part.seconds, printed
                )
        else:
            self._send(entry)

    def _call(
        self, batch: BatchReader, share: Share, index: int, item: bytes
    ) -> tuple[int, bytes | Packed]:
        """Calls the function; gives what came of it."""
        loading: str | None = "the function"
        before = task.begin(None)
        task.LOADING[0] = True
        try:
            function = self._function(batch.digest)
            loading = "the item"
            argument = pickling.loads(item) if is_plain(item) else self._argument(batch, item)
            loading = None
            task.LOADING[0] = False
            task.begin(Task(batch.index_in_call(index), share.attempt, self._slot, batch.seed))
            if batch.call == MAP:
                value = function(argument)
            elif batch.call == APPLY:
                value = function(*argument[0], **argument[1])
            else:
                value = function(*argument)
        except (DiskTrouble, BatchDamaged):
            raise
        except BaseException as error:
            if loading is not None and not isinstance(error, CodeChangedError):
                note = f"pypool: {loading} could not be unpickled in the worker"
                pickling.add_note(error, note)
            return ERROR, pickled_error(error)
        else:
            return packed_value(value)
        finally:
            task.LOADING[0] = False
            task.begin(before)
            if os.getpid() != self._pid:
                os._exit(0)  # a child that the task forked and that came back into our loop

    def _answer(
        self,
        index: int,
        attempt: int,
        outcome: int,
        body: bytes | Packed,
        start: float,
        seconds: float,
        printed: int,
    ) -> None:
        """Sends what came of one task, and gives back what it had of files."""
        end = self._printed()
        output = (printed, max(0, end - printed))  # a task may have truncated it
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        elsewhere = None
        if isinstance(body, Packed):
            elsewhere = self._data.append(packing.flat(body))
            body = b""
        elif len(body) >= self._inline_limit or self._holds_mark(body):
            elsewhere = self._data.append([body])
        self._borrowed.give_back()
        self._send(
            pack_entry(
                index,
                attempt,
                outcome,
                self._slot,
                start,
                seconds,
                memory,
                output,
                body,
                elsewhere,
            )
        )

    def _holds_mark(self, data: bytes) -> bool:
        """Whether it might be taken for a frame in a mailbox that is not whole."""
        return self._avoided is not None and self._avoided in data

    def _send(self, entry: bytes) -> None:
        try:
            while entry:
                entry = entry[os.write(self._outbox, entry) :]
        except BrokenPipeError:
            os._exit(1)  # the agent is gone, and there is nobody to tell

    def _printed(self) -> int:
        """How much this slot has printed so far, in bytes, wherever tasks have led their output."""
        if self._output < 0:
            return 0
        try:
            return os.lseek(self._output, 0, os.SEEK_CUR)
        except OSError:
            return 0  # a task has closed all there is

    def _open_batch(self, share: Share) -> BatchReader:
        if self._batch is None or self._batch.number != share.batch:
            self._close_batch()
            with disk_trouble():
                fd = self._run.open_file(names.batches(share.file), os.O_RDONLY)
                self._batch_fd = above_standard(fd)
                self._batch = BatchReader(self._batch_fd, self._run.mark, share.batch, share.offset)
        return self._batch

    def _close_batch(self) -> None:
        fd, self._batch, self._batch_fd = self._batch_fd, None, -1
        if fd >= 0:
            with suppress(OSError):  # a task has closed it
                os.close(fd)

    def _function(self, digest: bytes) -> Callable[..., Any]:
        """The function, loaded at most once while it stays among the last ones used."""
        batch = -1 if self._batch is None else self._batch.number
        if self._loaded[:2] == (digest, batch):
            return self._loaded[2]
        clock = time.perf_counter()
        function = self._load(digest, batch)
        self._loading_seconds = time.perf_counter() - clock  # if it fails the next task loads it
        self._loaded = digest, batch, function
        return function

    def _load(self, digest: bytes, batch: int) -> Callable[..., Any]:
        function, code = patiently(lambda: self._objects.function(digest, batch), self._patience)
        if code is not None:
            try:
                self._compare(code)
            except CodeChangedError:
                self._objects.forget(digest)  # it is refused each time
                raise
        return function

    def _argument(self, batch: BatchReader, item: bytes) -> Any:
        """What the function is to be called with."""
        common: dict[int, Any] = {}

        def meet(serial: int) -> Any:
            if serial not in common:
                common[serial] = self._common(batch, batch.common(serial))
            return common[serial]

        with intact():
            return packing.loads(item, self._borrowed.fetch(batch.fd, batch.start), meet)

    def _common(self, batch: BatchReader, data: bytes) -> Any:
        """What items have in common: each task gets it anew."""
        if data.startswith(ELSEWHERE):
            return self._objects.file(data[len(ELSEWHERE) :]).loads(self._borrowed)
        return packing.loads(data, self._borrowed.fetch(batch.fd, batch.start, owner=batch))

    def _definition(self, number: int) -> Any:
        """What the items of the batch at work call by this number."""
        if self._batch is None:
            raise LookupError(f"there is no definition {number} where there is no batch")
        return self._common(self._batch, self._batch.common(number))

    def _compare(self, modules: bytes) -> None:
        """Says once if a module that is loaded here is another one in the driver.

        Raises
        ------
        CodeChangedError
            If the user does not want that.
        """
        if self._told_of_changes and not self._refuses:
            return
        from pypool import code

        changed = code.differing(unpack(modules))
        if not changed:
            return
        told = ", ".join(f"{name} ({code.file_of(name)})" for name in changed)
        if self._refuses:
            raise CodeChangedError(
                f"on {os.uname().nodename} these modules are not what the program has loaded: "
                f'{told}. They were changed since, and on_change="refuse". Start it again.'
            )
        self._told_of_changes = True
        say(
            f"pypool on {os.uname().nodename}: not what the program has loaded, but loaded by "
            f"workers: {told}"
        )


class DataFile:
    """Where a worker lays results that are too large for a record.

    One of OWN_PART bytes and more has a part of its own. The others share one, up to the one that
    reaches PART_LIMIT. Part numbers grow and are never used again, not by the next worker either:
    the last one is kept in the page shared with the agent.
    """

    def __init__(self, run: RunDirectory, element: str, slot: int, page: Page) -> None:
        self._run = run
        self._element = element
        self._slot = slot
        self._page = page
        self._part = 0
        self._size = names.PART_LIMIT
        self._spare = above_standard(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def append(self, pieces: Sequence[Buffer]) -> tuple[int, int, int, int]:
        """Writes and closes; gives part, offset, size and CRC-32.

        The result may have cost hours: what the disk does not take now is tried again.
        """
        size = sum(map(len, pieces))
        alone = size >= names.OWN_PART
        with disk_trouble():
            if alone:
                part, offset = self._page.next_part(), 0
            else:
                if self._size >= names.PART_LIMIT:
                    self._part, self._size = self._page.next_part(), 0
                part, offset = self._part, self._size
            name = names.data(self._element, self._slot, part)
            until_done(lambda: self._write(name, pieces, offset), self._tell_agent)
        if not alone:
            self._size += size
        checksum = 0
        for piece in pieces:
            checksum = crc32(piece, checksum)
        return part, offset, size, checksum

    def _write(self, name: str, pieces: Sequence[Buffer], offset: int) -> None:
        try:
            self._run.write(name, pieces, offset)
        except OSError as error:
            if error.errno == errno.EMFILE and self._spare >= 0:
                os.close(self._spare)  # it is for a result, when tasks have left too much open
                self._spare = -1
                return self._write(name, pieces, offset)
            if not offset:  # half a result would take the room that another one needs
                with suppress(OSError):
                    self._run.remove(name)
            raise

    def _tell_agent(self, trouble: int) -> None:
        self._page.trouble = trouble


def until_done(write: Callable[[], None], trouble: Callable[[int], None]) -> None:
    """Writes again for some minutes if the disk is full or in trouble; `trouble` is told why."""
    deadline = time.monotonic() + DISK_PATIENCE
    told = False
    while True:
        try:
            write()
            return trouble(0)
        except OSError as error:
            if error.errno not in PASSING or time.monotonic() > deadline:
                raise
            trouble(error.errno)
            if not told:
                told = True
                where = f"pypool on {os.uname().nodename}"
                say(f"{where}: a result: {error}; tries again for some minutes")
        # not in step with other workers, or their halves would fill the disk again and again
        time.sleep(DISK_PAUSE * (0.5 + os.urandom(1)[0] / 255))


def patiently(read: Callable[[], T], patience: float = PATIENCE) -> T:
    """Reads again for a while if it is not whole: files were seen with zeros for 0.8 s on NFS."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return read()
        except BatchDamaged:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def flush_output() -> None:
    """Brings out what the task has printed; it may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # whatever the task has put there is its own business
            continue


def become_worker(
    main_file: str | None, argv: list[str], die_with_parent: Callable[[], None]
) -> None:
    """Turns a fork of the agent into a process in which the user's code feels at home."""
    os.setpgid(0, 0)
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and so for what tasks start
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)  # as Python begins; what tasks start resets them
    signal.set_wakeup_fd(-1)
    main = types.ModuleType("__main__")
    if main_file is not None:
        main.__file__ = main_file
    sys.modules["__main__"] = main
    sys.argv = argv
