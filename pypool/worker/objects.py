"""A worker's objects: functions and what items have in common, from files named by content.

A function is loaded once, as long as it is among the last ones used, and its large buffers are
mapped: all workers of a node have them in memory once. Such a file may be removed and written anew
while nobody needs it, so it is looked whether it is still the same one when a batch needs it again.

A function that comes by value brings the globals that it reads. If another one has brought others
since, it is loaded again: it is to find its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from pypool import packing, pickling
from pypool.rundir import names, objects
from pypool.rundir.batch import BatchDamaged
from pypool.rundir.objects import ObjectDamaged
from pypool.rundir.run import RunDirectory
from pypool.worker.borrowed import Borrowed
from pypool.worker.trouble import disk_trouble, intact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FUNCTIONS_KEPT = 8
FILES_KEPT = 8


class ObjectFile:
    """An open file with one object.

    Attributes
    ----------
    head : bytes
        The packed object without its large buffers.
    code : bytes or None
        What belongs to it if it is a function.
    """

    def __init__(self, run: RunDirectory, digest: bytes) -> None:
        self.fd = above_standard(run.open_file(names.function(digest.hex()), os.O_RDONLY))
        try:
            self.head, self.code = objects.read(self.fd, run.mark)
        except BaseException:
            self.close()
            raise
        found = os.fstat(self.fd)
        self.identity = found.st_dev, found.st_ino
        if packing.is_plain(self.head):
            self.close()  # there is nothing more in it

    def loads(self, borrowed: Borrowed) -> Any:
        """The object, made anew, with what memory it needs of the file.

        Raises
        ------
        BatchDamaged, DiskTrouble
        """
        with intact():
            return packing.loads(self.head, borrowed.fetch(self.fd, 0, owner=self))

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Loaded:
    """A function, as it was loaded.

    Attributes
    ----------
    identity : tuple of int or None
        Of the file that it has mapped; None if it does not need it any more.
    changes : int or None
        Of `__main__` before it was ready; None if it brings nothing there.
    code : bytes
        What belongs to it.
    """

    __slots__ = ("changes", "code", "function", "identity")

    def __init__(
        self,
        function: Callable[..., Any],
        identity: tuple[int, int] | None,
        changes: int | None,
        code: bytes,
    ) -> None:
        self.function = function
        self.identity = identity
        self.changes = changes
        self.code = code


class Objects:
    """See the module.

    Parameters
    ----------
    known : dict of bytes to ObjectFile
        What is open already, by digest.
    """

    def __init__(self, run: RunDirectory, known: dict[bytes, ObjectFile]) -> None:
        self._run = run
        self._files = dict(known)
        self._functions: dict[bytes, Loaded] = {}
        self._looked_at: dict[bytes, int] = {}

    def file(self, digest: bytes) -> ObjectFile:
        """The file of that object.

        Raises
        ------
        BatchDamaged, DiskTrouble
        """
        found = self._files.pop(digest, None)
        if found is None:
            try:
                with disk_trouble():
                    found = ObjectFile(self._run, digest)
            except ObjectDamaged as error:
                raise BatchDamaged(f"the pickled object {digest.hex()}: {error}") from error
        self._files[digest] = found
        if len(self._files) > FILES_KEPT:
            self._files.pop(next(iter(self._files))).close()
        return found

    def function(self, digest: bytes, batch: int) -> tuple[Callable[..., Any], bytes | None]:
        """The function, for that batch; and what belongs to it, if it has been loaded just now.

        Raises
        ------
        BatchDamaged, DiskTrouble
        """
        loaded = self._functions.pop(digest, None)
        if loaded is not None and not self._holds(digest, batch, loaded):
            loaded = None
        code = None
        if loaded is None:
            loaded = self._load(digest)
            code = loaded.code
        self._looked_at[digest] = batch
        self._functions[digest] = loaded
        if len(self._functions) > FUNCTIONS_KEPT:
            oldest = next(iter(self._functions))
            del self._functions[oldest], self._looked_at[oldest]
        return loaded.function, code

    def _holds(self, digest: bytes, batch: int, loaded: Loaded) -> bool:
        """Whether the function is still what a load would give."""
        if loaded.changes not in (None, pickling.changes_of_main()):
            return False
        if loaded.identity is None or self._looked_at.get(digest) == batch:
            return True
        with disk_trouble():
            fd = self._run.open_file(names.function(digest.hex()), os.O_RDONLY)
            found = os.fstat(fd)
            os.close(fd)
        return loaded.identity == (found.st_dev, found.st_ino)

    def forget(self, digest: bytes) -> None:
        """The function is to be loaded again, and its code compared."""
        del self._functions[digest], self._looked_at[digest]

    def _load(self, digest: bytes) -> Loaded:
        file = self.file(digest)
        del self._files[digest]  # once it has been loaded nobody needs it, and else it may change
        try:
            if file.code is None:  # it is always written with it
                raise BatchDamaged(f"what belongs to the function {digest.hex()} is not whole")
            borrowed = Borrowed()
            function = file.loads(borrowed)
        finally:
            file.close()
        identity = file.identity if borrowed.has_mappings else None
        changes = pickling.changes_of_main() if pickling.is_by_value(file.head) else None
        return Loaded(function, identity, changes, file.code)


def above_standard(fd: int) -> int:
    """The same file with a descriptor above 2.

    After a task has closed 0, 1 or 2, the next file gets that number: what the next task prints
    would go there, and what it closes as its output would be ours.
    """
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)
