"""When an agent has to leave its place: how long that is its own, and what signals say.

Only spans of time count: what another machine's clock says is compared with nothing here.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from types import FrameType
    from typing import Any
else:
    import _signal as signal  # all that `signal` has, without its enums, which take long to load

END_TOLERANCE = 10.0
"""Seconds by which a scheduler may be early; Slurm was seen to be half a minute late."""

LAST_SECONDS = 5.0
"""So long before it is killed the agent leaves, whatever is at work."""

WARNED_SECONDS = 30.0
"""So long before its end the job script has Slurm tell the agent."""

BEGIN_SECONDS = 30.0
"""Besides half as long again as the longest task: what must be left to begin another one."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What schedulers send to a job whose time is over or whose place is wanted."""

CAUGHT_TOGETHER = 0.2
"""Seconds within which such a signal to all processes of an element has reached each of them."""


class Ending:
    """See the module.

    Attributes
    ----------
    lives : float or None
        Seconds that the element lives, as far as anybody has said.
    from_scheduler : bool
        The scheduler has said it, not the user.
    longest_task : float
        Seconds that the longest task took.
    leave_at : float or None
        When to leave whatever is at work; before that, as soon as nothing is.
    reason : str
        Why, for the goodbye.
    """

    def __init__(
        self, info: dict[str, Any], started: float, environment: Mapping[str, str]
    ) -> None:
        """`started` is when the element began, by our own clock."""
        self._started = started
        self._slurm = info["scheduler"] == "slurm"
        self._unwarned = info["scheduler"] == "sge"
        self._own_end = float("inf")
        self._got: list[int] = []
        self._end: float | None = None
        self._told = False
        self._grace = 0.0
        self.longest_task = 0.0
        self.leave_at: float | None = None
        self.reason = "time"
        self.lives: float | None = None
        self.from_scheduler = info["time"] is None
        self.is_given(limit(environment) if self.from_scheduler else float(info["time"]), 0.0)

    def is_given(self, lives: float | None, grace: float) -> None:
        """Seconds that the element lives, and those from the signal at its end to its kill."""
        self._grace = grace
        if lives is not None:
            self.lives = lives
            self._end = self._started + lives
            if self._unwarned:
                self._own_end = self._end - LAST_SECONDS

    # -- signals

    def listen(self) -> None:
        """Signals are taken down from now on."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._got.append(number)

    def told(self, now: float) -> bool:
        """Whether signals have come since the last time. They count from now on."""
        got, self._got = self._got, []
        for number in got:
            if self._slurm and number != signal.SIGTERM:
                warned = now + WARNED_SECONDS - LAST_SECONDS
                self._end = warned if self._end is None else min(self._end, warned)
            elif self.leave_at is None:
                over = self._end is not None and now > self._end - END_TOLERANCE
                self.reason = "time" if over else "signal"
                self.leave_at = now + max(self._grace - LAST_SECONDS, 0.0)
        self._told = self._told or bool(got)
        return bool(got)

    def died_with_us(self, code: int) -> bool:
        """Whether a worker that ended so did because the whole element was sent that signal."""
        if -code not in SIGNALS:
            return False
        deadline = time.monotonic() + CAUGHT_TOGETHER
        while not (self._told or self._got) and time.monotonic() < deadline:
            time.sleep(0.005)
        return self._told or -code in self._got

    # -- time

    @property
    def next_at(self) -> float:
        """When to ask again whether it is over."""
        return self._own_end if self.leave_at is None else min(self.leave_at, self._own_end)

    def over(self, now: float, idle: bool) -> str | None:
        """Why to leave now, if there is a reason; `idle`: nothing is at work.

        Grid Engine kills without a word when the time is over, so nothing is waited for then.
        """
        if self.leave_at is not None and (idle or now >= self.leave_at):
            return self.reason
        if now >= self._own_end or (idle and self.begins_nothing(now)):
            return "time"
        return None

    def begins_nothing(self, now: float) -> bool:
        """It was told so, or too little time is left for another task, and one was run at least."""
        if self._told or self._end is None or not self.longest_task:
            return self._told
        return self._end - now < 1.5 * self.longest_task + BEGIN_SECONDS


def seconds_so_far() -> float:
    """How long the job script has been running that this process is, or is a child of.

    What the script does first takes some of the element's time.
    """
    try:
        with open(f"/proc/{os.getpgid(0)}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        return max(now - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0


def limit(environment: Mapping[str, str]) -> float | None:
    """Seconds that Slurm gives the job, where it tells: both times are by the same clock."""
    try:
        seconds = float(environment["SLURM_JOB_END_TIME"])
        seconds -= float(environment["SLURM_JOB_START_TIME"])
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 else None


def leave_to_agent(scheduler: str) -> None:
    """In a worker: what Grid Engine sends to all processes of a job is the agent's affair.

    Also for what tasks start. Elsewhere workers die of these signals, as other programs do.
    """
    heeds = signal.SIG_IGN if scheduler == "sge" else signal.SIG_DFL
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
        signal.signal(number, heeds)
