"""Shares and entries: what they say comes back, however large the numbers are."""

import pickle
import struct
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypool.rundir import messages
from pypool.rundir.messages import Entry, Share, pack_entry


def test_a_share_tells_large_numbers_as_far_as_it_can() -> None:
    """A chunk that is larger than any batch, and more attempts than anybody allows."""
    share = Share.unpack(Share(1, 2, 3, 0, 10, attempt=300, chunk=1 << 40).pack())
    assert (share.attempt, share.chunk) == (300, messages.LARGEST_CHUNK)
    assert Share.unpack(Share(1, 2, 3, 0, 10, attempt=1 << 20).pack()).attempt == (
        messages.MOST_ATTEMPTS
    )


def test_an_entry_tells_large_numbers_as_far_as_it_can() -> None:
    """Hundreds of workers, terabytes of memory, gigabytes of output."""
    packed = pack_entry(7, 300, messages.VALUE, 1000, 0.0, 1.0, 1 << 40, (1 << 40, 5 << 30), b"x")
    entry = Entry(packed)
    assert (entry.attempt, entry.slot, entry.body) == (300, 1000, b"x")
    assert entry.memory == messages.LARGEST_MEMORY
    assert entry.output == (1 << 40, 5 << 30)
    assert messages.cut_entries(packed)[0][0][-1] == packed


VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, min_size=1, max_size=20))
def test_values_that_are_told_together_stay_apart(values: list[Any]) -> None:
    """A pickle names what it has told before; what another pickle has told is none of that."""
    pairs = [(value, value, repr(value)) for value in values]
    pickles = [pickle.dumps((pair, pair), 5) for pair in pairs]
    sizes = struct.pack(f"<{len(pickles)}I", *map(len, pickles))
    body = sizes + b"".join(pickles)
    packed = pack_entry(0, 1, messages.VALUES, 0, 0.0, 0.0, 0, (0, 0), body, count=len(pickles))
    entry = Entry(packed)
    assert entry.values() == [(pair, pair) for pair in pairs]
    assert [pickle.loads(part.body) for part in entry.parts()] == entry.values()
