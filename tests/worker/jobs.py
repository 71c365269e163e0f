"""What workers are asked to do in these tests; imported by them by name."""

import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pypool.task import current_task


def double(x: int) -> int:
    return 2 * x


def add(x: int, y: int) -> int:
    return x + y


def fail(x: int) -> NoReturn:
    raise LookupError(f"no {x}")


def leave(x: int) -> NoReturn:
    sys.exit(x)


def worker_pid(x: object) -> int:
    return os.getpid()


def repeat(count: int) -> bytes:
    return b"x" * count


def same(x: object) -> object:
    return x


def unpicklable(x: object) -> object:
    return (each for each in "x")


def hold(fifo: str | None) -> str | None:
    """Returns when somebody writes to the fifo; `None` returns at once."""
    if fifo is not None:
        Path(f"{fifo}.begun").write_text(str(os.getpid()))
        Path(fifo).read_text()
    return fifo


class SlowToLoad:
    """A function that takes its time until it can be called."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __setstate__(self, state: dict[str, float]) -> None:
        time.sleep(state["seconds"])

    def __call__(self, x: object) -> object:
        return x


def sleep_or_hold(seconds: float | str) -> float | str | None:
    """Takes so long, or until somebody writes to the fifo."""
    if isinstance(seconds, str):
        return hold(seconds)
    time.sleep(seconds)
    return seconds


def give_or_hold(item: bytes | str) -> bytes | str | None:
    """Gives bytes back at once."""
    return item if isinstance(item, bytes) else hold(item)


def mappings(_: object) -> int:
    """How many pieces of batches this process has mapped."""
    return Path("/proc/self/maps").read_text().count("/batches/")


def hold_with_a_child(fifo: str) -> None:
    """Begins a process, says which, and waits for ever."""
    child = subprocess.Popen(["/bin/sleep", "100"])
    Path(f"{fifo}.child").write_text(str(child.pid))
    hold(fifo)


def die_with_a_child(fifo: str) -> None:
    """Begins a process, says which, and dies."""
    child = subprocess.Popen(["/bin/sleep", "100"])
    Path(f"{fifo}.child").write_text(str(child.pid))
    os._exit(1)


def die(how: str) -> str:
    """Ends this process; anything else is returned."""
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "sleep":
        time.sleep(0.1)
    return how


def die_behind_others(number: int) -> Any:
    """The process ends with task 20; the others return values of the kind that 0 stands for."""
    if number % 1000 == 20:
        os._exit(7)
    if number >= 1000:
        import numpy as np

        return np.full((2, 3), number) if number >= 2000 else np.float64(number)
    return number


def long_behind_others(number: int) -> int:
    """Task 20 takes long, and so do those behind it."""
    time.sleep(0.0 if number < 20 else 0.2)
    return number


def fork(x: int) -> int:
    """A child of the task comes back from it as well."""
    os.fork()
    return x


def say(x: int) -> int:
    """Prints, a different amount for each x, on both outputs and from a child."""
    print("o" * x, x)
    print("e" * x, x, file=sys.stderr, flush=True)
    subprocess.run(["/bin/echo", "c" * x, str(x)], check=True)
    return x


def say_if(x: int | str) -> int:
    """Prints what is not 0, and is its double if that is a number."""
    if x:
        print(x, "is printed")
    return 2 * int(x)


def close_output(x: int) -> int:
    sys.stdout.close()
    return x


def close_standard(count: int) -> bytes:
    """Closes input and outputs for good, and returns much."""
    for fd in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.close(fd)
    return b"x" * count


def interrupted_child(x: object) -> int:
    """Sends a program what Ctrl-C sends; gives its exit code."""
    child = subprocess.Popen(["/bin/sleep", "30"])
    child.send_signal(signal.SIGINT)
    return child.wait(20)


def signal_handlers(x: object) -> dict[str, str]:
    wanted = ("SIGINT", "SIGTERM", "SIGCHLD", "SIGPIPE", "SIGXFSZ")
    return {name: repr(signal.getsignal(getattr(signal, name))) for name in wanted}


class RaisesWhenPickled:
    def __init__(self, how: type[BaseException]) -> None:
        self.how = how

    def __reduce__(self) -> NoReturn:
        raise self.how


def raises_when_pickled(how: type[BaseException]) -> RaisesWhenPickled:
    return RaisesWhenPickled(how)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


def refuse_to_load() -> NoReturn:
    raise Frozen(5)


class Unloadable:
    def __reduce__(self) -> tuple[Callable[[], NoReturn], tuple[()]]:
        return refuse_to_load, ()


def refuse_to_load_later(fifo: str) -> NoReturn:
    """Not before the fifo is released, for the first time."""
    path = Path(fifo)
    if path.exists():
        hold(fifo)
        path.unlink()
    raise Frozen(5)


class UnloadableLater:
    def __init__(self, fifo: str) -> None:
        self.fifo = fifo

    def __call__(self, x: object) -> object:
        return x

    def __reduce__(self) -> tuple[Callable[[str], NoReturn], tuple[str]]:
        return refuse_to_load_later, (self.fifo,)


def no_output(x: int) -> int:
    sys.stdout = None
    return x


def modules(x: object) -> list[str]:
    return sorted(sys.modules)


def surroundings(x: object) -> tuple[str, list[str], str]:
    return str(Path.cwd()), sys.argv, sys.modules["__main__"].__name__


def odd(x: object) -> object:
    """Raises at a word; gives a large value for a large number."""
    if isinstance(x, str):
        raise LookupError(x)
    return bytes(x) if isinstance(x, int) and x > 1000 else x


def who(x: object) -> tuple[int, int]:
    task = current_task()
    assert task is not None
    return task.index, task.attempt


class NotThere:
    """A function that cannot be loaded."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[()]]:
        return refuse, ()


def refuse() -> NoReturn:
    raise LookupError("it cannot be loaded here")
