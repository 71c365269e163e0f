"""Values of short tasks: laid by, sent together, and never lost."""

from mmap import mmap

import pytest

from pypool.worker import laid_by
from pypool.worker.laid_by import DATA_BYTES, MOST, LaidBy


@pytest.fixture
def both() -> tuple[LaidBy, LaidBy]:
    """The worker's side and the agent's."""
    memory = memoryview(mmap(-1, 64 + laid_by.BYTES))
    return LaidBy(memory, 64), LaidBy(memory, 64)


def test_what_is_laid_by_can_be_taken(both: tuple[LaidBy, LaidBy]) -> None:
    """Place, sizes and bytes, without the worker's doing anything more."""
    worker, agent = both
    assert agent.taken() == (0, 0, 0, b"")
    worker.begin(7, 100, 2)
    for data in (b"a", b"bb", b""):
        assert worker.add(data)
    body = b"".join(size.to_bytes(4, "little") for size in (1, 2, 0)) + b"abb"
    assert agent.taken() == (7, 100, 3, body)
    assert agent.attempt == 2
    assert worker.body(3) == body


def test_a_new_beginning_leaves_nothing(both: tuple[LaidBy, LaidBy]) -> None:
    worker, agent = both
    worker.begin(7, 100, 1)
    worker.add(b"old")
    worker.begin(7, 101, 1)
    assert agent.place == (7, 101, 0)
    worker.add(b"new")
    assert agent.taken() == (7, 101, 1, b"\3\0\0\0new")


def test_there_is_room_for_so_much(both: tuple[LaidBy, LaidBy]) -> None:
    """What does not fit is told, and what was there is unharmed."""
    worker, agent = both
    worker.begin(1, 0, 1)
    assert not worker.add(bytes(DATA_BYTES + 1))
    assert worker.add(b"x" * DATA_BYTES)
    assert not worker.add(b"y")
    assert agent.taken() == (1, 0, 1, DATA_BYTES.to_bytes(4, "little") + b"x" * DATA_BYTES)
    worker.begin(1, 0, 1)
    assert [worker.add(b"") for _ in range(MOST + 1)] == [True] * MOST + [False]
