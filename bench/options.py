"""Command lines of the suite: what is wrong is said in a line, and who ends it is obeyed.

What the user can mend ends with the code 2, a signal with that of shells, without a traceback.
"""

import argparse
import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

WRONG = 2
"""The exit code for what the user can mend: an option, a file, something that is not there."""


class Parser(argparse.ArgumentParser):
    """As that of the standard library, without the usage before each error."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}; --help tells more\n")


def refuse(parser: argparse.ArgumentParser, said: object) -> NoReturn:
    """Ends the program with what was found only after the command line was read."""
    parser.exit(WRONG, f"{parser.prog}: {' '.join(str(said).split())}\n")


def number(least: float, whole: bool = False) -> Callable[[str], float]:
    """The type of an option that must be so large at least."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least <= value < math.inf) or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} of at least {least:g}")
        return int(value) if whole else value

    return read


def new_file(text: str) -> Path:
    """The type of an option that names a file which is written later, when it would be late."""
    file = Path(text)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        there = file.exists()
        file.open("ab").close()
        if not there:
            file.unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {error.strerror}") from None
    return file


def end_by_signals() -> None:
    """A signal ends the block at work as an error would, so that it is cleaned up behind it.

    Those that are ignored, as in the background or by `nohup`, stay so.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def leave(number: int, _: object) -> None:
    name = signal.Signals(number).name
    print(f"{name}: what was started is ended first ...", file=sys.stderr, flush=True)
    raise SystemExit(128 + number)
