"""The lock of a named run: of all drivers that were started on it, one goes on.

It is a file in the run directory that exists or does not, made with O_EXCL, which network file
systems grant to one only; locks of the file system itself (flock) may be granted to two on NFS. It
says who made it. Whoever removes it, its holder or somebody who found it stale, first makes a
second file named by what stands in the first (`filelock.SoftFileLock`, again with O_EXCL) and
then looks once more: so of several who find the same stale lock one removes it, and nobody
removes what another has made in its place.

Its holder lengthens it by a byte every 15 seconds, from a thread that does nothing else: a driver
may be busy for minutes with a large result, or with what earlier lives of the run have left.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pypool.errors import RunDirectoryError
from pypool.rundir import names
from pypool.rundir.run import unusable

log = logging.getLogger("pypool")

PATIENCE = 45.0
"""So long must the beat of a driver on another host stand still: three beats."""

BEAT_SECONDS = 15.0
PAUSE = 1.0
SHORT_PAUSE = 0.02
LARGEST = 4096


class Holder(NamedTuple):
    """What stands in a lock.

    Attributes
    ----------
    id : str
        Of this lock, given to no other one.
    host : str
        Name of the machine.
    machine : str
        Tells boots of it, and containers on it, apart; pids of others cannot be looked up.
    pid : int
    start : int or None
        When the process was started, in ticks since the boot: a pid is used again.
    since : float
        When the lock was made, in seconds since the epoch.
    """

    id: str
    host: str
    machine: str
    pid: int
    start: int | None
    since: float

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        pid = os.getpid()
        name = os.urandom(8).hex()
        return cls(name, socket.gethostname(), machine(), pid, start_of(pid), time.time())

    @property
    def is_here(self) -> bool:
        return (self.host, self.machine) == (socket.gethostname(), machine())

    @property
    def is_gone(self) -> bool:
        """No process of this machine is it any more."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return True  # somebody else's: the pid is used again, for the run directory is ours
        return start_of(self.pid) != self.start

    @property
    def in_words(self) -> str:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} (since {began})"


_ours: weakref.WeakValueDictionary[str, RunLock] = weakref.WeakValueDictionary()
"""By id, all that somebody in this process has. Who was interrupted may have forgotten one."""


class RunLock:
    """A lock that this process holds, or is about to; see `acquire`."""

    def __init__(self, path: str, holder: Holder) -> None:
        self._path = path
        self._holder = holder
        self._held = True
        self._over = threading.Lock()  # held while it beats
        self._over.acquire()
        _ours[holder.id] = self

    @classmethod
    def acquire(cls, path: str, beat: Callable[[], object]) -> RunLock:
        """Makes this process the driver of the run.

        A lock whose process is gone from this machine is taken over at once; that of another
        machine when neither it nor its driver has beaten for 45 s, which is waited for.

        Parameters
        ----------
        path : str
            The run directory.
        beat : callable
            Called about once a second while a driver on another machine holds the lock. What it
            gives must change whenever that driver beats, so it must not come from a cache: open
            the file anew.

        Raises
        ------
        RunDirectoryError
            If a living driver has the run, or the directory cannot be used.
        """
        lock = cls(path, Holder.here())
        try:
            lock._acquire(beat)
            beating = threading.Thread(
                target=_beat, args=(path, lock._holder.id, lock._over), name="pypool-lock"
            )
            beating.daemon = True
            beating.start()
        except BaseException as error:  # Ctrl-C, for one
            lock.release()
            if isinstance(error, OSError) and error.errno is not None:
                raise unusable(path, error) from error
            raise
        return lock

    def _acquire(self, beat: Callable[[], object]) -> None:
        path, mine = self._path, self._holder
        silence: _Silence | None = None
        while not _made(path, mine):
            found = _read(path)
            if found is None:  # released meanwhile
                continue
            if silence is None or silence.whose != found:
                silence = _Silence(path, found)
            if isinstance(found, Holder) and found.is_here:
                if not (found.is_gone or _is_forgotten(found)):
                    raise _in_use(path, found, mine)
            elif not silence.is_over(beat):
                continue
            silence.check_patience()
            _remove(path, _id(found))

    @property
    def is_held(self) -> bool:
        """Nobody has taken it over, which happens to who was stopped for longer than 45 s."""
        return self._held and _id(_read(self._path)) == self._holder.id

    def release(self) -> None:
        """Lets others have the run. In a fork of the driver this does nothing."""
        if not self._held or os.getpid() != self._holder.pid:
            return
        self._held = False
        self._over.release()
        try:
            self._remove_ours()
        except OSError as error:
            log.warning("the lock of %s cannot be removed: %s", self._path, error)

    def _remove_ours(self) -> None:
        if _id(_read(self._path)) != self._holder.id:
            return
        try:
            _remove(self._path, self._holder.id)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            Path(self._path, names.LOCK).unlink()  # nobody else finds room to take it over


