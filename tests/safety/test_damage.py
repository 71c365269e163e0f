"""Files of a run that are damaged while it goes on: never a wrong result, never a hang.

A file of each kind is truncated, filled with zeros, or has one bit turned, by a thread that does
it once at the right moment. Either what is missing is done again, or an error names the file.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pool import tasks
from pool.conftest import MakePool
from pool.scripts import wait_until

import pypool
from pypool import PoolError
from pypool.engine.store import Store
from pypool.rundir import names
from pypool.rundir.mailbox import FileReader, FileWriter
from pypool.rundir.run import RunDirectory

from .test_disk import none_is_left

pytestmark = [
    pytest.mark.parametrize("backend", ["shell"], indirect=True),
    pytest.mark.timeout(110),
    pytest.mark.waits,
]

PATIENCE = 90.0


def cut(path: Path, start: int) -> None:
    """The end is missing."""
    os.truncate(path, start + (path.stat().st_size - start) // 2)


def zero(path: Path, start: int) -> None:
    """Zeros stand for what was written."""
    content = path.read_bytes()
    path.write_bytes(content[:start] + bytes(len(content) - start))


def turn_a_bit(path: Path, start: int) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[start + (len(content) - start) // 2] ^= 0x10
    path.write_bytes(content)


HARM = [cut, zero, turn_a_bit]
Harm = Callable[[Path, int], None]
harms = pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)


def result_or_error(pool: pypool.Pool, function: Callable[..., Any], items: list[Any]) -> str:
    """The error of a map; without one its result is right."""
    try:
        found = pool.map_async(function, items).get(PATIENCE)
    except PoolError as error:
        return str(error)
    assert found == [function(item) for item in items]
    return ""


def large(number: int) -> bytes:
    return bytes([number % 256]) * 100_000


def file_of(work_dir: Path, pattern: str) -> Path:
    (path,) = work_dir.glob(f"*/{pattern}")
    return path


@harms
@pytest.mark.parametrize("kind", ["batch", "function"])
def test_what_workers_read(
    make_pool: MakePool,
    shared_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Harm,
    kind: str,
) -> None:
    """A batch or a function that is not whole: its tasks are lost with a reason, all others run."""
    add = Store.add

    def add_and_harm(store: Store, batch: Any) -> None:
        add(store, batch)
        if kind == "batch":
            harm(file_of(shared_dir / "work", f"{names.BATCHES}/1"), 0)
        else:
            path = file_of(shared_dir / "work", f"{names.FUNCTIONS}/*")
            harm(path, 0)
        monkeypatch.setattr(Store, "add", add)

    monkeypatch.setattr(Store, "add", add_and_harm)
    pool = make_pool(processes=1, retries=0)
    told = result_or_error(pool, tasks.square, list(range(20)))
    assert "is not whole" in told or "damaged" in told or "ends" in told
    assert result_or_error(pool, tasks.double, [1, 2, 3]) == ""
    pool.terminate()
    pool.join()
    assert none_is_left(shared_dir / "work")


@harms
def test_large_results(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    """A data file: the error names it; the next results are right."""
    read = RunDirectory.read_own
    harmed: list[str] = []

    def harm_and_read(run: RunDirectory, name: str, *place: Any) -> Any:
        if "/data." in name and not harmed:
            harmed.append(name)
            harm(Path(run.path, name), place[0])
        return read(run, name, *place)

    monkeypatch.setattr(RunDirectory, "read_own", harm_and_read)
    pool = make_pool(processes=1)
    told = result_or_error(pool, large, [1])
    assert harmed
    assert harmed[0] in told
    assert "is damaged" in told
    assert result_or_error(pool, large, [2, 3]) == ""


def harm_when_read(
    monkeypatch: pytest.MonkeyPatch, harm: Harm, name: str, when: int
) -> list[tuple[int, int]]:
    """The file of that name is damaged before the driver looks at it for the nth time in vain."""
    look = FileReader.read
    harmed: list[tuple[int, int]] = []

    def harm_and_look(reader: FileReader) -> Any:
        if reader.name.endswith(name) and len(harmed) < 1:
            fd = reader._open(reader.name, os.O_RDONLY)
            size = os.fstat(fd).st_size
            path = Path(f"/proc/self/fd/{fd}").readlink()
            os.close(fd)
            if size <= reader.offset:
                return []  # what comes now is harmed next time
            if reader.offset >= when:
                harmed.append((reader.offset, size))
                harm(path, reader.offset)
        return look(reader)

    monkeypatch.setattr(FileReader, "read", harm_and_look)
    return harmed


@harms
@pytest.mark.parametrize("behind", [0, 100], ids=["hello", "results"])
def test_an_outbox(
    make_pool: MakePool,
    shared_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Harm,
    behind: int,
) -> None:
    """Its first record, or later ones: what is missing is done again, by this agent or another."""
    harmed = harm_when_read(monkeypatch, harm, "outbox.1", behind)
    pool = make_pool(processes=1, start_timeout=15)
    told = result_or_error(pool, tasks.square, list(range(20)))
    assert harmed
    assert told == "" or "no agent" in told or "outbox" in told or "hello" in told, told
    pool.terminate()
    pool.join()
    assert none_is_left(shared_dir / "work")


@harms
@pytest.mark.parametrize("name", ["inbox", names.DRIVER, names.JOURNAL])
def test_what_the_driver_writes(
    make_pool: MakePool, shared_dir: Path, harm: Harm, name: str
) -> None:
    """While its agent waits for work: it is dealt again, or the driver sees it and says so."""
    pool = make_pool(processes=1)
    assert result_or_error(pool, tasks.square, [1, 2, 3]) == ""
    pattern = f"elements/*/0/{name}" if name == "inbox" else name
    path = file_of(shared_dir / "work", pattern)
    before = path.stat().st_size
    harm(path, before // 2)
    told = result_or_error(pool, tasks.square, list(range(50)))
    if path.exists() and path.stat().st_size < before:
        assert wait_until(lambda: result_or_error(pool, tasks.square, [1]) == "" or True)
    assert told == "" or name in told, told
    assert result_or_error(pool, tasks.double, [5]) == "" or told == ""
    pool.terminate()
    pool.join()
    assert none_is_left(shared_dir / "work")


def test_a_share_that_never_arrives(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last record of an inbox is damaged and nothing comes behind it: somebody else gets it."""
    append = FileWriter._try_to_append
    harmed: list[str] = []

    def append_damaged(writer: FileWriter, group: bytes, sync: bool) -> None:
        if not harmed and writer.name.endswith("/inbox") and len(group) > 100:
            harmed.append(writer.name)
            group = group[:-1] + bytes([group[-1] ^ 0x10])
        append(writer, group, sync)

    monkeypatch.setattr(FileWriter, "_try_to_append", append_damaged)
    pool = make_pool(processes=1)
    assert result_or_error(pool, tasks.square, list(range(20))) == ""
    assert harmed
    pool.terminate()
    pool.join()
    assert none_is_left(shared_dir / "work")
