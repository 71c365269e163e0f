"""What good answers of the scheduler mean for elements, and what is said of what waits."""

import logging
from itertools import pairwise

import pytest

from pypool.engine.elements import submission
from pypool.engine.elements.submission import (
    Ended,
    Listed,
)
from pypool.rundir import names
from pypool.schedulers.base import (
    Answered,
    CommandError,
    Element,
    ElementState,
)

from .cluster import (
    HELD,
    OUT_OF_MEMORY,
    PENDING,
    RUNNING,
    SUSPENDED,
    Cluster,
    Later,
    failed,
    hello,
)

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


# ---- how absent elements have ended


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


# ---- two arrays of one submission


def submitted_twice(cluster: Cluster) -> str:
    """Both elements of it are asked for as job 9, after job 7 was in doubt; gives the token."""
    token = cluster.submit(2, job=None)
    cluster.answer(failed("Socket timed out", unclear=True))
    cluster.advance(0.0, asks=False)
    for now in (5.0, 6.0, 16.0, 17.0):
        cluster.scheduler.found.answer = []
        cluster.advance(now, asks=False)
    cluster.advance(18.0, asks=False)
    assert len(cluster.scheduler.submissions) == 2
    cluster.answer("9")
    cluster.advance(19.0, asks=False)
    return token


def found_again(cluster: Cluster, jobs: list[str], now: float) -> None:
    """The token is asked for once more, and these are its jobs."""
    cluster.scheduler.found.answer = jobs
    before = len(cluster.scheduler.finds)
    cluster.advance(now, asks=False)
    assert len(cluster.scheduler.finds) == before + 1
    cluster.advance(now, asks=False)


def test_what_was_in_doubt_and_made_again_is_looked_for(cluster: Cluster) -> None:
    """Twice at least, some time apart, and as long as elements are pending."""
    submitted_twice(cluster)
    times = []
    for now in range(20, 400):
        before = len(cluster.scheduler.finds)
        cluster.scheduler.found.answer = ["9"]
        cluster.advance(float(now), asks=False)
        if len(cluster.scheduler.finds) > before:
            times.append(now)
    assert len(times) == 2
    assert times[1] - times[0] >= 10


