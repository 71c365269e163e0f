"""What an agent does ahead, so that none of its workers has to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from pypool.rundir import names
from pypool.rundir.batch import BatchDamaged, BatchReader
from pypool.rundir.objects import ObjectDamaged
from pypool.rundir.run import RunDirectory
from pypool.worker.objects import ObjectFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pypool.rundir.messages import Share
    from pypool.worker.slots import Held

FUNCTIONS = 2
"""So many are kept for workers to come."""


class Ahead:
    """For workers that live for some chunks only: many of them will be forked.

    The agent does not unpickle functions, it keeps their files open and what lies in them.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._many = run.info["chunks_per_worker"] is not None
        self._functions: dict[bytes, ObjectFile] = {}
        self._last: tuple[int, bytes] = 0, b""

    def load(self) -> None:
        """Imports what workers need for code that comes by value."""
        with suppress(ImportError):  # then they say it
            import pypool.by_value  # noqa: F401

    def functions(self, held: Mapping[int, Held]) -> dict[bytes, ObjectFile]:
        """Those that the next worker need not read, by digest: above all that of its tasks."""
        if self._many and held:
            with suppress(OSError, BatchDamaged, ObjectDamaged):  # the worker will say it
                self._read(next(iter(held.values())).share)
        return self._functions

    def _read(self, share: Share) -> None:
        number, digest = self._last
        if number != share.batch:
            digest = self._digest_of(share)
            self._last = share.batch, digest
        if digest in self._functions:
            return
        self._functions[digest] = ObjectFile(self._run, digest)
        if len(self._functions) > FUNCTIONS:
            self._functions.pop(next(iter(self._functions))).close()

    def _digest_of(self, share: Share) -> bytes:
        fd = self._run.open_file(names.batches(share.file), os.O_RDONLY)
        try:
            reader = BatchReader(fd, self._run.mark, share.batch, share.offset)
            return bytes(reader.digest)
        finally:
            os.close(fd)


def adopt_authkey(key: bytes) -> None:
    """Lets workers speak to managers of the driver's program, as `multiprocessing`'s own do."""
    from multiprocessing import current_process

    current_process().authkey = key
