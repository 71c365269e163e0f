"""What the workers of every pool are given to do, and the items they do it with.

All of it can be imported by the workers, and none of it needs a library before it is called.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

PAGE = 4096


def no_op(item: Any) -> Any:
    return item


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def busy(seconds: float) -> None:
    """Computes so long: seconds of a CPU, however many share it."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def settle(seconds: float) -> tuple[str, int]:
    """Which process this is, so that one knows when all are there."""
    time.sleep(seconds)
    return os.uname().nodename, os.getpid()


def make_array(number: int, size: int) -> Any:
    """Full of its number, since a pool may send equal bytes once only."""
    import numpy as np

    return np.full(size // 8, float(number))


def make_rows(count: int) -> list[Any]:
    """As samplers give them to a likelihood: the parameters of so many points."""
    import numpy as np

    return list(np.arange(10.0 * count).reshape(count, 10))


def make_points(count: int, seconds: float) -> list[Any]:
    """The same, for a likelihood that takes so long."""
    points = make_rows(count)
    for number, point in enumerate(points):
        point[:2] = seconds, number
    return points


def return_array(number_and_size: tuple[int, int]) -> Any:
    return make_array(*number_and_size)


def touch_array(array: Any) -> float:
    """Reads a number of each page."""
    return float(array[:: PAGE // array.itemsize].sum())


def develop(image: Any) -> Any:
    """Takes a millisecond, and returns as much as it was given."""
    busy(0.001)
    return image + 1


def parent(_: object) -> tuple[str, int]:
    """Who started this worker, an agent in pypool."""
    return os.uname().nodename, os.getppid()


def class_of(item: object) -> tuple[str, str]:
    """Where the worker has the item's class from."""
    return type(item).__module__, type(item).__name__


_ALL = (no_op, sleep, busy, settle, return_array, touch_array, develop, parent, class_of)
TASKS: dict[str, Callable[[Any], Any]] = {task.__name__: task for task in _ALL}


def made_items(
    kind: str, *numbers: Any, own: Callable[[int, float], Any] | None = None
) -> Sequence[Any]:
    """The items that a request describes, since arrays do not travel in JSON.

    Parameters
    ----------
    kind : str
        "range": numbers from 0 to the first; "numbers": the same as a list; "list": the numbers
        themselves; "texts": so many; "tuples", "instances": so many pairs of numbers, as such or as
        instances of `own`; "rows": so many arrays of ten numbers; "points": the same, and so many
        seconds for each; "sizes": so many numbers with a size of so many bytes; "arrays": so many
        of so many bytes.
    """
    if kind == "range":
        return range(numbers[0])
    if kind == "list":
        return list(numbers)
    if kind == "numbers":
        return list(range(numbers[0]))
    if kind == "texts":
        return [f"exposure-{number}.fits" for number in range(numbers[0])]
    if kind in ("tuples", "instances"):
        pairs = [(number, 0.5 * number) for number in range(numbers[0])]
        return pairs if own is None or kind == "tuples" else [own(*pair) for pair in pairs]
    if kind == "rows":
        return make_rows(numbers[0])
    if kind == "points":
        return make_points(*numbers)
    count, size = numbers
    if kind == "sizes":
        return [(number, size) for number in range(count)]
    return [make_array(number, size) for number in range(count)]
