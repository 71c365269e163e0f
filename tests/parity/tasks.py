"""What the pools are asked to do. Imported by workers, so it loads next to nothing."""

import functools
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE = 60.0  # seconds


def square(number: int) -> int:
    return number * number


def same(item: Any) -> Any:
    return item


def add(first: Any, second: Any) -> Any:
    return first + second


def told(*args: Any, **kwds: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What it was called with."""
    return args, kwds


def total(row: Any) -> int:
    return int(row.sum())


def zeros(size: int) -> bytes:
    return bytes(size)


def worker(_: Any = None) -> tuple[int, str]:
    """Who works: the process, by its id and when it was started, since ids are used again."""
    return os.getpid(), Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]


def pid(_: Any = None) -> int:
    return os.getpid()


# ---- callables of all kinds


def twice(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    def wrapper(item: Any) -> Any:
        return 2 * function(item)

    return wrapper


@twice
def decorated(number: int) -> int:
    return number + 1


class Line:
    """Has a method of each kind, and can be called."""

    def __init__(self, slope: int) -> None:
        self.slope = slope

    def __call__(self, number: int) -> int:
        return self.slope * number

    def at(self, number: int) -> int:
        return self.slope * number + 1

    @classmethod
    def name_at(cls, number: int) -> str:
        return f"{cls.__name__} {number}"

    @staticmethod
    def nothing_at(number: int) -> int:
        return 0 * number


class Point(NamedTuple):
    x: int
    y: int = 0


class Box:
    """Items and results of a user's own class."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __repr__(self) -> str:
        return f"Box({self.content!r})"


# ---- tasks that raise


class TwoArguments(Exception):
    """Of the user's own, with arguments that it hands on."""


def divide(number: int) -> float:
    return 1 / number


def raise_two(number: int) -> None:
    raise TwoArguments("number", number)


def raise_from(_: Any) -> None:
    try:
        divide(0)
    except ZeroDivisionError as error:
        raise LookupError("nothing found") from error


def raise_os_error(_: Any) -> None:
    raise FileNotFoundError(2, "no such thing", "the name")


def refuse_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"odd: {number}")
    return number


def a_generator(_: Any) -> Iterator[int]:
    """A result that cannot be pickled."""
    return iter(number for number in range(3))


# ---- tasks that wait for something, and that leave a trace


def wait_for(path: str) -> str:
    """Returns as soon as the file is there."""
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists():
        if time.monotonic() > deadline:
            Path(f"{path}, given up").touch()
            raise RuntimeError(f"nobody made {path}")
        time.sleep(0.005)
    return path


def wait_for_some(path: str) -> str:
    """As `wait_for`, but does nothing if there is nothing to wait for."""
    return wait_for(path) if path else path


def begin_and_wait_for(begun: str, path: str) -> str:
    Path(begun).touch()
    return wait_for(path)


def leave_trace(directory: str) -> None:
    """A file of its own for each call."""
    Path(directory, uuid.uuid4().hex).touch()


# ---- what an initializer leaves behind

STATE: dict[str, Any] = {}
CALLED_WITH: list[tuple[Any, ...]] = []


def initialize(*args: Any) -> None:
    CALLED_WITH.append(args)
    STATE["added"] = sum(args)


def add_state(number: int) -> int:
    return number + int(STATE["added"])


def initialized_with(_: Any) -> list[tuple[Any, ...]]:
    return CALLED_WITH


def mark_worker() -> None:
    STATE["calls"] = 0


def count_call(_: Any) -> tuple[tuple[int, str], int]:
    """Which worker this is, and how often it was here since its initializer."""
    STATE["calls"] += 1
    return worker(), STATE["calls"]


def add_to(start: int) -> Callable[[int], int]:
    """A function that adds `start`."""
    return functools.partial(add, start)


def trace_and_refuse_first(row: tuple[str, int]) -> None:
    """Leaves a file, later than the first call raises."""
    directory, number = row
    if number == 0:
        Path(directory, "0").touch()
        raise ValueError("the first")
    time.sleep(0.02)
    Path(directory, str(number)).touch()


def traces(directory: str) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


MISSING = "missing"


def wait_or_refuse(path: str) -> str:
    if path == MISSING:
        raise LookupError(path)
    return wait_for(path)


def generator_if_zero(number: int) -> Any:
    return number or a_generator(number)


def note_and_wait_for(begun: str, path: str) -> str:
    """Says in a file who works, then waits for another file."""
    Path(f"{begun}.new").write_text(" ".join(map(str, worker())))
    Path(f"{begun}.new").rename(begun)
    return wait_for(path)


def noted(begun: str) -> tuple[int, str]:
    process, since = Path(begun).read_text().split()
    return int(process), since


def ends(process: int, since: str) -> bool:
    """Whether the process is gone some seconds later; it may be a zombie for a moment."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state, *rest = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return True
        if state == "Z" or rest[18] != since:
            return True
        time.sleep(0.01)
    return False


OTHERS = 7  # as many as `imap` takes ahead of the one that waits, with two workers
HELD_UP = 10.0  # seconds after which the others are taken to wait for the first


def first_waits(row: tuple[str, int]) -> bool:
    """The first returns when all others have been done, the others at once."""
    directory, number = row
    if number:
        Path(directory, str(number)).touch()
        return True
    deadline = time.monotonic() + HELD_UP
    while len(traces(directory)) < OTHERS and time.monotonic() < deadline:
        time.sleep(0.005)
    return len(traces(directory)) == OTHERS


def meet(row: tuple[str, int, int]) -> None:
    """Returns once `count` tasks are in here at the same time."""
    directory, number, count = row
    Path(directory, str(number)).touch()
    deadline = time.monotonic() + PATIENCE
    while len(traces(directory)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {traces(directory)} came")
        time.sleep(0.005)
