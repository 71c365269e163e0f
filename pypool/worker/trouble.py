"""What may go wrong with a worker's files, and is no fault of its task."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pypool.packing import PackingDamaged
from pypool.rundir.batch import BatchDamaged

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""It may be this process that has used up what there is."""


class DiskTrouble(Exception):
    """A file of the run could not be read or written; `code` is the errno."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.code = error.errno


@contextmanager
def disk_trouble() -> Iterator[None]:
    """Whatever the disk says in here."""
    try:
        yield
    except OSError as error:
        raise DiskTrouble(error) from error


@contextmanager
def intact() -> Iterator[None]:
    """What is not what was written may be so later."""
    try:
        yield
    except PackingDamaged as error:
        raise BatchDamaged(str(error)) from error
