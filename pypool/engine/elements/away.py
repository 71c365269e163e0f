"""A scheduler that gives no answer: said seldom, and said when it answers again."""

import logging

log = logging.getLogger("pypool")

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
"""Seconds until the next try: doubled each time."""

SELDOM = 60.0


class Seldom:
    """Says things of one kind, once a minute at most."""

    def __init__(self) -> None:
        self._not_before = float("-inf")

    def warn(self, now: float, line: str, *words: object) -> bool:
        """Whether it was said."""
        if now < self._not_before:
            return False
        self._not_before = now + SELDOM
        log.warning(line, *words)
        return True


class Pauses:
    """Seconds until the next try, ever longer."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def next(self) -> float:
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE)
        return pause

    def reset(self) -> None:
        self._next = FIRST_PAUSE


class Away:
    """Whether the scheduler answers, for all who ask it.

    Attributes
    ----------
    ever : bool
        A command of this run had no answer.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._since: float | None = None
        self._said = False
        self._notices = Seldom()
        self.ever = False

    def failed(self, now: float, words: str, pause: float, told: str = "") -> None:
        """A command had no answer of use.

        Parameters
        ----------
        words : str
            What came back, on one line.
        pause : float
            Seconds until it is asked again.
        told : str
            All that came back, for whoever wants to know more.
        """
        self.ever = True
        if self._since is None:
            self._since = now
        log.debug("%s", told or words)
        line = "no answer of use from %s: %s; it is asked again in %.0f s, nothing is lost"
        self._said |= self._notices.warn(now, line, self._name, words, pause)

    def answered(self, now: float) -> None:
        """A command had a good answer."""
        if self._since is not None and self._said:
            log.warning("%s answers again, after %.0f s", self._name, now - self._since)
        self._since = None
        self._said = False
