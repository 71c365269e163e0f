"""Files which appear all at once or not at all.

A cluster may start a task a second time while the first is still at it. Written to a temporary
name next to the target and renamed at the end, a file is never seen half-written, and the last
one to finish wins. The tasks are deterministic, so it does not matter which one that is.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file for writing which takes its name only once it is complete.

    Parameters
    ----------
    path : path
        The final name. An existing file is replaced.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
