"""Uneven lists, and their time without any overhead."""

import pytest

from bench.lists import KINDS, first_come_first_served, uneven


def test_first_come_first_served_takes_the_next_when_free() -> None:
    """Two workers: 3 and 1 begin, 1 follows on the second, so does 4, which ends last."""
    assert first_come_first_served([3, 1, 1, 4], 2) == 6


def test_one_worker_does_all_of_it() -> None:
    """Then the order does not matter."""
    assert first_come_first_served([0.5, 0.25, 1], 1) == 1.75


@pytest.mark.parametrize("kind", KINDS)
def test_lists_hold_the_work_that_was_asked_for(kind: str) -> None:
    """So many seconds for each worker, and the same list each time, another one for each seed."""
    tasks = uneven(kind, workers=4, seconds=5)
    assert sum(tasks) == pytest.approx(20, abs=0.001)
    assert tasks == uneven(kind, workers=4, seconds=5)
    assert tasks != uneven(kind, workers=4, seconds=5, seed=2)


def test_last_and_sorted_are_the_random_list_in_another_order() -> None:
    """They differ in nothing else, so that their makespans can be compared."""
    tasks = uneven("lognormal", 4, 5)
    assert uneven("sorted", 4, 5) == sorted(tasks)
    last = uneven("last", 4, 5)
    assert sorted(last) == sorted(tasks)
    assert set(last[-10:]) == set(sorted(tasks)[-10:])
    assert last != sorted(tasks)


def test_one_percent_is_heavy() -> None:
    """These are a hundred times as long."""
    tasks = uneven("heavy", 4, 5)
    longest = max(tasks)
    assert [round(longest / each) for each in tasks].count(1) == len(tasks) // 100
    assert min(tasks) == pytest.approx(longest / 100, rel=0.01)
