"""What lies there for workers: each thing once, and nothing for longer than it is needed."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from pypool.engine.calls import Batch, Call, Portion
from pypool.engine.store import IDLE_FUNCTIONS, Store
from pypool.rundir import names, records
from pypool.rundir.batch import MAP, BatchReader
from pypool.rundir.run import RunDirectory

LARGE = names.OWN_BATCH


class Nobody:
    """Waits for nothing."""

    def set_item(self, index: int, success: bool, value: Any) -> None: ...

    def fail(self, error: BaseException, quietly: bool = False) -> None: ...


class Shelf:
    """A store in a run directory of its own."""

    def __init__(self, place: Path) -> None:
        self.run = RunDirectory.create(str(place), {})
        self.store = Store(self.run)

    def add(self, number: int, items: list[bytes], function: bytes = b"f") -> None:
        digest = hashlib.sha256(function).digest()
        call = Call(MAP, function, digest, "f", 1, Nobody())
        batch = Batch(number)
        batch.add(Portion(call, 0, items, final=True))
        self.store.add(batch)

    def read(self, number: int, first: int, last: int) -> list[bytes]:
        """As a worker does it that is dealt this share."""
        share = self.store.share(number, first, last, 1, 0.0)
        fd = self.run.open_file(names.batches(share.file), os.O_RDONLY)
        try:
            reader = BatchReader(fd, self.run.mark, share.batch, share.offset)
            return reader.items(share.first, share.last)
        finally:
            os.close(fd)

    def names_in(self, folder: str) -> set[str]:
        return set(self.run.list(folder))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_share_says_where_its_tasks_are(shelf: Shelf) -> None:
    """Small batches one behind the other, and a large one between them."""
    shelf.add(1, [b"a", b"bb"])
    shelf.add(2, [b"c" * LARGE, b"d"])
    shelf.add(3, [b"e", b"f", b"g"])
    assert shelf.read(1, 0, 2) == [b"a", b"bb"]
    assert shelf.read(2, 1, 2) == [b"d"]
    assert shelf.read(3, 1, 3) == [b"f", b"g"]


def test_a_share_carries_what_the_dealer_knows(shelf: Shelf) -> None:
    """Attempt and expected seconds."""
    shelf.add(7, [b"a", b"b"])
    share = shelf.store.share(7, 0, 1, 3, 0.25)
    assert (share.batch, share.first, share.last) == (7, 0, 1)
    assert (share.attempt, share.seconds) == (3, 0.25)


def test_a_function_is_written_once(shelf: Shelf) -> None:
    """However many batches call it."""
    for number in range(1, 6):
        shelf.add(number, [b"x"])
    assert shelf.names_in(names.FUNCTIONS) == {hashlib.sha256(b"f").hexdigest()}


def test_a_function_reads_back_whole(shelf: Shelf) -> None:
    """Under a header with its checksum, of any size."""
    function = b"f" * 300_000
    shelf.add(1, [b"x"], function)
    data = shelf.run.read(names.function(hashlib.sha256(function).hexdigest()))
    record = records.Scanner(shelf.run.mark).record_at(data, 0)
    assert record is not None
    assert (record.kind, record.payload) == (records.FUNCTION, function)


def test_a_function_stays_while_a_batch_needs_it(shelf: Shelf) -> None:
    """Though many others have come and gone since."""
    shelf.add(1, [b"x"], b"needed")
    for number in range(2, 3 * IDLE_FUNCTIONS):
        shelf.add(number, [b"x"], b"f%d" % number)
        shelf.store.remove(number)
    assert hashlib.sha256(b"needed").hexdigest() in shelf.names_in(names.FUNCTIONS)


def test_idle_functions_are_kept_up_to_a_number(shelf: Shelf) -> None:
    """Those used last: a library calls the same few again and again."""
    for number in range(1, 3 * IDLE_FUNCTIONS):
        shelf.add(number, [b"x"], b"often" if number % 2 else b"f%d" % number)
        shelf.store.remove(number)
    left = shelf.names_in(names.FUNCTIONS)
    assert len(left) == IDLE_FUNCTIONS
    assert hashlib.sha256(b"often").hexdigest() in left


def test_a_function_that_was_dropped_is_written_again(shelf: Shelf) -> None:
    """When a later call needs it."""
    for number in range(1, 3 * IDLE_FUNCTIONS):
        shelf.add(number, [b"x"], b"f%d" % number)
        shelf.store.remove(number)
    first = hashlib.sha256(b"f1").hexdigest()
    assert first not in shelf.names_in(names.FUNCTIONS)
    shelf.add(1000, [b"x"], b"f1")
    assert first in shelf.names_in(names.FUNCTIONS)


def test_small_batches_share_a_file(shelf: Shelf) -> None:
    """One inode for all of them."""
    for number in range(1, 50):
        shelf.add(number, [b"x" * 100] * 10)
    assert len(shelf.names_in(names.BATCHES)) == 1


def test_a_large_batch_has_a_file_of_its_own(shelf: Shelf) -> None:
    """It goes when the batch goes, whatever else is open."""
    shelf.add(1, [b"x"])
    shelf.add(2, [b"x" * LARGE])
    shelf.add(3, [b"x" * LARGE])
    assert len(shelf.names_in(names.BATCHES)) == 3
    shelf.store.remove(2)
    assert len(shelf.names_in(names.BATCHES)) == 2
    assert shelf.read(3, 0, 1) == [b"x" * LARGE]
    assert shelf.read(1, 0, 1) == [b"x"]


def test_a_full_shared_file_goes_when_nobody_needs_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches go on in a next file; the one before stays for the last batch in it."""
    monkeypatch.setattr(names, "BATCHES_LIMIT", 10_000)
    for number in range(1, 13):
        shelf.add(number, [b"x" * 2000])
    assert len(shelf.names_in(names.BATCHES)) == 3
    for number in (1, 2, 3):
        shelf.store.remove(number)
    assert len(shelf.names_in(names.BATCHES)) == 3
    assert shelf.read(4, 0, 1) == [b"x" * 2000]
    shelf.store.remove(4)
    assert len(shelf.names_in(names.BATCHES)) == 2


