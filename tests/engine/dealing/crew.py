"""Agents that behave as real ones do, at random, and a ledger of what the dealer does with them.

Every word between dealer and agent travels, may be late and may be lost. The ledger knows nothing
of the dealer's books but what it needs to name an agent's state; it checks each action.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pypool.engine.dealing import deal
from pypool.engine.dealing.books import CLOSED, AgentBook, BatchBook, Line
from pypool.engine.dealing.deal import Deal, Policy
from pypool.engine.dealing.estimates import Done
from pypool.engine.dealing.needs import USUAL, Need, doublings, fits

Task = tuple[int, int]

ENDS = ["failed", "out of memory", "preempted", "node failure", "completed", "time limit"]
ENDS += ["requeued", "launch failed", "cancelled"]
GOODBYES = ["idle", "time", "signal", "stop"]


@dataclass
class Agent:
    """One element, as it really is.

    Attributes
    ----------
    inbox, outbox : deque
        Words on their way.
    held : dict
        By number of the share: tasks not told of in the outbox yet.
    todo : deque
        Share and task of what has not begun.
    running : list
        Share and task of what has.
    done : list
        Tasks run and not told of.
    mute : bool
        Nothing of it is read for the time being.
    late : bool
        It begins nothing more.
    unable : bool
        It can begin nothing.
    """

    key: str
    slots: int
    need: Need = USUAL
    inbox: deque[tuple[Any, ...]] = field(default_factory=deque)
    outbox: deque[tuple[Any, ...]] = field(default_factory=deque)
    held: dict[int, set[Task]] = field(default_factory=dict)
    todo: deque[tuple[int, Task]] = field(default_factory=deque)
    running: list[tuple[int, Task]] = field(default_factory=list)
    done: list[tuple[int, Task]] = field(default_factory=list)
    read_to: int = 0
    started: bool = False
    mute: bool = False
    gone: bool = False
    late: bool = False
    unable: bool = False
    idle: int = 0

    def read(self) -> None:
        while self.inbox:
            word = self.inbox.popleft()
            if word[0] == "share":
                _, number, batch, first, last = word
                self.read_to = number
                self.held[number] = {(batch, index) for index in range(first, last)}
                self.todo.extend((number, (batch, index)) for index in range(first, last))
            elif word[0] == "stop":
                self.leave("stop", 0.0)
                return
            else:
                self.give_back(word[1])
        while self.unable and self.todo:
            self.give_back(0, "no such file", most=1)
        if self.late and self.todo:
            self.give_back(0)
        self.begin()

    def begin(self) -> None:
        while self.todo and len(self.running) < self.slots:
            self.running.append(self.todo.popleft())

    def give_back(self, asked: int, why: str = "", most: int = 1000) -> None:
        ranges: list[tuple[int, int, int]] = []
        while self.todo and len(ranges) < most:
            number, (batch, index) = self.todo.popleft()
            self.told(number, (batch, index))
            ranges.append((batch, index, index + 1))
        self.report()
        self.outbox.append(("returned", ranges, why, asked, self.late))

    def told(self, number: int, task: Task) -> None:
        self.held[number].discard(task)
        if not self.held[number]:
            del self.held[number]

    def finish(self, which: int) -> None:
        self.done.append(self.running.pop(which))
        self.begin()

    def report(self) -> None:
        batches: dict[int, list[int]] = defaultdict(list)
        for number, task in self.done:
            self.told(number, task)
            batches[task[0]].append(task[1])
        self.done.clear()
        for batch, indexes in batches.items():
            self.outbox.append(("answered", batch, indexes))

    def beat(self) -> None:
        self.report()
        self.outbox.append(("beat", self.read_to, list(self.held)))

    def lose_worker(self, which: int, short_of: str = "") -> None:
        number, task = self.running.pop(which)
        self.report()
        self.told(number, task)
        self.outbox.append(("death", *task, short_of))
        self.begin()

    def leave(self, reason: str, seconds: float) -> None:
        self.report()
        cut = [(*task, seconds) for _, task in self.running]
        self.outbox.append(("goodbye", reason, cut))
        self.gone = True


class World:
    """The dealer, its agents, the calls, and what has been seen.

    Attributes
    ----------
    doubtful : set of Task
        Tasks that were in the hands of an agent that was lost or of which a word was lost: two
        agents may run them.
    killers : dict of Task to str
        Tasks that end their "worker" or their "element" whenever they are run; those that need
        more "memory" or "time" do so in elements that have not got it.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = 0.0
        self.policy = Policy(
            processes=random.choice([1, 3, 8]),
            slots=random.choice([1, 1, 2, 4]),
            retries=random.choice([0, 2]),
            time=random.choice([None, 100.0]),
            max_time=random.choice([None, 300.0]),
            memory=random.choice([None, 1 << 30]),
            max_memory=random.choice([None, 4 << 30]),
            lease=60.0,
        )
        self.deal = Deal(self.policy)
        self.agents: dict[str, Agent] = {}
        self.counts: dict[int, int] = {}
        self.delivered: set[Task] = set()
        self.failed: set[Task] = set()
        self.removed: set[int] = set()
        self.doubtful: set[Task] = set()
        self.lost_once: set[str] = set()
        self.left: set[str] = set()
        self.late: set[str] = set()
        self.sent_away: set[str] = set()
        self.hands: dict[str, dict[int, set[Task]]] = defaultdict(dict)
        self.killers: dict[Task, str] = {}
        self.refusing = False
        self.names = 0

    # -- what can happen

    def live(self) -> list[Agent]:
        return [agent for agent in self.agents.values() if agent.started and not agent.gone]

    def open_batch(self) -> None:
        number = len(self.counts) + 1
        count = self.random.choice([0, 1, 2, 16, 60])
        self.counts[number] = count
        for index in range(count):
            if self.random.random() < 0.01:
                kinds = ["worker", "element", "memory", "time"]
                self.killers[number, index] = self.random.choice(kinds)
        function = self.random.choice(["f", "g", "h"])
        self.deal.open_batch(number, count, function, self.random.choice([1, 1, 5]))

    def start(self, agent: Agent) -> None:
        agent.started = True
        agent.outbox.append(("hello",))

    def deliver(self, agent: Agent, most: int = 1000) -> None:
        for _ in range(min(most, len(agent.outbox))):
            self.hear(agent, agent.outbox.popleft())

    def hear(self, agent: Agent, word: tuple[Any, ...]) -> None:
        """One word of an agent reaches the dealer."""
        key = agent.key
        if key not in self.deal.agents:
            return
        if word[0] == "hello":
            self.deal.hello(key, agent.slots, self.now)
        elif word[0] == "answered":
            _, batch, indexes = word
            seconds = self.random.choice([1e-5, 0.01, 1.0])
            done = [Done(index, index + 1, seconds) for index in indexes]
            for first, last in self.deal.answered(key, batch, done, self.now):
                for index in range(first, last):
                    task = (batch, index)
                    assert task not in self.delivered | self.failed
                    self.delivered.add(task)
            self.tell(key, [(batch, index) for index in indexes])
        elif word[0] == "returned":
            _, ranges, why, asked, late = word
            if self.deal.returned(key, ranges, why, asked, self.now, late=late):
                self.sent_away.add(key)
            if late:
                self.late.add(key)
            self.tell(key, [(batch, first) for batch, first, _ in ranges])
        elif word[0] == "death":
            self.deal.death(key, word[1], word[2], "its worker died", self.now, word[3])
            self.tell(key, [(word[1], word[2])])
        elif word[0] == "beat":
            self.deal.beat(key, word[1], word[2], self.now)
            for number in list(self.hands[key]):
                if number <= word[1] and number not in word[2]:
                    del self.hands[key][number]
        elif word[0] == "goodbye":
            self.deal.goodbye(key, word[1], word[2], self.now)
            self.left.add(key)
            self.hands.pop(key, None)
        elif word[0] == "refused":
            self.deal.unfit(key, "another Python")
            self.left.add(key)
            self.hands.pop(key, None)

    def tell(self, key: str, tasks: list[Task]) -> None:
        for number, share in list(self.hands[key].items()):
            share.difference_update(tasks)
            if not share:
                del self.hands[key][number]

    def end(self, agent: Agent, how: str) -> None:
        """The element ends without a word; what it wrote is read, then the scheduler says so."""
        agent.gone = True
        agent.mute = False
        self.deliver(agent)
        if agent.key in self.deal.agents:
            self.doubt(agent.key)
            self.deal.ended(agent.key, how, self.now)

    def doubt(self, key: str) -> None:
        self.lost_once.add(key)
        for share in self.hands[key].values():
            self.doubtful |= share

    def lose_word(self, agent: Agent) -> None:
        """A record is damaged on its way."""
        words = self.random.choice([agent.inbox, agent.outbox])
        if words:
            which = self.random.randrange(len(words))
            if words[which][0] not in ("goodbye", "refused"):
                del words[which]
                self.doubt(agent.key)

    def list_elements(self) -> None:
        states = {
            agent.key: "running" if agent.started else "pending"
            for agent in self.agents.values()
            if not agent.gone
        }
        self.deal.listed(states, self.now)

    # -- what the dealer wants

    def decide(self) -> None:
        actions = self.deal.decide(self.now)
        for key, agent in self.deal.agents.items():
            if agent.lost and key in self.hands:
                self.doubt(key)
                del self.hands[key]
        given_up = False
        for action in actions:
            given_up |= isinstance(action, deal.GiveUp)
            self.act(action)
        if not given_up:
            self.check()

    def act(self, action: deal.Action) -> None:
        match action:
            case deal.Submit(elements, need):
                self.submit(elements, need)
            case deal.Dismiss(key):
                assert key not in self.left | self.late
                assert not any(self.hands[key].values())
                self.late.add(key)
                self.agents[key].inbox.append(("stop",))
            case deal.DealShare():
                self.take_share(action)
            case deal.AskBack(key, number):
                assert key not in self.left
                self.agents[key].inbox.append(("return", number))
            case deal.Fail(batch, task, loss):
                assert (batch, task) not in self.delivered | self.failed
                hopeless = "cannot be had" in loss.told[-1]
                assert not hopeless or loss.need != USUAL
                often = loss.charged == self.policy.retries + 1
                assert hopeless or often or loss.free == deal.FREE_LOSSES + 1
                assert len(loss.told) == loss.charged + loss.free + hopeless
                self.failed.add((batch, task))
            case deal.Cancel(key):
                if self.random.random() < 0.5:
                    self.agents[key].gone = True
            case deal.Remove(batch):
                self.check_remove(batch)
            case deal.GiveUp(why):
                assert why
                assert not any(each.plays or each.pending for each in self.deal.agents.values())
                self.deal.drop_batches()
                self.failed |= self.open_tasks()

    def submit(self, elements: int, need: Need) -> None:
        players = [a for a in self.deal.agents.values() if a.plays and not a.late]
        pending = [a for a in self.deal.agents.values() if a.pending]
        there = sum(agent.slots for agent in players + pending)
        usable = min(self.policy.processes, self.deal.open_tasks) - there
        assert elements > 0
        assert need != USUAL or (elements - 1) * self.policy.slots < usable
        assert there + elements * self.policy.slots <= max(self.policy.processes, self.policy.slots)
        keys = [f"a{self.names + number}" for number in range(elements)]
        self.names += elements
        if need != USUAL:
            lines = [book.lost[need] for book in self.deal.batches.values() if need in book.lost]
            assert (elements - 1) * self.policy.slots < sum(map(len, lines))
            assert need.time <= doublings(self.policy.time, self.policy.max_time)
            assert need.memory <= doublings(self.policy.memory, self.policy.max_memory)
        self.deal.submitted(keys, self.now, need)
        if self.refusing:
            for_now = self.random.random() < 0.5
            self.deal.refused(keys, "the partition is down", self.now, for_now)
            return
        if self.random.random() < 0.1:
            keys, fewer = keys[: len(keys) // 2 or 1], keys[len(keys) // 2 or 1 :]
            self.deal.withdrawn(fewer, self.now, at_once=self.random.random() < 0.5)
        for key in keys:
            unable = self.random.random() < 0.1
            self.agents[key] = Agent(key, self.policy.slots, need, unable=unable)

    def take_share(self, share: deal.DealShare) -> None:
        book = self.deal.agents[share.agent]
        tasks = {(share.batch, index) for index in range(share.first, share.last)}
        assert book.plays
        assert share.agent not in self.left | self.late | self.sent_away
        assert tasks
        assert share.last <= self.counts[share.batch]
        assert not tasks & (self.delivered | self.failed)
        for index in range(share.first, share.last):
            loss = self.deal.batches[share.batch].losses.get(index)
            if loss is not None:
                assert share.last - share.first == 1
                assert fits(self.agents[share.agent].need, loss.need)
        for other, shares in self.hands.items():
            for held in shares.values():
                assert not held & tasks - self.doubtful, f"{other} has it, too"
        self.hands[share.agent][share.number] = tasks
        self.agents[share.agent].inbox.append(
            ("share", share.number, share.batch, share.first, share.last)
        )

    def open_tasks(self) -> set[Task]:
        tasks = {(batch, index) for batch, count in self.counts.items() for index in range(count)}
        return tasks - self.delivered - self.failed

    # -- what must always be so

    def check_remove(self, batch: int) -> None:
        assert batch not in self.removed
        self.removed.add(batch)
        assert all(task[0] != batch for task in self.open_tasks())
        for agent in self.live():
            if agent.key not in self.lost_once:
                held = {task[0] for share in agent.held.values() for task in share}
                assert batch not in held, f"{agent.key} still reads it"

    def check(self) -> None:
        assert self.deal.open_tasks == len(self.open_tasks())
        players = [agent for agent in self.deal.agents.values() if agent.plays]
        held_by: dict[Task, str] = {}
        for agent in players:
            if agent.alone:
                assert len(agent.shares) == 1
            for share in agent.shares.values():
                for first, last in share.silent:
                    for index in range(first, last):
                        if share.batch.state[index] != CLOSED:
                            assert (share.batch.number, index) not in held_by
                            held_by[share.batch.number, index] = agent.key
            if agent.key not in self.lost_once:
                whole = sum(unbegun == len(share.silent) > 0 for share, unbegun in agent.unbegun())
                assert whole <= 1
                if agent.slots == 1:
                    assert len(agent.shares) <= 2
        waiting = todo = 0
        for book in self.deal.batches.values():
            kinds = [book.todo]
            todo += len(book.todo)
            for need, line in book.lost.items():
                kinds += line.kinds
                for first, last in [each for kind in line.kinds for each in kind]:
                    assert all(book.losses[index].need == need for index in range(first, last))
            for kind in kinds:
                for first, last in kind:
                    waiting += last - first
                    for index in range(first, last):
                        assert book.state[index] != CLOSED
                        assert (book.number, index) not in held_by
            for loss in book.losses.values():
                assert loss.charged <= self.policy.retries + 1
                assert loss.free <= deal.FREE_LOSSES + 1
        assert waiting + len(held_by) == self.deal.open_tasks
        lines = [line for book in self.deal.batches.values() for line in book.lost.values()]
        suspects = any(line.suspects for line in lines)
        for agent in players:
            may = not (agent.asked or agent.alone or agent.key in self.late | self.sent_away)
            may = may and not (suspects and agent.shares)
            may = may and agent.idle_slots > 0 and self.now >= agent.rests_until
            assert not (may and todo), f"{agent.key} idles"
            for book in self.deal.batches.values():
                for need, line in book.lost.items():
                    if may and fits(agent.need, need):
                        assert not line.suspects, f"{agent.key} idles"
                        self.check_again(agent, book, line)

    def check_again(self, agent: AgentBook, book: BatchBook, line: Line) -> None:
        """Only what an agent has given back may wait although it has a slot for it."""
        for first, last in line.again:
            for index in range(first, last):
                assert self.now < book.losses[index].not_for.get(agent.key, 0.0), "it idles"

    # -- driving

    def step(self) -> None:
        """Something happens."""
        random = self.random
        what = random.random()
        everybody = list(self.agents.values())
        agent = random.choice(everybody) if everybody else None
        if what < 0.06 and len(self.counts) < 6:
            self.open_batch()
        elif what < 0.1:
            self.now += random.choice([0.01, 0.2, 5.0, 70.0])
        elif what < 0.13:
            self.list_elements()
        elif what < 0.133 or (self.refusing and what < 0.16):
            self.refusing = not self.refusing
        elif agent is not None and not agent.gone:
            self.step_agent(agent)
        elif agent is not None and not agent.mute:
            self.deliver(agent)
            if random.random() < 0.3:
                self.end(agent, random.choice(ENDS))
        if random.random() < 0.7:
            self.decide()

    def step_agent(self, agent: Agent) -> None:
        random = self.random
        what = random.random()
        if not agent.started:
            if what < 0.9:
                self.start(agent)
            elif what < 0.98:
                self.end(agent, random.choice(["failed", "cancelled", "node failure"]))
            else:
                agent.gone = True
                agent.outbox.append(("refused",))
        elif what < 0.25:
            agent.read()
        elif what < 0.4 and agent.running:
            self.run_some(agent)
        elif what < 0.5:
            agent.report()
        elif what < 0.75 and not agent.mute:
            self.deliver(agent, random.choice([1, 1000]))
        elif what < 0.8:
            agent.beat()
        elif what < 0.84 and agent.running:
            short_of = random.choice(["", "", "memory"])
            agent.lose_worker(random.randrange(len(agent.running)), short_of)
        elif what < 0.87:
            self.lose_word(agent)
        elif what < 0.9:
            agent.mute = not agent.mute
        elif what < 0.92:
            agent.late |= random.random() < 0.5
            could_not = not agent.late and random.random() < 0.5
            agent.give_back(0, "no such file" if could_not else "")
        elif what < 0.94:
            agent.leave(random.choice(GOODBYES), random.choice([1.0, 80.0]))
        elif what < 0.96:
            self.end(agent, random.choice(ENDS))

    def run_some(self, agent: Agent) -> None:
        for _ in range(self.random.choice([1, 3, 30])):
            if not agent.running or agent.gone:
                return
            which = self.random.randrange(len(agent.running))
            kind = self.killers.get(agent.running[which][1])
            if kind == "memory" and not agent.need.memory:
                agent.lose_worker(which, "memory")
            elif kind == "time" and not agent.need.time:
                agent.leave("time", 80.0)
            elif kind == "worker":
                agent.lose_worker(which)
            elif kind == "element":
                self.end(agent, "failed")
            else:
                agent.finish(which)

    def finish(self) -> None:
        """From here on nothing but the killers goes wrong: all must come to its end."""
        self.refusing = False
        for rounds in range(2000):
            self.now += 2.0
            for agent in list(self.agents.values()):
                agent.mute = agent.unable = False
                self.play_well(agent, rounds)
            if rounds % 5 == 0:
                self.list_elements()
            self.decide()
            if not self.deal.open_tasks and not self.deal.batches:
                break
        assert not self.open_tasks()
        assert not self.deal.batches
        assert self.delivered.isdisjoint(self.failed)

    def play_well(self, agent: Agent, rounds: int) -> None:
        if agent.gone:
            self.deliver(agent)
            if agent.key in self.deal.agents:
                self.end(agent, "completed")
            return
        if not agent.started:
            self.start(agent)
        agent.read()
        self.run_some(agent)
        if agent.gone:
            return
        agent.report()
        if rounds % 5 == 0:
            agent.beat()
        agent.idle = 0 if agent.held else agent.idle + 1
        if agent.idle > 15:
            agent.leave("idle", 0.0)
        self.deliver(agent)