def test_of_two_arrays_the_later_one_waits_in_vain(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """What is pending of it is cancelled, and said; who runs stays."""
    token = submitted_twice(cluster)
    found_again(cluster, ["7", "9"], 30.0)
    assert "taken a submission twice, as jobs 7 and 9" in caplog.text
    states = {("7", 0): PENDING, ("7", 1): RUNNING, ("9", 0): RUNNING, ("9", 1): PENDING}
    (news,) = cluster.look(30.0, states)
    assert cluster.scheduler.looks[-1][0] == ["7", "9"]
    assert news == Listed({f"{token}/0": "running", f"{token}/1": "running"})
    assert cluster.scheduler.waiting_cancelled == [[("9", 1)]]
    assert cluster.scheduler.cancelled == []


def test_owners_decide_not_arrays(cluster: Cluster) -> None:
    """Whose agent said hello stays, though its array is the later one."""
    token = submitted_twice(cluster)
    found_again(cluster, ["7", "9"], 30.0)
    hello(cluster, token, 0, "9", 30.0)
    states = {("7", 0): PENDING, ("7", 1): PENDING, ("9", 0): RUNNING, ("9", 1): PENDING}
    cluster.look(31.0, states)
    assert cluster.scheduler.waiting_cancelled == [[("7", 0), ("9", 1)]]


def test_the_end_of_a_newcomer_is_not_that_of_the_agent(cluster: Cluster) -> None:
    """It has found an owner and left."""
    token = submitted_twice(cluster)
    found_again(cluster, ["7", "9"], 30.0)
    hello(cluster, token, 0, "7", 30.0)
    left = ElementState("ended", "failed", code="5:0")
    states = {("7", 0): RUNNING, ("9", 0): left, ("7", 1): PENDING, ("9", 1): left}
    (news,) = cluster.look(31.0, states)
    assert news == Listed({f"{token}/0": "running", f"{token}/1": "pending"})
    states[("7", 0)] = OUT_OF_MEMORY
    assert Ended(f"{token}/0", "out of memory") in cluster.look(60.0, states)


def test_an_element_is_over_when_it_is_over_in_all_its_jobs(cluster: Cluster) -> None:
    """One job alone says nothing, while nobody has said hello."""
    token = submitted_twice(cluster)
    found_again(cluster, ["7", "9"], 30.0)
    states = {("7", 0): OUT_OF_MEMORY, ("7", 1): RUNNING, ("9", 1): OUT_OF_MEMORY}
    assert cluster.look(31.0, states) == [Listed({f"{token}/1": "running"})]
    states[("9", 0)] = OUT_OF_MEMORY
    assert Ended(f"{token}/0", "out of memory") in cluster.look(60.0, states)


def test_all_jobs_of_a_submission_are_cancelled(cluster: Cluster) -> None:
    """Elements of it, and at the end the whole."""
    token = submitted_twice(cluster)
    found_again(cluster, ["7", "9"], 30.0)
    cluster.elements.cancel([f"{token}/1"])
    cluster.advance(31.0, asks=False)
    assert cluster.scheduler.cancelled == [([], [("7", 1), ("9", 1)])]
    cluster.scheduler.found.answer = ["7", "9"]
    cluster.scheduler.queued = {}
    cluster.elements.end([], at_once=True)
    assert cluster.scheduler.cancelled[1:] == [(["7", "9"], [])]


def test_an_agent_that_says_hello_ends_all_doubt(cluster: Cluster) -> None:
    """It knows in which job it lives: nothing is submitted again."""
    token = cluster.submit(2, job=None)
    cluster.answer(failed("Socket timed out", unclear=True))
    cluster.advance(0.0, asks=False)
    hello(cluster, token, 0, "7", 1.0)
    cluster.advance(2.0, asks=False)
    cluster.advance(100.0)
    assert len(cluster.scheduler.submissions) == 1
    assert cluster.scheduler.looks[-1][0] == ["7"]


# ---- elements that come into the queue again


def test_a_requeued_element_has_ended_once_its_agent_is_silent(cluster: Cluster) -> None:
    """After two good answers, and a beat that is overdue; the newcomer is cancelled."""
    token = cluster.submit(1)
    hello(cluster, token, 0, "7", 5.0)
    assert cluster.look(10.0, {("7", 0): PENDING}) == [Listed({})]
    assert cluster.scheduler.waiting_cancelled == []
    news = cluster.look(30.0, {("7", 0): PENDING})
    assert news[0] == Ended(f"{token}/0", "requeued", "the scheduler has put it back")
    assert cluster.scheduler.waiting_cancelled[0] == [("7", 0)]


def test_it_is_looked_after_until_it_is_gone(cluster: Cluster) -> None:
    """Though nobody asks for the queue any more."""
    token = cluster.submit(1)
    hello(cluster, token, 0, "7", 5.0)
    for now in (10.0, 30.0):
        cluster.look(now, {("7", 0): PENDING})
    cluster.advance(100.0, asks=False)
    cluster.scheduler.looks[-1][1].answer = {("7", 0): PENDING}
    cluster.advance(100.0, asks=False)
    assert cluster.scheduler.waiting_cancelled[-1] == [("7", 0)]
    cluster.advance(200.0, asks=False)
    cluster.scheduler.looks[-1][1].answer = {}
    cluster.advance(200.0, asks=False)
    looks = len(cluster.scheduler.looks)
    cluster.advance(400.0, asks=False)
    assert len(cluster.scheduler.looks) == looks


def test_who_is_heard_is_no_newcomer(cluster: Cluster) -> None:
    """A node that was given up works on: the end of the newcomer is not the agent's."""
    token = cluster.submit(1)
    hello(cluster, token, 0, "7", 5.0)
    link = cluster.elements._submissions[token].links[0]
    for now in (10.0, 30.0, 60.0, 100.0):
        link.heard = now - 1
        assert cluster.look(now, {("7", 0): PENDING}) == [Listed({})]
    link.heard = 159.0
    states = {("7", 0): ElementState("ended", "failed", code="5:0")}
    assert cluster.look(160.0, states) == [Listed({})]
    news = cluster.look(230.0, states)
    assert news[0] == Ended(f"{token}/0", "requeued", "the scheduler has put it back")


def test_an_answer_older_than_the_hello_says_nothing(cluster: Cluster) -> None:
    """The queue was asked before the element began."""
    token = cluster.submit(1)
    cluster.advance(10.0)
    hello(cluster, token, 0, "7", 11.0)
    cluster.scheduler.looks[-1][1].answer = {("7", 0): PENDING}
    assert cluster.advance(12.0) == [Listed({f"{token}/0": "pending"})]
    assert cluster.elements._submissions[token].requeued == {}


def test_who_left_at_a_signal_is_looked_after(cluster: Cluster) -> None:
    """It may be the begin of a requeue; an end by itself is not."""
    token = cluster.submit(2)
    for index, reason in enumerate(["signal", "idle"]):
        hello(cluster, token, index, "7", 5.0)
        cluster.elements._submissions[token].links[index].left_by = reason
        cluster.elements.forget(f"{token}/{index}")
    cluster.advance(10.0, asks=False)
    cluster.scheduler.looks[-1][1].answer = {("7", 0): PENDING, ("7", 1): OUT_OF_MEMORY}
    assert cluster.advance(10.0, asks=False) == [Listed({})]
    assert cluster.scheduler.waiting_cancelled == [[("7", 0)]]


# ---- ends, and why


def test_an_early_end_has_words(cluster: Cluster) -> None:
    """The scheduler's, the node, the exit code, and what is likely to have caused it."""
    token = cluster.submit(1)
    log = f"{names.SCHEDULER}/{cluster.scheduler.log_file('7', 0)}"
    cluster.run.write(log, [b"job: line 3: /x/python: No such file or directory\n"])
    state = ElementState("ended", "failed", "NonZeroExitCode", "n1", "127:0")
    (end, _) = cluster.look(10.0, {("7", 0): state})
    assert end == Ended(
        f"{token}/0",
        "failed",
        "NonZeroExitCode exit code 127:0 on n1; likely cause: the Python of the job script is not "
        "there on the node (/x/python): python= names another one",
    )


def test_a_script_that_ends_well_without_an_agent_is_told_of(cluster: Cluster) -> None:
    """Only if it has never begun: later it may be the agent's end."""
    cluster.submit(2)
    token = cluster.scheduler.submissions[0][1]
    hello(cluster, token, 1, "7", 1.0)
    state = ElementState("ended", "completed", code="0:0")
    ends = cluster.look(10.0, {("7", 0): state, ("7", 1): state})
    words = {end.key: end.words for end in ends if isinstance(end, Ended)}
    assert "look for an `exit` in setup=" in words[f"{token}/0"]
    assert "likely" not in words.get(f"{token}/1", "")


def test_memory_is_told_by_the_log(cluster: Cluster) -> None:
    """Where the scheduler says no more than that it failed."""
    token = cluster.submit(1)
    log = f"{names.SCHEDULER}/{cluster.scheduler.log_file('7', 0)}"
    cluster.run.write(log, [b"slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch\n"])
    (end, _) = cluster.look(10.0, {("7", 0): ElementState("ended", "failed")})
    assert isinstance(end, Ended)
    assert (end.key, end.how) == (f"{token}/0", "out of memory")


def test_nodes_on_which_elements_ended_early_twice_are_left_out(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the next array, and that is said."""
    failed_on = {("7", i): ElementState("ended", "failed", node=n) for i, n in enumerate("aab")}
    cluster.submit(3)
    cluster.look(10.0, failed_on)
    cluster.submit(1, job="8", now=11.0)
    assert cluster.scheduler.avoided == [[], ["a"]]
    assert "elements ended early on a, 2 times and more" in caplog.text


def test_a_node_with_an_agent_is_a_good_one(cluster: Cluster) -> None:
    """Whatever happened there before."""
    token = cluster.submit(3)
    on = ElementState("ended", "failed", node="a")
    cluster.look(10.0, {("7", 0): on, ("7", 1): on})
    hello(cluster, token, 2, "7", 11.0)
    cluster.look(60.0, {("7", 2): ElementState("running", "RUNNING", node="a")})
    cluster.submit(1, job="8", now=61.0)
    assert cluster.scheduler.avoided == [[], []]


def test_nodes_that_cannot_be_left_out_are_not(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The scheduler refuses an array that no node may run: that is said on one line."""
    on = ElementState("ended", "failed", node="a")
    cluster.submit(2)
    cluster.look(10.0, {("7", 0): on, ("7", 1): on})
    cluster.submit(1, job=None, now=11.0)
    cluster.answer(failed("Requested node configuration is not available"))
    assert cluster.advance(12.0, asks=False) == []
    cluster.answer("8")
    assert cluster.advance(13.0, asks=False) == []
    assert cluster.scheduler.avoided == [[], ["a"], []]
    assert "they are not left out" in caplog.text


# ---- what waits


def test_what_does_not_run_by_itself_is_said_at_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first look, with what to do; then once a minute."""
    cluster.submit()
    now = 0.0
    while now < 200:
        now = cluster.elements.next_look
        cluster.look(now, {("7", 0): HELD, ("7", 1): HELD})
    lines = [record.getMessage() for record in caplog.records]
    assert 3 <= len(lines) <= 4
    assert lines[0] == "waits for fake: 2 of job 7 pending, Held. Release 7."


# ---- a scheduler that is away


def test_a_scheduler_that_is_away_is_one_line_a_minute(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Looks are ever less often, nothing is news, and that it is back is said."""
    cluster.submit()
    times = []
    now = 0.0
    while now < 300:
        now = cluster.elements.next_look
        times.append(now)
        cluster.look(now, CommandError("squeue:\n  connect failure"))
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:5] == [5, 10, 20, 40, 60]
    assert max(pauses) == 60
    now = cluster.elements.next_look
    cluster.look(now, {("7", 0): RUNNING, ("7", 1): RUNNING})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= 7
    assert not [line for line in lines if "\n" in line]
    assert lines[-1].startswith("fake answers again, after ")


def test_a_cancellation_is_tried_again(cluster: Cluster) -> None:
    """Until it works, ever less often."""
    refused = Later[None]()
    refused.answer = CommandError("scancel: connect failure")
    cluster.scheduler.cancellation = refused
    token = cluster.submit()
    cluster.elements.cancel([f"{token}/0"])
    for now in range(100):
        cluster.advance(float(now), asks=False)
    assert len(cluster.scheduler.cancelled) == 5
    cluster.scheduler.cancellation = Answered(None)
    for now in range(100, 300):
        cluster.advance(float(now), asks=False)
    assert len(cluster.scheduler.cancelled) == 6


def test_after_a_time_without_answers_all_jobs_are_looked_at_in_the_end(cluster: Cluster) -> None:
    """Also those of which all agents have said goodbye: they may have come back."""
    token = cluster.submit(1)
    cluster.look(10.0, CommandError("squeue: connect failure"))
    hello(cluster, token, 0, "7", 11.0)
    cluster.elements.forget(f"{token}/0")
    cluster.scheduler.queued = {("7", 0): PENDING}
    cluster.elements.end([], at_once=False)
    assert cluster.scheduler.waiting_cancelled == [[("7", 0)]]


def test_a_scheduler_that_stays_away_leaves_a_command(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what is left in the queue."""
    monkeypatch.setattr(submission, "CANCEL_PATIENCE", 0.2)
    token = cluster.submit(1)
    cluster.look(10.0, CommandError("squeue: connect failure"))
    cluster.scheduler.queued = CommandError("squeue: connect failure")
    cluster.elements.end([], at_once=False)
    assert f"fakecancel pypool-{token}" in caplog.text
