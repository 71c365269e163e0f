"""What a task can know of itself: which one it is, where it runs, and its own random numbers.

Here the worker says which task it begins; the user's function asks.
"""

from __future__ import annotations

import operator
import os

from pypool.words import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    import numpy as np

    Seed: TypeAlias = int | Sequence[int] | np.random.SeedSequence


SEED_BYTES = 32 << 10
"""A seed travels in one record, with what else stands there."""


class Task:
    """A task that runs.

    Attributes
    ----------
    index : int
        Of its item, counted from 0 in each call.
    attempt : int
        How often it has been started, from 1.
    slot : int
        Number of the worker's place in its array element, from 0.
    host : str
        Name of the machine.
    """

    __slots__ = ("_rng", "_seed", "attempt", "index", "slot")

    def __init__(self, index: int, attempt: int, slot: int, seed: bytes) -> None:
        self.index = index
        self.attempt = attempt
        self.slot = slot
        self._seed = seed
        self._rng: np.random.Generator | None = None

    @property
    def host(self) -> str:
        return os.uname().nodename

    def __repr__(self) -> str:
        return (
            f"Task(index={self.index}, attempt={self.attempt}, slot={self.slot}, "
            f"host={self.host!r})"
        )

    def rng(self) -> np.random.Generator:
        """Its random numbers, the same object each time."""
        if self._rng is None:
            self._rng = generator(self._seed, self.index)
        return self._rng


class Series:
    """Tasks that run one after the other; which one it is now is looked up when somebody asks.

    Parameters
    ----------
    index_now : callable
        Gives the index of the task that runs, in its call.
    attempt, slot, seed
        As for `Task`.
    """

    def __init__(self, index_now: Callable[[], int], attempt: int, slot: int, seed: bytes) -> None:
        self._index_now = index_now
        self._same = attempt, slot, seed
        self._task: Task | None = None

    def task(self) -> Task:
        """The one that runs now; the same object each time."""
        index = self._index_now()
        if self._task is None or self._task.index != index:
            self._task = Task(index, *self._same)
        return self._task


_current: Task | Series | None = None
LOADING = [False]
"""Whether this process loads what it was sent."""


def current_task() -> Task | None:
    """The task that this process is running; None outside of tasks."""
    return _current.task() if isinstance(_current, Series) else _current


def rng() -> np.random.Generator:
    """Random numbers for the task that runs.

    Returns
    -------
    numpy.random.Generator
        In a call with ``seed=s`` the task of item `i` gets the numbers of
        ``numpy.random.default_rng(numpy.random.SeedSequence(s).spawn(n)[i])``, whoever runs it,
        and however often it is started. Without a seed, and outside of tasks, they are others
        each time. Within one task it is one generator, which goes on where it was.
    """
    current = current_task()
    return generator(b"", 0) if current is None else current.rng()


def division(n: int) -> list[dict[str, int]]:
    """Items for code that divides its own work: ``[{"idx": 0, "N": n}, {"idx": 1, "N": n}, ...]``.

    Raises
    ------
    ValueError
        If `n` is less than 1.
    """
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"n={n} must be at least 1")
    return [{"idx": index, "N": n} for index in range(n)]


def is_loading() -> bool:
    """Whether modules are imported here for a task, and not for the program itself."""
    return LOADING[0]


def begin(what: Task | Series | None) -> Task | Series | None:
    """From now on this process runs that task, or these, or none. Gives what it ran before."""
    global _current
    before, _current = _current, what
    return before


# ---- seeds


def packed(seed: Any) -> bytes:
    """A `Seed` as it travels; nothing if there is none.

    Raises
    ------
    TypeError, ValueError
        If numpy would not take it.
    """
    if seed is None:
        return b""
    if hasattr(seed, "entropy") and hasattr(seed, "spawn_key"):
        key = [int(word) for word in seed.spawn_key]
        words = _words(seed.entropy), key, seed.pool_size, seed.n_children_spawned
    else:
        words = _words(seed), [], 4, 0  # numpy's own defaults
    pickled = pack(words)
    if len(pickled) > SEED_BYTES:
        raise ValueError(f"a seed may have {SEED_BYTES} characters, this one has {len(pickled)}")
    return pickled


def _words(entropy: Any) -> int | list[int]:
    many = hasattr(entropy, "__iter__") and not isinstance(entropy, (str, bytes))
    try:
        words = [operator.index(word) for word in (entropy if many else [entropy])]
    except TypeError:
        raise TypeError(
            f"seed={entropy!r} must be an integer, a sequence of integers or a "
            "numpy.random.SeedSequence"
        ) from None
    if min(words, default=0) < 0:
        raise ValueError(f"seed={entropy!r} must not be negative")
    return words if many else words[0]


def generator(seed: bytes, index: int) -> np.random.Generator:
    """The random numbers of the task `index` of a call with that seed."""
    from numpy.random import SeedSequence, default_rng

    if not seed:
        return default_rng()
    entropy, key, pool_size, spawned = unpack(seed)
    child = (*key, spawned + index)
    return default_rng(SeedSequence(entropy, spawn_key=child, pool_size=pool_size))
