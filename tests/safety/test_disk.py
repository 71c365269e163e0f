"""A disk that is full, over quota, read-only, gone or in trouble: an error that says so, no hang.

The driver's calls of the system are counted, and one of them fails, or all from one on. Either the
result of the map is exact, or there is a RunDirectoryError; and nothing is left running.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pool import tasks
from pool.conftest import MakePool
from pool.scripts import wait_until

from pypool import RunDirectoryError
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader, FileWriter
from pypool.rundir.run import RunDirectory, prepare_work_dir, unusable

on_shell = pytest.mark.parametrize("backend", ["shell"], indirect=True)

CALLS = ("open", "mkdir", "pwrite", "fsync", "close", "fstat", "pread")
WRITING = ("pwrite", "fsync", "close", "mkdir")
ERRNOS = [
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ENOENT,
    errno.ESTALE,
    errno.EACCES,
]


class TroubledOs:
    """`os` as the modules of the run directory see it, with errors.

    Attributes
    ----------
    count : int
        Calls of `calls` so far.
    """

    def __init__(
        self, number: int, code: int, calls: tuple[str, ...] = CALLS, for_ever: bool = False
    ) -> None:
        self.count = 0
        self.failed: list[str] = []
        self._number = number
        self._code = code
        self._calls = calls
        self._for_ever = for_ever

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if name not in self._calls:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == self._number or (self._for_ever and self.count > self._number):
                self.failed.append(name)
                if name == "close":
                    os.close(*arguments)
                raise OSError(self._code, os.strerror(self._code))
            return found(*arguments, **named)

        return call


@contextmanager
def troubled(trouble: TroubledOs) -> Iterator[TroubledOs]:
    with ExitStack() as stack:
        for module in ("run", "mailbox"):
            stack.enter_context(mock.patch(f"pypool.rundir.{module}.os", trouble))
        yield trouble


def agents_of(work_dir: Path) -> list[int]:
    """Processes that serve a run there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if os.fsencode(work_dir) in command and b"start.py" in command:
                found.append(int(entry.name))
    return found


