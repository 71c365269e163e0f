"""The run directory: made, opened, and reached through one descriptor.

It is a real directory of ours with mode 0700. It is opened once and checked by its descriptor;
everything in it is opened relative to that, without following links.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterable
from contextlib import suppress

from pypool.errors import RunDirectoryError
from pypool.rundir import names, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
            raise RunDirectoryError(
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
    except FileExistsError:
        if not os.path.isdir(work_dir):
            raise RunDirectoryError(
                f"work_dir {work_dir} is not a directory. Give one that compute nodes share."
            ) from None
    except FileNotFoundError:
        raise RunDirectoryError(
            f"work_dir {work_dir} cannot be made: {os.path.dirname(work_dir)} does not exist. "
            "Make it first, or correct the path."
        ) from None
    except OSError as error:
        raise RunDirectoryError(f"work_dir {work_dir} cannot be made: {error.strerror}.") from error
    check_parents(work_dir)
    if not os.access(work_dir, os.W_OK | os.X_OK):
        raise RunDirectoryError(f"work_dir {work_dir} cannot be written by this user.")


def is_run_name(name: str) -> bool:
    """Whether a directory of this name may be a run, as `RunDirectory.create` calls them."""
    return re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", name) is not None


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
    """

    keeps = False

    def __init__(self, path: str, fd: int, info: dict[str, Any]) -> None:
        self.path = path
        self.info = info
        self.mark = records.magic(bytes.fromhex(info["nonce"]))
        self._fd = fd

    @classmethod
    def create(cls, work_dir: str, info: dict[str, Any], prefix: str = "") -> RunDirectory:
        """Makes a new run in `work_dir`, with all that is there before the first element."""
        nonce = os.urandom(5).hex()
        name = f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"
        path = os.path.join(work_dir, name)
        run = None
        try:
            os.mkdir(path, 0o700)
            run = cls(path, _open_ours(path), {"format": names.FORMAT, "nonce": nonce} | info)
            for name in (names.FUNCTIONS, names.BATCHES, names.ELEMENTS, names.SCHEDULER):
                run.make_directory(name)
            for name in (names.DRIVER, names.JOURNAL):
                run.make_file(name)
            run.write(names.RUN_INFO, [json.dumps(run.info, indent=1).encode()], sync=True)
        except OSError as error:
            if run:
                run.close()
            raise unusable(path, error) from error
        return run

    @classmethod
    def open(cls, path: str) -> RunDirectory:
        """Opens a run that somebody else made.

        Raises
        ------
        RunDirectoryError
            If it is not ours, open to others, or of another format.
        """
        path = os.path.abspath(path)  # with a slash at its end a link would be followed
        fd = _open_ours(path)
        try:
            info = json.loads(cls(path, fd, {"nonce": ""}).read(names.RUN_INFO))
            if info["format"] == names.FORMAT:
                return cls(path, fd, info)
        except (OSError, ValueError, LookupError, TypeError) as error:
            os.close(fd)
            raise RunDirectoryError(f"{path}/{names.RUN_INFO} cannot be read: {error}") from error
        os.close(fd)
        raise RunDirectoryError(
            f"{path} has format {info['format']}, this pypool reads {names.FORMAT}."
        )

    def open_file(self, name: str, flags: int) -> int:
        """A descriptor of the file; new files get mode 0600."""
        return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self._fd)

    def make_file(self, name: str) -> None:
        """An empty file that was not there."""
        os.close(self.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def make_directory(self, name: str) -> None:
        os.mkdir(name, 0o700, dir_fd=self._fd)

    def write(
        self, name: str, pieces: Iterable[bytes], offset: int = 0, sync: bool = False
    ) -> None:
        """Writes the pieces one behind the other and closes the file, checked each time."""
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
            os.close(fd)
            raise
        os.close(fd)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """`size` bytes from `offset` on, or all; fewer if the file ends before."""
        fd = self.open_file(name, os.O_RDONLY)
        with os.fdopen(fd, "rb", buffering=0) as file:
            file.seek(offset)
            if size is None:
                return file.readall()
            buffer = bytearray(size)
            view = memoryview(buffer)
            while view:
                count = file.readinto(view)
                if not count:
                    return bytes(buffer[: size - len(view)])
                view = view[count:]
            return bytes(buffer)

    def remove(self, name: str) -> None:
        """Removes a file, unless all is kept; one that is gone already is no error."""
        if self.keeps:
            return
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def remove_tree(self, name: str) -> None:
        """Removes a directory with all that is in it, as far as possible."""
        import shutil

        shutil.rmtree(f"{self.path}/{name}", ignore_errors=True)

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
        os.close(self._fd)


def joined(pieces: Iterable[bytes], limit: int = 1 << 20) -> Iterable[bytes]:
    """The same bytes in fewer pieces: small ones are put together up to `limit`."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= limit:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def unusable(path: str, error: OSError) -> RunDirectoryError:
    """What to tell about an error of the file system."""
    told = f"{path} cannot be used: {error.strerror or error}"
    if error.filename:
        told += f" ({error.filename})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        room = os.statvfs(os.path.dirname(path) or ".")
        free = room.f_bavail * room.f_frsize
        told += f". {free >> 20} MiB and {room.f_favail} files are free for this user there"
    return RunDirectoryError(told + ".")


def _open_ours(path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise RunDirectoryError(f"run directory {path} cannot be opened: {error}") from error
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise RunDirectoryError(
            f"run directory {path} belongs to user {found.st_uid} with mode "
            f"{stat.S_IMODE(found.st_mode):04o}; pypool uses only directories that belong to the "
            f"user who runs it ({os.geteuid()}), with mode 0700."
        )
    return fd
