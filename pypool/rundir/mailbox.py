"""Mailboxes: records over a file that only grows, or over a pipe.

A mailbox has one writer and one reader. On disk a writer opens, writes at its own offset and
closes, for close is what publishes on network file systems; a reader opens, reads what
is new and closes, for files kept open were seen to lag by seconds. Nobody else is asked, locked
or listed. A writer that finds its file longer or shorter than it left it has been taken over by
a later life, and stops.
"""

from __future__ import annotations

import errno
import os

from pypool.rundir import names, records
from pypool.rundir.trouble import naming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pypool.rundir.records import Record

    Opener = Callable[[str, int], int]
    """Opens a name of the run directory with the given flags and gives a file descriptor."""

READ_LIMIT = 8 << 20
WRITE_LIMIT = 128 << 10
PIECE = 64 << 10
"""Read without a look at how much there is. For more, memory would be mapped each time."""

AT_ONCE = 64
"""Pieces that are written to a pipe by one call."""


class TakenOver(Exception):
    """Somebody else has written to a file that was ours: a later life of the driver."""


class FileWriter:
    """Appends records to one file of the run directory.

    Parameters
    ----------
    opener : callable
        Opens names relative to the run directory.
    name : str
        The file, which exists.
    mark : bytes
        The run's magic.
    life : int
        Goes into every record.
    offset : int
        How long the file is now.
    """

    def __init__(
        self, opener: Opener, name: str, mark: bytes, life: int = 1, offset: int = 0
    ) -> None:
        self.name = name
        self.offset = offset
        self._open = opener
        self._mark = mark
        self._life = life
        self._waiting: list[bytes] = []
        self._tried = b""
        self._begun = False

    @classmethod
    def resume(cls, opener: Opener, name: str, mark: bytes, life: int) -> FileWriter:
        """Takes the file over: cuts it behind its last whole record and begins `life` there."""
        reader = FileReader(opener, name, mark)
        before = -1
        while reader.offset > before:  # a read may go on and yet find nothing
            before = reader.offset
            reader.read()
        fd = opener(name, os.O_WRONLY)
        try:
            os.ftruncate(fd, reader.offset)
        finally:
            os.close(fd)
        writer = cls(opener, name, mark, life, reader.offset)
        writer.put(records.LIFE, key=life)
        writer.flush()
        return writer

    @property
    def waiting(self) -> int:
        """Bytes that were put and are not yet in the file."""
        return len(self._tried) + sum(map(len, self._waiting))

    @property
    def has_tried(self) -> bool:
        """What is waiting, or part of it, may have arrived all the same."""
        return self._begun

    def put(self, kind: int, payload: bytes = b"", key: int = 0) -> None:
        """Lays a record by for the next `flush`."""
        self._waiting.append(records.frame(self._mark, kind, payload, key, self._life))

    def flush(self, sync: bool = False) -> None:
        """Brings everything that was put into the file, in writes of at most 128 KiB.

        Raises
        ------
        OSError
            If the disk does not take it. What was being written is kept and goes to the same
            place at the next call.
        TakenOver
            If the file is not as long as this writer left it.
        """
        while self._tried or self._waiting:
            if not self._tried:
                self._tried = self._next_group()
            self._append(self._tried, sync)
            self.offset += len(self._tried)
            self._tried = b""
            self._begun = False

    def _next_group(self) -> bytes:
        size = count = 0
        for waiting in self._waiting:
            if count and size + len(waiting) > WRITE_LIMIT:
                break
            size += len(waiting)
            count += 1
        group = b"".join(self._waiting[:count])
        del self._waiting[:count]
        return group

    def _append(self, group: bytes, sync: bool) -> None:
        naming(self.name, lambda: self._try_to_append(group, sync))

    def _try_to_append(self, group: bytes, sync: bool) -> None:
        fd = self._open(self.name, os.O_RDWR)
        try:
            self._check_ours(fd, group if self._begun else b"")
            self._begun = True
            written = os.pwrite(fd, group, self.offset)
            if written != len(group):
                raise OSError(errno.ENOSPC, f"took {written} of {len(group)} bytes", self.name)
            if sync:
                os.fsync(fd)
        except BaseException:
            try:
                os.close(fd)
            except OSError:
                pass
            raise
        os.close(fd)

    def _check_ours(self, fd: int, tried: bytes) -> None:
        """The file is as long as we left it, or holds part of what we tried to write in vain.

        Zeros may stand for what did not arrive. A later life's record is told by its first bytes:
        life numbers grow, so one of their two bytes is neither ours nor zero.
        """
        size = os.fstat(fd).st_size
        if size == self.offset:
            return
        if self.offset < size <= self.offset + len(tried):
            behind = os.pread(fd, size - self.offset, self.offset)
            if all(byte in (0, ours) for byte, ours in zip(behind, tried, strict=False)):
                return
        raise TakenOver(
            f"{self.name} has {size} bytes where this writer left {self.offset}: "
            "another driver has taken this run over"
        )


