"""A pool of many agents, simulated: mailboxes on a shared disk, and who looks into them when.

Real are the dealer, the rules of when to look at an outbox, an inbox, and when to tell, and how
many files the driver opens a second. Made up are agents, tasks, disks and when elements start.
What it takes the driver to think is not counted.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from bench.simulation.dealing import first_come_first_served, stretches
from bench.simulation.disks import Disk, Kind
from bench.simulation.players import Asked, Player, Told
from pypool.engine import polling
from pypool.engine.dealing.deal import Action, AskBack, Deal, DealShare, Policy
from pypool.engine.dealing.estimates import Done
from pypool.engine.dealing.sizes import recall_seconds
from pypool.engine.hands import HANDS
from pypool.engine.polling import Allowance, Looks, Pace
from pypool.rundir.messages import beat_seconds

LONGEST_ROUND = 0.25
DRIVER_BEAT = 15.0


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave.

    Attributes
    ----------
    makespan, ideal : float
        Seconds until the driver knew the last result; until the last task ended, if each slot
        had taken the next one without any delay from its agent's hello on.
    idle, ideal_idle : float
        The part of all slots' time, from hello to the end, in which they had no task; the same
        for first-come-first-served.
    opens, opens_of_driver : float
        Files opened a second from the moment when all had said hello until nothing was left to
        deal, or in the whole time if it never came to that.
    most_opens : float
        The most in ten seconds, by the second.
    """

    makespan: float
    ideal: float
    idle: float
    ideal_idle: float
    opens: float
    opens_of_driver: float
    most_opens: float
    shares: int
    asked_back: int

    @property
    def ratio(self) -> float:
        return self.makespan / self.ideal


