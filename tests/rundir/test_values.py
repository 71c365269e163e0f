"""Bodies of entries that tell what several tasks have returned."""

import pickle
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypool.rundir import messages, values
from pypool.rundir.messages import Entry, pack_entry

ANY = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)

COLUMNS = {
    "floats": (b"d" + struct.pack("3d", 0.5, -0.0, 1e300), [0.5, -0.0, 1e300]),
    "integers": (b"q" + struct.pack("3q", 1, -2, 2**62), [1, -2, 2**62]),
    "bools": (b"?\1\0\1", [True, False, True]),
    "nothing": (b"0\0\0\0", [None, None, None]),
}


def pickled_body(told: list[Any]) -> bytes:
    pickles = [pickle.dumps(value, 5) for value in told]
    sizes = struct.pack(f"<{len(pickles)}I", *map(len, pickles))
    return b"p" + sizes + b"".join(pickles)


def entry_of(body: bytes, count: int) -> Entry:
    return Entry(pack_entry(5, 1, messages.VALUES, 0, 0.0, 0.0, 0, (0, 0), body, count=count))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ANY, min_size=1, max_size=20))
def test_pickles_that_are_told_together_stay_apart(given: list[Any]) -> None:
    """A pickle names what it has told before; what another pickle has told is none of that."""
    pairs = [(value, value, repr(value)) for value in given]
    told = [(pair, pair) for pair in pairs]
    entry = entry_of(pickled_body(told), len(told))
    assert entry.values() == told
    assert [pickle.loads(part.body) for part in entry.parts()] == told


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name: str) -> None:
    """Each value is what it was, together and by itself."""
    body, expected = COLUMNS[name]
    entry = entry_of(body, 3)
    assert [(type(each), repr(each)) for each in entry.values()] == [
        (type(each), repr(each)) for each in expected
    ]
    parts = list(entry.parts())
    assert [part.index for part in parts] == [5, 6, 7]
    assert [repr(pickle.loads(part.body)) for part in parts] == list(map(repr, expected))


@pytest.mark.parametrize(
    "body", [*(each[0] for each in COLUMNS.values()), pickled_body([1, "a", 2])]
)
@pytest.mark.parametrize("tasks", range(3))
def test_without_the_first(body: bytes, tasks: int) -> None:
    """What is left tells the rest, and nothing else."""
    whole = entry_of(body, 3)
    rest = Entry(whole.without(tasks, 0.5))
    assert rest.seconds == 0.5
    assert (rest.index, rest.count) == (5 + tasks, 3 - tasks)
    assert rest.values() == whole.values()[tasks:]
    assert [part.index for part in rest.parts()] == list(range(5 + tasks, 8))
    assert rest.body == values.without(body, 3, tasks)
