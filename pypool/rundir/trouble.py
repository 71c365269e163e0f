"""Errors of the file system: they name their file, and what has become stale is opened again."""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def naming(name: str, use: Callable[[], T]) -> T:
    """What `use` gives, which opens and uses the file `name`; its errors name that file.

    A network file system may say that what was just opened is not the file of that name any
    more (ESTALE): then it is opened once again.
    """
    try:
        return use()
    except OSError as error:
        if error.errno == errno.ESTALE:
            return use()
        if error.filename is None:  # reading, writing and closing do not know it
            error.filename = name
        raise
