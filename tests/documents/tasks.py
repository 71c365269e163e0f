"""What the tests of the differences run in workers."""

import atexit
import logging
import multiprocessing
import os
import signal
import string
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pypool

PATIENCE = 60.0  # seconds

unset: Any = None


def negative(number: int) -> int:
    return -number


def touch(path: str) -> str:
    Path(path).touch()
    return path


def await_file(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


def is_writable(array: Any) -> bool:
    return bool(array.flags.writeable)


def process(_: object = None) -> int:
    return os.getpid()


def process_group(_: object = None) -> int:
    return os.getpgrp()


# ---- what travels


def set_answer(value: object) -> None:
    string.answer = value  # type: ignore[attr-defined]


def answer(_: object) -> object:
    return getattr(string, "answer", None)


def level(name: str) -> int:
    return logging.getLogger(name).level


def set_unset(value: object) -> None:
    global unset
    unset = value


def is_set(_: object) -> bool:
    return unset is not None


def random_number(meeting: str, number: int, count: int) -> float:
    """One of numpy's, in each of `count` workers: none goes on before all are there."""
    import numpy as np

    Path(meeting, str(number)).touch()
    for other in range(count):
        await_file(Path(meeting, str(other)))
    return float(np.random.random())


def put(queue: Any) -> None:
    queue.put("put")


def grow(item: list[int]) -> int:
    item.append(0)
    return len(item)


class Counter:
    """Counts how often it is called, where it is called."""

    calls = 0

    def __call__(self, _: object) -> int:
        self.calls += 1
        return self.calls


def variable(name: str) -> str | None:
    return os.environ.get(name)


# ---- errors


def fail_even(number: int) -> int:
    if number % 2 == 0:
        raise ValueError(number)
    return number


def touch_or_fail(path: str) -> None:
    Path(path).touch()
    if path.endswith("0"):
        raise ValueError(path)


def fail_late(path: str, number: int) -> None:
    """The first one raises only when the second one has begun, and a second later."""
    if number:
        Path(path).touch()
    else:
        await_file(Path(path))
        time.sleep(1)
    raise ValueError(number)


def die_once(path: str) -> int:
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def leave(number: int) -> None:
    sys.exit(f"number {number}")


class TwoArguments(Exception):
    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


class Stubborn(Exception):
    def __new__(cls, what: str, where: str) -> "Stubborn":
        return super().__new__(cls, what, where)

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


def raise_by_name(name: str) -> None:
    raise {"TwoArguments": TwoArguments, "Stubborn": Stubborn}[name]("a hole", "the wall")


class NotLoadable:
    """Pickles, and raises an error when it is unpickled."""

    def __reduce__(self) -> Any:
        return cannot_load, ()


def cannot_load() -> None:
    raise OSError("cannot be loaded")


def not_loadable(_: object) -> NotLoadable:
    return NotLoadable()


def fail_to_begin() -> None:
    raise OSError("no catalogue")


class Broken:
    """Has a length, and raises after its first item."""

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Any:
        yield 1
        raise OSError("no more")


class Short:
    """Has fewer items than it says."""

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Any:
        return iter([1, 2])


# ---- workers


def family(_: object) -> tuple[str, tuple[int, ...], bool]:
    """The worker's name, its number, and whether it has a parent."""
    here: Any = multiprocessing.current_process()
    return here.name, here._identity, multiprocessing.parent_process() is not None


def use_a_pool(numbers: list[int]) -> list[int]:
    with multiprocessing.get_context("fork").Pool(1) as inner:
        return inner.map(abs, numbers)


def touch_at_exit(path: str) -> None:
    atexit.register(touch, path)


def meet(directory: str, number: int, count: int) -> int:
    """The worker's slot; all of the workers are at work at once."""
    Path(directory, str(number)).touch()
    for other in range(count):
        await_file(Path(directory, str(other)))
    here = pypool.current_task()
    assert here is not None
    return here.slot


def index(_: object) -> int:
    here = pypool.current_task()
    assert here is not None
    return here.index


def lock(_: object) -> Any:
    return threading.Lock()


def add_one(_: object) -> Any:
    return lambda number: number + 1


def draw(_: object) -> int:
    return int(pypool.rng().integers(1 << 40))
