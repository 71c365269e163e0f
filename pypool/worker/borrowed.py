"""Borrowed memory: the large buffers of what a task is given, read or mapped from their files.

Mappings are private: what a task changes nobody else sees. They are given back before the task is
answered, for after that the file may be removed, and on some file systems whoever then looks at a
page that he has not seen before is killed. What the task still holds by then, in a global say, gets
pages of its own.

Of smaller buffers that each task of a batch is given there is a copy, from which the next task's
is made: to read and check one takes eight times as long.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from mmap import ALLOCATIONGRANULARITY, MAP_PRIVATE, PAGESIZE, PROT_READ, PROT_WRITE, mmap

from pypool.packing import MAPPED, SAMPLE_EVERY, PackingDamaged, Place, check
from pypool.worker.trouble import disk_trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pypool.packing import Buffer

KEPT_BYTES = 8 << 20
"""So much is kept for the next tasks."""

Span = tuple[int, int]
"""From where to where in a file."""


class Borrowed:
    """What one task, or one function, has of files."""

    def __init__(self) -> None:
        self._mappings: list[mmap] = []
        self._kept: dict[tuple[object, Place], Buffer] = {}
        self._kept_bytes = 0

    @property
    def has_mappings(self) -> bool:
        return bool(self._mappings)

    def fetch(
        self, fd: int, start: int, owner: object = None
    ) -> Callable[[list[Place]], list[Buffer]]:
        """What gives the buffers of an object whose places count from `start` in this file.

        Parameters
        ----------
        owner : object, optional
            Whose buffers these are, if the next task may be given them, too: they are kept.

        Raises
        ------
        PackingDamaged, OSError
            When it is called.
        """

        def buffers(places: list[Place]) -> list[Buffer]:
            known = [self._kept.get((owner, place)) for place in places]
            missing = [place for place, copy in zip(places, known, strict=True) if copy is None]
            read = iter(self._checked(fd, start, missing, owner))
            return [next(read) if copy is None else bytearray(copy) for copy in known]

        return buffers

    def _checked(self, fd: int, start: int, places: list[Place], owner: object) -> list[Buffer]:
        """The buffers as they are read; kept for the next task if they have an owner."""
        if not places:
            return []
        end = os.fstat(fd).st_size - start
        if any(place + size > end for place, size, _ in places):
            raise PackingDamaged("a file ends before a buffer that lies in it")
        with disk_trouble():
            found = self._get(fd, start, places)
        for buffer, place in zip(found, places, strict=True):
            if check(buffer) != place[2]:
                raise PackingDamaged("a buffer is not what was written")
            if owner is not None and place[1] < MAPPED:
                self._keep((owner, place), buffer)
        return found

    def _keep(self, key: tuple[object, Place], buffer: Buffer) -> None:
        if self._kept_bytes + len(buffer) > KEPT_BYTES:
            self._kept.clear()
            self._kept_bytes = 0
        self._kept[key] = bytes(buffer)
        self._kept_bytes += len(buffer)

    def _get(self, fd: int, start: int, places: list[Place]) -> list[Buffer]:
        spans = _spans(places) if _may_map() else []
        mapped = {span: self._map(fd, start, span) for span in spans}
        return [_part_of(mapped, place) or _read(fd, start, place) for place in places]

    def _map(self, fd: int, start: int, span: Span) -> tuple[memoryview, int]:
        """A view on a mapping, and at which place it begins."""
        first, last = span
        before = (start + first) % ALLOCATIONGRANULARITY
        mapping = mmap(
            fd,
            last - first + before,
            flags=MAP_PRIVATE,
            prot=PROT_READ | PROT_WRITE,
            offset=start + first - before,
        )
        self._mappings.append(mapping)
        return memoryview(mapping)[before:], first

    def give_back(self) -> None:
        """Nothing depends on the files any more."""
        while self._mappings:
            mapping = self._mappings.pop()
            try:
                mapping.close()
            except BufferError:  # somebody holds on to it
                _own_pages(mapping)


def _may_map() -> bool:
    """Where address space is limited, files are not to take any."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def _spans(places: list[Place]) -> list[Span]:
    """Stretches of a file with buffers that are mapped, one mapping each."""
    spans: list[Span] = []
    for start, size, _ in sorted({place for place in places if place[1] >= MAPPED}):
        if spans and start - spans[-1][1] < SAMPLE_EVERY:
            spans[-1] = spans[-1][0], max(spans[-1][1], start + size)
        else:
            spans.append((start, start + size))
    return spans


def _part_of(mapped: dict[Span, tuple[memoryview, int]], place: Place) -> memoryview | None:
    start, size, _ = place
    if size < MAPPED:
        return None
    for (first, last), (view, begin) in mapped.items():
        if first <= start and start + size <= last:
            return view[start - begin : start - begin + size]
    return None


def _read(fd: int, start: int, place: Place) -> bytearray:
    first, size, _ = place
    buffer = bytearray(size)
    done = 0
    with memoryview(buffer) as view:
        while done < size:
            count = os.preadv(fd, [view[done:]], start + first + done)
            if not count:
                raise PackingDamaged("a file ends before a buffer that lies in it")
            done += count
    return buffer


def _own_pages(mapping: mmap) -> None:
    """A page of a private mapping that was written to does not belong to the file any more."""
    for offset in range(0, len(mapping), PAGESIZE):
        mapping[offset] = mapping[offset]
