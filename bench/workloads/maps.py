"""Maps of tasks that carry no data: how long they take."""

import statistics
import time
from collections import Counter
from typing import ClassVar

from bench.known import FLOOR, LOCAL, SLURM, Known
from bench.lists import first_come_first_served, uneven
from bench.seats import Seat
from bench.workloads.base import Choice, Measure, Workload, asks_for_jobs, counted

GOLDEN = 0.618034
"""Its multiples fill a second evenly, however many there are."""

AGAIN = 16
CHUNK = 1000
MIB = 1 << 20


class Cold(Workload):
    """The first map of so many no-ops, the constructor included.

    On Slurm a job waits for the scheduler's next cycle, often a second long, and so what a turn
    takes depends on when in that second it begins. All turns of a round begin at the same moment
    of a second, those of the next round at another one.
    """

    defaults: ClassVar[tuple[float, ...]] = (16, 1000, 10_000, 100_000)
    measures = (Measure("constructor to results", "s"),)

    def __init__(self, number: float) -> None:
        super().__init__(number)
        self.turns: Counter[str] = Counter()

    @property
    def label(self) -> str:
        return f"cold map of {counted(self.number)}"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def takes(self, peer: Known, backend: str) -> bool:
        floor = peer.name == FLOOR and backend == SLURM
        return floor or (super().takes(peer, backend) and asks_for_jobs(peer, backend))

    def reference(self, backend: str) -> str:
        return FLOOR if backend == SLURM else super().reference(backend)

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.adapter.ask("version")  # it is there, with all it imports
            phase = self.next_phase(seat.peer.name)
            if seat.backend == SLURM:
                time.sleep((phase - time.time()) % 1)
            seconds = turn.cold("no_op", "range", self.tasks)
            turn.stop()
        return {"constructor to results": seconds}

    def next_phase(self, peer: str) -> float:
        """At which fraction of a second the peer's next turn begins."""
        self.turns[peer] += 1
        return self.turns[peer] * GOLDEN % 1


class Start(Cold):
    """The same of a local pool and one no-op for each worker: what it takes to be there."""

    defaults: ClassVar[tuple[float, ...]] = (4,)

    @property
    def label(self) -> str:
        return f"start and a map of {counted(self.number)}"

    def takes(self, peer: Known, backend: str) -> bool:
        return backend == LOCAL and super().takes(peer, backend)


class Again(Workload):
    """Another map of 16 no-ops after a pause of so many seconds: the median of a turn's maps."""

    choice = Choice("seconds of a pause", least=0, whole=False)
    defaults = (0, 0.1, 1, 10)
    measures = (Measure("another map", "ms"), Measure("slowest of a turn", "ms", compared=False))

    @property
    def label(self) -> str:
        return f"another map of 16, {self.number:g} s later"

    def takes(self, peer: Known, backend: str) -> bool:
        return super().takes(peer, backend) and (peer.keeps_workers or not self.number)

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            seconds = []
            for _ in range(self.maps(seat.peer)):
                time.sleep(self.number)
                seconds += turn.map("no_op", "range", AGAIN)["seconds"]
            turn.stop()
        return {
            "another map": 1000 * statistics.median(seconds),
            "slowest of a turn": 1000 * max(seconds),
        }

    def maps(self, peer: Known) -> int:
        """Many, unless that takes long."""
        if not peer.keeps_workers:
            return 1
        return min(200, 2 + int(2 / self.number)) if self.number else 200


class Uneven(Workload):
    """Sleeps of uneven length, so many seconds of work for each worker.

    Each round has a list of its own: where in a list the long ones stand is luck.
    """

    kind: ClassVar[str]
    choice = Choice("seconds of work for each worker", least=0.1, whole=False)
    defaults = (5,)
    measures = (Measure("over first-come-first-served", "x", compared=False),)

    def __init__(self, number: float) -> None:
        super().__init__(number)
        self._turns: Counter[str] = Counter()

    @property
    def label(self) -> str:
        return f"uneven, {self.kind}, {self.number:g} s"

    @property
    def tasks(self) -> int:
        return len(uneven(self.kind, 4, self.number))

    def measure(self, seat: Seat) -> dict[str, float]:
        self._turns[seat.peer.name] += 1
        sleeps = uneven(self.kind, seat.workers, self.number, self._turns[seat.peer.name])
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            seconds = turn.map("sleep", "list", *sleeps)["seconds"][0]
            turn.stop()
        ideal = first_come_first_served(sleeps, seat.workers)
        return {"over first-come-first-served": seconds / ideal}


