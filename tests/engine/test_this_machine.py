"""Where local pools lay what they pass on."""

import errno
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pypool.engine import this_machine
from pypool.engine.elements.submission import Refused
from pypool.engine.this_machine import MEMORY, MEMORY_BYTES, LocalElements, private_directory
from pypool.rundir.run import RunDirectory


@pytest.fixture(autouse=True)
def _anybody_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_machine.os, "access", lambda *_: True)


def make_room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    room = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
    monkeypatch.setattr(this_machine.os, "statvfs", lambda _: room)


def test_it_is_in_memory_if_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gibibyte or more."""
    make_room(monkeypatch, MEMORY_BYTES)
    assert private_directory() == MEMORY


def test_it_is_on_a_disk_if_there_is_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers often have 64 MiB of such memory."""
    make_room(monkeypatch, 64 << 20)
    assert private_directory() == tempfile.gettempdir()


def test_it_is_on_a_disk_if_there_is_no_such_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system has the directory."""

    def missing(path: str) -> os.statvfs_result:
        raise FileNotFoundError(path)

    monkeypatch.setattr(this_machine.os, "statvfs", missing)
    assert private_directory() == tempfile.gettempdir()


def test_it_is_on_a_disk_if_memory_is_not_ours_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of it is free."""
    make_room(monkeypatch, MEMORY_BYTES)
    monkeypatch.setattr(this_machine.os, "access", lambda *_: False)
    assert private_directory() == tempfile.gettempdir()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_agent_that_cannot_be_started_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what it is, with the limits that there are; its pipes are closed."""

    def no_more(*argv: object, **options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(this_machine.subprocess, "Popen", no_more)
    run = RunDirectory.create(str(tmp_path), {})
    elements = LocalElements(run, {})
    before = open_files()
    assert elements.submit(1, 0.0) == []
    assert open_files() == before
    (news,) = elements.advance(0.0, asks=False)
    assert isinstance(news, Refused)
    assert "cannot be started: Resource temporarily unavailable. This user may" in str(news.error)
    assert list(elements.advance(0.0, asks=False)) == []
    run.close()
