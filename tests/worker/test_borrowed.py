"""What a task is given of files is its own; what the next task is given, too, is read once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypool.packing import MAPPED, PackingDamaged, Place, check
from pypool.worker import borrowed
from pypool.worker.borrowed import Borrowed

START = 64
SIZES = [100, 70_000, MAPPED + 5]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A file with room for all of it."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def written(fd: int, sizes: list[int]) -> list[Place]:
    """Where the buffers lie now."""
    places, end = [], 0
    for size in sizes:
        data = os.urandom(size)
        os.pwrite(fd, data, START + end)
        places.append((end, size, check(data)))
        end += size
    return places


def contents(fd: int, places: list[Place]) -> list[bytes]:
    return [os.pread(fd, size, START + start) for start, size, _ in places]


@pytest.mark.parametrize("owner", [None, "batch"])
def test_what_a_task_changes_the_next_one_does_not_see(file: int, owner: str | None) -> None:
    """Whether it is read, mapped or kept."""
    places = written(file, SIZES)
    lender = Borrowed()
    for _ in range(3):
        found = lender.fetch(file, START, owner)(places)
        assert [bytes(each) for each in found] == contents(file, places)
        for each in found:
            each[:5] = b"other"  # type: ignore[index]
        del each, found
        lender.give_back()


def test_what_has_an_owner_is_read_once(file: int) -> None:
    """Small ones are copied from then on; who owns it else has it from the file."""
    places = written(file, [70_000, 100])
    first = contents(file, places)
    lender = Borrowed()
    assert lender.fetch(file, START, "one")(places) == first
    os.ftruncate(file, 0)
    assert lender.fetch(file, START, "one")(places[::-1]) == first[::-1]
    for owner in ("other", None):
        with pytest.raises(PackingDamaged):
            lender.fetch(file, START, owner)(places)


def test_what_is_not_whole_yet_is_not_kept(file: int) -> None:
    """It is read again until it is."""
    places = written(file, [70_000])
    lender = Borrowed()
    (whole,) = contents(file, places)
    os.pwrite(file, bytes(70_000), START)
    with pytest.raises(PackingDamaged):
        lender.fetch(file, START, "one")(places)
    os.pwrite(file, whole, START)
    assert lender.fetch(file, START, "one")(places) == [whole]


def test_one_buffer_twice_is_two_copies(file: int) -> None:
    """As two arrays have memory of their own."""
    (place,) = written(file, [70_000])
    lender = Borrowed()
    for _ in range(2):
        one, other = lender.fetch(file, START, "one")([place, place])
        assert one == other
        assert one is not other


def test_so_much_is_kept_and_no_more(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borrowed, "KEPT_BYTES", 200_000)
    places = written(file, [70_000] * 7)
    lender = Borrowed()
    for _ in range(2):
        for place in places:
            assert lender.fetch(file, START, "one")([place]) == contents(file, [place])
    assert sum(map(len, lender._kept.values())) <= 200_000
