"""Elements on a cluster, with a scheduler that does what the test says."""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import pytest

from pypool.engine import asking, submission
from pypool.engine.journal import Journal
from pypool.engine.submission import ClusterElements, Ended, Listed, News, Refused, Shrunk
from pypool.errors import SubmitError
from pypool.options import Options
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileReader
from pypool.rundir.run import RunDirectory
from pypool.schedulers import slurm
from pypool.schedulers.base import (
    Answered,
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
    """An answer that comes when the test gives it, once: a job id or None in a tuple."""

    def __init__(self) -> None:
        self.answer: tuple[str | None] | Exception | None = None

    def done(self) -> bool:
        return self.answer is not None

    def value(self) -> str | None:
        answer, self.answer = self.answer, None
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer[0]


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

    def submit(self, script: str, token: str, elements: int) -> Pending[str]:
        answer = Later[str]()
        self.submissions.append((script, token, elements, answer))
        return answer

    def queue(self, jobs: list[str]) -> Pending[dict[Element, ElementState]]:
        answer = Later[dict[Element, ElementState]]()
        self.looks.append((jobs, answer))
        return answer

    def cancel(self, jobs: list[str], elements: list[Element]) -> Pending[None]:
        self.cancelled.append((jobs, elements))
        return self.cancellation

    def find(self, token: str) -> Pending[str | None]:
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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.run.close()


# ---- asking


def test_everything_is_there_before_the_scheduler_is_asked(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both mailboxes of each element, and the intent in the journal."""
    seen: list[bool] = []
    journal: list[int] = []

    def submit(script: str, token: str, elements: int) -> Pending[str]:
        for index in range(elements):
            element = Path(cluster.run.path) / names.element(token, index)
            seen.append({path.name for path in element.iterdir()} == {"inbox", "outbox.1"})
        journal.extend(cluster.journal())
        return Later[str]()

    monkeypatch.setattr(cluster.scheduler, "submit", submit)
    cluster.elements.submit(3, now=0.0)
    assert seen == [True] * 3
    assert journal == [records.LIFE, records.SUBMITTING]


def test_the_scheduler_gets_script_token_and_number(cluster: Cluster) -> None:
    """The script of the run, and a token of our own for each submission."""
    tokens = {cluster.submit(2), cluster.submit(3)}
    assert len(tokens) == 2
    script = f"{cluster.run.path}/{names.JOB_SCRIPT}"
    assert [each[0] for each in cluster.scheduler.submissions] == [script, script]
    assert [each[2] for each in cluster.scheduler.submissions] == [2, 3]


def test_every_element_has_a_link(cluster: Cluster) -> None:
    """Its key is token and index."""
    links = cluster.elements.submit(2, now=0.0)
    token = cluster.scheduler.submissions[0][1]
    assert [link.key for link in links] == [f"{token}/0", f"{token}/1"]


def test_the_job_id_is_in_the_journal(cluster: Cluster) -> None:
    """As soon as it is known."""
    cluster.submit(job=None)
    assert records.SUBMITTED not in cluster.journal()
    cluster.answer("7")
    cluster.advance(0.0)
    assert cluster.journal()[-1] == records.SUBMITTED


def test_a_refusal_is_news_of_all_its_elements(cluster: Cluster) -> None:
    """With the scheduler's own error, once."""
    token = cluster.submit(2, job=None)
    error = SubmitError("no such queue")
    cluster.answer(error)
    assert cluster.advance(1.0) == [Refused([f"{token}/0", f"{token}/1"], error)]
    assert cluster.advance(2.0) == []
    assert not cluster.elements.waits_for_command


def test_a_submission_in_flight_is_looked_at_often(cluster: Cluster) -> None:
    """Until the scheduler has answered it."""
    cluster.submit(job=None)
    assert cluster.elements.waits_for_command
    cluster.answer("7")
    cluster.advance(0.0)
    assert not cluster.elements.waits_for_command


# ---- asking again


def failed(words: str = "no controller", **kind: bool) -> SubmitError:
    """An error of that kind."""
    error = SubmitError(f"not taken: {words}")
    error.words = words
    for name, value in kind.items():
        setattr(error, name, value)
    return error


def test_a_temporary_failure_is_tried_again(cluster: Cluster) -> None:
    """The same script, token and number, after five seconds; no news meanwhile."""
    cluster.submit(2, job=None)
    cluster.answer(failed(temporary=True))
    assert cluster.advance(0.0, asks=False) == []
    assert cluster.advance(4.9, asks=False) == []
    assert len(cluster.scheduler.submissions) == 1
    cluster.advance(5.0, asks=False)
    first, second = cluster.scheduler.submissions
    assert first[:3] == second[:3]
    cluster.answer("7")
    assert cluster.advance(5.1) == []
    assert records.SUBMITTED in cluster.journal()


def test_tries_are_ever_more_rare(cluster: Cluster) -> None:
    """From five seconds to a minute."""
    cluster.submit(job=None)
    times: list[float] = []
    for now in range(300):
        before = len(cluster.scheduler.submissions)
        cluster.answer(failed(temporary=True))
        cluster.advance(float(now), asks=False)
        if len(cluster.scheduler.submissions) > before:
            times.append(now)
    pauses = [later - earlier for earlier, later in pairwise([0, *times])]
    assert pauses == sorted(pauses)
    assert pauses[0] == 5
    assert 60 <= pauses[-1] <= 61


def test_a_failure_is_said_at_once_and_then_once_a_minute(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """In the scheduler's words, on one line."""
    cluster.submit(job=None)
    for now in range(60):
        cluster.answer(failed("Unable to contact slurm controller", temporary=True))
        cluster.advance(float(now), asks=False)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "Unable to contact slurm controller" in line
    assert "\n" not in line


def test_between_two_tries_no_command_is_waited_for(cluster: Cluster) -> None:
    """The dispatcher may sleep."""
    cluster.submit(job=None)
    cluster.answer(failed(temporary=True))
    cluster.advance(0.0)
    assert not cluster.elements.waits_for_command


def test_a_job_that_was_taken_all_the_same_is_adopted(cluster: Cluster) -> None:
    """The queue is asked for the token, and nothing is submitted twice."""
    token = cluster.submit(2, job=None)
    cluster.answer(failed("Socket timed out", unclear=True))
    cluster.advance(0.0)
    cluster.advance(5.0)
    assert cluster.scheduler.finds == [token]
    cluster.scheduler.found.answer = ("7",)
    cluster.advance(6.0)
    assert cluster.look(16.0, {("7", 0): RUNNING}) == [Listed({f"{token}/0": "running"})]
    assert len(cluster.scheduler.submissions) == 1


def test_two_empty_answers_allow_a_new_try(cluster: Cluster) -> None:
    """Ten seconds apart; before that nothing is submitted."""
    cluster.submit(job=None)
    cluster.answer(failed(unclear=True))
    times: list[int] = []
    for now in range(60):
        before = len(cluster.scheduler.finds)
        cluster.advance(float(now), asks=False)
        if len(cluster.scheduler.submissions) == 2:
            break
        if len(cluster.scheduler.finds) > before:
            times.append(now)
            cluster.scheduler.found.answer = (None,)
    assert len(times) == 2
    assert times[1] - times[0] >= 10
    assert now >= times[1]


def test_no_answer_is_not_an_empty_one(cluster: Cluster) -> None:
    """While the queue says nothing nothing is submitted, however long that takes."""
    cluster.submit(job=None)
    cluster.answer(failed(unclear=True))
    for now in range(1000):
        before = len(cluster.scheduler.finds)
        cluster.advance(float(now), asks=False)
        if len(cluster.scheduler.finds) > before:
            cluster.scheduler.found.answer = CommandError("squeue: connect failure")
    assert 10 < len(cluster.scheduler.finds) < 30
    assert len(cluster.scheduler.submissions) == 1


def test_elements_that_are_asked_for_again_are_pending(cluster: Cluster) -> None:
    """A look at the other jobs of the run is no evidence against them."""
    first = cluster.submit(1, job="7")
    second = cluster.submit(1, job=None)
    cluster.answer(failed(temporary=True))
    cluster.advance(0.0)
    assert cluster.look(10.0, {("7", 0): RUNNING}) == [
        Listed({f"{first}/0": "running", f"{second}/0": "pending"})
    ]


def test_what_may_have_worked_keeps_its_directories(cluster: Cluster) -> None:
    """Agents of an array that nobody saw come to a place that is there."""
    token = cluster.submit(1, job=None)
    cluster.answer(failed(unclear=True))
    for now in (0.0, 5.0, 6.0, 16.0, 17.0, 18.0):
        cluster.scheduler.found.answer = (None,)
        cluster.advance(now)
    assert len(cluster.scheduler.submissions) == 2
    cluster.answer(failed("no such partition"))
    (news,) = cluster.advance(19.0)
    assert isinstance(news, Refused)
    assert (Path(cluster.run.path) / names.element(token, 0)).is_dir()


# ---- fewer elements


def test_a_size_that_is_refused_is_halved(cluster: Cluster) -> None:
    """Those that will not come are news, the others keep their keys."""
    token = cluster.submit(1500, job=None)
    (news,) = cluster.refuse()
    assert news == Shrunk([f"{token}/{index}" for index in range(750, 1500)])
    assert [each[1:3] for each in cluster.scheduler.submissions] == [(token, 1500), (token, 750)]
    cluster.answer("7")
    assert cluster.advance(0.0) == []


def test_what_fits_is_said_once(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """How many of how many, and why."""
    cluster.submit(8, job=None)
    for _ in range(2):
        cluster.refuse(words="QOSMaxSubmitJobPerUserLimit")
    cluster.answer("7")
    cluster.advance(0.0)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("fake takes 2 of 8 elements at once: QOSMaxSubmitJobPerUserLimit")


def test_one_element_that_is_refused_is_refused(cluster: Cluster) -> None:
    """There is nothing to halve."""
    token = cluster.submit(2, job=None)
    assert cluster.refuse() == [Shrunk([f"{token}/1"])]
    error = failed("AssocMaxSubmitJobLimit", too_many=True)
    cluster.answer(error)
    assert cluster.advance(0.0) == [Refused([f"{token}/0"], error)]


def test_a_refusal_beside_others_is_said_once_a_minute(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """In the scheduler's words: no caller hears of it."""
    cluster.submit(job="7")
    for now in (0.0, 30.0, 61.0):
        cluster.submit(job=None, now=now)
        cluster.answer(failed("AssocMaxSubmitJobLimit"))
        cluster.advance(now, asks=False)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("refuses more elements: AssocMaxSubmitJobLimit" in line for line in lines)


def test_a_refusal_with_nobody_else_there_is_left_to_the_caller(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Its call fails with the same words."""
    cluster.submit(job=None)
    cluster.answer(failed("no such partition"))
    cluster.advance(0.0)
    assert caplog.records == []


# ---- as many as one array may have


def keys(token: str, *indexes: int) -> list[str]:
    return [f"{token}/{index}" for index in indexes]


def test_a_limit_splits_what_is_asked_for(cluster: Cluster) -> None:
    """The array that was refused has as many as it may; the others may be had at once."""
    cluster.scheduler.largest = 3
    token = cluster.submit(8, job=None)
    assert cluster.refuse() == [Shrunk(keys(token, 3, 4, 5, 6, 7), in_one_array=True)]
    assert cluster.sizes == [8, 3]
    cluster.answer("7")
    assert cluster.advance(0.0) == []
    links = cluster.elements.submit(5, now=1.0)
    assert cluster.sizes == [8, 3, 3, 2]
    assert len({link.key for link in links}) == 5
    assert len({each[1] for each in cluster.scheduler.submissions}) == 3


def test_a_known_limit_is_kept_to_from_then_on(cluster: Cluster) -> None:
    """Nothing larger is asked for, and nobody is asked again."""
    cluster.scheduler.largest = 3
    cluster.submit(8, job=None)
    cluster.refuse()
    for elements in (1, 3, 4, 7):
        cluster.elements.submit(elements, now=1.0)
    assert cluster.sizes == [8, 3, 1, 3, 3, 1, 3, 3, 1]
    assert len(cluster.scheduler.limits) == 1


def test_nobody_is_asked_before_a_refusal(cluster: Cluster) -> None:
    """It costs a command."""
    cluster.submit(1000)
    assert cluster.scheduler.limits == []


def test_a_limit_is_asked_for_once_for_several_refusals(cluster: Cluster) -> None:
    """All of them wait for the one answer; that is looked for often."""
    cluster.scheduler.largest = None
    tokens = [cluster.submit(elements, job=None) for elements in (8, 5)]
    for _, _, _, answer in cluster.scheduler.submissions:
        answer.answer = failed(too_many=True)
    assert cluster.advance(0.0, asks=False) == []
    assert cluster.elements.waits_for_command
    assert cluster.sizes == [8, 5]
    (limit,) = cluster.scheduler.limits
    limit.answer = 3
    assert cluster.advance(1.0, asks=False) == [
        Shrunk(keys(tokens[0], 3, 4, 5, 6, 7), in_one_array=True),
        Shrunk(keys(tokens[1], 3, 4), in_one_array=True),
    ]
    assert cluster.sizes == [8, 5, 3, 3]
    assert len(cluster.scheduler.limits) == 1


def test_a_refusal_after_the_answer_asks_nobody(cluster: Cluster) -> None:
    """A submission that was on its way is cut as soon as it is refused."""
    cluster.scheduler.largest = 3
    cluster.submit(8, job=None)
    other = cluster.submit(5, job=None)
    cluster.scheduler.submissions[0][3].answer = failed(too_many=True)
    cluster.advance(0.0, asks=False)
    cluster.advance(0.0, asks=False)
    cluster.scheduler.submissions[1][3].answer = failed(too_many=True)
    assert cluster.advance(1.0, asks=False) == [Shrunk(keys(other, 3, 4), in_one_array=True)]
    assert len(cluster.scheduler.limits) == 1


@pytest.mark.parametrize("answer", [CommandError("scontrol: connect failure"), 8, 100])
def test_a_limit_that_says_nothing_leads_to_halves(
    cluster: Cluster, answer: int | Exception
) -> None:
    """It cannot be had, or it allows what was refused: another limit counts."""
    cluster.scheduler.largest = answer
    token = cluster.submit(8, job=None)
    assert cluster.refuse() == [Shrunk(keys(token, 4, 5, 6, 7))]
    assert cluster.refuse() == [Shrunk(keys(token, 2, 3))]
    assert cluster.sizes == [8, 4, 2]
    assert len(cluster.scheduler.limits) == 1


def test_what_an_array_may_have_may_still_be_too_much(cluster: Cluster) -> None:
    """Then it is halved."""
    cluster.scheduler.largest = 6
    token = cluster.submit(8, job=None)
    assert cluster.refuse() == [Shrunk(keys(token, 6, 7), in_one_array=True)]
    assert cluster.refuse(words="QOSMaxSubmitJobPerUserLimit") == [Shrunk(keys(token, 3, 4, 5))]
    assert cluster.sizes == [8, 6, 3]


def test_a_limit_is_said_once(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """However many submissions were refused for it."""
    cluster.scheduler.largest = 3
    for elements in (8, 5):
        cluster.submit(elements, job=None)
    for _, _, _, answer in cluster.scheduler.submissions:
        answer.answer = failed(too_many=True)
    for _ in range(2):
        cluster.advance(0.0, asks=False)
    for _, _, _, answer in cluster.scheduler.submissions[2:]:
        answer.answer = "7"
    cluster.advance(0.0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["fake takes at most 3 elements in one array: several arrays are submitted"]


def test_what_waits_for_the_limit_is_pending(cluster: Cluster) -> None:
    """A look at the other jobs of the run is no evidence against it."""
    cluster.scheduler.largest = None
    first = cluster.submit(1, job="7")
    second = cluster.submit(2, job=None)
    cluster.answer(failed(too_many=True))
    cluster.advance(0.0, asks=False)
    assert cluster.look(10.0, {("7", 0): RUNNING}) == [
        Listed({f"{first}/0": "running", f"{second}/0": "pending", f"{second}/1": "pending"})
    ]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_end_comes_before_the_limit(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    """Nothing more is asked for; what was refused needs no cancelling, and nobody waits for it."""
    cluster.scheduler.largest = None
    cluster.submit(1, job="7")
    token = cluster.submit(8, job=None)
    cluster.answer(failed(too_many=True))
    cluster.advance(0.0, asks=False)
    cluster.elements.end(keys(token, *range(8)), at_once)
    assert cluster.sizes == [1, 8]
    assert cluster.scheduler.cancelled == ([(["7"], [])] if at_once else [])
    assert cluster.scheduler.finds == []
    assert caplog.records == []


# ---- looking


def test_the_queue_is_looked_at_only_if_somebody_asks(cluster: Cluster) -> None:
    """While agents beat, the scheduler is left alone."""
    cluster.submit()
    assert cluster.advance(1000.0, asks=False) == []
    assert cluster.scheduler.looks == []


def test_the_queue_is_looked_at_ever_less_often(cluster: Cluster) -> None:
    """From every ten seconds to every sixty, and after the first sixty, when something is said."""
    cluster.submit()
    times: list[float] = []
    for now in range(400):
        before = len(cluster.scheduler.looks)
        cluster.advance(float(now))
        if len(cluster.scheduler.looks) > before:
            times.append(now)
            cluster.scheduler.looks[-1][1].answer = {}
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] == 10
    assert pauses[0] < 20
    assert 60 in times
    assert max(pauses) == pauses[-1] == 60


def test_after_a_submission_it_is_looked_at_soon_again(cluster: Cluster) -> None:
    """New elements, new interest."""
    cluster.submit()
    now = 0.0
    for _ in range(10):
        now = cluster.elements.next_look
        cluster.look(now, {})
    cluster.submit(job="8", now=now)
    assert cluster.elements.next_look == now + 10


def test_one_look_is_for_all_jobs(cluster: Cluster) -> None:
    """One command for the whole run, and none while another has not answered."""
    cluster.submit(job="7")
    cluster.submit(job="8")
    cluster.submit(job=None)
    cluster.advance(10.0)
    cluster.advance(100.0)
    assert [jobs for jobs, _ in cluster.scheduler.looks] == [["7", "8"]]


def test_elements_are_listed_by_their_keys(cluster: Cluster) -> None:
    """What is in the queue and not ended."""
    token = cluster.submit(3)
    states = {("7", 0): PENDING, ("7", 1): RUNNING, ("7", 2): SUSPENDED, ("6", 0): RUNNING}
    assert cluster.look(10.0, states) == [
        Listed({f"{token}/0": "pending", f"{token}/1": "running", f"{token}/2": "suspended"})
    ]


def test_an_end_is_news_once(cluster: Cluster) -> None:
    """Slurm lists ended elements for some minutes."""
    token = cluster.submit()
    states = {("7", 0): OUT_OF_MEMORY, ("7", 1): RUNNING}
    assert cluster.look(10.0, states) == [
        Ended(f"{token}/0", "out of memory"),
        Listed({f"{token}/1": "running"}),
    ]
    assert cluster.look(100.0, states) == [Listed({f"{token}/1": "running"})]


def test_absence_is_not_an_end(cluster: Cluster) -> None:
    """An element that is not listed is not listed, nothing more."""
    cluster.submit()
    assert cluster.look(10.0, {}) == [Listed({})]


def test_no_answer_is_no_news(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the queue is looked at again later."""
    token = cluster.submit()
    assert cluster.look(10.0, CommandError("squeue: connect failure")) == []
    assert "squeue: connect failure" in caplog.text
    assert cluster.look(100.0, {("7", 0): RUNNING}) == [Listed({f"{token}/0": "running"})]


def test_what_has_said_goodbye_is_not_news(cluster: Cluster) -> None:
    """Its end was known before the scheduler said so."""
    token = cluster.submit()
    cluster.elements.forget(f"{token}/0")
    assert cluster.look(10.0, {("7", 0): OUT_OF_MEMORY, ("7", 1): RUNNING}) == [
        Listed({f"{token}/1": "running"})
    ]


def test_a_job_of_which_all_have_said_goodbye_is_not_asked_for(cluster: Cluster) -> None:
    """There is nothing to look at."""
    token = cluster.submit(2)
    for index in (0, 1):
        cluster.elements.forget(f"{token}/{index}")
    cluster.advance(10.0)
    assert cluster.scheduler.looks == []
    assert cluster.scheduler.forgotten == ["7"]


def test_what_is_waited_for_is_said_once_a_minute(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """In the scheduler's words, as soon as a minute is over."""
    caplog.set_level(logging.WARNING)
    cluster.submit()
    now = 0.0
    while now < 300:
        now = cluster.elements.next_look
        cluster.look(now, {("7", 0): PENDING, ("7", 1): RUNNING})
    said = [record.getMessage() for record in caplog.records]
    assert 3 <= len(said) <= 6
    assert all(line.startswith("waits for fake since") for line in said)
    assert said[0].startswith("waits for fake since 60 s: Resources; logs are in ")


def test_who_runs_and_says_no_word_is_waited_for(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute after the submission a line tells of it, and where its log is."""
    token = cluster.submit()
    cluster.advance(60.0)
    cluster.scheduler.looks[-1][1].answer = {("7", 0): RUNNING}
    list(cluster.elements.advance(60.0, True, [f"{token}/0"]))
    assert "not said hello yet" in caplog.text
    assert f"{cluster.run.path}/{names.SCHEDULER}" in caplog.text


def test_nothing_is_said_of_what_runs(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """If it has said hello."""
    cluster.submit()
    for now in (100.0, 200.0):
        cluster.look(now, {("7", 0): RUNNING})
    assert caplog.records == []


# ---- cancelling


def test_elements_are_cancelled_by_job_and_index(cluster: Cluster) -> None:
    """With one command for all of them."""
    first, second = cluster.submit(job="7"), cluster.submit(job="8")
    cluster.elements.cancel([f"{first}/1", f"{second}/0"])
    assert cluster.scheduler.cancelled == [([], [("7", 1), ("8", 0)])]


def test_who_is_unknown_is_not_cancelled(cluster: Cluster) -> None:
    """No command is run for nothing."""
    cluster.elements.cancel(["0000/1"])
    assert cluster.scheduler.cancelled == []


def test_a_cancellation_that_failed_is_said(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on."""
    failed = Later[None]()
    failed.answer = CommandError("scancel: connect failure")
    cluster.scheduler.cancellation = failed
    token = cluster.submit()
    cluster.elements.cancel([f"{token}/0"])
    assert cluster.elements.waits_for_command
    cluster.advance(1.0)
    assert "scancel: connect failure" in caplog.text
    assert not cluster.elements.waits_for_command


# ---- the end


def test_at_the_end_what_is_pending_is_cancelled(cluster: Cluster) -> None:
    """Who plays leaves by himself."""
    token = cluster.submit(3)
    cluster.elements.end([f"{token}/2"], at_once=False)
    assert cluster.scheduler.cancelled == [([], [("7", 2)])]


def test_at_an_end_at_once_all_jobs_are_cancelled(cluster: Cluster) -> None:
    """By one command."""
    cluster.submit(job="7")
    cluster.submit(job="8")
    cluster.elements.end([], at_once=True)
    assert cluster.scheduler.cancelled == [(["7", "8"], [])]


@pytest.mark.parametrize("at_once", [True, False])
def test_an_end_without_elements_asks_for_nothing(cluster: Cluster, at_once: bool) -> None:
    """Nothing was submitted: nothing is cancelled."""
    cluster.elements.end([], at_once)
    assert cluster.scheduler.cancelled == []


def test_a_submission_in_flight_is_waited_for_at_the_end(cluster: Cluster) -> None:
    """So that its job can be cancelled."""
    cluster.submit(job=None)
    cluster.answer("7")
    cluster.elements.end([], at_once=True)
    assert cluster.scheduler.cancelled == [(["7"], [])]


def test_a_submission_that_was_refused_at_the_end_is_nothing(cluster: Cluster) -> None:
    """There is no job to cancel."""
    cluster.submit(job=None)
    cluster.answer(SubmitError("no"))
    cluster.elements.end([], at_once=True)
    assert cluster.scheduler.cancelled == []


def test_a_submission_that_is_never_answered_is_named(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user can look for the job by its name."""
    monkeypatch.setattr(submission, "SUBMIT_PATIENCE", 0.05)
    token = cluster.submit(job=None)
    cluster.elements.end([], at_once=True)
    assert f"fakecancel pypool-{token}" in caplog.text


def test_a_submission_in_doubt_is_looked_for_at_the_end(cluster: Cluster) -> None:
    """If it turns up it is cancelled as any other."""
    cluster.submit(job=None)
    cluster.answer(failed(unclear=True))
    cluster.advance(0.0)
    cluster.scheduler.found.answer = ("7",)
    cluster.elements.end([], at_once=True)
    assert cluster.scheduler.cancelled == [(["7"], [])]


def test_what_was_not_taken_is_not_looked_for_at_the_end(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A try that failed for now is not made again, and nothing is said of it."""
    cluster.submit(job=None)
    cluster.answer(failed(temporary=True))
    cluster.advance(0.0)
    caplog.clear()
    cluster.elements.end([], at_once=True)
    assert len(cluster.scheduler.submissions) == 1
    assert cluster.scheduler.finds == []
    assert caplog.records == []


def test_a_failed_cancellation_at_the_end_names_the_jobs(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """They may still be there."""
    failed = Later[None]()
    failed.answer = CommandError("scancel: connect failure")
    cluster.scheduler.cancellation = failed
    cluster.submit(job="7")
    cluster.elements.end([], at_once=True)
    assert "scancel: connect failure" in caplog.text
    assert "The job may still be there: 7" in caplog.text


# ---- for messages


def test_an_explanation_has_the_end_of_a_log(cluster: Cluster) -> None:
    """The last lines of an element, how it ended, accounting, and the script to look at."""
    cluster.submit()
    cluster.look(10.0, {("7", 1): OUT_OF_MEMORY})
    log = f"{names.SCHEDULER}/{cluster.scheduler.log_file('7', 1)}"
    cluster.run.write(log, [b"".join(b"line %d\n" % number for number in range(50))])
    told = cluster.elements.explain().splitlines()
    assert told[0] == "The scheduler's last word: out of memory."
    assert told[1] == f"{cluster.run.path}/{log} ends in:"
    assert told[2:22] == [f"    line {number}" for number in range(30, 50)]
    assert told[22:] == [
        "accounting of 7",
        f"The job script is {cluster.run.path}/{names.JOB_SCRIPT}.",
    ]


def test_without_any_log_there_is_the_script(cluster: Cluster) -> None:
    """An element that never ran has none."""
    assert cluster.elements.explain() == (
        f"The job script is {cluster.run.path}/{names.JOB_SCRIPT}."
    )


# ---- a real one

NOT_REACHED = "Unable to contact slurm controller (connect failure)"
TIMED_OUT = "Socket timed out on send/recv operation"


class Wrapped:
    """Slurm behind an `sbatch` that fails the first time, and elements that run on it."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.run = RunDirectory.create(str(place), {})
        script = f"#!/bin/bash\n#SBATCH --output='{self.run.path}/scheduler/%A_%a.out'\nsleep 100\n"
        self.run.write(names.JOB_SCRIPT, [script.encode()])
        monkeypatch.setenv("PATH", f"{place}/bin:{os.environ['PATH']}")
        options = Options(processes=2, work_dir=str(place), scheduler_interval=0.5)
        journal = Journal(self.run, now=0.0)
        self.elements = ClusterElements(self.run, slurm.Slurm(), options, journal)

    def fails_once(self, words: str, works: bool) -> None:
        """With these words; with `works`, after it has submitted the job all the same."""
        real = shutil.which("sbatch")
        submits = f'{real} "$@" >/dev/null; ' if works else ""
        (self.place / "bin").mkdir()
        wrapper = self.place / "bin" / "sbatch"
        wrapper.write_text(
            "#!/bin/bash\n"
            f"echo >>{self.place}/calls\n"
            f"if mkdir {self.place}/once 2>/dev/null; then {submits}"
            f"echo 'sbatch: error: Batch job submission failed: {words}' >&2; exit 1; fi\n"
            f'exec {real} "$@"\n'
        )
        wrapper.chmod(0o755)

    @property
    def calls(self) -> int:
        return len((self.place / "calls").read_text().splitlines())

    def until_listed(self) -> None:
        """Until the queue lists both elements; no other news comes before."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for news in self.elements.advance(time.monotonic(), asks=True):
                assert isinstance(news, Listed)
                if len(news.states) == 2:
                    return
            time.sleep(0.02)
        pytest.fail("nothing was submitted")


@pytest.fixture
def wrapped(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wrapped]:
    monkeypatch.setattr(asking, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(asking, "BETWEEN_EMPTY_ANSWERS", 2.0)
    made = Wrapped(shared_home, monkeypatch)
    yield made
    made.elements.end([], at_once=True)
    made.run.close()


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("words", "works", "calls"),
    [(NOT_REACHED, False, 2), (TIMED_OUT, False, 2), (TIMED_OUT, True, 1)],
)
def test_an_sbatch_that_fails_once_does_no_harm(
    wrapped: Wrapped, words: str, works: bool, calls: int
) -> None:
    """One array comes in the end, and sbatch is called again only if there is none."""
    wrapped.fails_once(words, works)
    wrapped.elements.submit(2, time.monotonic())
    wrapped.until_listed()
    assert wrapped.calls == calls


@pytest.mark.slurm
def test_a_missing_sbatch_is_a_refusal(wrapped: Wrapped, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that the command is not there, and nothing is tried again."""
    monkeypatch.setenv("PATH", str(wrapped.place))
    wrapped.elements.submit(2, 0.0)
    (news,) = wrapped.elements.advance(0.0, asks=True)
    assert isinstance(news, Refused)
    assert "sbatch is missing on this machine" in str(news.error)


# ---- how absent elements have ended

RUNNING = ElementState("running", "r")


def test_the_accounts_are_asked_of_absent_elements_only(cluster: Cluster) -> None:
    """To look back may cost a lot: nobody does so for what is listed, or has said goodbye."""
    cluster.scheduler.looks_back = True
    token = cluster.submit(3)
    cluster.elements.forget(f"{token}/2")
    cluster.look(10.0, {("7", 0): RUNNING, ("7", 1): RUNNING})
    assert cluster.scheduler.looked_back == []
    cluster.look(30.0, {("7", 0): RUNNING})
    ((asked, answer),) = cluster.scheduler.looked_back
    assert asked == [("7", 1)]
    answer.answer = {("7", 1): ElementState("ended", "time limit")}
    assert cluster.advance(31.0, asks=False) == [Ended(f"{token}/1", "time limit")]
    cluster.look(90.0, {("7", 0): RUNNING})
    assert len(cluster.scheduler.looked_back) == 1


@pytest.mark.parametrize("answer", [{}, CommandError("no accounts here")])
def test_accounts_that_say_nothing_are_asked_again(
    cluster: Cluster, answer: dict[Element, ElementState] | Exception
) -> None:
    """They may come late; until then an absent element is neither listed nor ended."""
    cluster.scheduler.looks_back = True
    token = cluster.submit(1)
    for now in (10.0, 40.0):
        assert cluster.look(now, {}) == [Listed({})]
        cluster.scheduler.looked_back[-1][1].answer = answer
        assert cluster.advance(now + 1, asks=False) == []
    cluster.look(100.0, {})
    cluster.scheduler.looked_back[-1][1].answer = {("7", 0): ElementState("ended", "failed")}
    assert cluster.advance(101.0, asks=False) == [Ended(f"{token}/0", "failed")]
    assert cluster.scheduler.forgotten == ["7"]
