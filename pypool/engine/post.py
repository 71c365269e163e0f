"""The post: all links of a run, and which of them want something now.

With thousands of agents a round of the dispatcher must not look at each of them: those that are
due come from a heap, those to be written to have said so. Many files, or those of a slow disk, are
opened by several threads at once, for each takes its time on a busy file server; but no thread does
more than that.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

from pypool.engine.hands import HANDS, Hands
from pypool.engine.links import FileLink, Link, PipeLink
from pypool.engine.polling import FEW, Allowance, Pace
from pypool.rundir.records import Record

T = TypeVar("T")
L = TypeVar("L", bound=Link)

AT_ONCE = 64
"""Links that are read before what they say is taken in."""


class Post:
    """See the module.

    Attributes
    ----------
    allowance : Allowance
        How many outboxes may be looked at.
    """

    def __init__(self, now: float) -> None:
        self.allowance = Allowance(now)
        self._links: dict[str, Link] = {}
        self._pipes: dict[str, PipeLink] = {}
        self._to_write: dict[str, Link] = {}
        self._heap: list[tuple[float, int, FileLink]] = []
        self._order = count()
        self._pace = Pace()
        self._hands: Hands | None = None

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    def __getitem__(self, key: str) -> Link:
        return self._links[key]

    def get(self, key: str) -> Link | None:
        """The link of that element, if there is one."""
        return self._links.get(key)

    def add(self, link: Link) -> None:
        """A new element's."""
        self._links[link.key] = link
        link.to_write = self._to_write
        if link.waiting:
            self._to_write[link.key] = link
        if isinstance(link, PipeLink):
            self._pipes[link.key] = link
        else:
            self.plan(link)

    def drop(self, key: str) -> None:
        """Nobody speaks there any more."""
        self._links.pop(key, None)
        self._pipes.pop(key, None)
        self._to_write.pop(key, None)

    def plan(self, link: FileLink) -> None:
        """It was said anew when to look there."""
        heappush(self._heap, (link.looks.due, next(self._order), link))

    # -- reading

    def due(self, now: float) -> Iterator[tuple[Link, list[Record]]]:
        """What is new, from those that are due, but no more than a server should bear.

        Nothing, if many files have to be written first: agents wait for that.
        """
        while links := self._take_due(now):
            yield from zip(links, self._all(lambda link: link.read(now), links), strict=True)
        for pipe in list(self._pipes.values()):
            yield pipe, pipe.read(now)

    def _take_due(self, now: float) -> list[FileLink]:
        if self._first_due() > now:
            return []
        most = AT_ONCE if self._several else 1
        if len(self._links) > FEW and self._to_write:
            most = 0
        found: list[FileLink] = []
        while len(found) < most and self._first_due() <= now:
            if not self.allowance.allows(now, len(self._links)):
                break
            link = heappop(self._heap)[2]
            link.looks.due = float("inf")  # until it has been looked at: it may stand there twice
            found.append(link)
        return found

    def _first_due(self) -> float:
        """When the first one is due; forgets what was planned otherwise since."""
        while self._heap:
            due, _, link = self._heap[0]
            if due == link.looks.due and self._links.get(link.key) is link:
                return due
            heappop(self._heap)
        return float("inf")

    @property
    def next_at(self) -> float:
        """When the next one may be read, or written."""
        due = 0.0 if self._to_write and len(self._links) > FEW else self._first_due()
        return max(due, self.allowance.next_at)

    def pipes(self) -> list[PipeLink]:
        """Those to be waited on."""
        return list(self._pipes.values())

    # -- writing

    def write(self, now: float) -> None:
        """Brings on its way what was laid by; to many agents no faster than a server bears."""
        links = self._take_to_write(now)
        for link in links:
            self._to_write.pop(link.key, None)
        self._all(lambda link: link.flush(), links)
        for link in links:
            if link.waiting:  # a pipe may not take it all
                self._to_write[link.key] = link

    def _take_to_write(self, now: float) -> list[Link]:
        links = list(self._to_write.values())
        if len(self._links) <= FEW:
            return links
        return [link for link in links if self.allowance.allows(now, len(self._links))]

    def last_words(self) -> list[Exception]:
        """Brings everything on its way that can be, however many there are; gives what failed."""

        def tried(link: Link) -> Exception | None:
            try:
                link.flush()
            except Exception as error:
                return error
            return None

        links = list(self._to_write.values())
        self._to_write.clear()
        return [error for error in self._all(tried, links) if error is not None]

    @property
    def _several(self) -> bool:
        """Files are opened several at the same time."""
        return len(self._links) > FEW or self._pace.is_slow

    def _all(self, what: Callable[[L], T], links: Sequence[L]) -> list[T]:
        """Does it with each of them, maybe with several at the same time."""

        def timed(link: L) -> T:
            began = time.perf_counter()
            result = what(link)
            self._pace.took(time.perf_counter() - began)
            return result

        if len(links) < 2 or not self._several:
            return [timed(link) for link in links]
        if self._hands is None:
            self._hands = Hands(HANDS)
        return self._hands.all(timed, links)

    def close(self) -> None:
        """Nothing is read any more."""
        if self._hands is not None:
            self._hands.close()
