"""Watching for a disk that takes nothing more, as agents tell of it.

The driver itself may still have room in its last block when a worker has none for its result.
"""

import errno
import logging
import os
from contextlib import suppress

from pypool.engine.elements.away import Seldom
from pypool.rundir.run import unusable

log = logging.getLogger("pypool")

PATIENCE = 60.0
"""Seconds in which somebody may make room before the calls are told."""

LOOK_SECONDS = 5.0
LEAST_ROOM = 64 << 10
"""With fewer bytes an agent may have none for its first word."""

_NOBODY = ""
"""Stands for an element whose agent could not even say hello."""


class DiskWatch:
    """See the module.

    Parameters
    ----------
    path : str
        The run directory.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._troubles: dict[str, tuple[float, int]] = {}
        self._notices = Seldom()
        self._look_at = 0.0

    def said(self, agent: str, trouble: int, now: float) -> None:
        """What the agent meets when it writes: an errno, or 0 if all is well."""
        if not trouble:
            self._troubles.pop(agent, None)
        elif agent not in self._troubles:
            self._troubles[agent] = now, trouble

    def ends_early(self, now: float) -> bool:
        """Whether an element that ended before hello may have had no room for that.

        That is believed until an agent says hello, or there is room and nobody else lacks it.
        """
        if not self._troubles and self._has_room():
            return False
        self._troubles.setdefault(_NOBODY, (now, errno.ENOSPC))
        return True

    def _forget_nobody(self, now: float) -> None:
        if self._troubles.keys() == {_NOBODY} and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            if self._has_room():
                self._troubles.clear()

    def can_begin(self) -> None:
        """An agent has said hello."""
        self._troubles.pop(_NOBODY, None)

    def _has_room(self) -> bool:
        with suppress(OSError):  # it is said elsewhere
            found = os.statvfs(self._path)
            full = found.f_bavail * found.f_frsize < LEAST_ROOM
            return not full and bool(found.f_favail or not found.f_files)
        return True

    def check(self, now: float) -> None:
        """Says what is wrong.

        Raises
        ------
        OSError
            If that has been so for too long.
        """
        self._forget_nobody(now)
        if not self._troubles:
            return
        since, trouble = min(self._troubles.values())
        error = OSError(trouble, os.strerror(trouble))
        if now - since > PATIENCE:
            raise error
        self._notices.warn(
            now,
            "workers wait for room on the disk, a minute at most: %s",
            unusable(self._path, error),
        )
