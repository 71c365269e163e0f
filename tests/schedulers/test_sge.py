"""Grid Engine's adapter: commands that are built, and answers as a real 8.1.9 gave them."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pypool.errors import SubmitError
from pypool.schedulers import sge
from pypool.schedulers import sge_output as output
from pypool.schedulers.base import (
    CommandError,
    Completed,
    Element,
    ElementState,
    Pending,
    Phase,
    wait,
)

SCRIPT = "/shared/run/job.sh"
ME = pwd.getpwuid(os.getuid()).pw_name


def completed(stdout: str = "", stderr: str = "", code: int | None = 0) -> Completed:
    return Completed(("command", "an argument"), code, stdout, stderr)


class Commands:
    """Takes down what would be run, and answers in its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.argvs: list[list[str]] = []
        self.answers: dict[str, Completed] = {}
        monkeypatch.setattr(sge, "Command", self._take)

    def _take(
        self, argv: list[str], _environment: object, read: Callable[[Completed], object], *_: object
    ) -> Pending[object]:
        self.argvs.append(argv)
        given = self.answers.get(" ".join(argv)) or self.answers.get(argv[0], completed())
        return Read(given, read)


class Read:
    """A command that has ended."""

    def __init__(self, given: Completed, read: Callable[[Completed], object]) -> None:
        self._given, self._read = given, read

    def done(self) -> bool:
        return True

    def value(self) -> object:
        return self._read(self._given)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)


# ---- qsub


def test_a_submission_is_an_array_named_after_its_token(commands: Commands) -> None:
    """qsub counts from 1; it gets the token as a name, the script and the token again."""
    commands.answers["qsub"] = completed("4.1-3:1\n")
    assert wait(sge.Sge().submit(SCRIPT, "0a1b2c3d", 3)) == "4"
    line = f"qsub -terse -b n -t 1-3 -N pypool-0a1b2c3d {SCRIPT} 0a1b2c3d"
    assert commands.argvs == [line.split()]


def test_one_element_is_an_array_too(commands: Commands) -> None:
    """`-t 1-1` is an array of one, where `-t 1` alone would do the same but `-t 5` would not."""
    commands.answers["qsub"] = completed("8.1-1:1\n")
    assert wait(sge.Sge().submit(SCRIPT, "t", 1)) == "8"
    assert "1-1" in commands.argvs[0]


def test_a_greeting_before_the_job_id_does_no_harm() -> None:
    """What a site's own script around qsub prints besides."""
    told = completed("Welcome to the cluster!\n4711.1-3:1\n", "a warning\n")
    assert output.read_submission(told, SCRIPT, 3) == "4711"


@pytest.mark.parametrize("printed", ["13.1-5:2\n", "9.5-5:1\n", "4.1-2:1\n"])
def test_another_range_than_asked_for_is_an_error(printed: str) -> None:
    """A job that does not have our indexes is of no use; the user is told how to delete it."""
    with pytest.raises(SubmitError, match=f"qdel {printed.split('.')[0]}"):
        output.read_submission(completed(printed), SCRIPT, 3)


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "6\n",
        'Your job-array 4.1-3:1 ("ok.sh") has been submitted\n',
        "verification: found suitable queue(s)\n",
        "4.1-3:1\n5.1-3:1\n",
    ],
)
def test_an_answer_without_a_job_id_is_a_refusal(stdout: str) -> None:
    """Exit code 0 alone is not believed."""
    with pytest.raises(SubmitError):
        output.read_submission(completed(stdout), SCRIPT, 3)


REJECTED = "Unable to run job: job rejected: "
UNKNOWN_QUEUE = (
    'Unable to run job: Job was rejected because job requests unknown queue "nosuch.q"\nExiting.\n'
)


def test_a_refusal_tells_command_code_words_and_script() -> None:
    """Of a refused submission the user learns what was run, what came back and where to look."""
    with pytest.raises(SubmitError) as caught:
        output.read_submission(completed(stderr=UNKNOWN_QUEUE, code=1), SCRIPT, 3)
    told = str(caught.value)
    assert "command 'an argument'" in told
    assert "exit code 1" in told
    assert UNKNOWN_QUEUE.splitlines()[0] in told
    assert SCRIPT in told


def refusal(stderr: str, code: int | None = 1, not_run: int = 0) -> SubmitError:
    with pytest.raises(SubmitError) as caught:
        output.read_submission(Completed(("qsub",), code, "", stderr, not_run), SCRIPT, 3)
    return caught.value


def kind(error: SubmitError) -> list[str]:
    names = ("temporary", "unclear", "too_many", "unknown")
    return [name for name in names if getattr(error, name)]


