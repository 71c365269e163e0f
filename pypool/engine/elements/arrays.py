"""One submission: the array, or the arrays, that came of it, and what they say of its elements.

As a rule a submission is one job. If one that was in doubt was made again there may be two, and
each element belongs to the agent that said hello first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pypool.engine.dealing.needs import USUAL, Need
from pypool.engine.elements.asking import Asking
from pypool.engine.elements.doubles import Doubles
from pypool.engine.links import FileLink
from pypool.schedulers.base import Element, ElementState

ALIVE = ("running", "suspended", "pending")
"""The first of these that holds in any of its jobs is the state of an element."""


@dataclass(slots=True)
class Submission:
    """See the module.

    Attributes
    ----------
    wanted, elements : int
        Elements that were asked for at first, and now.
    asking : Asking or None
        Until the scheduler has given an id.
    need : Need
        How much more than usual its elements have.
    links : dict of int to FileLink
        By index: they know who speaks.
    jobs : list of str
        The scheduler's ids, the oldest first.
    over : set of int
        Indexes of elements that will not be heard again.
    watched : set of int
        Those of them that may come back into the queue.
    requeued : dict of int to int
        Elements that are in the queue though their agent has said hello: the scheduler speaks of
        a newcomer, in so many good answers.
    dropped : set of Element
        What was cancelled because the element has another one.
    pending : bool
        At the last look an element was waiting.
    doubles : Doubles or None
        If there may be another job.
    why_fewer : str
        The scheduler's words if it does not take as many as were wanted.
    refused : str
        Its words if it has refused the size, until its limit is known.
    """

    token: str
    wanted: int
    elements: int
    asking: Asking | None
    need: Need = USUAL
    links: dict[int, FileLink] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    over: set[int] = field(default_factory=set)
    watched: set[int] = field(default_factory=set)
    requeued: dict[int, int] = field(default_factory=dict)
    dropped: set[Element] = field(default_factory=set)
    pending: bool = False
    doubles: Doubles | None = None
    why_fewer: str = ""
    refused: str = ""

    def key(self, index: int) -> str:
        return f"{self.token}/{index}"

    @property
    def keys(self) -> list[str]:
        return [self.key(index) for index in range(self.elements)]

    @property
    def job(self) -> str | None:
        """The oldest."""
        return self.jobs[0] if self.jobs else None

    @property
    def in_doubt(self) -> bool:
        """Jobs may turn up of which nobody has told us."""
        asked = self.asking is not None and self.asking.ever_in_doubt
        return asked or self.doubles is not None

    @property
    def is_over(self) -> bool:
        """Nothing of it is, or will be, in the queue."""
        asked = self.asking is not None and self.asking.in_command
        looked_for = self.doubles is None or self.doubles.enough
        return len(self.over) >= self.elements and looked_for and not (asked or self.watched)

    def add(self, job: str) -> bool:
        """Whether the job is a new one."""
        if job in self.jobs:
            return False
        self.jobs = sorted([*self.jobs, job], key=lambda job: (len(job), job))
        return True

    def told_by_agents(self) -> list[str]:
        """Jobs in which agents live, and that are not known."""
        found = {link.job for link in self.links.values() if link.job is not None}
        return sorted(found.difference(self.jobs))

    def said_hello(self, index: int) -> bool:
        link = self.links.get(index)
        return link is not None and link.met

    def owner(self, index: int) -> str | None:
        """The job in which the element's agent lives."""
        link = self.links.get(index)
        return link.job if link is not None and link.job in self.jobs else None

    def state(self, index: int, states: Mapping[Element, ElementState]) -> ElementState | None:
        """What all its jobs together say of an element; None if not enough is known."""
        owner = self.owner(index)
        if owner is not None:
            return states.get((owner, index))
        elements = [(job, index) for job in self.jobs]
        found = [states[each] for each in elements if each in states]
        for phase in ALIVE:
            for state in found:
                if state.phase == phase:
                    return state
        gone = [each for each in elements if each in self.dropped and each not in states]
        return found[0] if found and len(found) + len(gone) == len(elements) else None

    def surplus(self, index: int, states: Mapping[Element, ElementState]) -> list[Element]:
        """Elements that wait in the queue, and have an owner or an older one before them."""
        found = [job for job in self.jobs if (job, index) in states]
        keeps = self.owner(index) or next(
            (job for job in found if states[job, index].phase != "ended"), None
        )
        return [
            (job, index) for job in found if job != keeps and states[job, index].phase == "pending"
        ]
