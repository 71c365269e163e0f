"""From an entry in an outbox to what the caller gets: a value, or an exception with a note."""

from __future__ import annotations

import signal
from base64 import b64decode
from contextlib import suppress
from multiprocessing import pool as stdlib_pool
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

from pypool import packing, pickling
from pypool.engine.calls import Call
from pypool.engine.dealing.books import Loss
from pypool.errors import (
    InitializerError,
    OutOfMemoryError,
    RemoteError,
    RunDirectoryError,
    TimeLimitError,
    WorkerLostError,
)
from pypool.printable import printable
from pypool.rundir import names
from pypool.rundir.messages import ERROR, UNPICKLABLE, Entry
from pypool.rundir.run import RunDirectory

if TYPE_CHECKING:
    from pypool.packing import Buffer

MaybeEncodingError: type[Exception] = stdlib_pool.MaybeEncodingError  # type: ignore[attr-defined]
RemoteTraceback: type[Exception] = stdlib_pool.RemoteTraceback  # type: ignore[attr-defined]


class Speaker(Protocol):
    """Whose word it is: the directory of its element, and where it runs or ran."""

    @property
    def element(self) -> str: ...

    @property
    def host(self) -> str: ...


class Outcomes:
    """Reads what tasks returned or raised.

    Parameters
    ----------
    run : RunDirectory
        Where large results lie.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._parts: dict[str, dict[int, _Parts]] = {}

    def decode(self, link: Speaker, entry: Entry, call: Call, index: int) -> tuple[bool, Any]:
        """Whether the task succeeded, and its value or its exception.

        Parameters
        ----------
        link : Speaker
            Whose entry it is.
        entry : Entry
            What its outbox says.
        call : Call
            To which the task belongs.
        index : int
            Which one it is there.
        """
        try:
            body = entry.body if entry.elsewhere is None else self._from_data_file(link, entry)
            if entry.outcome == ERROR:
                return False, self._raised(link, entry, body, call.task(index))
            value = packing.loads_flat(body)
        except RunDirectoryError as error:
            return False, error
        except BaseException as error:  # a SystemExit of that task, too: it is not our end
            task = call.task(index)
            wrong = RemoteError(
                printable(
                    f"{task} on {link.host} returned something that cannot be unpickled here: "
                    f"{type(error).__name__}: {pickling.text_of(error)}"
                )
            )
            wrong.__cause__ = error
            return False, wrong
        if entry.outcome == UNPICKLABLE:
            return False, noted(unpicklable(*value), f"{call.task(index)} on {link.host}")
        return True, value

    def values(self, entry: Entry) -> list[Any] | None:
        """What an entry with several values says; None if one of them cannot be loaded here."""
        try:
            return entry.values()
        except BaseException:  # each by itself will say what is wrong
            return None

    def _raised(self, link: Speaker, entry: Entry, body: Buffer, what: str) -> BaseException:
        error, traceback, told = pickling.loads_error(body)
        if error is None:
            error = RemoteError(
                printable(f"{what} raised {told}, which cannot be rebuilt in this process; ")
                + "its traceback stands below as the cause"
            )
        pickling.set_cause(error, RemoteTraceback(traceback))
        first, size = entry.output
        where = f"{what} on {link.host}"
        if size:
            path = f"{self._run.path}/{names.output(link.element, entry.slot)}"
            where += f"; what it printed: {size} bytes from byte {first} of {path}"
        return noted(error, where)

    def _from_data_file(self, link: Speaker, entry: Entry) -> Buffer:
        part, offset, size, check = entry.elsewhere or (0, 0, 0, 0)
        name = names.data(link.element, entry.slot, part)
        try:
            body = self._run.read_own(name, offset, size)
        except OSError as error:
            raise RunDirectoryError(f"the result in {self._run.path}/{name}: {error}") from error
        if len(body) != size or crc32(body) != check:
            raise RunDirectoryError(f"the result in {self._run.path}/{name} is damaged")
        parts = self._parts.setdefault(link.element, {}).setdefault(entry.slot, _Parts())
        if parts.read(part, offset, size):
            self._remove(name)
        return body

    def settle(self, link: Speaker) -> None:
        """Removes the parts of dead workers: to be called at every record but results.

        Only what was said of one flush comes in another order than it happened, and such a record
        ends a flush: what its agent knew of any result before it has been read.
        """
        for slot, parts in self._parts.get(link.element, {}).items():
            for part in parts.left_behind():
                self._remove(names.data(link.element, slot, part))

    def _remove(self, name: str) -> None:
        with suppress(OSError):  # the result is here; the end of the run tries again
            self._run.remove(name)


class _Parts:
    """What was read of the parts of one slot's data file.

    A large result has a part of its own. Others share one: its last result is the one that
    reaches the limit, and when as many bytes have been read as it ends at, they were all. Results
    come in any order, for those of different calls are told of in groups. In a part that a dead
    worker has begun the last one never comes, nor does the sum add up if an answer was not wanted.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[int]] = {}
        self._newest = 0

    def read(self, part: int, offset: int, size: int) -> bool:
        """Counts a result; true if it was the last one of its part."""
        if size >= names.OWN_PART:
            return True
        self._newest = max(self._newest, part)
        count = self._open.setdefault(part, [0, -1])
        count[0] += size
        if offset + size >= names.PART_LIMIT:
            count[1] = offset + size
        if count[0] != count[1]:
            return False
        del self._open[part]
        return True

    def left_behind(self) -> list[int]:
        """Shared parts before the newest: numbers grow, so no worker writes to them any more."""
        old = [part for part in self._open if part < self._newest]
        for part in old:
            del self._open[part]
        return old


