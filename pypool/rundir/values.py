"""Values: what several tasks that follow each other have returned, as the body of one entry.

letter of a column (1 byte) | the values, as `columns` has them
"p" | size of each pickle (4 bytes each) | the pickles, one behind the other
"""

from __future__ import annotations

import pickle
import struct
from io import BytesIO
from itertools import accumulate, pairwise

from pypool.columns import KINDS, PICKLES, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SIZE = struct.Struct("<I")
_MEMOIZE = b"\x94"
"""What pickles of protocol 5 do with all that they may name again; they do not name it else."""


def loads(body: bytes, count: int) -> list[Any]:
    """All of them."""
    kind = _kind(body)
    if kind != PICKLES:
        return load(kind, body[1:], count)
    place = 1 + _SIZE.size * count
    if _MEMOIZE not in body:  # nothing that has parts: one unpickler for all is faster
        load_next = pickle.Unpickler(BytesIO(body[place:])).load
        return [load_next() for _ in range(count)]
    # else each by itself: an unpickler that goes on remembers what it has named before
    return list(map(pickle.loads, _pickles(body, count)))


def pickles(body: bytes, count: int) -> Iterator[bytes]:
    """Each by itself, pickled."""
    kind = _kind(body)
    if kind == PICKLES:
        return _pickles(body, count)
    return (pickle.dumps(value, 5) for value in load(kind, body[1:], count))


def without(body: bytes, count: int, tasks: int) -> bytes:
    """The same without the first `tasks` of them."""
    kind = _kind(body)
    if kind != PICKLES:
        return body[:1] + body[1 + KINDS[kind].width * tasks :]
    place = 1 + _SIZE.size * count
    gone = sum(_sizes(body, tasks))
    return body[:1] + body[1 + _SIZE.size * tasks : place] + body[place + gone :]


def _kind(body: bytes) -> str:
    return chr(body[0])


def _sizes(body: bytes, count: int) -> Iterator[int]:
    return (size for (size,) in _SIZE.iter_unpack(body[1 : 1 + _SIZE.size * count]))


def _pickles(body: bytes, count: int) -> Iterator[bytes]:
    ends = accumulate(_sizes(body, count), initial=1 + _SIZE.size * count)
    return (body[start:end] for start, end in pairwise(ends))
