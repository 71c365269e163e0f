"""Problems for samplers and minimizers. Workers import this module, so it loads little."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]

DIMENSIONS = 3
BOUNDS = [(0.0, 2.0)] * DIMENSIONS

table: Point | None = None
"""What only the pool's initializer sets, in the workers."""


class InOrder:
    """Takes the place of a pool and uses none: what is found with a real one must be the same.

    Attributes
    ----------
    size : int
        By which some algorithms choose how many points they try at a time.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]


def log_likelihood(point: Point) -> float:
    """Narrow along some directions, wide along others."""
    scales = np.arange(1.0, 1.0 + len(point))
    return float(-0.5 * np.sum((point / scales) ** 2))


def log_likelihood_by(point: Point) -> tuple[float, int]:
    """The same, and the process in which it was computed."""
    return log_likelihood(point), os.getpid()


def log_likelihood_of_data(point: Point, data: Point) -> float:
    """Of data that are an argument."""
    return float(-0.5 * np.sum((data - point) ** 2))


def set_table(values: Point) -> None:
    """The pool's initializer."""
    global table
    table = values


def log_likelihood_of_table(point: Point) -> float:
    """Of data that the initializer has set."""
    assert table is not None, "no initializer has run in this process"
    return log_likelihood_of_data(point, table)


def minus_log_likelihood_of_table(point: Point) -> float:
    return -log_likelihood_of_table(point)


def prior_transform(unit: Point) -> Point:
    """From the unit cube to 5 on each side of zero."""
    return 10.0 * unit - 5.0


def rosenbrock(point: Point) -> float:
    """A curved valley; the least is 0 where all are 1."""
    steps = 100.0 * (point[1:] - point[:-1] ** 2) ** 2 + (1.0 - point[:-1]) ** 2
    return float(np.sum(steps))


def raise_type_error(point: Point) -> float:
    """A mistake of the user's own."""
    raise TypeError(f"a point of {len(point)} numbers")
