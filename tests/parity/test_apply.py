"""`apply`: one call, with arguments and keywords."""

import pytest

from . import tasks
from .kinds import AnyPool


def test_no_arguments(pool: AnyPool) -> None:
    """A function alone is called with nothing."""
    assert pool.apply(tasks.told) == ((), {})


def test_positions(pool: AnyPool) -> None:
    """Function, arguments, keywords, in this order."""
    assert pool.apply(tasks.told, (1, 2), {"a": 3}) == ((1, 2), {"a": 3})


def test_keywords(pool: AnyPool) -> None:
    """All three have their names."""
    assert pool.apply(kwds={"a": 3}, args=(1,), func=tasks.told) == ((1,), {"a": 3})


@pytest.mark.parametrize(
    ("args", "expected"),
    [([1, 2], (1, 2)), ("ab", ("a", "b")), (range(2), (0, 1)), ({"key": 1}, ("key",))],
    ids=["list", "string", "range", "dict"],
)
def test_arguments_of_all_kinds(
    pool: AnyPool, args: "list[int] | str", expected: tuple[object, ...]
) -> None:
    """What a star unpacks in a call can be the arguments."""
    assert pool.apply(tasks.told, args) == (expected, {})


def test_keywords_alone(pool: AnyPool) -> None:
    """Arguments may be empty while there are keywords."""
    assert pool.apply(tasks.told, (), {"a": 1, "b": [2]}) == ((), {"a": 1, "b": [2]})


def test_keywords_are_left_alone(pool: AnyPool) -> None:
    """The caller's dictionary stays as it was; so does the default."""
    kwds = {"a": 1}
    pool.apply(tasks.told, (), kwds)
    assert kwds == {"a": 1}
    assert pool.apply(tasks.told) == ((), {})


def test_an_item_that_is_a_tuple(pool: AnyPool) -> None:
    """A tuple inside of the arguments is one argument."""
    assert pool.apply(tasks.told, ((1, 2),)) == (((1, 2),), {})


def test_arguments_that_do_not_fit(pool: AnyPool) -> None:
    """An error of the call, as without a pool."""
    with pytest.raises(TypeError, match="second"):
        pool.apply(tasks.add, (1,))


def test_arguments_that_are_none(pool: AnyPool) -> None:
    """A number is no row of arguments."""
    with pytest.raises(TypeError, match="iterable"):
        pool.apply(tasks.add, 1)
