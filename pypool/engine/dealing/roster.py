"""Who plays, who is to come, and how many more elements to ask for.

The roster judges agents by their silence and by what the scheduler lists. What becomes of the
tasks of a lost agent is not its business.
"""

from collections.abc import Callable, Collection, Iterable
from math import ceil

from pypool.engine.dealing.actions import Action, Cancel, GiveUp, Policy, Submit
from pypool.engine.dealing.books import AgentBook

EARLY_DEATHS = 3
SUBMIT_AGAIN_SECONDS = 30.0
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
    """

    def __init__(self, policy: Policy, actions: list[Action]) -> None:
        self.agents: dict[str, AgentBook] = {}
        self.playing: dict[str, AgentBook] = {}
        self.playing_slots = 0
        self._policy = policy
        self._actions = actions
        self._pending: dict[str, AgentBook] = {}
        self._early_deaths = 0
        self._submit_not_before = 0.0
        self._trouble = ""
        self._hopeless = False
        self._judge_at = 0.0

    def expected_slots(self, now: float) -> int:
        """Slots that play or will do so at any moment."""
        fresh = (agent for agent in self._pending.values() if now - agent.heard < FRESH_SECONDS)
        return self.playing_slots + sum(agent.slots for agent in fresh)

    @property
    def awaited(self) -> Collection[str]:
        """Elements that have not said hello."""
        return self._pending.keys()

    # -- coming and going

    def submitted(self, keys: Iterable[str], now: float) -> None:
        for key in keys:
            self.agents[key] = self._pending[key] = AgentBook(key, self._policy.slots, now)

    def refused(self, keys: Iterable[str], why: str) -> None:
        for key in keys:
            agent = self.agents.get(key)
            if agent is not None:
                self.remove(agent)
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
        agent.slots = slots or agent.slots
        agent.said_hello = True
        agent.lost = False
        agent.was_heard(now)
        self._early_deaths = 0
        self.playing[key] = agent
        self.playing_slots += 0 if agent.late else agent.slots
        return agent

    def is_late(self, agent: AgentBook) -> None:
        """It begins nothing more: its place will be free, so it is not counted."""
        if agent.key in self.playing and not agent.late:
            self.playing_slots -= agent.slots
        agent.late = True

    @property
    def late(self) -> list[AgentBook]:
        """Those that are about to leave."""
        return [agent for agent in self.playing.values() if agent.late]

    def lose(self, agent: AgentBook) -> None:
        """It plays no more, but may be heard again."""
        self._leaves(agent)
        agent.lost = True
        agent.asked = 0

    def remove(self, agent: AgentBook) -> None:
        """It will never speak again."""
        self._leaves(agent)
        self.agents.pop(agent.key, None)

    def _leaves(self, agent: AgentBook) -> None:
        self._pending.pop(agent.key, None)
        if self.playing.pop(agent.key, None) is not None and not agent.late:
            self.playing_slots -= agent.slots

    def early_death(self, agent: AgentBook, how: str) -> None:
        """An element ended before hello: another one is asked for, but not for ever."""
        self.remove(agent)
        self._early_deaths += 1
        if self._early_deaths >= EARLY_DEATHS:
            self.has_trouble(f"{self._early_deaths} elements ended before hello: {how}")

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
        overdue = OVERDUE_BEATS * self._policy.beat
        return any(now - agent.heard > overdue for agent in self.playing.values())

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
            self.early_death(agent, f"ran for {timeout:.0f} s without saying hello")
        elif agent.absent >= ABSENCES and self._silent(agent, now):
            self.early_death(agent, "vanished from the queue without a word")

    # -- asking for more

    def order(self, open_tasks: int, workers: Callable[[], int], now: float) -> None:
        """Elements for the workers that can be used, up to `processes`.

        After trouble they are asked for later. If nobody is there or comes, the callers are told.
        """
        if self._trouble:
            self._meet_trouble(open_tasks, now)
        elif self._policy.submits and open_tasks:
            waits = now < self._submit_not_before and (self.playing or self._pending)
            there = self.playing_slots + sum(agent.slots for agent in self._pending.values())
            if not waits and there < min(self._policy.processes, open_tasks):
                self._submit_for(workers(), there)

    def _submit_for(self, workers: int, there: int) -> None:
        slots = self._policy.slots
        usable = ceil((min(self._policy.processes, workers) - there) / slots)
        room = (self._policy.processes - there) // slots
        elements = min(usable, room if there else max(room, 1))
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
        self._early_deaths = 0
        if open_tasks:
            self._actions.append(GiveUp(why))
