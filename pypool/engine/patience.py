"""Patience with a machine that is short of something for a moment: of open files, or of memory.

The program may have used up its descriptors, other programs those of the machine. What cannot be
opened now is tried again, in its place: so no step of a round is done by half, or twice. A disk
that is full is another matter.
"""

import errno
import logging
import os
import time
from collections.abc import Callable

from pypool.engine.elements.away import Seldom

log = logging.getLogger("pypool")

SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

PATIENCE = 180.0
PATIENCE_AT_END = 5.0
PATIENCE_AT_START = 5.0
"""Seconds that one thing is tried; all things at the end; and starting a process, which the user
may have been allowed no more of."""

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
SAID_AFTER = 1.0


class Patience:
    """Decides whether something is tried again.

    Parameters
    ----------
    ending : callable
        Whether all is about to end, and somebody waits for that.
    """

    def __init__(
        self,
        ending: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ending = ending
        self._clock = clock
        self._sleep = sleep
        self._at_end: float | None = None
        self._notices = Seldom()

    def __call__(self, error: OSError, since: float | None, longest: float = PATIENCE) -> float:
        """Waits a little. Gives since when, to be handed in the next time.

        Raises
        ------
        OSError
            The same, if it is no shortage or has lasted too long.
        """
        now = self._clock()
        since = now if since is None else since
        if error.errno not in SHORTAGES or now - since > longest or self._is_over(now):
            raise error
        if now - since > SAID_AFTER:
            self._notices.warn(
                now,
                "waits, %.0f s at most, because this program cannot go on: %s",
                longest,
                error.strerror or os.strerror(error.errno or 0),
            )
        self._sleep(min(max(now - since, FIRST_PAUSE), LONGEST_PAUSE))
        return since

    def _is_over(self, now: float) -> bool:
        if not self._ending():
            return False
        if self._at_end is None:
            self._at_end = now + PATIENCE_AT_END
        return now > self._at_end