TO_QMASTER = 'unable to send message to qmaster using port 6444 on host "localhost": '
NO_QMASTER = (
    "error: commlib error: got select error (Connection refused)\n"
    f"Unable to run job: {TO_QMASTER}got send error\nExiting.\n"
)
NOT_ALLOWED = (
    'error: commlib error: access denied (server host resolves rdata host "vm" as "localhost")\n'
    f"Unable to run job: {TO_QMASTER}got send error\nExiting.\n"
)
TIMED_OUT = (
    "Unable to run job: failed receiving gdi request response for mid=1 "
    "(got syncron message receive timeout error).\nExiting.\n"
)
LOST = (
    "Unable to run job: failed receiving gdi request response for mid=1 "
    "(can't find connection).\nExiting.\n"
)
UNKNOWN = ["unknown"]
KINDS = [
    (25, REJECTED + "only 5 jobs are allowed per user (current job count: 5)", ["temporary"]),
    (25, REJECTED + "only 2 jobs are allowed per cluster", ["temporary"]),
    (1, NO_QMASTER, ["temporary"]),
    (1, f"error: {TO_QMASTER}can't resolve host name", ["temporary"]),
    (
        1,
        f"Unable to initialize environment because of error: {TO_QMASTER}got send error",
        ["temporary"],
    ),
    (1, 'error: unable to contact qmaster using port 6444 on host "h"', ["temporary"]),
    (1, TIMED_OUT, ["unclear"]),
    (1, LOST, ["unclear"]),
    (1, f"Unable to run job: {TO_QMASTER}got send error\nExiting.\n", ["unclear"]),
    (1, REJECTED + "you tried to submit a job with more than 75000 tasks", ["too_many"]),
    (1, UNKNOWN_QUEUE, UNKNOWN),
    (1, NOT_ALLOWED, []),
    (1, 'Unable to run job: denied: host "localhost" is not a submit host\nExiting.\n', UNKNOWN),
    (1, 'Unable to run job: unknown resource "nosuch"\nExiting.\n', UNKNOWN),
    (2, 'qsub: invalid option argument "--nosuch"\n', UNKNOWN),
    (7, "qsub: Numerical value invalid!\n", UNKNOWN),
]


@pytest.mark.parametrize(("code", "stderr", "kinds"), KINDS)
def test_failures_are_told_apart(code: int, stderr: str, kinds: list[str]) -> None:
    """What may work later, may have worked, may work with fewer elements; and all else."""
    assert kind(refusal(stderr, code)) == kinds


@pytest.mark.parametrize(("stderr", "kinds"), [(stderr, kinds) for _, stderr, kinds in KINDS])
def test_a_refusal_is_known_by_its_words_if_the_exit_code_is_not(
    stderr: str, kinds: list[str]
) -> None:
    """It reads 0 in a program that ignores SIGCHLD."""
    assert kind(refusal(stderr, 0)) == kinds


def test_who_says_neither_a_job_nor_a_refusal_may_have_worked() -> None:
    """It may have been killed, too."""
    assert kind(refusal("", 0)) == ["unclear"]


@pytest.mark.parametrize("code", [None, -9])
def test_a_killed_qsub_may_have_worked(code: int | None) -> None:
    """Whoever killed it."""
    error = refusal("", code)
    assert kind(error) == ["unclear"]
    assert error.words == "qsub was killed before it gave an answer"


def test_a_shortage_of_this_machine_is_temporary() -> None:
    """No process can be forked just now."""
    assert kind(refusal("cannot be run: Resource temporarily unavailable", 127, 11)) == [
        "temporary"
    ]


def test_a_missing_qsub_is_final_and_named() -> None:
    """Trying again would not bring it."""
    error = refusal("cannot be run: No such file or directory", 127, 2)
    assert kind(error) == []
    assert "qsub is missing on this machine" in str(error)


def test_the_schedulers_words_are_one_line() -> None:
    """For a line in the log, without the word by which every refusal ends."""
    assert refusal(NO_QMASTER).words == (
        "error: commlib error: got select error (Connection refused) / "
        f"Unable to run job: {TO_QMASTER}got send error"
    )


# ---- qstat


def entry(job: str, state: str, tasks: str | None, name: str = "pypool-0a1b") -> str:
    attribute = "running" if "q" not in state else "pending"
    queue = "all.q@localhost" if attribute == "running" else ""
    number = "" if tasks is None else f"<tasks>{tasks}</tasks>"
    return f"""
    <job_list state="{attribute}">
      <JB_job_number>{job}</JB_job_number>
      <JAT_prio>0.75000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>bench</JB_owner>
      <state>{state}</state>
      <JAT_start_time>2026-11-20T09:17:43</JAT_start_time>
      <queue_name>{queue}</queue_name>
      <slots>1</slots>
      {number}
    </job_list>"""


def document(running: str = "", pending: str = "") -> str:
    return f"""<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>{running}
  </queue_info>
  <job_info>{pending}
  </job_info>
</job_info>
"""


QSTAT = ["qstat", "-u", ME, "-s", "prs", "-xml"]


def test_one_qstat_asks_for_all_jobs_of_the_user(commands: Commands) -> None:
    """A site's or the user's defaults may ask for other users' jobs: it names the user."""
    commands.answers["qstat"] = completed(document())
    assert wait(sge.Sge().queue(["7", "8"])) == {}
    assert commands.argvs == [QSTAT]


