"""The run directory: made, opened, and reached through one descriptor.

It is a real directory of ours with mode 0700. It is opened once and checked by its descriptor;
everything in it is opened relative to that, without following links, and used only if it is a
regular file of the same owner without a second name.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from pypool.rundir import names, records
from pypool.rundir.trouble import naming
from pypool.words import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from pypool.errors import RunDirectoryError
    from pypool.packing import Buffer

ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A FIFO is not waited for: what was opened is looked at before it is used."""

INFO_LIMIT = 16 << 20
"""`run.json` is never so long."""


def check_parents(path: str) -> None:
    """Refuses a path below a directory in which anybody may rename it away.

    Raises
    ------
    RunDirectoryError
        If a directory at or above `path` can be written by everybody and has no sticky bit.
    """
    path = os.path.realpath(path)
    while True:
        mode = os.stat(path).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise refusal(
                f"{path} can be written by everybody and has no sticky bit "
                f"(mode {stat.S_IMODE(mode):04o}), so anybody could replace what pypool unpickles "
                f"below it. Take the right away (chmod o-w {path}) or choose another work_dir."
            )
        if path == os.path.dirname(path):
            return
        path = os.path.dirname(path)


def prepare_work_dir(work_dir: str) -> None:
    """Makes the work directory if only it is missing, and checks that runs may lie in it.

    Raises
    ------
    RunDirectoryError
        If its parent is missing, if it is not a directory, if it cannot be written, or if
        everybody may write to it or above it.
    """
    try:
        check_parents(os.path.dirname(work_dir))
        os.mkdir(work_dir, 0o700)
        os.chmod(work_dir, 0o700)  # a umask may take rights from its owner
    except FileExistsError:
        if not os.path.isdir(work_dir):
            raise refusal(
                f"work_dir {work_dir} is not a directory. Give one that compute nodes share."
            ) from None
    except FileNotFoundError:
        raise refusal(
            f"work_dir {work_dir} cannot be made: {os.path.dirname(work_dir)} does not exist. "
            "Make it first, or correct the path."
        ) from None
    except OSError as error:
        raise refusal(f"work_dir {work_dir} cannot be made: {error.strerror}.") from error
    try:
        check_parents(work_dir)
    except OSError as error:
        raise unusable(work_dir, error) from error
    if not os.access(work_dir, os.W_OK | os.X_OK):
        raise refusal(f"work_dir {work_dir} cannot be written by this user.")


