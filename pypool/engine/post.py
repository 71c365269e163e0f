"""The post: all links of a run, and which of them want something now.

With thousands of agents a round of the dispatcher must not look at each of them: those that are
due come from a heap, those to be written to have said so. Many files are opened by several threads
at once, for each takes its time on a busy file server; but no thread does more than that.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from pypool.engine.hands import Hands
from pypool.engine.links import FileLink, Link, PipeLink
from pypool.engine.polling import FEW, Allowance
from pypool.rundir.records import Record

HANDS = 8
"""Files of many agents that are opened at the same time."""

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
        """What is new, from those that are due, but no more than a server should bear."""
        while links := self._take_due(now):
            if len(links) == 1 or len(self._links) <= FEW:
                for link in links:
                    yield link, link.read(now)
            else:
                yield from self._read_at_once(links, now)
        for pipe in list(self._pipes.values()):
            yield pipe, pipe.read(now)

    def _take_due(self, now: float) -> list[FileLink]:
        most = AT_ONCE if len(self._links) > FEW else 1
        found: list[FileLink] = []
        while len(found) < most and self._first_due() <= now:
            if not self.allowance.allows(now, len(self._links)):
                break
            found.append(heappop(self._heap)[2])
        return found

    def _first_due(self) -> float:
        """When the first one is due; forgets what was planned otherwise since."""
        while self._heap:
            due, _, link = self._heap[0]
            if due == link.looks.due and self._links.get(link.key) is link:
                return due
            heappop(self._heap)
        return float("inf")

    def _read_at_once(
        self, links: list[FileLink], now: float
    ) -> Iterator[tuple[Link, list[Record]]]:
        if self._hands is None:
            self._hands = Hands(HANDS)
        yield from zip(links, self._hands.all(lambda link: link.read(now), links), strict=True)

    @property
    def next_at(self) -> float:
        """When the next one may be read."""
        return max(self._first_due(), self.allowance.next_at)

    def pipes(self) -> list[PipeLink]:
        """Those to be waited on."""
        return list(self._pipes.values())

    # -- writing

    def write(self, now: float) -> None:
        """Brings on its way what was laid by."""
        links = list(self._to_write.values())
        for _ in links:
            self.allowance.wrote(now, len(self._links))
        if len(links) == 1 or len(self._links) <= FEW:
            for link in links:
                link.flush()
        elif links:
            if self._hands is None:
                self._hands = Hands(HANDS)
            self._hands.all(lambda link: link.flush(), links)
        for link in links:
            if not link.waiting:  # a pipe may not take it all
                self._to_write.pop(link.key, None)

    def close(self) -> None:
        """Nothing is read any more."""
        if self._hands is not None:
            self._hands.close()