class FileReader:
    """Reads the records of one file as they come.

    Attributes
    ----------
    offset : int
        Bytes of the file that are done with.
    scanner : Scanner
        Counts what was damaged.
    """

    def __init__(self, opener: Opener, name: str, mark: bytes) -> None:
        self.name = name
        self.offset = 0
        self.scanner = records.Scanner(mark)
        self._open = opener

    def read(self) -> list[Record]:
        """Whole records that were not there at the last call; at most 8 MiB of them."""
        data = self._new_bytes()
        if not data:
            return []
        found, done = self.scanner.scan(data)
        if not done and len(data) == READ_LIMIT:
            # no frame is as long as this: nothing in it can become one
            done = READ_LIMIT - WRITE_LIMIT
            self.scanner.pass_over(done)
        self.offset += done
        return found

    def _new_bytes(self) -> bytes:
        return naming(self.name, self._try_to_read)

    def _try_to_read(self) -> bytes:
        fd = self._open(self.name, os.O_RDONLY)
        try:
            data = os.pread(fd, PIECE, self.offset)  # as a rule that is all
            if len(data) < PIECE:
                return data
            return data + os.pread(fd, READ_LIMIT - PIECE, self.offset + PIECE)
        finally:
            os.close(fd)


class OutboxWriter:
    """A file that goes on in a next part once it has grown to `limit` bytes."""

    def __init__(
        self, opener: Opener, element: str, mark: bytes, limit: int = names.PART_LIMIT
    ) -> None:
        self._open = opener
        self._element = element
        self._mark = mark
        self._limit = limit
        self.part = 1
        self._file = FileWriter(opener, names.outbox(element, 1), mark)
        self._ended: FileWriter | None = None

    @property
    def waiting(self) -> int:
        return self._file.waiting + (self._ended.waiting if self._ended else 0)

    def put(self, kind: int, payload: bytes = b"", key: int = 0) -> None:
        self._file.put(kind, payload, key)

    def flush(self, sync: bool = False) -> None:
        self._end_part()
        self._file.flush(sync)
        if self._file.offset >= self._limit:
            self._next_part()
            self._end_part()

    def _next_part(self) -> None:
        """The next part exists before anybody is told of it."""
        name = names.outbox(self._element, self.part + 1)
        os.close(self._open(name, os.O_WRONLY | os.O_CREAT))
        self.part += 1
        self._file.put(records.CONTINUED, key=self.part)
        self._ended = self._file
        self._file = FileWriter(self._open, name, self._mark)

    def _end_part(self) -> None:
        """Writes the last record of the part before; until that is there, nothing behind it.

        If the disk reported an error, though the record had arrived, a reader may have read the
        part to its end and removed it by now.
        """
        if self._ended:
            try:
                self._ended.flush()
            except FileNotFoundError:
                if not self._ended.has_tried:
                    raise
            self._ended = None


class OutboxReader:
    """Reads an outbox through all its parts.

    Attributes
    ----------
    part : int
        The part being read; those below it have been read to their end.
    """

    def __init__(self, opener: Opener, element: str, mark: bytes) -> None:
        self._open = opener
        self._element = element
        self.part = 1
        self._file = FileReader(opener, names.outbox(element, 1), mark)
        self.scanner = self._file.scanner

    @property
    def name(self) -> str:
        """The part that is being read."""
        return self._file.name

    @property
    def position(self) -> tuple[int, int]:
        """Part and offset up to which everything has been read."""
        return self.part, self._file.offset

    def read(self) -> list[Record]:
        found = self._file.read()
        while found and found[-1].kind == records.CONTINUED:
            part = found.pop().key
            if part != self.part + 1:  # or it might be read in circles
                self.scanner.pass_over(records.HEADER_SIZE)
                break
            self.part = part
            self._file.name = names.outbox(self._element, self.part)
            self._file.offset = 0
            try:
                found += self._file.read()
            except OSError:
                if not found:
                    raise
                # what was found has been taken out of its file; the next call meets the error
        return found


class PipeWriter:
    """Puts records into a pipe and never waits for the reader."""

    def __init__(self, fd: int, mark: bytes) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.waiting = 0  # bytes that the pipe has not taken yet
        self._mark = mark
        self._pieces: list[bytes | memoryview] = []

    def put(self, kind: int, payload: bytes = b"", key: int = 0) -> None:
        """Of a pipe nothing is lost: nobody looks for frames within a payload."""
        head = records.mailed_header(self._mark, kind, payload, key)
        self._pieces += (head, payload) if payload else (head,)
        self.waiting += len(head) + len(payload)

    def flush(self, sync: bool = False) -> None:
        """Gives the pipe what it takes now; the rest waits for the next call."""
        while self._pieces:
            try:
                written = os.writev(self.fd, self._pieces[:AT_ONCE])
            except BlockingIOError:
                return
            self.waiting -= written
            done = 0
            while done < len(self._pieces) and written >= len(self._pieces[done]):
                written -= len(self._pieces[done])
                done += 1
            del self._pieces[:done]
            if written:
                self._pieces[0] = memoryview(self._pieces[0])[written:]


class PipeReader:
    """Takes records out of a pipe.

    Attributes
    ----------
    ended : bool
        The writer is gone and everything has been read.
    """

    def __init__(self, fd: int, mark: bytes) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.ended = False
        self.scanner = records.Scanner(mark)
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = 0

    def read(self) -> list[Record]:
        """Whole records that have come since the last call."""
        while True:
            try:
                piece = os.read(self.fd, PIECE)
            except BlockingIOError:
                break
            if not piece:
                self.ended = True
                break
            self._pieces.append(piece)
            self._size += len(piece)
            if len(piece) < PIECE:
                break
        if not self._size or self._size < self._needed:
            return []
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        found, done = self.scanner.scan(data, from_pipe=True)
        left = data[done:]
        self._pieces = [left] if left else []
        self._size = len(left)
        self._needed = records.HEADER_SIZE + (self.scanner.length_at(left) or 0)
        return found
