"""Makespan of the dealing rules, simulated: the real `Deal`, with agents and delays made up.

Each agent has slots that take the lowest tasks of its shares one by one, tells of results at once
when it runs dry or a share is done, else every 0.1 s, and hears and is heard after a delay. The
yardstick is first-come-first-served without any overhead: each free slot takes the next task of the
list.

    python -m bench.simulation.dealing --agents 4 64 --latency nfs
"""

import argparse
import heapq
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count, groupby
from operator import itemgetter
from random import Random

from bench.options import Parser, end_by_signals, number
from pypool.engine.dealing.deal import AskBack, Deal, DealShare, Policy
from pypool.engine.dealing.estimates import Done

LATENCIES = {"local": 0.001, "nfs": 0.02}
REPORT_SECONDS = 0.1
ROUND_SECONDS = 0.0005
LONGEST_ROUND = 0.02
NO_OP = 10e-6

Seconds = list[float]
Word = tuple[str, list[int]]


def lists(slots: int, per_slot: int, random: Random) -> dict[str, Seconds]:
    """Run times of the tasks of each list; those meant to fill all slots grow with them."""
    many = max(1000, per_slot * slots)
    uneven = [random.lognormvariate(0, 1) * 0.05 / 1.65 for _ in range(many)]
    heavy = [1.0 if random.random() < 0.01 else 0.01 for _ in range(many)]
    return {
        "equal, 10 ms": [0.01] * many,
        "lognormal, mean 50 ms": uneven,
        "long ones last": sorted(uneven),
        "long ones first": sorted(uneven, reverse=True),
        "1 % are 100 times longer": heavy,
        "equal, 1 s": [1.0] * (many // 10),
        "lognormal, mean 5 s": [100 * seconds for seconds in uneven[: many // 5]],
        "16 no-ops": [NO_OP] * 16,
        "10,000 no-ops": [NO_OP] * 10_000,
    }


def first_come_first_served(tasks: Seconds, free_at: Seconds) -> float:
    """When the last task ends if each slot takes the next one as soon as it is free."""
    slots = list(free_at)
    heapq.heapify(slots)
    makespan = 0.0
    for seconds in tasks:
        end = slots[0] + seconds
        makespan = max(makespan, end)
        heapq.heapreplace(slots, end)
    return makespan


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave.

    Attributes
    ----------
    makespan : float
        Seconds until the dealer knew the last result.
    ideal : float
        The same for first-come-first-served.
    """

    makespan: float
    ideal: float
    shares: int
    asked_back: int

    @property
    def ratio(self) -> float:
        return self.makespan / self.ideal


class SimulatedAgent:
    """An agent; `tell` sends a word to the dealer, `at` calls something later."""

    def __init__(self, key: str, slots: int, world: "Simulation") -> None:
        self.key = key
        self.slots = slots
        self.world = world
        self.todo: deque[int] = deque()
        self.share: dict[int, int] = {}
        self.left: Counter[int] = Counter()
        self.running = 0
        self.done: list[int] = []
        self.flushed = 0.0
        self.flush_planned = False

    def take_share(self, first: int, last: int) -> None:
        self.todo.extend(range(first, last))
        self.share.update(dict.fromkeys(range(first, last), first))
        self.left[first] += last - first
        self.feed()

    def give_back(self, number: int) -> None:
        self.flush()
        returned, self.todo = list(self.todo), deque()
        for index in returned:
            self.left[self.share[index]] -= 1
        self.world.tell(self, ("returned", [number, *returned]))

    def feed(self) -> None:
        while self.todo and self.running < self.slots:
            index = self.todo.popleft()
            self.running += 1
            self.world.at(self.world.tasks[index], partial(self.finish, index))

    def finish(self, index: int) -> None:
        self.running -= 1
        self.done.append(index)
        self.left[self.share[index]] -= 1
        self.feed()
        due = self.flushed + REPORT_SECONDS - self.world.now
        if self.running < self.slots or not self.left[self.share[index]] or due <= 0:
            self.flush()
        elif not self.flush_planned:
            self.flush_planned = True
            self.world.at(due, self.flush)

    def flush(self) -> None:
        self.flush_planned = False
        self.flushed = self.world.now
        if self.done:
            done, self.done = self.done, []
            self.world.tell(self, ("answered", done))


class Simulation:
    """One list, dealt to simulated agents."""

    def __init__(self, tasks: Seconds, slots: int, latency: float, hellos: Seconds) -> None:
        self.tasks = tasks
        self.latency = latency
        self.now = 0.0
        workers = len(hellos) * slots
        worth = max(0.05, 2.5 * latency)
        self.deal = Deal(Policy(workers, slots, submits=False, recall_seconds=worth))
        self.hellos = hellos
        self.agents = {f"a{n}": SimulatedAgent(f"a{n}", slots, self) for n in range(len(hellos))}
        self.heard: list[tuple[SimulatedAgent, Word]] = []
        self.left = len(tasks)
        self.shares = self.asked_back = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._round_at = -1.0
        self._round_number = 0

    def at(self, delay: float, what: Callable[[], None]) -> None:
        """Calls it after so many seconds."""
        heapq.heappush(self._heap, (self.now + delay, next(self._order), what))

    def tell(self, agent: SimulatedAgent, word: Word) -> None:
        self.at(self.latency, partial(self.hear, agent, word))

    def hear(self, agent: SimulatedAgent, word: Word) -> None:
        self.heard.append((agent, word))
        self.plan_round(ROUND_SECONDS)

    def plan_round(self, delay: float) -> None:
        """The dealer's next round, unless an earlier one is planned."""
        due = self.now + delay
        if not self.now <= self._round_at <= due:
            self._round_at = due
            self._round_number += 1
            number = self._round_number
            self.at(delay, partial(self.round, number))

    def run(self) -> Outcome:
        self.deal.open_batch(1, len(self.tasks), "f")
        self.deal.submitted(self.agents, self.now)
        for agent, hello in zip(self.agents.values(), self.hellos, strict=True):
            self.at(hello, partial(self.tell, agent, ("hello", [])))
        while self.left:
            self.now, _, what = heapq.heappop(self._heap)
            what()
        free_at = [hello for hello in self.hellos for _ in range(self.agents["a0"].slots)]
        ideal = first_come_first_served(self.tasks, free_at)
        return Outcome(self.now, ideal, self.shares, self.asked_back)

    def round(self, number: int) -> None:
        if number != self._round_number:
            return  # an earlier one was planned after it
        self._round_at = -1.0
        heard, self.heard = self.heard, []
        for agent, word in heard:
            self.take(agent, *word)
        for action in self.deal.decide(self.now):
            if isinstance(action, DealShare):
                self.shares += 1
                take = self.agents[action.agent].take_share
                self.at(self.latency, partial(take, action.first, action.last))
            elif isinstance(action, AskBack):
                self.asked_back += 1
                give_back = self.agents[action.agent].give_back
                self.at(self.latency, partial(give_back, action.number))
        self.plan_round(LONGEST_ROUND)

    def take(self, agent: SimulatedAgent, kind: str, numbers: list[int]) -> None:
        """The dealer reads a word."""
        if kind == "hello":
            self.deal.hello(agent.key, agent.slots, self.now)
        elif kind == "answered":
            done = [Done(index, index + 1, self.tasks[index]) for index in numbers]
            counts = self.deal.answered(agent.key, 1, done, self.now)
            self.left -= sum(last - first for first, last in counts)
        else:
            asked, *indexes = numbers
            ranges = [(1, first, last) for first, last in stretches(indexes)]
            self.deal.returned(agent.key, ranges, "", asked, self.now)


def stretches(indexes: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive indexes."""
    found = []
    for _, group in groupby(enumerate(indexes), key=lambda each: each[1] - each[0]):
        run = list(map(itemgetter(1), group))
        found.append((run[0], run[-1] + 1))
    return found


def arguments() -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.simulation.dealing",
        description="Makespan of the dealing rules, simulated.",
    )
    add, count = parser.add_argument, number(1, whole=True)
    add("--agents", type=count, nargs="+", metavar="N", default=[4, 64, 1000])
    add("--slots", type=count, default=1, metavar="N", help="workers of an agent")
    add("--per-slot", type=count, default=50, metavar="N", help="tasks of 10 to 50 ms to a slot")
    add("--latency", nargs="+", choices=LATENCIES, default=list(LATENCIES))
    add("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    end_by_signals()
    options = arguments()
    print("agents  delay list                       tasks  seconds    ideal  ratio shares  asked")
    for agents in options.agents:
        for latency in options.latency:
            random = Random(options.seed)
            hellos = [random.uniform(0, 0.1) for _ in range(agents)]
            for name, tasks in lists(agents * options.slots, options.per_slot, random).items():
                found = Simulation(tasks, options.slots, LATENCIES[latency], hellos).run()
                print(
                    f"{agents:>6} {latency:>6} {name:<25} {len(tasks):>6} {found.makespan:>8.3f} "
                    f"{found.ideal:>8.3f} {found.ratio:>6.2f} {found.shares:>6} "
                    f"{found.asked_back:>6}"
                )


if __name__ == "__main__":
    main()
