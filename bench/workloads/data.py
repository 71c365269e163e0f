"""Maps that carry data: small items; arrays of 4 MiB, beside `np.save` and `np.load` of these."""

import statistics

from bench.known import ARRAYS, FLOOR, Known
from bench.seats import Seat, Turn
from bench.workloads.base import Choice, Measure, Workload, counted

SIZE = 4 << 20


class Returned(Workload):
    """So many arrays, made by the tasks."""

    choice = Choice("arrays")
    defaults = (64,)
    measures = (Measure("warm map", "s", share=True),)
    task = "return_array"
    items = "sizes"

    @property
    def label(self) -> str:
        return f"{counted(self.number)} arrays of 4 MiB returned"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def takes(self, peer: Known, backend: str) -> bool:
        return backend in peer.backends and peer.name != FLOOR

    def reference(self, backend: str) -> str:
        return ARRAYS

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.start()
            if seat.peer.name != ARRAYS:
                turn.warm_up()
                self.import_numpy(turn)
            seconds = turn.map(self.task, self.items, self.tasks, SIZE)["seconds"][0]
            turn.stop()
        return {"warm map": seconds}

    def import_numpy(self, turn: Turn) -> None:
        """In all workers, before the clock runs."""
        if turn.seat.peer.keeps_workers:
            turn.map("return_array", "sizes", 4 * turn.seat.workers, 1 << 10)


class Taken(Returned):
    """So many arrays, each page of which the tasks read."""

    task = "touch_array"
    items = "arrays"

    @property
    def label(self) -> str:
        return f"{counted(self.number)} arrays of 4 MiB taken"


class Images(Workload):
    """1,000 arrays of so many KiB, each taken, computed with for 1 ms and returned.

    The median of three maps, for workers may have to import numpy first.
    """

    choice = Choice("KiB of an array")
    defaults = (4, 32)
    measures = (Measure("warm map", "s"),)

    @property
    def label(self) -> str:
        return f"1,000 arrays of {self.number:g} KiB taken and returned"

    @property
    def tasks(self) -> int:
        return 1000

    def measure(self, seat: Seat) -> dict[str, float]:
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            answer = turn.map("develop", "arrays", self.tasks, int(self.number) << 10, times=3)
            turn.stop()
        return {"warm map": statistics.median(answer["seconds"])}


class Items(Workload):
    """So many small items, taken and returned: a list of numbers, texts, tuples, arrays, instances
    of the script's own class, which workers cannot import.
    """

    defaults = (3000,)
    measures = (
        Measure("numbers in a list", "ms"),
        Measure("texts", "ms"),
        Measure("tuples", "ms"),
        Measure("arrays of ten floats", "ms"),
        Measure("instances of the script's class", "ms"),
    )
    maps = 5

    @property
    def label(self) -> str:
        return f"{counted(self.number)} small items"

    @property
    def tasks(self) -> int:
        return int(self.number)

    def measure(self, seat: Seat) -> dict[str, float]:
        found = {}
        with seat.open() as turn:
            turn.start()
            turn.warm_up()
            kinds = ("numbers", "texts", "tuples", "rows", "instances")
            for measure, kind in zip(self.measures, kinds, strict=True):
                answer = turn.map("no_op", kind, self.tasks, times=self.maps)
                found[measure.name] = 1000 * statistics.median(answer["seconds"])
            turn.stop()
        return found
