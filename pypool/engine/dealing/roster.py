"""Who plays, who is to come, and how many more elements to ask for.

The roster judges agents by their silence and by what the scheduler lists. What becomes of the
tasks of a lost agent is not its business.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from math import ceil

from pypool.engine.dealing.actions import Action, Cancel, Dismiss, GiveUp, Policy, Submit
from pypool.engine.dealing.books import AgentBook
from pypool.engine.dealing.losses import BLAMELESS_ENDS, FULL_DISK
from pypool.engine.dealing.needs import USUAL, Need, fits, largest_first

EARLY_DEATHS = 3
EARLY_WAVES = 2
"""Elements that end before hello, of so many submissions, after which there is no use in more."""

BLAMELESS_EARLY_DEATHS = 10
CANCELLATIONS = 2
"""Elements that somebody cancels before their hello are replaced once."""

SUBMIT_AGAIN_SECONDS = 30.0
NO_DISK_SECONDS = 5.0
WITHDRAWN_SECONDS = 60.0
"""What was refused once is asked for again after so long, if somebody is there meanwhile."""

FRESH_SECONDS = 5.0
"""An element submitted this short a time ago is counted as if it were there."""

OVERDUE_BEATS = 1.5
"""So long after the last one a beat is overdue, and the scheduler is asked."""

ABSENCES = 3
"""Good answers of the scheduler without an element after which its silence means its end."""


class Roster:
    """See the module.

    Attributes
    ----------
    agents : dict of str to AgentBook
        Every element that may still speak, by its key.
    playing : dict of str to AgentBook
        Those that are there.
    playing_slots : int
        Slots of those that are not about to leave.
    needs : Counter
        What elements those have, as far as they can take any task of that need.
    hopeless : list of (Need, str)
        Larger elements that do not come, and why: to be taken from here.
    """

    def __init__(
        self, policy: Policy, actions: list[Action], let_go: Callable[[AgentBook], None]
    ) -> None:
        self.agents: dict[str, AgentBook] = {}
        self.playing: dict[str, AgentBook] = {}
        self.playing_slots = 0
        self._policy = policy
        self._actions = actions
        self._let_go = let_go
        self._pending: dict[str, AgentBook] = {}
        self._fresh_until: dict[str, float] = {}
        self._late: dict[str, AgentBook] = {}
        self._nobody_overdue_before = 0.0
        self.needs: Counter[Need] = Counter()
        self.hopeless: list[tuple[Need, str]] = []
        self._early_deaths = 0
        self._waves = 0
        self._blameless_early_deaths = 0
        self._early_deaths_of: Counter[Need] = Counter()
        self._cancellations = 0
        self._cancelled_lately = False
        self._submit_not_before = self._no_disk_before = 0.0
        self._trouble = ""
        self._hopeless = False
        self._judge_at = 0.0

    def expected_slots(self, now: float) -> int:
        """Slots that play or will do so at any moment."""
        while self._fresh_until:  # the oldest stand first
            key, until = next(iter(self._fresh_until.items()))
            if now < until:
                break
            del self._fresh_until[key]
        return self.playing_slots + len(self._fresh_until) * self._policy.slots

    @property
    def overdue(self) -> float:
        """Seconds of silence after which the scheduler is asked."""
        return OVERDUE_BEATS * self._policy.beat

    def is_overdue(self, agent: AgentBook, now: float) -> bool:
        """It should have been heard by now."""
        return now - agent.heard > self.overdue

    @property
    def awaited(self) -> Collection[str]:
        """Elements that have not said hello."""
        return self._pending.keys()

    # -- coming and going

    def somebody_else(self, keys: Collection[str]) -> bool:
        """Whether others than these play or are to come."""
        return bool(self.playing) or any(key not in keys for key in self._pending)

    def submitted(self, keys: Iterable[str], now: float, need: Need) -> None:
        self._cancelled_lately = False
        asked_for = [AgentBook(key, self._policy.slots, now, need=need) for key in keys]
        self._waves += bool(asked_for)
        self.agents.update({book.key: book for book in asked_for})
        self._pending.update({book.key: book for book in asked_for})
        self._fresh_until.update({book.key: now + FRESH_SECONDS for book in asked_for})

    def adopted(self, key: str, need: Need, now: float) -> None:
        """An earlier life has asked for this element."""
        book = AgentBook(key, self._policy.slots, now - self.overdue, need=need, adopted=True)
        self.agents[key] = self._pending[key] = book

    def refused(self, keys: Iterable[str], why: str) -> None:
        for key in keys:
            agent = self.agents.get(key)
            if agent is not None:
                self.remove(agent)
        if why:
            self.has_trouble(why)

    def withdrawn(self, keys: Iterable[str], again_at: float) -> None:
        """The scheduler does not take so many: these do not come, others may be there."""
        for key in keys:
            agent = self._pending.get(key)
            if agent is not None:
                self.remove(agent)
        self._submit_not_before = max(self._submit_not_before, again_at)

    def plays(self, key: str, slots: int | None, now: float) -> AgentBook:
        """The agent lives: it says hello, or beats although it was given up."""
        agent = self.agents.get(key)
        if agent is None:
            agent = self.agents[key] = AgentBook(key, self._policy.slots, now)
        self._leaves(agent)
        agent.late = agent.late and slots is None
        if agent.late:
            self._late[key] = agent
        agent.slots = slots or agent.slots
        agent.said_hello = True
        agent.lost = False
        agent.was_heard(now)
        self._early_deaths = self._blameless_early_deaths = self._waves = 0
        self._early_deaths_of.pop(agent.need, None)
        self.playing[key] = agent
        if not agent.late:
            self._counts(agent, +1)
        return agent

    def _counts(self, agent: AgentBook, sign: int) -> None:
        self.playing_slots += sign * agent.slots
        self.needs[agent.need] += sign
        if not self.needs[agent.need]:
            del self.needs[agent.need]

    def is_late(self, agent: AgentBook) -> None:
        """It begins nothing more: its place will be free, so it is not counted."""
        if agent.key in self.playing:
            if not agent.late:
                self._counts(agent, -1)
            self._late[agent.key] = agent
        agent.late = True

    def sends_away(self, agent: AgentBook, now: float) -> None:
        """It is of no use. Another one, which may come to the same node, is asked for later."""
        self.is_late(agent)
        self._submit_not_before = max(self._submit_not_before, now + WITHDRAWN_SECONDS)

    @property
    def late(self) -> list[AgentBook]:
        """Those that are about to leave."""
        return list(self._late.values())

    def lose(self, agent: AgentBook) -> None:
        """It plays no more, but may be heard again."""
        self._leaves(agent)
        agent.lost = True
        agent.asked = 0

    def remove(self, agent: AgentBook) -> None:
        """It will never speak again: what it had in hand is nobody's."""
        self._let_go(agent)
        self._leaves(agent)
        self.agents.pop(agent.key, None)

    def _leaves(self, agent: AgentBook) -> None:
        self._pending.pop(agent.key, None)
        self._fresh_until.pop(agent.key, None)
        self._late.pop(agent.key, None)
        if self.playing.pop(agent.key, None) is not None and not agent.late:
            self._counts(agent, -1)

    def early_death(self, agent: AgentBook, how: str, now: float, words: str = "") -> None:
        """An element ended before hello: another one is asked for, but not for ever.

        Those that were asked for together are mostly cancelled together: that counts once. Who had
        no disk to say hello does not count: if there is no room for long, it is the disk's error.
        """
        self.remove(agent)
        if how == FULL_DISK:
            self._no_disk_before = now + NO_DISK_SECONDS
            return
        if agent.adopted:  # what became of it while nobody looked says nothing of the next one
            return
        if how == "cancelled":
            self._cancellations += not self._cancelled_lately
            self._cancelled_lately = True
            count, most = self._cancellations, CANCELLATIONS
            words = "cancelled by somebody else, as were those before them"
        elif agent.need != USUAL:
            self._early_deaths_of[agent.need] += 1
            count, most = self._early_deaths_of[agent.need], EARLY_DEATHS
        elif how in BLAMELESS_ENDS:
            self._blameless_early_deaths += 1
            count, most = self._blameless_early_deaths, BLAMELESS_EARLY_DEATHS
        else:
            self._early_deaths += 1
            count, most = self._early_deaths, EARLY_DEATHS
            if self._waves < EARLY_WAVES:  # they may all have met the same bad node
                return
        if count < most:
            return
        ended = "elements" if how == "cancelled" else f"{count} elements"
        why = f"{ended} ended before hello: {words or how}"
        if agent.need != USUAL:
            self._early_deaths_of.pop(agent.need, None)
            self.hopeless.append((agent.need, why))
        else:
            self.has_trouble(why)

    # -- judging

    def listed(self, states: dict[str, str], now: float) -> None:
        """A good answer of the scheduler: "pending", "running" or "suspended" by element."""
        for key, agent in self.agents.items():
            state = states.get(key)
            agent.absent = 0 if state else agent.absent + 1
            if state == "suspended":
                agent.heard = now
            if state == "running" and agent.running_since is None:
                agent.running_since = now
            elif state in ("pending", "suspended"):
                agent.running_since = None
        self._judge_at = now

    def asks_scheduler(self, open_tasks: int, now: float) -> bool:
        """Whether the scheduler may know what the disk does not tell."""
        if self._pending or (self._policy.watches and open_tasks):
            return True
        if now <= self._nobody_overdue_before:
            return False
        first = min((agent.heard for agent in self.playing.values()), default=now)
        self._nobody_overdue_before = first + self.overdue
        return now > self._nobody_overdue_before

    def is_in_doubt(self, agent: AgentBook) -> None:
        """It has said hello to an earlier life: the scheduler knows whether it is still there."""
        agent.heard -= self.overdue
        self._nobody_overdue_before = 0.0

    def _silent(self, agent: AgentBook, now: float) -> bool:
        return now - agent.heard > self._policy.lease

    def judge(self, now: float) -> list[tuple[AgentBook, str]]:
        """Agents that have to be given up now, and why. Elements that do not start are seen off.

        Silence is a matter of minutes, so not everybody is looked at each time.
        """
        if now < self._judge_at:
            return []
        self._judge_at = now + min(1.0, self._policy.lease / 60, self._policy.start_timeout / 60)
        for agent in list(self._pending.values()):
            self._judge_pending(agent, now)
        found = []
        for agent in self.playing.values():
            if not self._silent(agent, now):
                continue
            if agent.absent >= ABSENCES:
                found.append((agent, "vanished from the queue"))
            elif now - agent.heard > 2 * self._policy.lease:
                self._actions.append(Cancel(agent.key))
                found.append((agent, "was silent for too long"))
        return found

    def _judge_pending(self, agent: AgentBook, now: float) -> None:
        since = agent.running_since
        timeout = self._policy.start_timeout
        if since is not None and now - since > timeout:
            self._actions.append(Cancel(agent.key))
            self.early_death(agent, f"ran for {timeout:.0f} s without saying hello", now)
        elif agent.absent >= ABSENCES and self._silent(agent, now):
            self.early_death(agent, "vanished from the queue without a word", now)

    # -- asking for more

    def order(
        self,
        open_tasks: int,
        workers: Callable[[], int],
        larger: Mapping[Need, int],
        now: float,
    ) -> None:
        """Elements for the workers that can be used, up to `processes`.

        After trouble they are asked for later. If nobody is there or comes, the callers are told.

        Parameters
        ----------
        workers : callable
            How many can be used in all.
        larger : mapping
            How many of them by tasks that wait for a larger element.
        """
        if self._trouble:
            self._meet_trouble(open_tasks, now)
        elif self._policy.submits and open_tasks:
            waits = now < self._submit_not_before and (self.playing or self._pending)
            if waits or now < self._no_disk_before:
                return
            there = self.playing_slots + len(self._pending) * self._policy.slots
            if larger:
                there = self._submit_larger(larger, there)
            if there < min(self._policy.processes, open_tasks):
                self._submit_for(workers(), there)

    def _submit_larger(self, larger: Mapping[Need, int], there: int) -> int:
        """Elements for the tasks that no usual one can take; gives how many slots are there then.

        If there is no room for them, those go that have nothing to do and cannot help.
        """
        players = [agent for agent in self.playing.values() if not agent.late]
        free = [(agent.need, agent.idle_slots) for agent in players if agent.need != USUAL]
        free += [(agent.need, agent.slots) for agent in self._pending.values()]
        slots = self._policy.slots
        for need in largest_first(larger):
            wanted = larger[need]
            for place, (other, idle) in enumerate(free):
                if fits(other, need):
                    taken = min(wanted, idle)
                    free[place] = (other, idle - taken)
                    wanted -= taken
            elements = ceil(wanted / slots)
            room = (self._policy.processes - there) // slots
            if elements > room:
                there -= self._dismiss(elements - room, need)
                room = (self._policy.processes - there) // slots
            elements = min(elements, room if there else max(room, 1))
            if elements > 0:
                self._actions.append(Submit(elements, need))
                free.append((need, elements * slots - wanted))
                there += elements * slots
        return there

    def _dismiss(self, most: int, need: Need) -> int:
        """Sends away agents without work that cannot take such a task; gives their slots."""
        idle = [
            agent
            for agent in self.playing.values()
            if not (agent.late or agent.shares or fits(agent.need, need))
        ]
        for agent in idle[:most]:
            self.is_late(agent)
            self._actions.append(Dismiss(agent.key))
        return sum(agent.slots for agent in idle[:most])

    def _submit_for(self, workers: int, there: int) -> None:
        slots = self._policy.slots
        usable = ceil((min(self._policy.processes, workers) - there) / slots)
        room = (self._policy.processes - there) // slots
        elements = min(usable, room if there else max(room, 1))
        if self._early_deaths:  # a few, to see whether it goes better elsewhere
            elements = min(elements, EARLY_DEATHS)
        if elements > 0:
            self._actions.append(Submit(elements))

    def has_trouble(self, why: str, hopeless: bool = False) -> None:
        """Submitting makes no sense for now; or waiting for those who are there, neither."""
        self._trouble = why
        self._hopeless = hopeless

    def _meet_trouble(self, open_tasks: int, now: float) -> None:
        why, self._trouble = self._trouble, ""
        self._submit_not_before = now + SUBMIT_AGAIN_SECONDS
        if (self.playing or self._pending) and not self._hopeless:
            return
        self._submit_not_before = now
        self._early_deaths = self._blameless_early_deaths = self._cancellations = 0
        self._waves = 0
        if open_tasks:
            self._actions.append(GiveUp(why))
