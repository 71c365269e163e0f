"""A scheduler that does what the test says, and elements of a run on it."""

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pypool.engine.elements.submission import (
    ClusterElements,
    News,
)
from pypool.engine.journal import Journal
from pypool.errors import SubmitError
from pypool.options import Options
from pypool.rundir import names
from pypool.rundir.mailbox import FileReader
from pypool.rundir.run import RunDirectory
from pypool.schedulers import causes
from pypool.schedulers.base import (
    Answered,
    Cause,
    CommandError,
    Element,
    ElementState,
    Pending,
    Scheduler,
)

T = TypeVar("T")

NO_LIMIT = CommandError("it has none")

PENDING = ElementState("pending", "PENDING", "Resources")
RUNNING = ElementState("running", "RUNNING")
SUSPENDED = ElementState("suspended", "SUSPENDED")
OUT_OF_MEMORY = ElementState("ended", "out of memory")
HELD = ElementState("pending", "PENDING", "Held")


class Later(Generic[T]):
    """An answer that comes when the test gives it."""

    def __init__(self) -> None:
        self.answer: T | Exception | None = None

    def done(self) -> bool:
        return self.answer is not None

    def value(self) -> T:
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


class Found:
    """An answer that comes when the test gives it, once: job ids."""

    def __init__(self) -> None:
        self.answer: list[str] | Exception | None = None

    def done(self) -> bool:
        return self.answer is not None

    def value(self) -> list[str]:
        answer, self.answer = self.answer, None
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


class Fake(Scheduler):
    """Takes down what it is asked.

    Attributes
    ----------
    largest : int, Exception or None
        What it says at once of the size of an array; None: what the test says later.
    """

    name: ClassVar[str] = "fake"

    def __init__(self) -> None:
        self.submissions: list[tuple[str, str, int, Later[str]]] = []
        self.avoided: list[list[str]] = []
        self.queued: dict[Element, ElementState] | Exception | None = None
        self.waiting_cancelled: list[list[Element]] = []
        self.looks: list[tuple[list[str], Later[dict[Element, ElementState]]]] = []
        self.finds: list[str] = []
        self.found = Found()
        self.forgotten: list[str] = []
        self.cancelled: list[tuple[list[str], list[Element]]] = []
        self.cancellation: Pending[None] = Answered(None)
        self.limits: list[Later[int | None]] = []
        self.largest: int | Exception | None = NO_LIMIT
        self.looked_back: list[tuple[list[Element], Later[dict[Element, ElementState]]]] = []
        self.looks_back = False
        self.told_grace: Pending[float] = Later[float]()

    def submit(
        self, script: str, token: str, elements: int, avoid: Collection[str] = ()
    ) -> Pending[str]:
        answer = Later[str]()
        self.submissions.append((script, token, elements, answer))
        self.avoided.append(list(avoid))
        return answer

    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        answer = Later[dict[Element, ElementState]]()
        answer.answer, self.queued = self.queued, None if self.queued is None else {}
        self.looks.append((jobs, answer))
        return answer

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        self.cancelled.append((jobs, elements))
        return self.cancellation

    def cancel_pending(self, elements: list[Element]) -> Pending[None]:
        self.waiting_cancelled.append(elements)
        return self.cancellation

    def grace(self) -> Pending[float]:
        return self.told_grace

    def cause(self, state: ElementState, log: str) -> Cause:
        return causes.of(state, log)

    def advice(self, state: ElementState, job: str) -> str:
        return f"Release {job}." if state.reason == "Held" else ""

    def find(self, token: str, queued_only: bool = False) -> Pending[list[str]]:
        self.finds.append(token)
        return self.found

    def cancel_by_hand(self, token: str) -> str:
        return f"fakecancel pypool-{token}"

    def limit(self) -> Pending[int | None]:
        answer = Later[int | None]()
        answer.answer = self.largest
        self.limits.append(answer)
        return answer

    def ends(self, elements: list[Element]) -> Pending[dict[Element, ElementState]]:
        if not self.looks_back:
            return super().ends(elements)
        answer = Later[dict[Element, ElementState]]()
        self.looked_back.append((elements, answer))
        return answer

    def forget(self, job: str) -> None:
        self.forgotten.append(job)

    def explain(self, job: str) -> Pending[str]:
        return Answered(f"accounting of {job}")


class Cluster:
    """Elements of one run."""

    def __init__(self, place: Path) -> None:
        self.run = RunDirectory.create(str(place), {})
        self.scheduler = Fake()
        options = Options(processes=4, work_dir=str(place), scheduler_interval=10.0)
        self.elements = ClusterElements(
            self.run, self.scheduler, options, Journal(self.run, now=0.0)
        )

    def submit(self, elements: int = 2, job: str | None = "7", now: float = 0.0) -> str:
        """Asks for elements; with `job`, the scheduler takes them. Gives the token."""
        self.elements.submit(elements, now)
        if job is not None:
            self.answer(job)
            assert self.advance(now) == []
        return self.scheduler.submissions[-1][1]

    def answer(self, answer: str | Exception) -> None:
        self.scheduler.submissions[-1][3].answer = answer

    def advance(self, now: float, asks: bool = True) -> list[News]:
        return list(self.elements.advance(now, asks))

    def look(self, now: float, states: dict[Element, ElementState] | Exception) -> list[News]:
        """Lets the queue be looked at; gives the news."""
        before = len(self.scheduler.looks)
        assert self.advance(now) == []
        assert len(self.scheduler.looks) == before + 1
        self.scheduler.looks[-1][1].answer = states
        return self.advance(now)

    def refuse(self, words: str = "Invalid job array specification") -> list[News]:
        """The last submission is too large; gives the news once the limit is known, or is not."""
        self.answer(failed(words, too_many=True))
        return self.advance(0.0, asks=False) + self.advance(0.0, asks=False)

    @property
    def sizes(self) -> list[int]:
        """Of all arrays that were asked for."""
        return [each[2] for each in self.scheduler.submissions]

    def journal(self) -> list[int]:
        """Kinds of its records."""
        reader = FileReader(self.run.open_file, names.JOURNAL, self.run.mark)
        return [record.kind for record in reader.read()]


def failed(words: str = "no controller", **kind: bool) -> SubmitError:
    """An error of that kind."""
    error = SubmitError(f"not taken: {words}")
    error.words = words
    for name, value in kind.items():
        setattr(error, name, value)
    return error


def keys(token: str, *indexes: int) -> list[str]:
    return [f"{token}/{index}" for index in indexes]


def hello(cluster: Cluster, token: str, index: int, job: str, now: float) -> None:
    """An agent says hello."""
    cluster.elements._submissions[token].links[index].meet("here", job, now)