def test_a_user_without_a_name_asks_all_the_same(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of users may be away for a moment; one's own jobs are what qstat shows."""

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    commands.answers["qstat"] = completed(document())
    assert wait(sge.Sge().queue(["7"])) == {}
    assert commands.argvs == [["qstat", "-s", "prs", "-xml"]]


def test_indexes_count_from_zero() -> None:
    """Task 1 is element 0; running ones stand alone, pending ones in ranges."""
    told = document(entry("7", "r", "1"), entry("7", "qw", "2-3:1"))
    assert output.read_queue(completed(told), ["7"]) == {
        ("7", 0): ElementState("running", "r", node="localhost"),
        ("7", 1): ElementState("pending", "qw", "qw"),
        ("7", 2): ElementState("pending", "qw", "qw"),
    }


@pytest.mark.parametrize(
    ("tasks", "indexes"),
    [
        ("8", [7]),
        ("1,2", [0, 1]),
        ("3-5:1", [2, 3, 4]),
        ("1-20:1", list(range(20))),
        ("5,10-14:1,16,18,19", [4, 9, 10, 11, 12, 13, 15, 17, 18]),
        ("16-20:2", [15, 17, 19]),
        ("999990-999991:1", [999989, 999990]),
    ],
)
def test_ranges_are_taken_apart(tasks: str, indexes: list[int]) -> None:
    """All forms that Grid Engine was seen to print."""
    told = completed(document(pending=entry("7", "qw", tasks)))
    assert [index for _, index in output.read_queue(told, ["7"])] == indexes


def test_jobs_that_were_not_asked_for_are_left_out() -> None:
    """The user's other jobs, and those that are no arrays."""
    rows = entry("7", "r", "1") + entry("8", "r", "1") + entry("9", "r", None)
    assert output.read_queue(completed(document(rows)), ["8", "9"]).keys() == {("8", 0)}


def test_an_empty_answer_is_an_answer() -> None:
    """Nothing of this user is in the queue."""
    assert output.read_queue(completed(document()), ["7"]) == {}


NO_ANSWERS = [
    (f"error: {TO_QMASTER}got send error\n", "", 1),
    ("", document(entry("7", "r", "1")), 1),
    ("", document(entry("7", "r", "1")), None),
    ("", "", 0),
    ("", "Welcome to the cluster!\n", 0),
    ("", document(entry("7", "r", "1"))[:300], 0),
    ("", "<comunication_error ><AN_status>11</AN_status></comunication_error>", 0),
    ("", document(entry("7", "r", "one")), 0),
]


@pytest.mark.parametrize(("stderr", "stdout", "code"), NO_ANSWERS)
def test_only_a_whole_document_is_an_answer(stderr: str, stdout: str, code: int | None) -> None:
    """Anything else must not pass for an empty queue."""
    with pytest.raises(CommandError, match="What was run:\n    command 'an argument'"):
        output.read_queue(completed(stdout, stderr, code), ["7"])


PHASES: dict[Phase, str] = {
    "pending": "qw hqw Rq hRwq Eqw",
    "running": "r t Rr Rt dr dt dRr",
    "suspended": "s S T tS Rs",
}


@pytest.mark.parametrize(("word", "phase"), [(w, p) for p in PHASES for w in PHASES[p].split()])
def test_every_state_has_its_phase(word: str, phase: Phase) -> None:
    """The letters of sge_status(5); what is being deleted runs until it is gone."""
    assert output.element_state(word) == ElementState(
        phase, word, output.element_state(word).reason
    )


@pytest.mark.parametrize(
    ("word", "reason"), [("hqw", "held"), ("dr", "being deleted"), ("qw", "qw"), ("r", "")]
)
def test_a_state_says_why_it_lasts(word: str, reason: str) -> None:
    """As far as the letters tell; Grid Engine has no reasons for waiting that are cheap to ask."""
    assert output.element_state(word).reason == reason


def test_an_unknown_state_is_no_evidence_of_an_end() -> None:
    """A letter of a future Grid Engine leaves the element alive."""
    assert output.element_state("Z") == ElementState("running", "Z")


def test_an_unknown_state_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand elements in an unknown state make one line."""
    monkeypatch.setattr(output, "_unknown_states", set())
    rows = entry("7", "Z", "1") + entry("7", "Z", "2") + entry("7", "Y", "3")
    output.read_queue(completed(document(rows)), ["7"])
    assert [record.getMessage().split()[3] for record in caplog.records] == ["Z", "Y"]


# ---- elements whose start failed

NO_FOLDER = 'can\'t open output file "/nodir/7.2.out": No such file or directory'
REASONS = f"""==============================================================
job_number:                 7
exec_file:                  job_scripts/7
job-array tasks:            1-3:1
error reason          2:      11/20/2026 13:43:45 [1001:15323]: error: {NO_FOLDER}
scheduling info:            Job is in error state
==============================================================
job_number:                 8
error reason          1:      no shell
"""


def looked(commands: Commands, deletion: Completed) -> dict[Element, ElementState] | None:
    """A look at a queue in which the start of one element has failed."""
    told = document(entry("7", "r", "1"), entry("7", "Eqw", "2"))
    commands.answers = {
        " ".join(QSTAT): completed(told),
        "qstat": completed(REASONS),
        "qdel": deletion,
    }
    return wait(sge.Sge().queue(["7"]))


def test_a_failed_start_is_an_end(commands: Commands) -> None:
    """It never runs by itself: it is deleted, and ended for the reason that Grid Engine has."""
    deleted = completed("bench has deleted job-array task 7.2\n")
    assert looked(commands, deleted) == {
        ("7", 0): ElementState("running", "r", node="localhost"),
        ("7", 1): ElementState("ended", "error state", NO_FOLDER),
    }
    assert commands.argvs == [QSTAT, ["qstat", "-j", "7"], ["qdel", "7.2"]]


def test_what_cannot_be_deleted_has_not_ended(commands: Commands) -> None:
    """The next look tries again, and meanwhile the user is told what is wrong."""
    states = looked(commands, completed(f"{TO_QMASTER}got send error\n", code=1))
    assert states is not None
    assert states["7", 1] == ElementState("pending", "Eqw", f"error state {NO_FOLDER}")


def test_jobs_of_others_in_error_state_are_left_alone(commands: Commands) -> None:
    """Only what was asked for is deleted."""
    commands.answers["qstat"] = completed(document(pending=entry("6", "Eqw", "1")))
    assert wait(sge.Sge().queue(["7"])) == {}
    assert commands.argvs == [QSTAT]


def test_reasons_are_read_by_job_and_element() -> None:
    """Of several jobs at once."""
    assert output.read_reasons(completed(REASONS)) == {
        ("7", 1): NO_FOLDER,
        ("8", 0): "no shell",
    }


def test_no_reasons_are_no_error() -> None:
    """The job may have gone meanwhile."""
    told = completed(stderr="Following jobs do not exist: \n83\n", code=1)
    assert output.read_reasons(told) == {}


@pytest.mark.parametrize("code", [0, 1])
def test_a_ping_tells_whether_grid_engine_answers(commands: Commands, code: int) -> None:
    """An empty queue is an answer."""
    commands.answers["qstat"] = completed(document(), code=code)
    if code == 0:
        assert wait(sge.Sge().ping()) is True
    else:
        with pytest.raises(CommandError):
            wait(sge.Sge().ping())


# ---- finding a job


def test_a_job_is_found_by_its_token(commands: Commands) -> None:
    """In the queue and in the accounts: of two jobs one may be over."""
    rows = entry("10", "r", "1") + entry("9", "r", "1") + entry("8", "r", "1", "other")
    commands.answers["qstat"] = completed(document(rows, entry("10", "qw", "2")))
    commands.answers["qacct"] = completed(record("7"))
    assert wait(sge.Sge().find("0a1b")) == ["7", "9", "10"]


RECORD = """==============================================================
qname        all.q
hostname     localhost
owner        bench
jobname      {name}
jobnumber    {job}
taskid       {task}
qsub_time    Fri Nov 20 09:17:40 2026
start_time   -/-
failed       {failed}
exit_status  {status}
ru_wallclock 12s
maxvmem      4.100M
arid         undefined
"""


def record(
    job: str = "9",
    task: str = "1",
    failed: str = "0",
    status: str = "0",
    name: str = "pypool-0a1b",
) -> str:
    return RECORD.format(job=job, task=task, failed=failed, status=status, name=name)


def test_a_job_that_has_ended_is_found_too(commands: Commands) -> None:
    """It is gone from the queue at once: then the accounts are asked."""
    commands.answers["qstat"] = completed(document(entry("8", "r", "1", "other")))
    commands.answers["qacct"] = completed(record("10") + record("9") + record("9", "2"))
    assert wait(sge.Sge().find("0a1b")) == ["9", "10"]
    assert commands.argvs == [QSTAT, ["qacct", "-j", "pypool-0a1b"]]


@pytest.mark.parametrize(
    "account",
    [
        completed(stderr="error: job name pypool-0a1b not found\n", code=1),
        completed(stderr="no accounting file\n", code=1),
        completed(record(), code=None),
        completed(record(name="pypool-0a1bc")),
    ],
)
def test_accounts_without_the_job_are_an_empty_answer(
    commands: Commands, account: Completed
) -> None:
    """Also where they cannot be read at all: the queue has given its answer."""
    commands.answers = {"qstat": completed(document()), "qacct": account}
    assert wait(sge.Sge().find("0a1b")) == []


def test_a_failed_search_is_no_empty_answer(commands: Commands) -> None:
    """It says nothing about the job, whatever the accounts say."""
    commands.answers["qstat"] = completed(stderr=f"error: {TO_QMASTER}got send error\n", code=1)
    with pytest.raises(CommandError):
        wait(sge.Sge().find("0a1b"))
    assert commands.argvs == [QSTAT]


# ---- qdel


def test_jobs_and_elements_are_cancelled_by_one_command(commands: Commands) -> None:
    """Elements are told in as few ranges as possible; those of a whole job not at all."""
    elements = [("139", 8), ("139", 2), ("139", 6), ("139", 7), ("140", 0), ("7", 3), ("139", 4)]
    wait(sge.Sge().cancel(["7", "8"], elements))
    assert commands.argvs == [["qdel", "7", "8", "139.3", "139.5", "139.7-9", "140.1"]]


FINE = [
    ("bench has deleted job-array task 139.3\n", 0),
    ("bench has registered the job-array task 135.2 for deletion\n", 0),
    ("job 139 is already in deletion\n", 0),
    ('denied: job "99999" does not exist\n', 1),
    ('job "139" task "7" does not exist\n', 1),
    ('job "139" task id range "1-3:1" comprises no tasks\n', 1),
    ("", 0),
    ('denied: job "99999" does not exist\nbench has deleted job-array task 139.20\n', 1),
]


@pytest.mark.parametrize(("stdout", "code"), FINE)
def test_cancelling_what_is_gone_is_no_failure(stdout: str, code: int) -> None:
    """qdel prints its errors on standard output; that nothing is there is what was wanted."""
    output.read_cancellation(completed(stdout, code=code))


@pytest.mark.parametrize(
    ("stdout", "stderr", "code"),
    [
        (f"{TO_QMASTER}got send error\n", "error: commlib error: got select error\n", 1),
        ('denied: job "7" does not exist\ndenied: "bench" is not the owner\n', "", 1),
        ("", "error: found lonely '-t 2' option\n", 1),
        ("", "", 1),
        ("bench has deleted job 7\n", "", None),
    ],
)
def test_a_cancellation_that_did_not_work_is_told(
    stdout: str, stderr: str, code: int | None
) -> None:
    """The job may still be there."""
    with pytest.raises(CommandError, match="Grid Engine did not cancel"):
        output.read_cancellation(completed(stdout, stderr, code))


def test_a_user_cancels_by_the_jobs_name() -> None:
    """Without knowing its id."""
    assert sge.Sge().cancel_by_hand("0a1b") == "qdel pypool-0a1b"


# ---- explanations, logs


def test_an_end_is_explained_in_few_words(commands: Commands) -> None:
    """The last run of each element, what went wrong first; and why it could not be started."""
    limit = "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit"
    commands.answers["qacct"] = completed(
        record("7", "1") + record("7", "2", "25  : rescheduling", "99") + record("7", "2", limit)
    )
    commands.answers["qstat"] = completed(REASONS)
    assert wait(sge.Sge().explain("7")) == (
        "Grid Engine says:\n"
        f"    element 1: failed {limit}, exit_status 0, wallclock 12s, maxvmem 4.100M\n"
        "    element 0: failed 0, exit_status 0, wallclock 12s, maxvmem 4.100M\n"
        f"    element 1: {NO_FOLDER}\n"
        "    element 0: no shell"
    )
    assert commands.argvs == [["qstat", "-j", "7"], ["qacct", "-j", "7"]]


def test_of_many_elements_some_are_told() -> None:
    """A line each for the first, and how many there are besides."""
    lines = output.read_explanation(
        completed("".join(record("7", str(n)) for n in range(1, 21))), "pypool-"
    )
    assert [line.split(":")[0] for line in lines[:-1]] == [f"element {n}" for n in range(5)]
    assert lines[-1] == "and 15 more elements"


def test_nothing_known_is_no_explanation(commands: Commands) -> None:
    """Nor are a job of that number that was not ours, and a job without tasks."""
    others = record("7", name="sleep") + record("7", "undefined")
    for account in (completed(stderr="error: job id 7 not found\n", code=1), completed(others)):
        commands.answers["qacct"] = account
        assert wait(sge.Sge().explain("7")) == ""


def test_logs_are_named_by_task() -> None:
    """The number in a name is Grid Engine's own."""
    assert sge.Sge().log_file("7", 0) == "7.1.out"
    assert sge.Sge().log_pattern("/a:b/$c") == ":/a:b/$$c/$JOB_ID.$TASK_ID.out"


def test_logs_cannot_be_below_a_comma() -> None:
    """Grid Engine takes it for the end of the name, wherever it is told."""
    with pytest.raises(SubmitError, match="has ,: Grid Engine cannot write"):
        sge.Sge().log_pattern("/a,b")


# ---- options in a script


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("all.q,short.q@h*", "all.q,short.q@h*"),
        ("a  b", "'a  b'"),
        (r"a\b$c:d;e&(f)=%", r"a\b$c:d;e&(f)=%"),
        ("ü日", "ü日"),
    ],
)
def test_values_are_quoted_only_if_need_be(value: str, written: str) -> None:
    """Behind a quoted value nothing else can stand on the line."""
    assert sge.Sge().directive(value) == written


