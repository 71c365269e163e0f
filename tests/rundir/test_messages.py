"""Shares and entries: what they say comes back, however large the numbers are."""

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
