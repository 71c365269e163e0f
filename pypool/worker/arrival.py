"""The arrival of an agent: all that it does until the driver knows that it is there.

The driver waits for it, and a thousand agents load this from a shared disk at once: nothing is
imported but what the hello needs. What feeds and becomes workers is loaded when that is said,
while the driver reads it and deals.
"""

from __future__ import annotations

import os
import sys
import time

from pypool.rundir import records
from pypool.version import VERSION
from pypool.worker.ending import Ending, seconds_so_far
from pypool.worker.log import say
from pypool.worker.mail import Mail

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from pypool.rundir.run import RunDirectory
else:
    import _signal as signal  # see `ending`

REFUSED = 3
"""Exit code of an agent that cannot serve; see `agent` for the others."""


class Arrival:
    """What an agent has when it says hello, and keeps.

    Attributes
    ----------
    mail : Mail
        Its mailboxes.
    ending : Ending
        When it has to leave.
    wake, wakeup : int
        Ends of a pipe: signals that come are written to the second one.
    """

    wake = wakeup = -1

    def __init__(self, run: RunDirectory, element: str, pipes: tuple[int, int] | None) -> None:
        now = time.monotonic()
        self.run = run
        self.element = element
        self.mail = Mail(run, element, pipes, now)
        self.ending = Ending(run.info, now - seconds_so_far(), os.environ)

    def prepare_signals(self) -> None:
        """None that comes from now on is lost, nor does it end the agent without a word."""
        self.wake, self.wakeup = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self.wakeup, False)
        signal.set_wakeup_fd(self.wakeup, warn_on_full_buffer=False)
        self.ending.listen()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say_hello(self) -> None:
        """Unless the driver has stopped already."""
        mail, ending = self.mail, self.ending
        mail.read_driver(time.monotonic())
        if mail.stopped:
            return
        words = {
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "slots": self.run.info["workers_per_element"],
            "python": sys.version.split()[0],
            "pypool": VERSION,
            "job": os.environ.get("SLURM_ARRAY_JOB_ID", os.environ.get("JOB_ID")),
            "index": self.element.rpartition("/")[2],
            "time": ending.lives if ending.from_scheduler else None,
        }
        mail.put(records.HELLO, words)
        mail.flush(time.monotonic())

    def refuse(
        self,
        why: str,
        mismatch: bool = False,
        initializer: bool = False,
        error: bytes | None = None,
    ) -> None:
        """Says why no task can be run here.

        It may be another version, or the pool's initializer, maybe with an error that it raised.
        """
        if self.mail.pipes is None or not initializer:  # else the driver's program tells all
            say(f"pypool: {why}")
        told = None
        if error is not None:
            from base64 import b64encode  # seldom needed

            told = b64encode(error).decode()
        words = {"why": why, "mismatch": mismatch, "initializer": initializer, "error": told}
        self.mail.put(records.REFUSED, words)
        self.mail.say_all()
