"""A program with pools that only note how they are ended; run by `test_endings.py`."""

import os
import select  # noqa: F401 - for the programs
import signal
import sys
import threading
import time

from pypool.engine import endings

sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


class Noting:
    """As a dispatcher: its thread ends when it is told to, and unless it hangs."""

    def __init__(self, named: bool = False, signals: bool = True, hangs: bool = False) -> None:
        self.named = named
        self._hangs = hangs
        self._how: str | None = None
        self._pid = os.getpid()
        self._told = threading.Event()
        self.thread = threading.Thread(target=self._live, daemon=True)
        endings.watch(self, signals=signals)
        self.thread.start()

    @property
    def ours(self) -> bool:
        return os.getpid() == self._pid

    def stop(self, how: str) -> None:
        self._how = how
        self._told.set()

    def spoil(self) -> None:
        """It has nothing that outlives the program."""

    def _live(self) -> None:
        self._told.wait()
        os.write(1, f"{self._how} named={self.named}\n".encode())  # whole, whoever else prints
        if self._hangs:
            time.sleep(60)
        endings.unwatch(self)

    def wait(self, seconds: float) -> bool:
        self.thread.join(seconds if seconds >= 0 else None)
        return not self.thread.is_alive()

    def join(self) -> None:
        self.thread.join()
        endings.unwatch(self)


def handlers() -> str:
    names = {signal.SIG_DFL: "default", signal.SIG_IGN: "ignored", endings._end_by: "ours"}
    return " ".join(names.get(signal.getsignal(each), "other") for each in endings.SIGNALS)


def be_ready() -> None:
    print("ready", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    exec(sys.argv[1])
