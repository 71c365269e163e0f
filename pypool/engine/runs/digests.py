"""What tasks of a named run are known by when their program is started again."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from pypool import stable

Digests = Callable[[Any], bytes]
"""Of an item: what its task is known by; nothing if it has nothing that stays the same."""


def digests_for(kind: int, function: Callable[..., Any], more: bytes) -> Digests:
    """For the tasks of one call: by what the function is, what it carries, and what it is given.

    `more` is what else decides about results: the seed, and what workers were made ready with.
    """
    own = stable.function_digest(function)
    if own is None:
        return lambda item: b""
    call = blake2b(bytes([kind]) + own + more, digest_size=stable.SIZE).digest()

    def digest(item: Any) -> bytes:
        found = stable.digest_of(item)
        return b"" if found is None else blake2b(call + found, digest_size=stable.SIZE).digest()

    return digest
