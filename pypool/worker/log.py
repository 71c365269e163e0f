"""What agents and workers say to people: a line in the log that the scheduler keeps.

The disk of the log may be full, and a task may have closed the stream: then it is not said, and
nothing else changes.
"""

from __future__ import annotations

import os


def say(line: str) -> None:
    """A line of standard error, as it is now."""
    try:
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))
    except OSError:
        pass