def test_the_shared_file_outlives_its_batches(shelf: Shelf) -> None:
    """The next small batch goes there, and is not written over what is there."""
    shelf.add(1, [b"first"])
    shelf.store.remove(1)
    shelf.add(2, [b"second"])
    assert shelf.read(2, 0, 1) == [b"second"]
    assert shelf.store.share(2, 0, 1, 1, 0.0).offset > 0


def test_the_number_of_files_does_not_grow_with_the_calls(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three thousand calls, some of them large, each with two others open."""
    monkeypatch.setattr(names, "BATCHES_LIMIT", 100_000)
    most = 0
    for number in range(1, 3001):
        size = LARGE if number % 50 == 0 else 500
        shelf.add(number, [b"x" * size], b"f%d" % (number % 40))
        if number > 2:
            shelf.store.remove(number - 2)
        if number % 25 == 0:
            files = shelf.names_in(names.BATCHES) | shelf.names_in(names.FUNCTIONS)
            most = max(most, len(files))
    assert most <= IDLE_FUNCTIONS + 2 + 4


def test_files_are_the_users_alone(shelf: Shelf) -> None:
    """Mode 0600, whatever the umask."""
    shelf.add(1, [b"x"])
    shelf.add(2, [b"x" * LARGE])
    files = [path for path in Path(shelf.run.path).rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_what_the_disk_did_not_take_leaves_no_trace(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same call can be tried again."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    shelf.add(1, [b"x"])
    with monkeypatch.context() as patched:
        patched.setattr(shelf.run, "write", refuse)
        with pytest.raises(OSError, match="No space"):
            shelf.add(2, [b"y"], b"g")
    with pytest.raises(KeyError):
        shelf.store.share(2, 0, 1, 1, 0.0)
    shelf.add(2, [b"y"], b"g")
    assert shelf.read(2, 0, 1) == [b"y"]
    assert hashlib.sha256(b"g").hexdigest() in shelf.names_in(names.FUNCTIONS)
