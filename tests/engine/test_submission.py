"""Asking a scheduler for elements, and cancelling them."""

import os
import shutil
import time
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pypool.engine.dealing.needs import Need
from pypool.engine.elements import asking, away, submission
from pypool.engine.elements.submission import (
    ClusterElements,
    Ended,
    Grace,
    Listed,
    News,
    Refused,
    Shrunk,
)
from pypool.engine.journal import Journal
from pypool.engine.runs.recovery import OldSubmission
from pypool.errors import SubmitError
from pypool.options import Options
from pypool.rundir import names, records
from pypool.rundir.mailbox import OutboxReader
from pypool.rundir.run import RunDirectory
from pypool.schedulers import sge, slurm
from pypool.schedulers.base import Answered, CommandError, Pending, Scheduler

from .cluster import (
    OUT_OF_MEMORY,
    PENDING,
    RUNNING,
    Cluster,
    Later,
    failed,
    keys,
)

# ---- asking


def test_everything_is_there_before_the_scheduler_is_asked(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both mailboxes of each element, and the intent in the journal."""
    seen: list[bool] = []
    journal: list[int] = []

    def submit(script: str, token: str, elements: int, avoid: Collection[str] = ()) -> Pending[str]:
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
    cluster.scheduler.found.answer = ["7"]
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
            cluster.scheduler.found.answer = []
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
        cluster.scheduler.found.answer = []
        cluster.advance(now)
    assert len(cluster.scheduler.submissions) == 2
    cluster.answer(failed("no such partition"))
    (news,) = cluster.advance(19.0)
    assert isinstance(news, Refused)
    assert (Path(cluster.run.path) / names.element(token, 0)).is_dir()


# ---- a refusal in words that nobody knows


def test_a_refusal_in_unknown_words_is_believed_if_the_queue_has_nothing(cluster: Cluster) -> None:
    """It is asked once, and nothing is submitted again."""
    token = cluster.submit(1, job=None)
    error = failed("invalid partition", unknown=True)
    cluster.answer(error)
    assert cluster.advance(0.0, asks=False) == []
    assert cluster.scheduler.finds == [token]
    assert cluster.elements.waits_for_command
    cluster.scheduler.found.answer = []
    assert cluster.advance(0.1, asks=False) == [Refused([f"{token}/0"], error)]
    assert len(cluster.scheduler.submissions) == 1


def test_what_was_taken_though_the_words_said_otherwise_is_ours(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The job that the queue has is adopted; a line says what the command said."""
    token = cluster.submit(1, job=None)
    cluster.answer(failed("free(): corrupted pointer", unknown=True))
    cluster.advance(0.0, asks=False)
    cluster.scheduler.found.answer = ["7"]
    assert cluster.advance(0.1, asks=False) == []
    assert cluster.look(10.1, {("7", 0): RUNNING}) == [Listed({f"{token}/0": "running"})]
    assert len(cluster.scheduler.submissions) == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "fake has taken the array, though its command said: free(): corrupted pointer"


def test_a_refusal_in_unknown_words_waits_for_an_answer(cluster: Cluster) -> None:
    """As long as the queue says nothing it is neither believed nor submitted again."""
    token = cluster.submit(1, job=None)
    error = failed("invalid partition", unknown=True)
    cluster.answer(error)
    for now in range(300):
        before = len(cluster.scheduler.finds)
        assert cluster.advance(float(now), asks=False) == []
        if len(cluster.scheduler.finds) > before:
            cluster.scheduler.found.answer = CommandError("squeue: connect failure")
    cluster.advance(400.0, asks=False)
    cluster.scheduler.found.answer = []
    assert cluster.advance(401.0, asks=False) == [Refused([f"{token}/0"], error)]
    assert len(cluster.scheduler.submissions) == 1


def test_an_array_that_comes_after_its_refusal_is_cancelled_at_the_end(cluster: Cluster) -> None:
    """Its token is asked for once more; agents that come meanwhile find their place."""
    token = cluster.submit(1, job=None)
    cluster.answer(failed("invalid partition", unknown=True))
    cluster.advance(0.0, asks=False)
    cluster.scheduler.found.answer = []
    cluster.advance(0.1, asks=False)
    assert (Path(cluster.run.path) / names.element(token, 0)).is_dir()
    cluster.scheduler.found = Answered(["7"])
    cluster.scheduler.queued = {("7", 0): PENDING}
    cluster.elements.end([], at_once=True)
    assert cluster.scheduler.waiting_cancelled == [[("7", 0)]]


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


# ---- cancelling


def test_elements_are_cancelled_by_job_and_index(cluster: Cluster) -> None:
    """With one command for all of them."""
    first, second = cluster.submit(job="7"), cluster.submit(job="8")
    cluster.elements.cancel([f"{first}/1", f"{second}/0"])
    cluster.advance(1.0, asks=False)
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
    cluster.scheduler.found.answer = ["7"]
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
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may still be there."""
    monkeypatch.setattr(submission, "CANCEL_PATIENCE", 0.1)
    failed = Later[None]()
    failed.answer = CommandError("scancel: connect failure")
    cluster.scheduler.cancellation = failed
    token = cluster.submit(job="7")
    cluster.elements.end([], at_once=True)
    assert "scancel: connect failure" in caplog.text
    assert f"fakecancel pypool-{token}" in caplog.text


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


# ---- grace


def test_the_grace_is_asked_for_once_an_array_is_taken(cluster: Cluster) -> None:
    """Once, and told once."""
    grace = Later[float]()
    cluster.scheduler.told_grace = grace
    cluster.submit(job=None)
    cluster.advance(0.0, asks=False)
    cluster.answer("7")
    assert cluster.advance(1.0, asks=False) == []
    grace.answer = 30.0
    assert cluster.advance(2.0, asks=False) == [Grace(30.0)]
    cluster.submit(job="8", now=3.0)
    assert cluster.advance(4.0, asks=False) == []


# ---- an earlier life


def adopted(cluster: Cluster, job: str | None) -> None:
    """Two of three elements of an earlier life may live."""
    cluster.run.make_directory(f"{names.ELEMENTS}/0a1b")
    for index in range(3):
        cluster.run.make_directory(names.element("0a1b", index))
        cluster.run.make_file(names.inbox(names.element("0a1b", index)))
        cluster.run.make_file(names.outbox(names.element("0a1b", index), 1))
    readers = {
        index: OutboxReader(cluster.run.open_file, names.element("0a1b", index), cluster.run.mark)
        for index in (0, 2)
    }
    links = cluster.elements.adopt(OldSubmission("0a1b", 3, Need(), job), readers, 0.0)
    assert [link.key for link in links] == ["0a1b/0", "0a1b/2"]


def test_an_array_of_an_earlier_life_is_watched(cluster: Cluster) -> None:
    """As any other."""
    adopted(cluster, "7")
    assert cluster.look(10.0, {("7", 0): RUNNING, ("7", 2): PENDING}) == [
        Listed({"0a1b/0": "running", "0a1b/2": "pending"})
    ]


def test_an_array_that_may_have_been_submitted_is_looked_for(cluster: Cluster) -> None:
    """It is never submitted again."""
    adopted(cluster, None)
    cluster.scheduler.found.answer = ["7"]
    for now in (0.0, 1.0):
        cluster.advance(now, asks=False)
    assert cluster.look(10.0, {("7", 0): RUNNING})[-1] == Listed({"0a1b/0": "running"})
    assert cluster.scheduler.submissions == []


def test_an_array_that_was_never_submitted_is_over(cluster: Cluster) -> None:
    """After two empty answers some time apart."""
    adopted(cluster, None)
    news: list[News] = []
    for now in range(30):
        cluster.scheduler.found.answer = []
        news += cluster.advance(float(now), asks=False)
    assert [(each.key, each.how) for each in news if isinstance(each, Ended)] == [
        ("0a1b/0", "never submitted"),
        ("0a1b/2", "never submitted"),
    ]
    assert cluster.scheduler.submissions == []
    assert set(cluster.scheduler.finds) == {"0a1b"}


# ---- a real one

FAILED = "sbatch: error: Batch job submission failed: "
NOT_REACHED = FAILED + "Unable to contact slurm controller (connect failure)"
TIMED_OUT = FAILED + "Socket timed out on send/recv operation"
UNHEARD_OF = "free(): corrupted pointer"


class Wrapped:
    """A scheduler whose submission fails the first time, and elements that run on it."""

    def __init__(
        self, place: Path, scheduler: Scheduler, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.place = place
        self.command = command
        self.run = RunDirectory.create(str(place), {})
        logs = f"{self.run.path}/scheduler/"
        script = f"#!/bin/bash\n#SBATCH --output='{logs}%A_%a.out'\n#$ -j y -o {logs}\nsleep 100\n"
        self.run.write(names.JOB_SCRIPT, [script.encode()])
        monkeypatch.setenv("PATH", f"{place}/bin:{os.environ['PATH']}")
        options = Options(processes=2, work_dir=str(place), scheduler_interval=0.5)
        journal = Journal(self.run, now=0.0)
        self.elements = ClusterElements(self.run, scheduler, options, journal)

    def fails_once(self, words: str, works: bool) -> None:
        """With these words; with `works`, after it has submitted the job all the same."""
        real = shutil.which(self.command)
        submits = f'{real} "$@" >/dev/null; ' if works else ""
        (self.place / "bin").mkdir()
        wrapper = self.place / "bin" / self.command
        wrapper.write_text(
            "#!/bin/bash\n"
            f"echo >>{self.place}/calls\n"
            f"if mkdir {self.place}/once 2>/dev/null; then {submits}"
            f"echo '{words}' >&2; exit 1; fi\n"
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
                if isinstance(news, Grace):
                    continue
                assert isinstance(news, Listed)
                if len(news.states) == 2:
                    return
            time.sleep(0.02)
        pytest.fail("nothing was submitted")


@pytest.fixture
def wrapped(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wrapped]:
    monkeypatch.setattr(away, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(asking, "BETWEEN_EMPTY_ANSWERS", 2.0)
    made = Wrapped(shared_home, slurm.Slurm(), "sbatch", monkeypatch)
    yield made
    made.elements.end([], at_once=True)
    made.run.close()


@pytest.fixture
def wrapped_sge(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wrapped]:
    made = Wrapped(shared_home, sge.Sge(), "qsub", monkeypatch)
    yield made
    made.elements.end([], at_once=True)
    made.run.close()


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("words", "works", "calls"),
    [(NOT_REACHED, False, 2), (TIMED_OUT, False, 2), (TIMED_OUT, True, 1), (UNHEARD_OF, True, 1)],
)
def test_an_sbatch_that_fails_once_does_no_harm(
    wrapped: Wrapped, words: str, works: bool, calls: int
) -> None:
    """One array comes in the end, and sbatch is called again only if there is none."""
    wrapped.fails_once(words, works)
    wrapped.elements.submit(2, time.monotonic())
    wrapped.until_listed()
    assert wrapped.calls == calls


@pytest.mark.sge
def test_a_qsub_that_has_worked_is_believed_to_have_whatever_it_says(wrapped_sge: Wrapped) -> None:
    """The queue has its array: it is adopted, not forgotten, nor submitted again."""
    wrapped_sge.fails_once(UNHEARD_OF, works=True)
    wrapped_sge.elements.submit(2, time.monotonic())
    wrapped_sge.until_listed()
    assert wrapped_sge.calls == 1


@pytest.mark.sge
def test_a_qsub_that_has_not_worked_is_a_refusal(wrapped_sge: Wrapped) -> None:
    """As soon as the queue has been asked, and once."""
    wrapped_sge.fails_once(UNHEARD_OF, works=False)
    wrapped_sge.elements.submit(2, time.monotonic())
    news: list[News] = []
    deadline = time.monotonic() + 30
    while not news and time.monotonic() < deadline:
        news += wrapped_sge.elements.advance(time.monotonic(), asks=True)
        time.sleep(0.02)
    (refused,) = news
    assert isinstance(refused, Refused)
    assert UNHEARD_OF in str(refused.error)
    assert wrapped_sge.calls == 1


@pytest.mark.slurm
def test_a_missing_sbatch_is_a_refusal(wrapped: Wrapped, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that the command is not there, and nothing is tried again."""
    monkeypatch.setenv("PATH", str(wrapped.place))
    wrapped.elements.submit(2, 0.0)
    (news,) = wrapped.elements.advance(0.0, asks=True)
    assert isinstance(news, Refused)
    assert "sbatch is missing on this machine" in str(news.error)
