"""What pools are asked to do in these tests. Imported by workers, so it loads next to nothing."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds


def square(number: int) -> int:
    return number * number


def power(base: int, exponent: int) -> int:
    return base**exponent


def twice(number: int) -> tuple[Any, ...]:
    """One string in several places, as a pickle tells it only once."""
    text = f"the number {number}"
    return text, text, {text: [text, number]}


def same(item: Any) -> Any:
    return item


def total(row: Any) -> int:
    return int(row.sum())


def zeros(size: int) -> bytes:
    return bytes(size)


class RaisesWhenLoaded:
    """Raises where it is unpickled."""

    def __init__(self, how: type[BaseException]) -> None:
        self.how = how

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return throw, (self.how,)


def throw(how: type[BaseException]) -> None:
    raise how


def raises_when_loaded(how: type[BaseException]) -> RaisesWhenLoaded:
    return RaisesWhenLoaded(how)


def size_of(item: bytes) -> int:
    return len(item)


def worker(_: Any = None) -> int:
    return os.getpid()


def agent(_: Any = None) -> int:
    return os.getppid()


def environment(name: str) -> str | None:
    return os.environ.get(name)


def first_line(path: str) -> str:
    return Path(path).read_text().splitlines()[0]


def count_of(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


# ---- tasks that wait for something


def wait_for(path: str) -> str:
    """Returns as soon as the file is there."""
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody made {path}")
        time.sleep(0.005)
    return path


def begin_and_wait_for(begun: str, path: str) -> str:
    Path(begun).touch()
    return wait_for(path)


def begin_and_sleep(begun: str) -> None:
    Path(begun).touch()
    time.sleep(PATIENCE)


def meet(directory: str, index: int, count: int) -> int:
    """Returns once `count` tasks are in here at the same time."""
    Path(directory, str(index)).touch()
    deadline = time.monotonic() + PATIENCE
    while count_of(directory) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {count_of(directory)} came")
        time.sleep(0.005)
    return os.getpid()


def meet_or_not(row: tuple[str, int, int] | None) -> int:
    return 0 if row is None else meet(*row)


# ---- tasks that raise


class Several(Exception):
    """CPython's pool hangs on such a one: it pickles, and cannot be rebuilt from its `args`."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"{name} failed {number} times")
        self.name = name
        self.number = number


class OnlyPickles(Exception):
    def __reduce__(self) -> Any:
        return _refuse, (str(self),)


class NeverPickles(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("this exception stays here")


def _refuse(text: str) -> None:
    raise ValueError(f"cannot be rebuilt: {text}")


class RefusesToLoad:
    """Pickles in the driver, raises in the worker."""

    def __reduce__(self) -> Any:
        return _refuse, ("an item",)


class LoadsInWorkerOnly:
    """As a result: pickles in the worker, raises in the driver."""

    def __reduce__(self) -> Any:
        return _refuse_here, (os.getpid(),)


def _refuse_here(pid: int) -> "LoadsInWorkerOnly":
    if pid != os.getpid():
        raise ValueError("of another process")
    return LoadsInWorkerOnly()


def loads_in_worker_only(_: Any) -> LoadsInWorkerOnly:
    return LoadsInWorkerOnly()


def unpicklable(_: Any) -> Any:
    return (number for number in range(3))


def divide(number: int) -> float:
    return 1 / number


def raise_several(number: int) -> None:
    raise Several("a task", number)


def raise_only_pickles(_: Any) -> None:
    raise OnlyPickles("told nevertheless")


def raise_never_pickles(_: Any) -> None:
    raise NeverPickles("told nevertheless")


def raise_with_note(_: Any) -> None:
    error = KeyError("missing")
    error.add_note("look under the table")
    raise error


def raise_with_attribute(_: Any) -> None:
    error = OSError(2, "no such thing", "the name")
    error.place = "here"  # type: ignore[attr-defined]
    raise error


def raise_from(_: Any) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        raise LookupError("nothing found") from error


def leave(code: int) -> None:
    raise SystemExit(code)


def interrupt(_: Any) -> None:
    raise KeyboardInterrupt


def recurse(depth: int) -> int:
    return recurse(depth + 1) + 1


def note_and_raise_if(directory: str, index: int, failing: tuple[int, ...]) -> int:
    Path(directory, str(index)).touch()
    if index in failing:
        raise ValueError(f"number {index}")
    return index


# ---- tasks that end their worker


def die(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    elif how.startswith("exit"):
        os._exit(int(how.removeprefix("exit ")))
    else:
        os.kill(os.getpid(), signal.Signals[how])
    time.sleep(PATIENCE)


def die_once(mark: str, how: str, index: int) -> int:
    """The first time that it comes here, it ends its worker."""
    if not Path(mark).exists():
        Path(mark).touch()
        die(how)
    return index


def die_always(directory: str, how: str) -> None:
    """Leaves a file for each start."""
    Path(directory, f"start {count_of(directory) + 1}").touch()
    die(how)


def die_if(victim: int, index: int) -> int:
    if index == victim:
        die("SIGKILL")
    return index


def kill_agent_once(mark: str, index: int) -> int:
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(PATIENCE)
    return index


def kill_agent(starts: str) -> None:
    with Path(starts).open("a") as file:
        file.write("x")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(PATIENCE)


def leave_child_and_die_once(mark: str) -> bool:
    """A grandchild holds the worker's pipes open when the worker has gone."""
    if not Path(mark).exists():
        Path(mark).touch()
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(PATIENCE)
    return True


# ---- tasks that take their part


def part_of_hundred(part: dict[str, int]) -> list[int]:
    first, last = (100 * edge // part["N"] for edge in (part["idx"], part["idx"] + 1))
    return list(range(first, last))


# ---- small things


def touch(path: str) -> None:
    Path(path).touch()


def double(number: int) -> int:
    return 2 * number