class Pool:
    """One list of tasks, dealt to agents.

    Parameters
    ----------
    tasks : list of float
        What each takes.
    hellos : list of float
        When each agent says hello.
    """

    def __init__(self, tasks: list[float], slots: int, hellos: list[float], kind: Kind, seed: int):
        agents = len(hellos)
        self.tasks = tasks
        self.disk = Disk(kind, Random(seed))
        beat = beat_seconds(agents)
        worth = recall_seconds(agents)
        policy = Policy(
            agents * slots,
            slots,
            submits=False,
            beat=beat,
            lease=6 * beat,
            recall_seconds=worth,
        )
        self.deal = Deal(policy)
        self.players = {
            f"a{n}": Player(f"a{n}", slots, tasks, self.disk, agents, hello)
            for n, hello in enumerate(hellos)
        }
        self._hellos = hellos
        self._slots = slots
        self._looks = {key: Looks(agents, 0.0) for key in self.players}
        self._many = agents > polling.FEW
        self._pace = Pace()
        self._to_write: dict[str, list[Asked]] = {}
        self._allowance = Allowance(0.0)
        self._heap: list[tuple[float, str]] = [(0.0, key) for key in self.players]
        self._left = len(tasks)
        self._to_deal = len(tasks)
        self._all_there = self._all_dealt = -1.0
        self.shares = self.asked_back = 0

    def run(self) -> Outcome:
        self.deal.open_batch(1, len(self.tasks), "f")
        self.deal.submitted(self.players, 0.0)
        now = beat_at = 0.0
        while True:
            if now >= beat_at:
                beat_at = now + DRIVER_BEAT
                self.disk.open("driver", now)
            later = self._read(now)
            if not self._left:
                return self._outcome(later)
            self._act(self.deal.decide(now), now)
            later = self._write(later)
            due = now if self._to_write else self._heap[0][0]
            due = max(due, self._allowance.next_at)
            now = max(later, min(due, now + LONGEST_ROUND), now + 1e-5)

    # -- the driver's side

    def _read(self, now: float) -> float:
        """Looks at what is due, if nothing is to be written; gives when it has done so."""
        if self._to_write:
            return now
        count = 0
        took = longest = 0.0
        while self._heap[0][0] <= now:
            due, key = heappop(self._heap)
            looks = self._looks[key]
            if due != looks.due:
                continue
            if not self._allowance.allows(now, len(self.players)):
                heappush(self._heap, (due, key))
                break
            count += 1
            seconds = self._open(now)
            took += seconds
            longest = max(longest, seconds)
            self._look(key, looks, now + seconds)
        return now + max(took / self._hands, longest)

    def _open(self, now: float) -> float:
        seconds = self.disk.open("driver", now)
        self._pace.took(seconds)
        return seconds

    @property
    def _hands(self) -> int:
        """Files that are opened at the same time."""
        return HANDS if self._many or self._pace.is_slow else 1

    def _look(self, key: str, looks: Looks, now: float) -> None:
        player = self.players[key]
        player.catch_up(now)
        agent = self.deal.agents[key]
        found = False
        while player.outbox and player.outbox[0].seen_at <= now:
            found = True
            self._take(key, player.outbox.popleft(), now)
        awaited = len(self.deal.awaited) if agent.pending else 0
        expected = self.deal.expects(key)
        looks.looked(now, found, agent.has_something_to_say, awaited, expected)
        self._plan(key)

    def _take(self, key: str, told: Told, now: float) -> None:
        if told.kind == "hello":
            self.deal.hello(key, self._slots, now)
            if not self.deal.awaited:
                self._all_there = now
        elif told.kind == "answered":
            done = [Done(index, index + 1, self.tasks[index]) for index in told.tasks]
            counts = self.deal.answered(key, 1, done, now)
            self._left -= sum(last - first for first, last in counts)
        elif told.kind == "returned":
            self._to_deal += len(told.tasks)
            ranges = [(1, first, last) for first, last in stretches(told.tasks)]
            self.deal.returned(key, ranges, "", told.number, now)
        else:
            self.deal.beat(key, told.number, told.shares, now)

    def _act(self, actions: list[Action], now: float) -> None:
        """Lays by what is to be written."""
        for action in actions:
            if isinstance(action, DealShare):
                self._deal_to(action, now)
            elif isinstance(action, AskBack):
                self.asked_back += 1
                self._send(action.agent, Asked(0.0, action.number))
                self._looks[action.agent].asked(now)
                self._plan(action.agent)

    def _deal_to(self, action: DealShare, now: float) -> None:
        self.shares += 1
        key, count = action.agent, action.last - action.first
        self._to_deal -= count
        if not self._to_deal:
            self._all_dealt = now
        self._send(key, Asked(0.0, action.number, action.first, action.last))
        book = self.deal.agents[key]
        work = action.seconds * count / book.slots
        self._looks[key].dealt(now, work, is_first=book.comes_to(action.number))
        self._plan(key)

    def _send(self, key: str, asked: Asked) -> None:
        self._to_write.setdefault(key, []).append(asked)

    def _plan(self, key: str) -> None:
        heappush(self._heap, (self._looks[key].due, key))

    def _write(self, now: float) -> float:
        """Writes what may be written; gives when that is done."""
        took = longest = 0.0
        for key in list(self._to_write):
            if self._many and not self._allowance.allows(now, len(self.players)):
                break
            seconds = self._open(now)
            took += seconds
            longest = max(longest, seconds)
            seen_at = now + max(took / self._hands, seconds) + self.disk.delay()
            for asked in self._to_write.pop(key):
                self.players[key].inbox.append(asked._replace(seen_at=seen_at))
        return now + max(took / self._hands, longest)

    # -- what came of it

    def _outcome(self, end: float) -> Outcome:
        for player in self.players.values():
            player.catch_up(end)
        free_at = [hello for hello in self._hellos for _ in range(self._slots)]
        ideal = first_come_first_served(self.tasks, free_at)
        work = sum(self.tasks)
        first, last = int(self._all_there) + 1, int(self._all_dealt)
        if self._all_there < 0 or last - first < 10:
            first, last = 0, int(end) + 1
        agents, driver = self.disk.opens["agents"], self.disk.opens["driver"]
        span = range(first, last)
        of_driver = sum(driver[second] for second in span) / len(span)
        return Outcome(
            makespan=end,
            ideal=ideal,
            idle=1 - work / _time_of(free_at, end),
            ideal_idle=1 - work / _time_of(free_at, ideal),
            opens=of_driver + sum(agents[second] for second in span) / len(span),
            opens_of_driver=of_driver,
            most_opens=max(
                sum(agents[second] + driver[second] for second in range(begin, begin + 10)) / 10
                for begin in range(max(int(end) - 8, 1))
            ),
            shares=self.shares,
            asked_back=self.asked_back,
        )


def _time_of(free_at: list[float], end: float) -> float:
    """Of all slots, from their agents' hellos to the end."""
    return sum(max(end - hello, 0.0) for hello in free_at)