class _Silence:
    """How long a driver elsewhere has not beaten, by this machine's clock."""

    def __init__(self, path: str, whose: Holder | bytes) -> None:
        self.whose = whose
        self._path = path
        self._told = False
        self._last: object = None
        self._since: float | None = None
        self._over: float | None = None

    def is_over(self, beat: Callable[[], object]) -> bool:
        """Waits a little, and says once what for."""
        now, last = time.monotonic(), (beat(), _size(self._path))
        if self._since is None or last != self._last:
            if self._since is not None and isinstance(self.whose, Holder):
                raise _in_use(self._path, self.whose, None)
            self._last, self._since = last, now
        if now - self._since >= PATIENCE:
            if self._over is None:
                log.warning("%s is taken over: %s is silent", self._path, _words(self.whose))
            return True
        if not self._told and isinstance(self.whose, Holder):
            self._told = True
            log.warning(
                "%s belongs to %s. Whether that still lives cannot be seen from here: "
                "waits until its beat has stood still for %.0f s",
                self._path,
                _words(self.whose),
                PATIENCE,
            )
        time.sleep(PAUSE if isinstance(self.whose, Holder) else SHORT_PAUSE)
        return False

    def check_patience(self) -> None:
        """Somebody else has begun to remove the lock, and may have died at that."""
        if self._over is None:
            self._over = time.monotonic()
        if time.monotonic() - self._over >= PATIENCE:
            left = _claim_path(self._path, _id(self.whose))
            raise RunDirectoryError(
                f"The lock of {self._path} is being taken over by somebody who does not get on. "
                f"If no other program uses this run, remove {left}."
            )


def _beat(path: str, which: str, over: threading.Lock) -> None:
    """Lengthens the lock with this id now and then; its reader passes over spaces."""
    while not over.acquire(timeout=BEAT_SECONDS):
        with suppress(OSError):
            _lengthen(path, which)


def _lengthen(path: str, which: str) -> None:
    fd = os.open(f"{path}/{names.LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if _id(_holder_in(os.read(fd, LARGEST))) == which:  # else it was taken over
            os.pwrite(fd, b" ", os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _size(path: str) -> int:
    """Of the lock. It is opened: what `stat` says may be seconds old."""
    try:
        fd = os.open(f"{path}/{names.LOCK}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def _is_forgotten(found: Holder) -> bool:
    """This process has made the lock, and nobody in it has it: Ctrl-C came in between."""
    return found.pid == os.getpid() and found.id not in _ours


def _in_use(path: str, found: Holder, mine: Holder | None) -> RunDirectoryError:
    if mine is not None and found.pid == mine.pid:
        return RunDirectoryError(
            f"{path} is in use by another Pool of this program. Two pools cannot have one name: "
            "close the first and join it, or give another name."
        )
    return RunDirectoryError(
        f"{path} is in use by {found.in_words}. A run has one driver: end that program, wait for "
        "its end, or give another name."
    )


def _words(found: Holder | bytes) -> str:
    return found.in_words if isinstance(found, Holder) else "somebody who did not say who it is"


def _made(path: str, mine: Holder) -> bool:
    """Makes the lock, unless there is one."""
    name = f"{path}/{names.LOCK}"
    try:
        fd = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except FileExistsError:
        return _id(_read(path)) == mine.id  # of an answer that was lost NFS asks again
    try:
        try:
            os.write(fd, json.dumps(mine).encode())
        finally:
            os.close(fd)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return _id(_read(path)) == mine.id  # who was stopped before it wrote may have been passed over


def _read(path: str) -> Holder | bytes | None:
    """Who holds the lock; None if nobody does; its bytes if they do not say."""
    try:
        fd = os.open(f"{path}/{names.LOCK}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _holder_in(os.read(fd, LARGEST))
    finally:
        os.close(fd)


def _holder_in(said: bytes) -> Holder | bytes:
    try:
        return Holder(*json.loads(said))
    except (ValueError, TypeError):
        return said


def _id(found: Holder | bytes | None) -> str | None:
    if isinstance(found, Holder):
        return found.id
    return None if found is None else "unread"


def _remove(path: str, which: str | None) -> None:
    """Removes the lock with this id, unless somebody does or has done so."""
    with _claim(path, which) as ours:
        if ours and _id(_read(path)) == which:
            Path(path, names.LOCK).unlink(missing_ok=True)


@contextmanager
def _claim(path: str, which: str | None) -> Iterator[bool]:
    """Whether this process alone may remove the lock with this id."""
    import filelock

    guard = filelock.SoftFileLock(_claim_path(path, which))
    try:
        guard.acquire(timeout=0)
    except filelock.Timeout:
        time.sleep(SHORT_PAUSE)  # whoever has it is done in a moment
        yield False
        return
    try:
        yield True
    finally:
        guard.release()


def _claim_path(path: str, which: str | None) -> str:
    return f"{path}/{names.LOCK}.{which}"


def start_of(pid: int) -> int | None:
    """When a living process was started, in ticks since the boot; None if that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # its name may have spaces and brackets
    return None if fields[0] in b"ZX" else int(fields[19])  # of a dead one a parent does not know


def machine() -> str:
    """Where the pids of this process mean what they mean to it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115  # it is no path
    except OSError:
        return ""
