"""The journal of a run: lives, submissions, batches, and what was done with each task.

It is what later readers go by: nothing is read back while the run goes on. Only a submission is
made sure of at once, before its command is run, and in a named run each batch, before it is dealt.
"""

import os
import socket
import time
from typing import Any

from pypool.engine.calls import Batch
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileWriter
from pypool.rundir.messages import ENTRY_SIZE, Share, pack
from pypool.rundir.run import RunDirectory

FLUSH_SECONDS = 1.0
PARTS_AT_ONCE = 2000
DIGEST_SIZE = 16
"""Bytes by which a task of a named run is known; all zero if it is known by nothing."""


class Journal:
    """Appends; tasks are written in groups, once a second."""

    def __init__(self, run: RunDirectory, now: float) -> None:
        self._opened: list[tuple[int, dict[str, Any], list[list[int]]]] = []
        self._tasks: dict[int, list[bytes]] = {}
        self._due = now + FLUSH_SECONDS
        self._named = run.named
        if run.life == 1:
            self._file = FileWriter(run.open_file, names.JOURNAL, run.mark)
        else:
            self._file = FileWriter.resume(run.open_file, names.JOURNAL, run.mark, run.life)
        life = {"host": socket.gethostname(), "pid": os.getpid(), "start": time.time()}
        self._file.put(records.LIFE, pack(life), key=run.life)
        if self._named:
            self._file.flush(sync=True)

    def submitting(self, token: str, elements: int, need: tuple[int, int] = (0, 0)) -> None:
        """What is about to be asked for: on disk before the scheduler hears of it."""
        words = {"token": token, "elements": elements, "need": need, "time": time.time()}
        self._put_opened()
        self._file.put(records.SUBMITTING, pack(words))
        self._file.flush(sync=True)

    def submitted(self, token: str, job: str) -> None:
        self._file.put(records.SUBMITTED, pack({"token": token, "job": job}))
        self._file.flush(sync=True)

    def opened(self, batch: Batch, share: Share) -> None:
        """A batch that is on disk: where it lies, and of which calls its tasks are."""
        call = batch.call
        words = {
            "file": share.file,
            "offset": share.offset,
            "count": batch.count,
            "chunk": call.chunk,
            "function": call.name,
            "digest": call.digest.hex(),
        }
        parts = [[part.start, part.call.number, part.first] for part in batch.parts]
        self._opened.append((batch.number, words, parts))
        if not self._named:
            return  # nobody is in a hurry to read it, and somebody is to be dealt the batch
        self._put_opened()
        at_once = records.PAYLOAD_LIMIT // DIGEST_SIZE
        for first in range(0, len(batch.digests), at_once):
            digests = batch.digests[first : first + at_once]
            padded = b"".join(each.ljust(DIGEST_SIZE, b"\0") for each in digests)
            self._file.put(records.DIGESTS, padded, key=batch.number)
        self._file.flush()

    def tasks(self, batch: int, heads: list[bytes]) -> None:
        """Heads of the entries of tasks that have an answer."""
        self._tasks.setdefault(batch, []).extend(heads)

    def ended(self, how: str) -> None:
        self._put_tasks()
        self._file.put(records.ENDED, pack({"how": how, "time": time.time()}))
        self._file.flush(sync=True)

    def flush_if_due(self, now: float) -> None:
        if now >= self._due and self._tasks:
            self._put_tasks()
            self._file.flush()
        if now >= self._due:
            self._due = now + FLUSH_SECONDS

    def _put_opened(self) -> None:
        for number, words, parts in self._opened:
            for first in range(0, len(parts), PARTS_AT_ONCE):
                behind = parts[first + PARTS_AT_ONCE : first + PARTS_AT_ONCE + 1]
                words["parts"] = parts[first : first + PARTS_AT_ONCE]
                words["to"] = behind[0][0] if behind else words["count"]
                self._file.put(records.OPENED, pack(words), key=number)
        self._opened.clear()

    def _put_tasks(self) -> None:
        self._put_opened()
        at_once = records.PAYLOAD_LIMIT // ENTRY_SIZE
        for batch, heads in self._tasks.items():
            for start in range(0, len(heads), at_once):
                self._file.put(records.TASKS, b"".join(heads[start : start + at_once]), key=batch)
        self._tasks.clear()
