"""Sets of indexes held as ranges, against sets of Python."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pypool.engine.dealing.ranges import Ranges, joined

steps = st.lists(
    st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 30), st.integers(0, 30)),
    max_size=30,
)


def indexes(ranges: Ranges) -> set[int]:
    return {index for first, last in ranges for index in range(first, last)}


@settings(max_examples=200, deadline=None, database=None)
@given(steps)
def test_adding_and_removing(steps):
    """Any sequence of additions and removals leaves what a set would hold, and gives the rest."""
    ranges, model = Ranges(), set()
    for name, first, last in steps:
        span = set(range(first, last))
        if name == "add":
            ranges.add(first, last)
            model |= span
        else:
            removed = ranges.remove(first, last)
            assert {index for begin, end in removed for index in range(begin, end)} == model & span
            model -= span
        assert indexes(ranges) == model
        assert len(ranges) == len(model)


@settings(max_examples=200, deadline=None, database=None)
@given(steps)
def test_ranges_never_touch(steps):
    """Ranges stay in order, none is empty, and neighbours are one."""
    ranges = Ranges()
    for name, first, last in steps:
        getattr(ranges, name)(first, last)
        edges = [edge for each in ranges for edge in each]
        assert all(low < high for low, high in pairwise(edges))


def test_take_gives_the_lowest_without_a_gap():
    """Taking more than the first range holds gives the first range."""
    ranges = Ranges()
    ranges.add(3, 5)
    ranges.add(8, 9)
    assert ranges.take(10) == (3, 5)
    assert list(ranges) == [(8, 9)]


def test_a_million_indexes_are_one_range():
    """What is not yet dealt costs no memory."""
    ranges = Ranges()
    ranges.add(0, 1_000_000)
    ranges.remove(10, 20)
    assert list(ranges) == [(0, 10), (20, 1_000_000)]
    assert len(ranges) == 999_990


@settings(deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 3))))
def test_joined_ranges_are_the_same_indexes(sizes):
    """In their order; what follows each other is one range."""
    given = [(first, first + size) for first, size in sizes]
    found = list(joined(given))
    assert [index for each in found for index in range(*each)] == [
        index for each in given for index in range(*each)
    ]
    assert all(before[1] != behind[0] for before, behind in pairwise(found))
