"""Lists of tasks of uneven length, and how long they would take without any overhead."""

import heapq
from collections.abc import Sequence
from random import Random

KINDS = ("lognormal", "last", "sorted", "heavy")


def uneven(kind: str, workers: int, seconds: float, seed: int = 1) -> list[float]:
    """Run times of tasks that keep so many workers busy for about so many seconds.

    Parameters
    ----------
    kind : {"lognormal", "last", "sorted", "heavy"}
        Random; the same with the 5 % longest at the end; from short to long; 1 % are a hundred
        times as long.
    seed : int
        Says which of these lists.
    """
    random = Random(seed)
    work = workers * seconds
    count = 50 * workers
    if kind == "heavy":
        heavy = [100.0 if number % 100 == 50 else 1.0 for number in range(count)]
        random.shuffle(heavy)
        return scaled(heavy, work)
    plain = scaled([random.lognormvariate(0, 1) for _ in range(count)], work)
    if kind == "lognormal":
        return plain
    if kind == "sorted":
        return sorted(plain)
    limit = sorted(plain)[-count // 20]
    return [s for s in plain if s < limit] + [s for s in plain if s >= limit]


def scaled(times: Sequence[float], total: float) -> list[float]:
    factor = total / sum(times)
    return [round(factor * seconds, 6) for seconds in times]


def first_come_first_served(tasks: Sequence[float], workers: int) -> float:
    """When the last task ends if each worker takes the next one as soon as it is free."""
    free_at = [0.0] * workers
    for seconds in tasks:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)
