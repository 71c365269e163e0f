"""The watch over a disk that is full: who could say nothing counts, too."""

import errno
import os
from types import SimpleNamespace

import pytest

from pypool.engine.disk_watch import PATIENCE, DiskWatch


def found(room: int, files: int = 1000, all_files: int = 2000) -> SimpleNamespace:
    return SimpleNamespace(f_bavail=room, f_frsize=1024, f_favail=files, f_files=all_files)


@pytest.fixture
def watch(tmp_path: os.PathLike[str]) -> DiskWatch:
    return DiskWatch(str(tmp_path))


FULL = [found(0), found(63), found(10**6, files=0)]


@pytest.mark.parametrize("disk", FULL)
def test_who_ends_early_on_a_full_disk(
    watch: DiskWatch, monkeypatch: pytest.MonkeyPatch, disk: SimpleNamespace
) -> None:
    """It is the disk's doing; after a while the callers are told."""
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert watch.ends_early(1.0)
    watch.check(1.0 + PATIENCE)
    assert watch.ends_early(PATIENCE)  # the first one counts
    with pytest.raises(OSError, match="No space left") as caught:
        watch.check(1.1 + PATIENCE)
    assert caught.value.errno == errno.ENOSPC


def test_a_hello_is_a_sign_of_room(watch: DiskWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: FULL[0])
    assert watch.ends_early(1.0)
    watch.can_begin()
    watch.check(10 * PATIENCE)


def test_a_disk_that_was_full_for_a_moment(
    watch: DiskWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be no other hello, for nobody else is needed."""
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _: FULL[0])
        assert watch.ends_early(1.0)
    watch.check(2 * PATIENCE)


def test_who_ended_early_beside_somebody_in_trouble(watch: DiskWatch) -> None:
    """Is forgotten when that one is well again: there is room."""
    watch.said("a", errno.EIO, 1.0)
    assert watch.ends_early(2.0)
    watch.said("a", 0, 3.0)
    watch.check(2 * PATIENCE)


def test_with_room_nobody_ends_for_want_of_it(watch: DiskWatch) -> None:
    """Unless somebody else has just met that."""
    assert not watch.ends_early(1.0)
    watch.check(10 * PATIENCE)
    watch.said("a", errno.EDQUOT, 1.0)
    assert watch.ends_early(2.0)


@pytest.mark.parametrize("disk", [found(64), found(64, files=0, all_files=0)])
def test_some_disks_do_not_count_files(
    watch: DiskWatch, monkeypatch: pytest.MonkeyPatch, disk: SimpleNamespace
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert not watch.ends_early(1.0)


def test_a_disk_that_does_not_tell(watch: DiskWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise OSError(errno.ESTALE, "stale")

    monkeypatch.setattr(os, "statvfs", fail)
    assert not watch.ends_early(1.0)
