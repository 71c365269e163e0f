"""Values: what several tasks that follow each other have returned, as the body of one entry.

letter of a column (1 byte) | of arrays and tuples, what they are of | the values (see `kinds`)
"p" | size of each pickle (4 bytes each) | the pickles, one behind the other
"""

from __future__ import annotations

import pickle
import struct
from io import BytesIO
from itertools import accumulate

from pypool import columns
from pypool.columns import load
from pypool.kinds import PICKLES, known, unpack_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SIZE = struct.Struct("<I")
_MEMOIZE = b"\x94"
"""What pickles of protocol 5 do with all that they may name again; they do not name it else."""


def loads(body: bytes, count: int) -> list[Any]:
    """All of them."""
    kind, start = _kind(body)
    if kind != PICKLES:
        return load(kind, body[start:], count)
    place = 1 + _SIZE.size * count
    if _MEMOIZE not in body:  # nothing that has parts: one unpickler for all is faster
        load_next = pickle.Unpickler(BytesIO(body[place:])).load
        return [load_next() for _ in range(count)]
    # else each by itself: an unpickler that goes on remembers what it has named before
    return list(map(pickle.loads, _pickles(body, count)))


def pickles(body: bytes, count: int) -> Iterator[bytes]:
    """Each by itself, pickled."""
    kind, start = _kind(body)
    if kind == PICKLES:
        return _pickles(body, count)
    return columns.pickles(kind, body[start:], count)


def without(body: bytes, count: int, tasks: int) -> bytes:
    """The same without the first `tasks` of them."""
    kind, start = _kind(body)
    if kind != PICKLES:
        return body[:start] + body[start + known(kind).width * tasks :]
    place = 1 + _SIZE.size * count
    gone = sum(_sizes(body, tasks))
    return body[:1] + body[1 + _SIZE.size * tasks : place] + body[place + gone :]


def _kind(body: bytes) -> tuple[str, int]:
    """What they are, and where they begin."""
    name, more = unpack_name(body[:1], body[1:257])
    return name, 1 + more


def _sizes(body: bytes, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}I", body, 1)


def _pickles(body: bytes, count: int) -> Iterator[bytes]:
    ends = list(accumulate(_sizes(body, count), initial=1 + _SIZE.size * count))
    return map(body.__getitem__, map(slice, ends, ends[1:]))
