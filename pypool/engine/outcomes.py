"""From an entry in an outbox to what the caller gets: a value, or an exception with a note."""

import signal
from multiprocessing import pool as stdlib_pool
from typing import Any
from zlib import crc32

from pypool import pickling
from pypool.engine.books import Loss
from pypool.engine.calls import Call
from pypool.engine.links import Link
from pypool.errors import RemoteError, RunDirectoryError, WorkerLostError
from pypool.rundir import names
from pypool.rundir.messages import ERROR, UNPICKLABLE, Entry
from pypool.rundir.run import RunDirectory

MaybeEncodingError: type[Exception] = stdlib_pool.MaybeEncodingError  # type: ignore[attr-defined]
RemoteTraceback: type[Exception] = stdlib_pool.RemoteTraceback  # type: ignore[attr-defined]


class Outcomes:
    """Reads what tasks returned or raised.

    Parameters
    ----------
    run : RunDirectory
        Where large results lie.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._parts: dict[tuple[str, int], int] = {}

    def decode(self, link: Link, entry: Entry, call: Call) -> tuple[bool, Any]:
        """Whether the task succeeded, and its value or its exception.

        Parameters
        ----------
        link : Link
            Whose entry it is.
        entry : Entry
            What its outbox says.
        call : Call
            To which the task belongs.
        """
        try:
            body = entry.body if entry.elsewhere is None else self._from_data_file(link, entry)
            if entry.outcome == ERROR:
                return False, self._raised(link, entry, body, call.task(entry.index))
            value = pickling.loads(body)
        except RunDirectoryError as error:
            return False, error
        except Exception as error:
            task = call.task(entry.index)
            wrong = RemoteError(
                f"{task} on {link.host} returned something that cannot be unpickled here: "
                f"{type(error).__name__}: {error}"
            )
            wrong.__cause__ = error
            return False, wrong
        if entry.outcome == UNPICKLABLE:
            return False, noted(unpicklable(*value), f"{call.task(entry.index)} on {link.host}")
        return True, value

    def _raised(self, link: Link, entry: Entry, body: bytes, what: str) -> BaseException:
        error, traceback, told = pickling.loads_error(body)
        if error is None:
            error = RemoteError(
                f"{what} raised {told}, which cannot be rebuilt in this process; "
                "its traceback stands below as the cause"
            )
        error.__cause__ = RemoteTraceback(traceback)
        first, size = entry.output
        where = f"{what} on {link.host}"
        if size:
            path = f"{self._run.path}/{names.output(link.element, entry.slot)}"
            where += f"; what it printed: {size} bytes from byte {first} of {path}"
        return noted(error, where)

    def _from_data_file(self, link: Link, entry: Entry) -> bytes:
        part, offset, size, check = entry.elsewhere or (0, 0, 0, 0)
        name = names.data(link.element, entry.slot, part)
        try:
            body = self._run.read(name, offset, size)
        except OSError as error:
            raise RunDirectoryError(f"the result in {self._run.path}/{name}: {error}") from error
        if len(body) != size or crc32(body) != check:
            raise RunDirectoryError(f"the result in {self._run.path}/{name} is damaged")
        self._remove_parts_before(link, entry.slot, part)
        return body

    def _remove_parts_before(self, link: Link, slot: int, part: int) -> None:
        """A worker goes on to a next part only when the one before is full and told of."""
        last = self._parts.setdefault((link.element, slot), 1)
        for old in range(last, part):
            self._run.remove(names.data(link.element, slot, old))
        self._parts[link.element, slot] = max(last, part)


def unpicklable(reason: str, value: str) -> Exception:
    """CPython's error for a result that does not pickle; both arguments are reprs already."""
    error = MaybeEncodingError(None, None)
    error.args = (reason, value)
    vars(error).update(exc=reason, value=value)
    return error


def lost(loss: Loss, what: str) -> WorkerLostError:
    """The error of a task that was lost for good."""
    times = f"{len(loss.told)} times" if len(loss.told) > 1 else "once"
    return WorkerLostError(
        f"{what} was lost {times} and is not started again:\n"
        + "\n".join(f"  {number}. {told}" for number, told in enumerate(loss.told, 1))
        + "\nIf it is the task's own doing, run it by itself to see why; if it needs more memory, "
        "give the pool more (memory=)."
    )


def how_it_died(words: dict[str, Any]) -> str:
    """What a DEATH record tells, in words."""
    code = words["code"]
    if code >= 0:
        how = f"ended with exit code {code}"
    elif -code in set(signal.Signals):
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        how = f"was killed by signal {-code}"
    return f"its worker on {words['host']} {how} after {words['seconds']:.1f} s"


def noted(error: BaseException, note: str) -> BaseException:
    error.add_note(f"pypool: {note}")
    return error
