"""Where local pools lay what they pass on."""

import os
import tempfile
from types import SimpleNamespace

import pytest

from pypool.engine import this_machine
from pypool.engine.this_machine import MEMORY, MEMORY_BYTES, private_directory


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
