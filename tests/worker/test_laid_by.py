"""Values of short tasks: laid by, sent together, and never lost."""

from mmap import mmap
from typing import Any

import numpy as np
import pytest

from pypool.kinds import PICKLES, kind_of
from pypool.rundir import values
from pypool.worker import laid_by
from pypool.worker.laid_by import DATA_BYTES, LARGEST_PICKLE, MOST, LaidBy, most_in_column


@pytest.fixture
def both() -> tuple[LaidBy, LaidBy]:
    """The worker's side and the agent's."""
    memory = memoryview(mmap(-1, 64 + laid_by.BYTES))
    return LaidBy(memory, 64), LaidBy(memory, 64)


def test_what_is_laid_by_can_be_taken(both: tuple[LaidBy, LaidBy]) -> None:
    """Place, sizes and bytes, without the worker's doing anything more."""
    worker, agent = both
    assert agent.taken() == (0, 0, 0, b"p")
    worker.begin(7, 100, 2, PICKLES)
    for data in (b"a", b"bb", b""):
        assert worker.add(data)
    body = b"p" + b"".join(size.to_bytes(4, "little") for size in (1, 2, 0)) + b"abb"
    assert agent.taken() == (7, 100, 3, body)
    assert agent.attempt == 2
    assert worker.body(3) == body


@pytest.mark.parametrize(
    "told",
    [
        [0.5, -1.0],
        [1, -(2**63)],
        [True, False],
        [None, None],
        list(np.arange(2.0)),
        list(np.arange(2)),
    ],
)
def test_a_column_can_be_taken(both: tuple[LaidBy, LaidBy], told: list[Any]) -> None:
    worker, agent = both
    kind = kind_of(told[0])
    worker.begin(7, 100, 2, kind)
    add = worker.adding(kind)
    for value in told:
        assert add(value)
    assert not add("something else")
    taken = agent.taken()
    assert taken is not None
    assert taken[:3] == (7, 100, 2)
    assert values.loads(taken[3], 2) == told
    assert list(map(type, values.loads(taken[3], 2))) == list(map(type, told))


def test_values_go_on_behind_those_that_are_there(both: tuple[LaidBy, LaidBy]) -> None:
    worker, agent = both
    worker.begin(7, 100, 2, "d")
    assert worker.adding("d")(0.5)
    assert worker.adding("d")(1.5)
    column, counted = worker.column("d")
    column[2], counted[0] = 2.5, 3
    assert len(column) == most_in_column("d")
    taken = agent.taken()
    assert taken is not None
    assert values.loads(taken[3], 3) == [0.5, 1.5, 2.5]


def test_a_column_of_integers_has_64_bits(both: tuple[LaidBy, LaidBy]) -> None:
    """Larger ones are declined, and harm nothing."""
    worker, agent = both
    worker.begin(1, 0, 1, "q")
    add = worker.adding("q")
    assert add(1)
    assert not add(2**63)
    assert add(2)
    taken = agent.taken()
    assert taken is not None
    assert values.loads(taken[3], 2) == [1, 2]


def test_a_new_beginning_leaves_nothing(both: tuple[LaidBy, LaidBy]) -> None:
    worker, agent = both
    worker.begin(7, 100, 1, "q")
    worker.adding("q")(70)
    worker.begin(7, 101, 1, PICKLES)
    assert agent.place == (7, 101, 0)
    worker.add(b"new")
    assert agent.taken() == (7, 101, 1, b"p\3\0\0\0new")


def test_who_takes_while_another_kind_begins_takes_nothing(
    both: tuple[LaidBy, LaidBy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker begins anew, with the same task, between two looks of the agent."""
    worker, agent = both
    worker.begin(7, 100, 1, "q")
    take = agent.body

    def body(count: int) -> bytes:
        found = take(count)
        worker.begin(7, 100, 1, PICKLES)
        return found

    monkeypatch.setattr(agent, "body", body)
    assert agent.taken() is None


def test_there_is_room_for_so_much(both: tuple[LaidBy, LaidBy]) -> None:
    """What does not fit is told, and what was there is unharmed."""
    worker, agent = both
    worker.begin(1, 0, 1, PICKLES)
    assert not worker.add(bytes(LARGEST_PICKLE + 1))
    count, rest = divmod(DATA_BYTES, LARGEST_PICKLE)
    sizes = [*[LARGEST_PICKLE] * count, rest]
    assert all(worker.add(b"x" * size) for size in sizes)
    assert not worker.add(b"y")
    told = b"".join(size.to_bytes(4, "little") for size in sizes)
    assert agent.taken() == (1, 0, count + 1, b"p" + told + b"x" * DATA_BYTES)
    worker.begin(1, 0, 1, PICKLES)
    assert [worker.add(b"") for _ in range(MOST + 1)] == [True] * MOST + [False]
    worker.begin(1, 0, 1, "d")
    add = worker.adding("d")
    room = [True] * most_in_column("d")
    assert [add(1.0) for _ in range(most_in_column("d") + 1)] == [*room, False]
    assert agent.body(most_in_column("d"))[-8:] == agent.body(1)[1:]
