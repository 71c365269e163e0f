"""A worker's definitions are loaded when somebody asks, and again when `__main__` was changed."""

import pytest

from pypool import pickling
from pypool.worker import defined
from pypool.worker.defined import Defined


@pytest.fixture
def loads() -> list[int]:
    """What has been loaded."""
    return []


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often something was replaced, as its one element."""
    count = [0]
    monkeypatch.setattr(pickling, "changes_of_main", lambda: count[0])
    return count


def test_a_definition_is_loaded_once(loads: list[int], changes: list[int]) -> None:
    found = Defined(lambda number: loads.append(number) or 10 * number)  # type: ignore[func-returns-value]
    for _ in range(3):
        found.look()
        assert (found[1], found[2]) == (10, 20)
    assert loads == [1, 2]


def test_it_is_loaded_again_when_something_was_replaced(
    loads: list[int], changes: list[int]
) -> None:
    """Maybe by a function that another batch has brought."""
    found = Defined(loads.append)
    found[1]
    changes[0] += 1
    found.look()
    found[1]
    assert loads == [1, 1]


def test_what_replaces_something_drives_out_the_others(
    loads: list[int], changes: list[int]
) -> None:
    """Batches that take turns with two states of a class each get their own."""

    def load(number: int) -> None:
        loads.append(number)
        changes[0] += 1

    found = Defined(load)
    for number in (1, 2, 1, 1, 2):
        found.look()
        found[number]
    assert loads == [1, 2, 1, 2]


def test_not_all_are_kept_for_ever(loads: list[int], changes: list[int]) -> None:
    found = Defined(loads.append)
    for number in range(3 * defined.KEPT):
        found[number]
    assert len(found) <= defined.KEPT