class Lognormal(Uneven):
    """Random times, in random order."""

    kind = "lognormal"


class Last(Uneven):
    """Random times, the 5 % longest at the end."""

    kind = "last"


class Sorted(Uneven):
    """Random times, from short to long."""

    kind = "sorted"


class Heavy(Uneven):
    """Equal times, but 1 % are a hundred times as long."""

    kind = "heavy"


class Short(Workload):
    """Tasks that compute for so many milliseconds, a second of them for each worker."""

    choice = Choice("milliseconds of a task", least=0.1, whole=False)
    defaults = (0.2, 1, 10)
    measures = (Measure("warm map", "s"),)

    @property
    def label(self) -> str:
        return f"tasks of {self.number:g} ms"

    @property
    def tasks(self) -> int:
        return self.tasks_of(4)

    def tasks_of(self, workers: int) -> int:
        return max(round(1000 * workers / self.number), 1)

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            seconds = [self.number / 1000] * self.tasks_of(seat.workers)
            answer = turn.map("busy", "list", *seconds)
            turn.stop()
        return {"warm map": answer["seconds"][0]}


class Sampler(Workload):
    """What an ensemble sampler does: maps of 40 points, back to back, by a function of the script.

    It reads a MiB of the script's data and computes for so many milliseconds.
    """

    choice = Choice("milliseconds of a task", least=0, whole=False)
    defaults = (0, 0.1, 1)
    measures = (Measure("a map", "ms"),)
    points = 40

    @property
    def label(self) -> str:
        return f"a sampler's maps, {self.number:g} ms a point"

    @property
    def tasks(self) -> int:
        return self.points

    def measure(self, seat: Seat) -> dict[str, float]:
        seconds = self.number / 1000
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            times = self.maps(seat.peer)
            answer = turn.map("likelihood", "points", self.points, seconds, times=times)
            turn.stop()
        return {"a map": 1000 * statistics.median(answer["seconds"])}

    def maps(self, peer: Known) -> int:
        return 100 if peer.keeps_workers else 1


class Many(Workload):
    """So many no-ops: seconds, and by how much the driver's memory grows at its peak.

    Peers that send one task at a time are told how large chunks are, by the standard pool's rule.
    """

    tells_chunks = True
    defaults = (1_000_000,)
    measures = (
        Measure("warm map", "s"),
        Measure("memory of the driver", "MiB", compared=False),
        Measure("results alone", "MiB", compared=False),
    )

    @property
    def label(self) -> str:
        return f"{counted(self.number)} no-ops"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def measure(self, seat: Seat) -> dict[str, float]:
        chunksize = -(-self.tasks // (4 * seat.workers)) if seat.peer.chunks else None
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            answer = turn.map("no_op", "range", self.tasks, chunksize=chunksize)
            turn.stop()
        return {
            "warm map": answer["seconds"][0],
            "memory of the driver": answer["grown"] / MIB,
            "results alone": answer["size"] / MIB,
        }


class Unordered(Workload):
    """`imap_unordered` of so many no-ops in chunks of 1,000: seconds, and the driver's memory.

    Then of a tenth of them, one by one.
    """

    tells_chunks = True
    defaults = (100_000,)
    measures = (
        Measure("warm imap_unordered", "s"),
        Measure("a tenth of them, one by one", "s"),
        Measure("memory of the driver", "MiB", compared=False),
    )

    @property
    def label(self) -> str:
        return f"imap_unordered of {counted(self.number)}"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def takes(self, peer: Known, backend: str) -> bool:
        return super().takes(peer, backend) and peer.imap

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            answer = turn.imap("no_op", "range", self.tasks, chunksize=CHUNK)
            one_by_one = turn.imap("no_op", "range", max(1, self.tasks // 10), chunksize=1)
            turn.stop()
        return {
            "warm imap_unordered": answer["seconds"][0],
            "a tenth of them, one by one": one_by_one["seconds"][0],
            "memory of the driver": answer["grown"] / MIB,
        }