def stamp() -> str:
    """What tells runs apart."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"


def is_run_name(name: str) -> bool:
    """Whether a directory of this name may be a run without a name, or a named one set aside."""
    import re  # this and what else is not at the top: an agent says hello before it is loaded

    return re.fullmatch(r"(?:[A-Za-z][\w.-]*\.)?\d{8}-\d{6}-[0-9a-f]{8}", name) is not None


class RunDirectory:
    """One run's directory, open.

    Attributes
    ----------
    path : str
        Absolute.
    info : dict
        What `run.json` holds.
    mark : bytes
        The magic of this run's records.
    keeps : bool
        No file is removed one by one.
    life : int
        Of the driver that has opened it, or of the one that asked for the element which serves it.
    patience : callable or None
        Asked when a file cannot be opened: waits until it is to be tried again, or raises. It gets
        the error and what it gave the last time for this file, at first None.
    """

    keeps = False
    patience: Callable[..., float] | None = None
    _umask_is_strict = False
    life = 1

    def __init__(self, path: str, fd: int, info: dict[str, Any]) -> None:
        self.path = path
        self.info = info
        self.mark = records.magic(bytes.fromhex(info["nonce"]))
        self._fd = fd
        self._owner = os.fstat(fd).st_uid

    @property
    def named(self) -> bool:
        """It outlives its driver, and can be resumed."""
        return self.info.get("name") is not None

    @classmethod
    def create(
        cls, work_dir: str, info: dict[str, Any], prefix: str = "", name: str | None = None
    ) -> RunDirectory:
        """Makes a new run in `work_dir`, with all that is there before the first element.

        Raises
        ------
        FileExistsError
            If there is something with that `name`.
        RunDirectoryError
            If it cannot be made.
        """
        nonce = os.urandom(5).hex()
        path = os.path.join(work_dir, f"{prefix or (f'{name}.' if name else '')}{stamp()}")
        run = None
        try:
            os.mkdir(path, 0o700)
            strict = os.lstat(path).st_mode & 0o700 != 0o700
            os.chmod(path, 0o700)  # a umask may take rights from its owner
            run = cls(path, _open_ours(path), {"format": names.FORMAT, "nonce": nonce} | info)
            run._umask_is_strict = strict
            for part in (names.FUNCTIONS, names.BATCHES, names.ELEMENTS, names.SCHEDULER):
                run.make_directory(part)
            for part in (names.DRIVER, names.JOURNAL):
                run.make_file(part)
            run._write_info(names.RUN_INFO)
            if name is not None:  # under its name it is whole from the first moment on
                run.path = os.path.join(work_dir, name)
                os.rename(path, run.path)
        except OSError as error:
            if run:
                run.path = path
                run.remove_tree("")
                run.close()
            if name is not None and os.path.lexists(os.path.join(work_dir, name)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
            raise unusable(path, error) from error
        return run

    @classmethod
    def open(cls, path: str, life: int = 1) -> RunDirectory:
        """Opens a run that somebody else made, as the driver of that life has described it.

        Raises
        ------
        RunDirectoryError
            If it is not ours, open to others, or of another format; or if what should be a
            directory in it is something else.
        """
        path = os.path.abspath(path)  # with a slash at its end a link would be followed
        fd = _open_ours(path)
        try:
            run = cls(path, fd, {"nonce": ""})
            info = unpack(run.read(names.run_info(life), 0, INFO_LIMIT))
            if info["format"] == names.FORMAT:
                run = cls(path, fd, info)
        except (OSError, ValueError, LookupError, TypeError) as error:
            _close(fd)
            raise refusal(f"{path}/{names.RUN_INFO} cannot be read: {error}") from error
        if run.info is not info:
            _close(fd)
            raise refusal(f"{path} has format {info['format']}, this pypool reads {names.FORMAT}.")
        try:
            for name in (names.FUNCTIONS, names.BATCHES, names.ELEMENTS, names.SCHEDULER):
                run.check_directory(name)
        except OSError as error:
            _close(fd)
            raise unusable(path, error) from error
        return run

    def begin_life(self, life: int, info: dict[str, Any]) -> None:
        """This process is its driver from now on, and says what agents need to know of it."""
        self.life = life
        self.info = {key: self.info[key] for key in ("format", "nonce")} | info
        self._unlink(names.run_info(life))  # of a driver that died before it was heard of
        self._write_info(names.run_info(life))

    def _write_info(self, name: str) -> None:
        import json

        self.write(name, [json.dumps(self.info, indent=1).encode()], sync=True)

    def open_file(self, name: str, flags: int) -> int:
        """A descriptor of the file; new files get mode 0600.

        Raises
        ------
        OSError
            Also if what is there is no regular file, belongs to somebody else, or has a second
            name. Nothing is read from it or written to it then, and nobody waits.
        """
        fd = self._open_patiently(name, flags & ~os.O_TRUNC)
        try:
            self._check_file(name, found := os.fstat(fd))
            os.set_blocking(fd, True)  # tasks may inherit it
            if flags & os.O_CREAT and found.st_mode & 0o777 != 0o600:
                os.fchmod(fd, 0o600)  # a umask may take rights from its owner
            if flags & os.O_TRUNC:
                os.ftruncate(fd, 0)
        except BaseException:
            _close(fd)
            raise
        return fd

    def _open_patiently(self, name: str, flags: int) -> int:
        since: float | None = None
        while True:
            try:
                return self._open(name, flags)
            except OSError as error:
                if self.patience is None:
                    raise
                since = self.patience(error, since)

    def _open(self, name: str, flags: int) -> int:
        try:
            return os.open(name, flags | ALWAYS, 0o600, dir_fd=self._fd)
        except BlockingIOError:
            # This machine exports the disk, and a client's lease on the file has to be called
            # back, which takes a moment. Only regular files have such a thing.
            self._check_file(name, os.stat(name, dir_fd=self._fd, follow_symlinks=False))
            return os.open(name, (flags | ALWAYS) & ~os.O_NONBLOCK, 0o600, dir_fd=self._fd)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            return os.open(name, flags | ALWAYS, 0o600, dir_fd=self._fd)

    def _check_file(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise PermissionError(errno.EPERM, "is no regular file and is not touched", name)
        if found.st_uid != self._owner:
            told = f"belongs to user {found.st_uid}, not to {self._owner}, and is not touched"
            raise PermissionError(errno.EPERM, told, name)
        if found.st_nlink > 1:
            told = f"has {found.st_nlink} names (hard links) and is not touched"
            raise PermissionError(errno.EPERM, told, name)

    def check_directory(self, name: str) -> None:
        """Refuses a link or another user's directory in the place of one of ours.

        To be called once, by who has not made it: below a directory with mode 0700 nobody else
        can change it later.
        """
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._owner:
            told = f"is no directory of user {self._owner} and is not touched"
            raise PermissionError(errno.EPERM, told, name)

    def make_file(self, name: str) -> None:
        """An empty file that was not there."""
        os.close(self.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def make_directory(self, name: str) -> None:
        os.mkdir(name, 0o700, dir_fd=self._fd)
        if self._umask_is_strict:
            os.chmod(name, 0o700, dir_fd=self._fd)

    def write(
        self, name: str, pieces: Sequence[Buffer], offset: int = 0, sync: bool = False
    ) -> None:
        """Writes the pieces one behind the other and closes the file, checked each time."""
        naming(name, lambda: self._write(name, pieces, offset, sync))

    def _write(self, name: str, pieces: Sequence[Buffer], offset: int, sync: bool) -> None:
        fd = self.open_file(name, os.O_WRONLY | os.O_CREAT)
        try:
            for piece in joined(pieces):
                view = memoryview(piece)
                while view:
                    written = os.pwrite(fd, view, offset)
                    if not written:
                        raise OSError(errno.ENOSPC, "took nothing", name)
                    offset += written
                    view = view[written:]
            if sync:
                os.fsync(fd)
        except BaseException:
            _close(fd)
            raise
        os.close(fd)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """`size` bytes from `offset` on, or all; fewer if the file ends before."""
        return naming(name, lambda: self._read(name, offset, size))

    def _read(self, name: str, offset: int, size: int | None) -> bytes:
        fd = self.open_file(name, os.O_RDONLY)
        with os.fdopen(fd, "rb", buffering=0) as file:
            there = os.fstat(fd).st_size - offset
            if there <= 0:
                return b""
            file.seek(offset)
            if size is None:
                return file.readall()
            buffer = bytearray(min(size, there))  # what is asked for may be a damaged number
            view = memoryview(buffer)
            while view:
                count = file.readinto(view)
                if not count:
                    return bytes(buffer[: len(buffer) - len(view)])
                view = view[count:]
            return bytes(buffer)

    def read_own(self, name: str, offset: int, size: int) -> bytearray | memoryview:
        """The same, in memory that is the caller's to write to; fewer if the file ends before."""
        return naming(name, lambda: self._read_own(name, offset, size))

    def _read_own(self, name: str, offset: int, size: int) -> bytearray | memoryview:
        fd = self.open_file(name, os.O_RDONLY)
        try:
            there = os.fstat(fd).st_size - offset
            memory = new_memory(max(0, min(size, there)))  # a damaged number asks for anything
            done = 0
            with memoryview(memory) as view:
                while done < len(memory):
                    count = os.preadv(fd, [view[done:]], offset + done)
                    if not count:
                        break
                    done += count
            return memory if done == len(memory) else memory[:done]
        finally:
            os.close(fd)

    def tail(self, name: str, size: int) -> bytes:
        """The last `size` bytes at most: logs may be long."""
        fd = self.open_file(name, os.O_RDONLY)
        try:
            return os.pread(fd, size, max(0, os.fstat(fd).st_size - size))
        finally:
            os.close(fd)

    def remove(self, name: str) -> None:
        """Removes a file, unless all is kept; one that is gone already is no error."""
        if not self.keeps:
            self._unlink(name)

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            pass

    def remove_tree(self, name: str) -> None:
        """Removes a directory with all that is in it, as far as possible; "" is the run itself.

        What has come to lie at the run's path in its place stays.
        """
        import shutil

        if name:
            shutil.rmtree(name, ignore_errors=True, dir_fd=self._fd)
            return
        try:
            is_there = os.path.samestat(os.fstat(self._fd), os.lstat(self.path))
        except OSError:
            return
        if is_there:
            shutil.rmtree(self.path, ignore_errors=True)

    def list(self, name: str) -> list[str]:
        """The names in a directory of the run, for removal at its end and nothing else."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._fd)
        except FileNotFoundError:
            return []
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        _close(self._fd)


def new_memory(size: int) -> bytearray | memoryview:
    """Memory to be written to; much of it is not filled with zeros first."""
    from pypool.packing import MAPPED

    if size < MAPPED:
        return bytearray(size)
    import mmap

    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


_AT_ONCE = 1 << 14
_FEW = 100


def joined(pieces: Sequence[Buffer], limit: int = 1 << 20) -> Iterable[Buffer]:
    """The same bytes in fewer pieces: small ones are put together up to `limit`."""
    if 0 < len(pieces) <= _FEW and sum(map(len, pieces)) < limit:
        yield b"".join(pieces)
        return
    from bisect import bisect_left
    from itertools import accumulate, islice

    first = 0
    while first < len(pieces):
        if len(pieces[first]) >= limit:
            yield pieces[first]
            first += 1
            continue
        ends = accumulate(map(len, islice(pieces, first, first + _AT_ONCE)))
        count = bisect_left(list(ends), limit)
        yield b"".join(pieces[first : first + count])
        first += count


def refusal(told: str) -> RunDirectoryError:
    """The error that says so."""
    from pypool.errors import RunDirectoryError

    return RunDirectoryError(told)


def unusable(path: str, error: OSError) -> RunDirectoryError:
    """What to tell about an error of the file system."""
    told = f"{path} cannot be used: {error.strerror or error}"
    if error.filename:
        told += f" ({os.fsdecode(error.filename)})"
    if error.errno == errno.EDQUOT:
        told += ". The quota of this user or group is used up (quota -s shows it)"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        told += f". {_room(path)}"
    return refusal(told + ".")


def _room(path: str) -> str:
    """How much is free where `path` is, or was."""
    while True:
        above = os.path.dirname(path) or "."
        try:
            room = os.statvfs(above)
        except OSError as error:
            if above in (path, ".", "/"):
                return f"How much is free there is not known: {error.strerror}"
            path = above
            continue
        free = room.f_bavail * room.f_frsize
        return f"{free >> 20} MiB and {room.f_favail} files are free for this user in {above}"


def _close(fd: int) -> None:
    """Where nothing was written, or the error that counts is known already."""
    try:
        os.close(fd)
    except OSError:
        pass


def _open_ours(path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise refusal(f"run directory {path} cannot be opened: {error}") from error
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise refusal(
            f"run directory {path} belongs to user {found.st_uid} with mode "
            f"{stat.S_IMODE(found.st_mode):04o}; pypool uses only directories that belong to the "
            f"user who runs it ({os.geteuid()}), with mode 0700."
        )
    return fd
