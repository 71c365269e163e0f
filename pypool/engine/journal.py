"""The journal of a run: lives, submissions, and what was done with each task.

It is what later readers go by: nothing is read back while the run goes on. Only a submission is
made sure of at once, before its command is run.
"""

import os
import socket
import time

from pypool.rundir import names, records
from pypool.rundir.mailbox import FileWriter
from pypool.rundir.messages import ENTRY_SIZE, pack
from pypool.rundir.run import RunDirectory

FLUSH_SECONDS = 1.0


class Journal:
    """Appends; tasks are written in groups, once a second."""

    def __init__(self, run: RunDirectory, now: float) -> None:
        self._file = FileWriter(run.open_file, names.JOURNAL, run.mark)
        self._tasks: dict[int, list[bytes]] = {}
        self._due = now + FLUSH_SECONDS
        life = {"host": socket.gethostname(), "pid": os.getpid(), "start": time.time()}
        self._file.put(records.LIFE, pack(life), key=1)

    def submitting(self, token: str, elements: int) -> None:
        """What is about to be asked for: on disk before the scheduler hears of it."""
        words = {"token": token, "elements": elements, "time": time.time()}
        self._file.put(records.SUBMITTING, pack(words))
        self._file.flush(sync=True)

    def submitted(self, token: str, job: str) -> None:
        self._file.put(records.SUBMITTED, pack({"token": token, "job": job}))
        self._file.flush(sync=True)

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

    def _put_tasks(self) -> None:
        at_once = records.PAYLOAD_LIMIT // ENTRY_SIZE
        for batch, heads in self._tasks.items():
            for start in range(0, len(heads), at_once):
                self._file.put(records.TASKS, b"".join(heads[start : start + at_once]), key=batch)
        self._tasks.clear()