def unpicklable(reason: str, value: str) -> Exception:
    """CPython's error for a result that does not pickle; both arguments are reprs already."""
    error = MaybeEncodingError(None, None)
    error.args = (reason, value)
    vars(error).update(exc=reason, value=value)
    return error


def initializer_failed(words: dict[str, Any], host: str) -> InitializerError:
    """What the agent says whose worker could not be initialized."""
    if words["error"] is None:
        return InitializerError(printable(words["why"]))
    raised, traceback, told = pickling.loads_error(b64decode(words["error"]))
    error = InitializerError(printable(f"{words['why']}: {told}"))
    if raised is None:
        raised = RemoteError(printable(f"{told}, which cannot be rebuilt in this process"))
    pickling.set_cause(raised, RemoteTraceback(traceback))
    error.__cause__ = noted(raised, f"in the initializer on {host}")
    return error


def lost(loss: Loss, what: str) -> WorkerLostError:
    """The error of a task that was lost for good."""
    lost = loss.charged + loss.free or len(loss.told)
    times = f"{lost} times" if lost > 1 else "once"
    kind, advice = _ERRORS[loss.short_of]
    return kind(
        f"{what} was lost {times} and is not started again:\n"
        + "\n".join(f"  {number}. {told}" for number, told in enumerate(loss.told, 1))
        + f"\n{advice}"
    )


_ERRORS = {
    "": (
        WorkerLostError,
        (
            "If it is the task's own doing, run it by itself to see why; if it needs more memory, "
            "give the pool more (memory=)."
        ),
    ),
    "memory": (
        OutOfMemoryError,
        (
            "It needs more memory: give the pool more for each worker (memory=), or let only such "
            "tasks have more (max_memory=)."
        ),
    ),
    "time": (
        TimeLimitError,
        (
            "It needs more time: give the pool's elements more (time=), or let only such tasks "
            "have more (max_time=)."
        ),
    ),
}

NEAR_LIMIT = 0.9
"""Who was killed having used this part of its memory was probably killed for that."""


def short_of(words: dict[str, Any], memory: int | None) -> str:
    """What the worker of a DEATH record died for want of: "memory" or nothing that is known.

    Parameters
    ----------
    memory : int or None
        Bytes that a worker may have, as far as they were asked for.
    """
    used = 1024 * int(words.get("memory") or 0)
    near = memory is not None and used > NEAR_LIMIT * memory
    killed = words["code"] == -signal.SIGKILL
    return "memory" if killed and (words.get("oom") or near) else ""


def how_it_died(words: dict[str, Any], memory: int | None = None) -> str:
    """What a DEATH record tells, in words; `memory` as for `short_of`."""
    code = words["code"]
    if code >= 0:
        how = f"ended with exit code {code}"
    elif -code in set(signal.Signals):
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        how = f"was killed by signal {-code}"
    told = f"its worker on {printable(words['host'])} {how} after {words['seconds']:.1f} s"
    if words.get("memory"):
        asked = "" if memory is None else f" of {memory >> 20} MiB asked for"
        told += f", having used {words['memory'] >> 10} MiB{asked}"
    if short_of(words, memory):
        told += ": out of memory" if words.get("oom") else ": probably out of memory"
    return told


def noted(error: BaseException, note: str) -> BaseException:
    pickling.add_note(error, f"pypool: {printable(note)}")
    return error
