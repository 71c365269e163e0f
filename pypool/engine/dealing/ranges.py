"""Sets of task indexes, held as ranges: a million tasks not yet dealt are one range."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

Range = tuple[int, int]
"""first, last: the indexes first, ..., last - 1."""


class Ranges:
    """Disjoint ranges in ascending order, none empty, no two of them touching."""

    __slots__ = ("_firsts", "_lasts", "_size")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._firsts, index) - 1
        return place >= 0 and index < self._lasts[place]

    def add(self, first: int, last: int) -> None:
        """Puts the indexes in; those that are in already stay in."""
        if first >= last:
            return
        if not self._lasts or self._lasts[-1] < first:
            self._firsts.append(first)
            self._lasts.append(last)
            self._size += last - first
            return
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._replace(low, high, [(first, last)])

    def remove(self, first: int, last: int) -> list[Range]:
        """Takes the indexes out, and gives those that were in."""
        if first >= last:
            return []
        low = bisect_right(self._lasts, first)
        high = bisect_left(self._firsts, last)
        removed = []
        kept = []
        for begin, end in zip(self._firsts[low:high], self._lasts[low:high], strict=True):
            removed.append((max(begin, first), min(end, last)))
            kept += [(begin, first)] if begin < first else []
            kept += [(last, end)] if end > last else []
        if removed:
            self._replace(low, high, kept)
        return removed

    def take(self, count: int) -> Range:
        """Takes out the lowest indexes, at most `count` and without a gap."""
        first, last = self._firsts[0], self._lasts[0]
        if first + count < last:
            last = self._firsts[0] = first + count
        else:
            del self._firsts[0], self._lasts[0]
        self._size -= last - first
        return first, last

    def _replace(self, low: int, high: int, new: list[Range]) -> None:
        for place in range(low, high):
            self._size -= self._lasts[place] - self._firsts[place]
        for first, last in new:
            self._size += last - first
        self._firsts[low:high] = [first for first, _ in new]
        self._lasts[low:high] = [last for _, last in new]


def numbers(ranges: Iterable[Sequence[int]]) -> set[int]:
    """All that lie in one of the ranges."""
    return {number for first, last in ranges for number in range(first, last)}


def joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """The same indexes in the same order, with those together that follow each other."""
    first = last = 0
    for begin, end in ranges:
        if begin != last:
            if first < last:
                yield first, last
            first = begin
        last = end
    if first < last:
        yield first, last
