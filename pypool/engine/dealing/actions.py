"""What the dealer may want done, and what the user and the backend want of the dealer."""

from dataclasses import dataclass
from typing import NamedTuple

from pypool.engine.dealing.books import Loss
from pypool.engine.dealing.needs import USUAL, Need, amount, doublings


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user and the backend want.

    Attributes
    ----------
    processes : int
        Workers at most, in all elements.
    slots : int
        Workers of one element.
    retries : int
        How often a task may be lost at its own expense and be started again.
    time, max_time : float or None
        Seconds that an element lives; what a task may have at most that needed longer.
    memory, max_memory : int or None
        Bytes per worker; what a task may have at most that needed more.
    beat : float
        Seconds between two beats of an agent.
    lease : float
        Seconds of silence after which an agent is no longer trusted to live.
    start_timeout : float
        Seconds that a running element has until its hello.
    recall_seconds : float
        Work worth asking back, and how long a share may be out before it is asked for whatever
        the estimate says: more than a round trip takes.
    watches : bool
        Asking the scheduler costs nothing, so it is asked as long as tasks are open.
    submits : bool
        Elements can be asked for; else there are those that there are.
    deals_all : bool
        Everything is dealt at once, each agent its fair part: the driver may go.
    """

    processes: int
    slots: int = 1
    retries: int = 2
    time: float | None = None
    max_time: float | None = None
    memory: int | None = None
    max_memory: int | None = None
    beat: float = 10.0
    lease: float = 60.0
    start_timeout: float = 600.0
    recall_seconds: float = 0.05
    watches: bool = False
    submits: bool = True
    deals_all: bool = False

    def time_of(self, need: Need) -> float | None:
        """Seconds that an element with this need lives."""
        return None if self.time is None else amount(self.time, need.time, self.max_time)

    def memory_of(self, need: Need) -> int | None:
        """Bytes that a worker has in an element with this need."""
        return (
            None if self.memory is None else int(amount(self.memory, need.memory, self.max_memory))
        )

    def next_need(self, task: Need, agent: Need, short_of: str) -> Need:
        """What a task needs that was short of "time" or "memory" at such an agent."""
        if short_of == "time":
            most = doublings(self.time, self.max_time)
            return task._replace(time=min(max(task.time, agent.time) + 1, most))
        most = doublings(self.memory, self.max_memory)
        return task._replace(memory=min(max(task.memory, agent.memory) + 1, most))


class Submit(NamedTuple):
    """Ask the scheduler for this many elements, each with that need."""

    elements: int
    need: Need = USUAL


class DealShare(NamedTuple):
    """Write a share into the agent's inbox."""

    agent: str
    number: int
    batch: int
    first: int
    last: int
    attempt: int
    seconds: float


class AskBack(NamedTuple):
    """Ask the agent to return what it has not begun."""

    agent: str
    number: int


class Fail(NamedTuple):
    """Tell the caller that this task was lost for good."""

    batch: int
    task: int
    loss: Loss


class GiveUp(NamedTuple):
    """No element lives to say hello: tell all callers."""

    why: str


class Dismiss(NamedTuple):
    """Tell this agent to leave: nothing is left for it, and its place is needed."""

    agent: str


class Cancel(NamedTuple):
    """Cancel this element: it holds its place but no longer says anything."""

    agent: str


class Remove(NamedTuple):
    """Nobody will read this batch again."""

    batch: int


Action = Submit | DealShare | AskBack | Fail | GiveUp | Dismiss | Cancel | Remove