def none_is_left(work_dir: Path, within: float = 15.0) -> bool:
    deadline = time.monotonic() + within
    while agents_of(work_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def map_in_trouble(make_pool: MakePool, work_dir: Path, trouble: TroubledOs) -> str:
    """What came of a map: "" if all is well, or the error; both are checked."""
    pool = make_pool(processes=1)
    told = ""
    with troubled(trouble):
        try:
            found = pool.map_async(square_or_zeros, [1, 2, 100_000]).get(tasks.PATIENCE)
            assert found == [1, 4, bytes(100_000)]
        except RunDirectoryError as error:
            told = str(error)
    assert pool.map_async(tasks.square, [5]).get(tasks.PATIENCE) == [25]
    pool.terminate()
    pool.join()
    assert none_is_left(work_dir)
    return told


def square_or_zeros(number: int) -> int | bytes:
    return number**2 if number < 100 else bytes(number)


def check_words(told: str, code: int, work_dir: Path) -> None:
    """The error says where, what, and how much room there is."""
    assert str(work_dir) in told
    if "damaged" not in told and "taken this run over" not in told:
        assert os.strerror(code) in told
    if "cannot be opened" in told:  # what is only opened takes no room
        return
    if code in (errno.ENOSPC, errno.EDQUOT):
        assert re.search(r"\d+ MiB and \d+ files are free", told)
    if code == errno.EDQUOT:
        assert "quota" in told


CASES = [(number, ERRNOS[number % len(ERRNOS)]) for number in range(1, 100, 4)]
MANY_CASES = [(number, code) for number in range(1, 120) for code in ERRNOS]


@pytest.mark.timeout(90)
@on_shell
@pytest.mark.parametrize(
    ("number", "code"),
    [
        *(pytest.param(*case, id=f"{case[0]}-{errno.errorcode[case[1]]}") for case in CASES),
        *(
            pytest.param(*case, id=f"{case[0]}-{errno.errorcode[case[1]]}", marks=pytest.mark.slow)
            for case in MANY_CASES
            if case not in CASES
        ),
    ],
)
def test_one_call_of_the_system_fails(
    make_pool: MakePool, shared_dir: Path, number: int, code: int
) -> None:
    """Any one: the result is exact or the error is the disk's, and the next call works."""
    trouble = TroubledOs(number, code)
    told = map_in_trouble(make_pool, shared_dir / "work", trouble)
    if told:
        check_words(told, code, shared_dir / "work")


@pytest.mark.timeout(90)
@on_shell
@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("number", [1, 12, 25, 40])
def test_the_disk_takes_nothing_any_more(
    make_pool: MakePool, shared_dir: Path, number: int, code: int
) -> None:
    """From some call on nothing can be written, at the end of the run neither."""
    trouble = TroubledOs(number, code, WRITING, for_ever=True)
    told = map_in_trouble(make_pool, shared_dir / "work", trouble)
    if trouble.failed:
        check_words(told, code, shared_dir / "work")


@pytest.mark.timeout(60)
@on_shell
@pytest.mark.parametrize("when", ["before", "idle", "at work"])
def test_the_work_directory_is_gone(make_pool: MakePool, shared_dir: Path, when: str) -> None:
    """Removed with all that is in it; what is told names it, and the pool can be ended."""
    pool = make_pool(processes=1)
    gone = shared_dir / "work"
    if when != "before":
        assert pool.map(tasks.square, [1]) == [1]
    begun = shared_dir / "begun"

    def call() -> None:
        if when == "at work":
            asleep = pool.map_async(tasks.begin_and_sleep, [str(begun)])
            assert wait_until(begun.exists)
            shutil.rmtree(gone)
            asleep.get(tasks.PATIENCE)
        shutil.rmtree(gone)
        pool.map_async(tasks.square, range(100)).get(tasks.PATIENCE)

    with pytest.raises(RunDirectoryError, match="No such file or directory"):
        call()
    pool.terminate()
    pool.join()
    assert none_is_left(gone)


# ---- what is said


def test_how_much_room_there_is_where_nothing_is_left(tmp_path: Path) -> None:
    """The nearest directory that is still there is asked."""
    error = unusable(str(tmp_path / "a" / "b" / "run"), OSError(errno.ENOSPC, "full", "journal"))
    assert re.search(
        rf"a/b/run cannot be used: full \(journal\)\. \d+ MiB and \d+ files .* in {tmp_path}\.",
        str(error),
    )


@pytest.mark.parametrize("path", ["/gone/run", "gone/run", "run", ""])
def test_how_much_room_there_is_where_nobody_answers(path: str) -> None:
    """The error is told all the same."""
    with mock.patch.object(os, "statvfs", side_effect=OSError(errno.ESTALE, "Stale file handle")):
        error = unusable(path, OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert "Disk quota exceeded. The quota of this user or group" in str(error)
    assert "not known: Stale file handle" in str(error)


@pytest.mark.parametrize("call", ["stat", "mkdir"])
@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
def test_a_work_directory_in_trouble(tmp_path: Path, call: str, code: int) -> None:
    """Whatever its file system says when the pool is made."""
    work_dir = tmp_path / "work"
    with (
        mock.patch.object(os, call, side_effect=OSError(code, os.strerror(code))),
        pytest.raises(RunDirectoryError, match=str(tmp_path)),
    ):
        prepare_work_dir(str(work_dir))


# ---- stale files


def once(code: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """Fails the first time."""
    left = [OSError(code, os.strerror(code))]

    def used(*arguments: Any, **named: Any) -> Any:
        if left:
            raise left.pop()
        return call(*arguments, **named)

    return used


@pytest.mark.parametrize("call", ["open", "fstat", "pread", "pwrite"])
def test_a_stale_file_is_opened_again(run: RunDirectory, call: str) -> None:
    """By readers and writers of mailboxes, and by those of whole files."""

    def stale() -> Any:
        return mock.patch.object(os, call, once(errno.ESTALE, getattr(os, call)))

    writer = FileWriter(run.open_file, names.DRIVER, run.mark)
    reader = FileReader(run.open_file, names.DRIVER, run.mark)
    for key in range(3):
        writer.put(records.DRIVER_BEAT, key=key)
        with stale():
            writer.flush()
        with stale():
            assert [record.key for record in reader.read()] == [key]
    with stale():
        run.write("file", [b"content", b" and more"])
    with stale():
        assert run.read("file") == b"content and more"


@pytest.mark.parametrize("call", ["fstat", "pread", "pwrite", "close", "fsync"])
def test_an_error_names_its_file(run: RunDirectory, call: str) -> None:
    """Though the system does not say which one it was."""

    def fail(fd: int, *_: object) -> None:
        if call == "close":
            close(fd)
        raise OSError(errno.EIO, "injected")

    close = os.close
    writer = FileWriter(run.open_file, names.DRIVER, run.mark)
    writer.put(records.STOP)
    run.write(names.JOURNAL, [b"something"])
    reads = call == "pread"
    use = FileReader(run.open_file, names.JOURNAL, run.mark).read if reads else writer.flush
    with mock.patch.object(os, call, fail), pytest.raises(OSError, match="injected") as caught:
        use(*[] if reads else [True])
    assert caught.value.filename == (names.JOURNAL if reads else names.DRIVER)


@pytest.mark.parametrize("number", range(1, 10))
def test_nothing_is_left_of_a_run_that_could_not_be_made(tmp_path: Path, number: int) -> None:
    """The half of it goes."""
    with (
        troubled(TroubledOs(number, errno.ENOSPC, WRITING)),
        pytest.raises(RunDirectoryError, match="No space left"),
    ):
        RunDirectory.create(str(tmp_path), {})
    assert list(tmp_path.iterdir()) == []
