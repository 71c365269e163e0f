"""A look at a run from outside, while it lives or after its end: counts and results.

Only what lies in the run directory is read, and nothing is written: neither its driver nor its
agents notice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pypool.engine.calls import Call
from pypool.engine.outcomes import Outcomes
from pypool.engine.runs.named import COMPLETE
from pypool.engine.runs.recovery import OldBatch, OldCall, read_run
from pypool.errors import NoResultError
from pypool.rundir import names, records
from pypool.rundir.batch import MAP
from pypool.rundir.mailbox import FileReader
from pypool.rundir.messages import ERROR, UNPICKLABLE, outcomes
from pypool.rundir.run import RunDirectory, check_parents, unusable

READ_AGAIN = 1.0
"""So old may be what was read of a run that has not ended."""

READ_SHARE = 10.0
"""A run that takes long to be read is read so many times that later."""

OVER = ("close", "done", "terminate")
"""How a life ends after which nobody works at the run."""


class Status(NamedTuple):
    """How far a run is.

    Attributes
    ----------
    calls, tasks : int
        What the program has asked for so far.
    done : int
        Tasks that have returned or raised.
    failed : int
        Of those, the ones that raised.
    lives : int
        How often a program has begun on the run.
    ended : str
        How the last one ended: "close", "terminate", "detach"; empty if it has not, or was killed.
    """

    calls: int
    tasks: int
    done: int
    failed: int
    lives: int
    ended: str


def attach(path: str | os.PathLike[str]) -> AttachedRun:
    """Looks at a run, live or ended.

    Parameters
    ----------
    path : path
        The run directory.

    Returns
    -------
    AttachedRun
        With `calls`, a mapping from the numbers of calls, counted from 1, to what is known of
        them; ``run.calls[k][i]`` is the result of task `i`, and ``run[i]`` the same if there is
        one call. `status` gives counts.

    Raises
    ------
    RunDirectoryError
        If it is no run, or not yours.

    Notes
    -----
    Results are there while their part of the run is: always in a named run that can be resumed,
    and with ``keep="all"``.
    """
    run = RunDirectory.open(os.fspath(Path(path).expanduser()))
    try:
        check_parents(run.path)
        return AttachedRun(run)
    except BaseException:
        run.close()
        raise


class AttachedRun:
    """A run as it is seen from outside; see `attach`."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._run.keeps = True  # who reads a result here does not remove it
        self._outcomes = Outcomes(run)
        self._read()

    @property
    def path(self) -> str:
        """The run directory."""
        return self._run.path

    @property
    def calls(self) -> Mapping[int, AttachedCall]:
        """The calls, by their numbers."""
        self._read_again()
        return {number: AttachedCall(self, number) for number in sorted(self._old.calls)}

    def status(self) -> Status:
        """Counts of calls and tasks."""
        calls = self.calls.values()
        return Status(
            len(calls),
            sum(map(len, calls)),
            sum(call.done for call in calls),
            sum(call.failed for call in calls),
            self._old.lives,
            self._old.ended,
        )

    def __len__(self) -> int:
        return len(self._only_call("len(run.calls[k])"))

    def __getitem__(self, index: int) -> Any:
        return self._only_call(f"run.calls[k][{index}]")[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._only_call("run.calls[k]"))

    def close(self) -> None:
        """Lets go of the directory."""
        self._run.close()

    def __enter__(self) -> AttachedRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        told = self.status()
        return (
            f"<pypool run {self.path}: {told.calls} calls, {told.tasks} tasks, {told.done} done, "
            f"{told.failed} failed>"
        )

    def _only_call(self, instead: str) -> AttachedCall:
        calls = self.calls
        if len(calls) == 1:
            return next(iter(calls.values()))
        numbers = ", ".join(map(str, list(calls)[:8])) + (", ..." if len(calls) > 8 else "")
        what = f"{len(calls)} calls: take {instead} with k of {numbers}" if calls else "no call yet"
        raise NoResultError(f"{self.path} has {what}.")

    def _read(self) -> None:
        """All that there is on disk."""
        began = time.monotonic()
        try:
            self._heads = _heads(self._run)  # before: what they tell of is in a mailbox, or removed
            self._old = read_run(self._run)
        except OSError as error:
            raise unusable(self.path, error) from error
        now = time.monotonic()
        self._next_at = now + max(READ_AGAIN, READ_SHARE * (now - began))

    def _read_again(self) -> bool:
        """If there may be news."""
        if self._old.ended in OVER or time.monotonic() < self._next_at:
            return False
        self._read()
        return True