@pytest.mark.parametrize("value", ["it's", 'a"b', "a#b", ""])
def test_what_cannot_be_written_is_refused(value: str) -> None:
    """Grid Engine would take something else, without a word."""
    with pytest.raises(SubmitError, match="cannot stand in an option"):
        sge.Sge().directive(value)


def test_a_variable_that_is_cut_is_told_once(
    commands: Commands, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-V` hands on the first 9,999 bytes of name and value."""
    monkeypatch.setattr(sge, "_long_variables", set())
    monkeypatch.setenv("FITS", "x" * (9999 - len("FITS=")))
    monkeypatch.setenv("LONG", "x" * (10000 - len("LONG=")))
    for _ in range(2):
        sge.Sge().submit(SCRIPT, "t", 1)
    assert len(commands.argvs) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "Grid Engine hands only the first 9994 bytes of the variable LONG to the elements"
    ]


# ---- qconf

CONFIGURATION = """#global:
execd_spool_dir              /var/spool/gridengine/execd
finished_jobs                0
max_aj_instances             2000
max_aj_tasks                 {tasks}
max_u_jobs                   0
"""


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        (completed(CONFIGURATION.format(tasks=75000)), 75000),
        (completed(CONFIGURATION.format(tasks=0)), None),
        (completed(), None),
        (completed(CONFIGURATION.format(tasks=75000), code=1), None),
    ],
)
def test_the_size_of_an_array_has_a_limit(told: Completed, limit: int | None) -> None:
    """Or none, or one that cannot be known now."""
    assert output.read_limit(told) == limit


def environment(name: str, rule: str) -> Completed:
    return completed(f"pe_name            {name}\nslots   999\nallocation_rule    {rule}\n")


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        ({"mpi": "$fill_up", "smp": "$pe_slots", "a": "$pe_slots"}, "smp"),
        ({"openmp": "$pe_slots", "a": "$pe_slots", "shm": "$pe_slots"}, "shm"),
        ({"smp": "$round_robin", "b": "8", "z": "$pe_slots", "y": "$pe_slots"}, "z"),
        ({"mpi": "$fill_up"}, None),
    ],
)
def test_several_slots_of_one_host_have_their_environment(
    commands: Commands, rules: dict[str, str], chosen: str | None
) -> None:
    """By its rule; among those that have it, by its name, then as Grid Engine lists them."""
    commands.answers = {f"qconf -sp {name}": environment(name, rules[name]) for name in rules}
    commands.answers["qconf -spl"] = completed("\n".join(rules) + "\n")
    assert wait(sge.Sge().parallel_environment()) == chosen


def test_a_cluster_may_have_no_parallel_environment(commands: Commands) -> None:
    """qconf calls that an error."""
    commands.answers["qconf"] = completed(stderr="no parallel environment defined\n", code=1)
    assert wait(sge.Sge().parallel_environment()) is None


@pytest.mark.parametrize("failing", ["qconf -spl", "qconf -sp smp"])
def test_without_an_answer_no_parallel_environment_is_known(
    commands: Commands, failing: str
) -> None:
    """That is not the same as none."""
    commands.answers = {"qconf -spl": completed("smp\n"), "qconf": environment("smp", "$pe_slots")}
    commands.answers[failing] = completed(stderr=NO_QMASTER, code=1)
    with pytest.raises(CommandError):
        wait(sge.Sge().parallel_environment())


# ---- a real one


@pytest.fixture
def place() -> Iterator[Path]:
    """A run's directory in the user's home, with a name that is hard to write."""
    directory = Path(tempfile.mkdtemp(prefix="pypool-test ü:$USER;&\\n*-", dir=Path.home()))
    (directory / "scheduler").mkdir()
    yield directory
    shutil.rmtree(directory)


def script_in(place: Path, *lines: str) -> str:
    """A job script whose log files are those of the run."""
    scheduler = sge.Sge()
    log = scheduler.directive(scheduler.log_pattern(f"{place}/scheduler"))
    script = place / "job.sh"
    head = ["#!/bin/bash", "#$ -S /bin/bash", "#$ -V", "#$ -j y", f"#$ -o {log}"]
    script.write_text("\n".join([*head, *lines]) + "\n")
    return str(script)


def submitted(script: str, elements: int, token: str | None = None) -> str:
    job = wait(sge.Sge().submit(script, token or os.urandom(4).hex(), elements))
    assert job is not None
    return job


def listed(job: str) -> dict[int, ElementState]:
    """The job's elements in the queue."""
    states = wait(sge.Sge().queue([job]))
    assert states is not None
    return {index: state for (_, index), state in states.items()}


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def phases(job: str) -> list[str]:
    return [state.phase for _, state in sorted(listed(job).items())]


@pytest.mark.sge
def test_what_is_submitted_runs_and_is_gone(place: Path) -> None:
    """Each element gets the token and its task id, and has its log; then its account is there."""
    scheduler = sge.Sge()
    job = submitted(script_in(place, 'echo "$1 $SGE_TASK_ID"; exit 3'), 2, "abc")
    until(lambda: not listed(job))
    logs = [place / "scheduler" / scheduler.log_file(job, index) for index in (0, 1)]
    assert [log.read_text() for log in logs] == ["abc 1\n", "abc 2\n"]
    until(lambda: (wait(scheduler.explain(job)) or "").count("failed 0, exit_status 3") == 2)


@pytest.mark.sge
def test_single_elements_are_cancelled(place: Path) -> None:
    """Some that run, some that are held, and what is not there; then the whole job."""
    scheduler = sge.Sge()
    running = submitted(script_in(place, "exec sleep 100"), 3)
    held = submitted(script_in(place, "#$ -h", "exec sleep 100"), 9)
    until(lambda: phases(running) == ["running"] * 3)
    assert listed(held) == {index: ElementState("pending", "hqw", "held") for index in range(9)}
    elements = [(held, index) for index in (0, 3, 4, 5, 7)]
    wait(scheduler.cancel([], [(running, 1), *elements, ("999999", 0)]))
    until(lambda: listed(running).keys() == {0, 2})
    assert listed(held).keys() == {1, 2, 6, 8}
    wait(scheduler.cancel([], elements))  # they are gone already
    wait(scheduler.cancel([running, held], elements))
    until(lambda: not listed(running) and not listed(held))
    assert "failed 100 : assumedly after job" in (wait(scheduler.explain(running)) or "")


@pytest.mark.sge
def test_a_token_finds_its_job(place: Path) -> None:
    """In the queue and in the accounts; of another token nothing is found."""
    scheduler = sge.Sge()
    token = os.urandom(4).hex()
    job = submitted(script_in(place, "sleep 1"), 2, token)
    assert wait(scheduler.find(token)) == [job]
    assert wait(scheduler.find(token + "0")) == []
    until(lambda: not listed(job))
    until(lambda: wait(scheduler.find(token)) == [job])


@pytest.mark.sge
def test_elements_that_cannot_be_started_do_not_stay(place: Path) -> None:
    """Their log folder is missing: they have ended for that reason, and are gone."""
    script = script_in(place, "true")
    (place / "scheduler").rmdir()
    job = submitted(script, 2)
    ends: dict[int, ElementState] = {}

    def look() -> bool:
        ends.update({i: state for i, state in listed(job).items() if state.phase == "ended"})
        return len(ends) == 2

    until(look)
    assert {state.word for state in ends.values()} == {"error state"}
    log = place / "scheduler" / sge.Sge().log_file(job, 0)
    assert ends[0].reason == f'can\'t open output file "{log}": No such file or directory'
    assert listed(job) == {}


@pytest.mark.sge
def test_a_queue_that_is_not_there_is_refused(place: Path) -> None:
    """The user gets Grid Engine's own words."""
    script = script_in(place, f"#$ -q {sge.Sge().directive('no such')}")
    with pytest.raises(SubmitError, match='requests unknown queue "no such"'):
        submitted(script, 1)


@pytest.mark.sge
def test_the_largest_array_is_taken(place: Path) -> None:
    """As many elements as the limit says; one more is refused in the words that we know."""
    limit = wait(sge.Sge().limit())
    assert limit is not None
    script = script_in(place, "#$ -h")
    with pytest.raises(SubmitError) as caught:
        submitted(script, limit + 1)
    assert kind(caught.value) == ["too_many"]
    wait(sge.Sge().cancel([submitted(script, limit)], []))


@pytest.mark.sge
def test_jobs_that_grid_engine_does_not_know_are_absent() -> None:
    """They can be cancelled without an error, and have no explanation."""
    scheduler = sge.Sge()
    assert wait(scheduler.queue(["999998", "999999"])) == {}
    wait(scheduler.cancel(["999999"], [("999998", 5)]))
    assert wait(scheduler.explain("999999")) == ""


@pytest.mark.sge
def test_the_parallel_environment_for_one_host_is_found() -> None:
    """The test cluster has one that spreads over hosts as well."""
    assert wait(sge.Sge().parallel_environment()) == "smp"


@pytest.mark.sge
def test_every_character_arrives_or_is_refused(place: Path) -> None:
    """What `directive` writes is what Grid Engine reads."""
    scheduler = sge.Sge()
    printable = [chr(code) for code in range(32, 127)]
    values = [f"a{each}b{each}{each}" for each in printable if each not in "'\"#"]
    for value in [*values, "ü日 x", " ".join(values)]:
        script = script_in(place, f"#$ -A {scheduler.directive(value)}")
        told = subprocess.run(["qsub", "-verify", script], capture_output=True, text=True)
        account = [line for line in told.stdout.splitlines() if line.startswith("account:")]
        assert account == [f"account:                    {value}"]


# ---- GPUs

COMPLEXES = """#name  shortcut type relop requestable consumable default urgency
#---------------------------------------------------------------------
arch   a   STRING == YES NO  NONE 0
{gpu}
slots  s   INT    <= YES YES 1    1000
"""


@pytest.mark.parametrize(
    ("row", "resource"),
    [
        ("gpu   gpu INT <= YES    YES 0 0", ("gpu", True)),
        ("gpu   gpu INT <= FORCED JOB 0 0", ("gpu", False)),
        ("ngpus n   INT <= YES    JOB 0 0", ("ngpus", False)),
        ("gpu   gpu INT <= NO     YES 0 0", ("gpu", False)),
        ("", ("gpu", False)),
    ],
)
def test_the_resource_for_gpus_is_found(row: str, resource: tuple[str, bool]) -> None:
    """Its name differs by site, and so does whether each slot gets what is asked for."""
    assert output.read_gpu_resource(completed(stdout=COMPLEXES.format(gpu=row))) == resource


@pytest.mark.parametrize(
    ("gpus", "slots", "resource", "request_"),
    [
        (2, 1, ("gpu", True), "gpu=2"),
        (4, 4, ("gpu", True), "gpu=1"),
        (2, 4, ("gpus", False), "gpus=2"),
    ],
)
def test_gpus_are_asked_for(
    gpus: int, slots: int, resource: tuple[str, bool], request_: str
) -> None:
    """An element gets as many as it was to have, however the site counts."""
    assert sge.gpu_request(gpus, slots, resource) == request_


def test_gpus_that_cannot_be_asked_for_are_refused() -> None:
    """Half a GPU for each slot is nothing that Grid Engine knows; the message says what to do."""
    with pytest.raises(SubmitError, match=r"2 GPUs with 4 slots cannot be asked for.*directives"):
        sge.gpu_request(2, 4, ("gpu", True))


# ---- how elements have ended


def account(failed: str, status: str, wallclock: str = "5s", category: str = "NONE") -> str:
    """A record of job 7, element 0."""
    fields = {"jobname": "pypool-0a1b", "jobnumber": "7", "taskid": "1", "failed": failed}
    fields |= {"exit_status": status, "ru_wallclock": wallclock, "category": category}
    return "=" * 62 + "\n" + "".join(f"{name:12} {text}\n" for name, text in fields.items())


ENFORCED = "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit"
LIMITS = "-l h_rt=60,h_vmem=1G"


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (account("0", "0"), "completed"),
        (account("0", "3"), "failed"),
        (account("0", "137                  (Killed)"), "failed"),
        (account("100 : assumedly after job", "137                  (Killed)"), "failed"),
        (account(ENFORCED, "137", "61s", LIMITS), "time limit"),
        (account(ENFORCED, "137", "9s", LIMITS), "out of memory"),
        (account("25  : rescheduling", "99") + account("0", "0"), "completed"),
    ],
)
def test_the_last_record_tells_how_an_element_has_ended(
    commands: Commands, record: str, word: str
) -> None:
    """One limit or the other was enforced: the clock tells which."""
    commands.answers["qacct"] = completed(record)
    (state,) = wait(sge.Sge().ends([("7", 0), ("7", 5)])).values()
    assert (state.phase, state.word) == ("ended", word)


def test_each_job_of_absent_elements_is_looked_up_once(commands: Commands) -> None:
    """qacct takes one job; one without accounts does not stand in the way."""
    commands.answers = {
        "qacct -j 7": completed(account("0", "0")),
        "qacct -j 8": completed(stderr="error: job id 8 not found", code=1),
    }
    found = wait(sge.Sge().ends([("8", 0), ("7", 0), ("7", 1), ("8", 1)]))
    assert list(found) == [("7", 0)]
    assert commands.argvs == [["qacct", "-j", "7"], ["qacct", "-j", "8"]]


# ---- what is asked now and then


def test_a_job_that_would_run_is_not_said_to_be_impossible() -> None:
    """Neither is one that is gone."""
    for told in ("verification: found suitable queue(s)\n", 'denied: job "9" does not exist\n'):
        assert output.read_verification(completed(told)) == ""


def test_why_a_job_never_runs_is_one_line() -> None:
    """Reasons that are the same for several queues are told once, and two of them at most."""
    line = 'Job 729 (-l {}=1) cannot run in queue "all.q@localhost" because there is none\n'
    told = "".join(line.format(name) for name in "aabc") + "verification: no suitable queues\n"
    why = output.read_verification(completed(told, code=1))
    assert why.count("cannot run") == 2
    assert output.read_verification(completed("verification: no suitable queues\n", code=1))


def test_the_least_notice_counts() -> None:
    """Of all queues; the last part may be more than a minute."""
    queues = "qname a\nnotify                00:00:60\nqname b\nnotify  00:01:30\n"
    assert output.read_grace(completed(queues)) == 60.0
    with pytest.raises(CommandError):
        output.read_grace(completed(code=1))


@pytest.mark.parametrize(
    ("line", "hosts"),
    [
        ("#$ -l hostname=node1*", ["node1*"]),
        ("#$ -cwd -l h_rt=60,h=a|b", ["a|b"]),
        ("#$ -l h_vmem=1G -l h=c", ["c"]),
        ("#$ -l h_rt=60", []),
        ("# -l hostname=x", []),
    ],
)
def test_the_hosts_a_script_asks_for_are_seen(line: str, hosts: list[str]) -> None:
    """An option of the command would take their place."""
    assert output.hosts_asked(f"#!/bin/bash\n{line}\n") == hosts


@pytest.mark.sge
def test_a_held_job_has_an_advice(place: Path) -> None:
    """The command that releases it."""
    scheduler = sge.Sge()
    job = submitted(script_in(place, "#$ -h\nsleep 1"), 2)
    until(lambda: len(listed(job)) == 2)
    states = wait(scheduler.queue([job]))
    assert states is not None
    assert f"qrls {job}" in scheduler.advice(states[job, 0], job)
    wait(scheduler.cancel([job], []))


@pytest.mark.sge
def test_a_job_that_can_never_run_says_why(place: Path) -> None:
    """Grid Engine takes it, and tells when it is asked; of one that can run it tells nothing."""
    scheduler = sge.Sge()
    job = submitted(script_in(place, "#$ -l arch=vax\nsleep 1"), 2)
    other = submitted(script_in(place, "#$ -h\nsleep 1"), 1)
    why = wait(scheduler.why_not(job))
    assert why is not None
    assert "cannot run" in why
    assert "\n" not in why
    assert wait(scheduler.why_not(other)) == ""
    assert wait(scheduler.why_not("999999")) == ""
    wait(scheduler.cancel([job, other], []))


@pytest.mark.sge
def test_hosts_are_left_out(place: Path) -> None:
    """Beside what the script asks for itself; an array that no host may run is refused."""
    scheduler = sge.Sge()
    script = script_in(place, "#$ -h -l arch=*,hostname=localhost\nsleep 1")
    job = wait(scheduler.submit(script, "0a1b", 1, ["node1", "node2"]))
    assert job is not None
    told = subprocess.run(["qstat", "-j", job], capture_output=True, text=True, check=True).stdout
    assert "hostname=(localhost)&!node1&!node2" in told
    assert "arch=" in told
    wait(scheduler.cancel([job], []))
    with pytest.raises(SubmitError) as caught:
        wait(scheduler.submit(script, "0a1b", 1, ["localhost"]))
    assert kind(caught.value) == UNKNOWN


@pytest.mark.sge
def test_the_grace_is_that_of_the_queues() -> None:
    """60 s are what the queues of the tests have."""
    assert wait(sge.Sge().grace()) == 60.0


@pytest.mark.sge
def test_only_what_waits_is_cancelled(place: Path) -> None:
    """Who runs goes on."""
    scheduler = sge.Sge()
    running = submitted(script_in(place, "sleep 100"), 1)
    held = submitted(script_in(place, "#$ -h\nsleep 1"), 2)
    until(lambda: [state.phase for state in listed(running).values()] == ["running"])
    until(lambda: len(listed(held)) == 2)
    wait(scheduler.cancel_pending([(running, 0), (held, 0), (held, 1), ("999999", 0)]))
    until(lambda: not listed(held))
    assert len(listed(running)) == 1
    wait(scheduler.cancel([running], []))