class AttachedCall:
    """A call of a method of the pool, and its results as far as they are there.

    Attributes
    ----------
    number : int
        The first call of a program is 1.
    """

    def __init__(self, run: AttachedRun, number: int) -> None:
        self._attached = run
        self.number = number

    @property
    def name(self) -> str:
        """What its function is called."""
        return self._call.function

    @property
    def done(self) -> int:
        """How many tasks have returned or raised."""
        return sum(outcome is not None for outcome in self._outcomes())

    @property
    def failed(self) -> int:
        """How many tasks have raised."""
        return sum(outcome in (ERROR, UNPICKLABLE) for outcome in self._outcomes())

    def __len__(self) -> int:
        return len(self._call)

    def __getitem__(self, index: int) -> Any:
        """The result of a task; what it raised is raised.

        Raises
        ------
        IndexError
            If there is no such task.
        NoResultError
            If its result is not there yet, or there no more.
        """
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"call {self.number} has {count} tasks, there is no task {index}")
        index %= count
        success, value = self._find(index)
        if success:
            return value
        raise value

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"<call {self.number} ({self.name}): {len(self)} tasks, {self.done} done, "
            f"{self.failed} failed>"
        )

    @property
    def _call(self) -> OldCall:
        return self._attached._old.calls[self.number]

    def _outcomes(self) -> Iterator[int | None]:
        """What became of each task; None of one of which nobody has said anything."""
        heads = self._attached._heads
        for index in range(len(self)):
            found = self._call.find(index)
            yield None if found is None else _outcome(heads, *found)

    def _find(self, index: int) -> tuple[bool, Any]:
        attached = self._attached
        call = Call(MAP, b"", b"", self.name, 0, _Nobody(), number=self.number)
        while True:
            found = self._call.find(index)
            answer = found and found[0].answers.get(found[1])
            if answer:
                return attached._outcomes.decode(answer, answer.entry, call, index)
            if not attached._read_again():
                break
        what = f"{call.task(index)} in {attached.path}"
        if found and _outcome(attached._heads, *found) is not None:
            keep = attached._run.info.get("keep")
            if keep == "all" or (attached._run.named and attached._old.ended != COMPLETE):
                raise NoResultError(
                    f"{what} is done, but its result cannot be read: what its agent has written "
                    "is damaged or gone."
                )
            raise NoResultError(
                f"{what} is done, but its result was removed when the program had it "
                f'(keep="{keep}"). keep="all" would have kept it.'
            )
        why = "The program has ended." if attached._old.ended else "It may come yet."
        raise NoResultError(f"{what} has no result. {why}")


class _Nobody:
    """Waits for nothing."""

    def set_item(self, index: int, success: bool, value: Any) -> None: ...

    def set_items(self, first: int, values: list[Any]) -> None: ...

    def fail(self, error: BaseException, quietly: bool = False) -> None: ...


def _outcome(heads: dict[int, dict[int, int]], batch: OldBatch, task: int) -> int | None:
    answer = batch.answers.get(task)
    return heads.get(batch.number, {}).get(task) if answer is None else answer.entry.outcome


def _heads(run: RunDirectory) -> dict[int, dict[int, int]]:
    """What the journal says of tasks that were answered: their outcomes, by batch and task."""
    found: dict[int, dict[int, int]] = {}
    reader = FileReader(run.open_file, names.JOURNAL, run.mark)
    before = -1
    while before != reader.offset:  # a read takes some MiB
        before = reader.offset
        for record in reader.read():
            if record.kind == records.TASKS:
                found.setdefault(record.key, {}).update(outcomes(record.payload))
    return found
