"""Slurm's adapter: commands that are built, and answers as a real Slurm 22.05 gave them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pypool.errors import SubmitError
from pypool.schedulers import slurm
from pypool.schedulers import slurm_output as output
from pypool.schedulers.base import (
    CommandError,
    Completed,
    Element,
    ElementState,
    Phase,
    Scheduler,
    wait,
)

Reader = Callable[[Completed], object]

SCRIPT = "/shared/run/job.sh"

NO_CONTROLLER = (
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
    "slurm_load_jobs error: Socket timed out on send/recv operation\n",
)
REFUSALS = (
    (
        1,
        (
            "sbatch: error: invalid partition specified: nope\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
        ),
    ),
    (255, "sbatch: unrecognized option '--nonsense'\n"),
    (255, "sbatch: error: Invalid --time specification\n"),
    (
        1,
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
            "(job submit limit, user's size and/or time limits)\n"
        ),
    ),
    (1, "sbatch: error: Batch job submission failed: Invalid job array specification\n"),
    (1, "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"),
)


def completed(stdout: str = "", stderr: str = "", code: int | None = 0) -> Completed:
    return Completed(("command", "an argument"), code, stdout, stderr)


class Calls:
    """Takes down what would be run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.argv: list[str] = []
        monkeypatch.setattr(slurm, "Command", self._take)

    def _take(self, argv: list[str], *_: object, **__: object) -> None:
        self.argv = argv


# ---- sbatch


def test_a_submission_is_an_array_named_after_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """sbatch gets the range of indices, the token as a name, the script and the token again."""
    calls = Calls(monkeypatch)
    slurm.Slurm().submit(SCRIPT, "0a1b2c3d", 3)
    assert calls.argv == [
        "sbatch",
        "--parsable",
        "--array=0-2",
        "--job-name=pypool-0a1b2c3d",
        SCRIPT,
        "0a1b2c3d",
    ]


def test_one_element_is_an_array_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single element has an index like any other."""
    calls = Calls(monkeypatch)
    slurm.Slurm().submit(SCRIPT, "t", 1)
    assert "--array=0-0" in calls.argv


@pytest.mark.parametrize("printed", ["4711\n", "4711;cluster\n", " 4711 \n"])
def test_the_job_id_is_read(printed: str) -> None:
    """`sbatch --parsable` prints the id, on some sites with the cluster's name behind it."""
    assert output.read_submission(completed(printed), SCRIPT) == "4711"


def test_a_warning_beside_the_job_id_does_no_harm() -> None:
    """What sbatch says on standard error of a job that it took is no refusal."""
    told = completed("4711\n", "sbatch: warning: can't run 1 processes on 4 nodes\n")
    assert output.read_submission(told, SCRIPT) == "4711"


@pytest.mark.parametrize(("code", "stderr"), REFUSALS)
def test_a_refusal_tells_command_code_words_and_script(code: int, stderr: str) -> None:
    """Of a refused submission the user learns what was run, what came back and where to look."""
    with pytest.raises(SubmitError) as caught:
        output.read_submission(completed(stderr=stderr, code=code), SCRIPT)
    told = str(caught.value)
    assert "command 'an argument'" in told
    assert f"exit code {code}" in told
    assert all(line in told for line in stderr.splitlines())
    assert SCRIPT in told


@pytest.mark.parametrize("stdout", ["", "\n", "Submitted batch job 7\n", "7_1\n"])
def test_an_answer_without_a_job_id_is_a_refusal(stdout: str) -> None:
    """Exit code 0 alone is not believed."""
    with pytest.raises(SubmitError):
        output.read_submission(completed(stdout), SCRIPT)


def test_a_submission_without_an_answer_in_time_says_so() -> None:
    """A killed sbatch has no exit code to tell of."""
    with pytest.raises(SubmitError, match="no answer in time"):
        output.read_submission(completed(code=None), SCRIPT)


def refusal(stderr: str, code: int | None = 1, not_run: int = 0) -> SubmitError:
    with pytest.raises(SubmitError) as caught:
        output.read_submission(Completed(("sbatch",), code, "", stderr, not_run), SCRIPT)
    return caught.value


def kind(error: SubmitError) -> list[str]:
    names = ("temporary", "unclear", "too_many", "unknown")
    return [name for name in names if getattr(error, name)]


FAILED = "sbatch: error: Batch job submission failed: "
KINDS = [
    (FAILED + "Unable to contact slurm controller (connect failure)", ["temporary"]),
    (FAILED + "Resource temporarily unavailable", ["temporary"]),
    (FAILED + "Socket timed out on send/recv operation", ["unclear"]),
    (FAILED + "Zero Bytes were transmitted or received", ["unclear"]),
    (FAILED + "Invalid job array specification", ["too_many"]),
    ("sbatch: error: QOSMaxSubmitJobPerUserLimit", ["too_many"]),
    ("sbatch: error: AssocMaxSubmitJobLimit", ["too_many"]),
    (FAILED + "Job violates accounting/QOS policy (job submit limit, ...)", ["too_many"]),
    (FAILED + "Invalid partition name specified", ["unknown"]),
    ("sbatch: unrecognized option '--nonsense'", ["unknown"]),
    ("sbatch: error: Memory specification can not be satisfied", ["unknown"]),
    ("sbatch: fatal: Unable to process configuration file", ["unknown"]),
]


@pytest.mark.parametrize(("stderr", "kinds"), KINDS)
def test_failures_are_told_apart(stderr: str, kinds: list[str]) -> None:
    """What may work later, may have worked, may work with fewer elements; and all else."""
    assert kind(refusal(stderr + "\n")) == kinds


@pytest.mark.parametrize(("stderr", "kinds"), KINDS)
def test_a_refusal_is_known_by_its_words_if_the_exit_code_is_not(
    stderr: str, kinds: list[str]
) -> None:
    """It reads 0 in a program that ignores SIGCHLD."""
    assert kind(refusal(stderr + "\n", 0)) == kinds


@pytest.mark.parametrize("stderr", ["", "sbatch: warning: can't run 1 processes on 4 nodes\n"])
def test_who_says_neither_a_job_nor_a_refusal_may_have_worked(stderr: str) -> None:
    """It may have been killed, too."""
    assert kind(refusal(stderr, 0)) == ["unclear"]


@pytest.mark.parametrize("code", [None, -9])
def test_a_killed_sbatch_may_have_worked(code: int | None) -> None:
    """Whoever killed it."""
    assert kind(refusal("", code)) == ["unclear"]


def test_a_shortage_of_this_machine_is_temporary() -> None:
    """No process can be forked just now."""
    assert kind(refusal("cannot be run: Resource temporarily unavailable", 127, 11)) == [
        "temporary"
    ]


def test_a_missing_sbatch_is_final_and_named() -> None:
    """Trying again would not bring it."""
    error = refusal("cannot be run: No such file or directory", 127, 2)
    assert kind(error) == []
    assert "sbatch is missing on this machine" in str(error)


def test_the_schedulers_words_are_one_line() -> None:
    """For a line in the log."""
    error = refusal("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch failed\n")
    assert error.words == "sbatch: error: QOSMaxSubmitJobPerUserLimit / sbatch: error: Batch failed"


# ---- squeue


def test_a_job_is_found_by_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its state, one command."""
    calls = Calls(monkeypatch)
    slurm.Slurm().find("0a1b")
    assert calls.argv == [
        "squeue",
        "--noheader",
        "--states=all",
        "--name=pypool-0a1b",
        "--format=%F",
    ]


@pytest.mark.parametrize(
    ("rows", "jobs"),
    [
        ("", []),
        ("7\n7\n", ["7"]),
        ("10\n9\n", ["9", "10"]),
        ("CLUSTER: alpha\n7\n", ["7"]),
        ("\n", []),
    ],
)
def test_all_jobs_of_a_token_are_found(rows: str, jobs: list[str]) -> None:
    """The oldest first; each has as many rows as elements."""
    assert output.read_found(completed(rows)) == jobs


@pytest.mark.parametrize(("rows", "code"), [("", 1), ("7\n", None), ("Welcome!\n", 0)])
def test_a_failed_search_is_no_empty_answer(rows: str, code: int | None) -> None:
    """It says nothing about the job."""
    with pytest.raises(CommandError):
        output.read_found(completed(rows, code=code))


def test_one_squeue_asks_for_all_jobs_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended elements are asked for too, one row an element, the free text last."""
    calls = Calls(monkeypatch)
    slurm.Slurm().queue(["7", "8"])
    assert calls.argv == [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        "--format=%F|%K|%T|%N|%r",
        "--jobs=7,8",
    ]


def test_rows_of_several_jobs_are_told_apart() -> None:
    """Elements with the same index of two jobs are two elements."""
    rows = "7|0|RUNNING|n1|None\n7|1|FAILED|n2|NonZeroExitCode\n8|0|PENDING||Resources\n"
    assert output.read_queue(completed(rows)) == {
        ("7", 0): ElementState("running", "RUNNING", node="n1"),
        ("7", 1): ElementState("ended", "failed", "NonZeroExitCode", "n2"),
        ("8", 0): ElementState("pending", "PENDING", "Resources"),
    }


@pytest.mark.parametrize(
    "reason",
    [
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
            "partitions"
        ),
        "launch failed requeued held",
        "job requeued in held state",
        "JobHeldAdmin",
        "a | b",
    ],
)
def test_reasons_are_kept_as_they_are(reason: str) -> None:
    """Blanks, commas and even our own separator may stand in a reason."""
    states = output.read_queue(completed(f"7|3|PENDING||{reason}\n"))
    assert states == {("7", 3): ElementState("pending", "PENDING", reason)}


def test_rows_of_jobs_that_are_no_arrays_are_left_out() -> None:
    """A row whose index is N/A is no element of ours."""
    assert output.read_queue(completed("6|N/A|RUNNING|n1|None\n7|0|RUNNING|n1|None\n")).keys() == {
        ("7", 0)
    }


def test_an_empty_answer_is_an_answer() -> None:
    """Several forgotten ids give exit code 0 and nothing."""
    assert output.read_queue(completed()) == {}


def test_a_forgotten_job_is_an_empty_answer() -> None:
    """A single forgotten id gives exit code 1, which is no failure of Slurm."""
    told = completed(stderr="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert output.read_queue(told) == {}


@pytest.mark.parametrize("stderr", NO_CONTROLLER)
def test_no_controller_is_no_answer(stderr: str) -> None:
    """What was printed before the failure is not taken for an answer either."""
    with pytest.raises(CommandError, match=r"exit code 1:\n    slurm_load_jobs error"):
        output.read_queue(completed("7|0|FAILED|n1|None\n", stderr, 1))


def test_a_killed_squeue_is_no_answer() -> None:
    """A command whose time was over is evidence of nothing."""
    with pytest.raises(CommandError, match="no answer in time"):
        output.read_queue(completed("7|0|FAILED|n1|None\n", code=None))


def test_rows_that_cannot_be_read_are_no_answer() -> None:
    """Something else than squeue's rows must not pass for an empty queue."""
    with pytest.raises(CommandError, match="cannot be read"):
        output.read_queue(completed("Welcome to the cluster!\n"))


def test_titles_of_clusters_are_passed_over() -> None:
    """With SLURM_CLUSTERS set, squeue puts a title before the rows of each cluster."""
    rows = "CLUSTER: alpha\n7|0|RUNNING|n1|None\n"
    assert output.read_queue(completed(rows)).keys() == {("7", 0)}


PHASES: dict[Phase, str] = {
    "pending": "PENDING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED RESV_DEL_HOLD SPECIAL_EXIT",
    "running": "RUNNING COMPLETING STAGE_OUT SIGNALING RESIZING",
    "suspended": "SUSPENDED STOPPED",
    "ended": "COMPLETED FAILED OUT_OF_MEMORY TIMEOUT DEADLINE CANCELLED PREEMPTED NODE_FAIL "
    "BOOT_FAIL REVOKED",
}


@pytest.mark.parametrize(("word", "phase"), [(w, p) for p in PHASES for w in PHASES[p].split()])
def test_every_state_word_has_its_phase(word: str, phase: Phase) -> None:
    """The words of squeue(1) mean to us what the manual says."""
    assert output.element_state(word, "None").phase == phase


def test_no_state_word_is_without_a_test() -> None:
    """The table of the adapter and the one above hold the same words."""
    assert set(" ".join(PHASES.values()).split()) == output.STATES.keys()


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("OUT_OF_MEMORY", "out of memory"),
        ("TIMEOUT", "time limit"),
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node failure"),
        ("BOOT_FAIL", "node failure"),
    ],
)
def test_an_end_is_told_in_our_words(word: str, ours: str) -> None:
    """How an element ended is said the same way for every scheduler."""
    assert output.element_state(word, "None") == ElementState("ended", ours)


def test_an_unknown_word_is_no_evidence_of_an_end() -> None:
    """A word of a future Slurm leaves the element alive."""
    assert output.element_state("TELEPORTING", "Why not") == ElementState(
        "running", "TELEPORTING", "Why not"
    )


def test_an_unknown_word_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand elements in an unknown state make one line."""
    monkeypatch.setattr(output, "_unknown_words", set())
    output.read_queue(completed("7|0|DREAMING||None\n7|1|DREAMING||None\n7|2|SINGING||None\n"))
    assert [record.getMessage().split()[2] for record in caplog.records] == ["DREAMING", "SINGING"]


# ---- scancel, sacct


def test_jobs_and_elements_are_cancelled_by_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """scancel takes whole arrays and single elements alike."""
    calls = Calls(monkeypatch)
    slurm.Slurm().cancel(["7", "8"], [("9", 0), ("9", 12)])
    assert calls.argv == ["scancel", "7", "8", "9_0", "9_12"]


def test_a_cancellation_that_did_not_reach_slurm_is_told() -> None:
    """scancel gives 8 when there is no controller: the job may still be there."""
    text = "Kill job error on job id 49_1: Unable to contact slurm controller (connect failure)"
    with pytest.raises(CommandError, match="Kill job error on job id 49_1"):
        output.read_cancellation(completed(stderr=text, code=8))


def test_cancelling_what_is_gone_is_no_failure() -> None:
    """scancel of an unknown id says nothing and gives 0."""
    output.read_cancellation(completed())


def test_a_user_cancels_by_the_jobs_name() -> None:
    """Without knowing its id."""
    assert slurm.Slurm().cancel_by_hand("0a1b") == "scancel --name=pypool-0a1b"


@pytest.mark.parametrize(
    ("code", "stdout", "told"),
    [
        (0, "7_0|FAILED|137:0|n1|None\n", "7_0|FAILED|137:0|n1|None"),
        (1, "", ""),
        (None, "7_0|FAI", ""),
    ],
)
def test_sacct_explains_or_is_silent(code: int | None, stdout: str, told: str) -> None:
    """A site without accounting gives no explanation, and no error either."""
    stderr = "Slurm accounting storage is disabled\n" if code else ""
    assert output.read_explanation(completed(stdout, stderr, code)) == told


# ---- scontrol

CONFIGURATION = """Configuration data as of 2026-11-20T13:33:10
MaxArraySize            = {size}
KillWait                = 30 sec
MaxJobCount             = 10000
"""


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        (CONFIGURATION.format(size=1001), 1001),
        (CONFIGURATION.format(size=0), None),
        ("", None),
    ],
)
def test_the_size_of_an_array_has_a_limit(told: str, limit: int | None) -> None:
    """MaxArraySize is one more than the largest index, so it is the number of elements."""
    assert output.read_limit(told) == limit


def test_the_time_between_two_signals_is_known() -> None:
    """SIGTERM and SIGKILL."""
    assert output.read_grace(CONFIGURATION.format(size=1)) == 30.0
    assert output.read_grace("") == 0.0


def test_settings_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one command tells, no second one is run for; unless it gave no answer."""
    answers = [completed(code=1), completed(CONFIGURATION.format(size=8))]
    commands: list[list[str]] = []

    class Now:
        def __init__(self, argv: list[str], environment: object, read: Reader) -> None:
            commands.append(argv)
            self._done, self._read = answers.pop(0), read
            self.failed = self._done.code != 0

        def done(self) -> bool:
            return True

        def value(self) -> object:
            return self._read(self._done)

    monkeypatch.setattr(slurm, "Command", Now)
    scheduler = slurm.Slurm()
    with pytest.raises(CommandError):
        scheduler.limit().value()
    assert (scheduler.limit().value(), scheduler.grace().value()) == (8, 30.0)
    assert commands == [["scontrol", "show", "config"]] * 2


# ---- what waits, and what has failed


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("PartitionTimeLimit", "lower time="),
        ("BadConstraints", "no node of the partition"),
        ("PartitionConfig", "no node of the partition"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "sinfo -R"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority p...",
            "sinfo -R",
        ),
        ("DependencyNeverSatisfied", "dependency"),
        ("JobHeldUser", "scontrol release 7"),
        ("JobHeldAdmin", "administrator"),
        ("job requeued in held state", "scontrol release 7"),
        ("job_requeued_in_held_state", "scontrol release 7"),
        ("QOSMaxWallDurationPerJobLimit", "can never run"),
        ("AssocMaxCpuPerJobLimit", "can never run"),
        ("AssocMaxJobsLimit", "limit of the site"),
    ],
)
def test_what_does_not_run_by_itself_has_an_advice(reason: str, advice: str) -> None:
    """By Slurm's reason, in the form of old and of new versions."""
    assert advice in slurm.Slurm().advice(ElementState("pending", "PENDING", reason), "7")


@pytest.mark.parametrize("reason", ["Resources", "Priority", "BeginTime", ""])
def test_what_takes_its_turn_needs_no_advice(reason: str) -> None:
    """It will run."""
    assert slurm.Slurm().advice(ElementState("pending", "PENDING", reason), "7") == ""


def test_what_runs_needs_no_advice() -> None:
    """A running element that is held says so, too."""
    assert slurm.Slurm().advice(ElementState("running", "RUNNING", "JobHeldAdmin"), "7") == ""


DETAILS = (
    "JobId=2116 ArrayJobId=7 ArrayTaskId=1 JobName=p.sh JobState=FAILED Reason=NonZeroExitCode "
    "Requeue=1 ExitCode=127:0 NodeList=n1 BatchHost=n1 Command=/home/a b/p.sh\n"
    "JobId=7 ArrayJobId=7 ArrayTaskId=2-5 JobState=PENDING Reason=Resources ExitCode=0:0\n"
)


def test_the_exit_code_is_looked_up() -> None:
    """Of elements that have ended."""
    assert output.read_details(completed(DETAILS)) == {
        ("7", 1): ElementState("ended", "failed", "NonZeroExitCode", "n1", "127:0")
    }
    assert output.read_details(completed(DETAILS, code=1)) == {}


@pytest.mark.parametrize(
    ("code", "stderr", "gone"),
    [
        (0, "", True),
        (1, "scancel: error: Kill job error on job id 7_1: Invalid job id specified\n", True),
        (1, "scancel: error: Unable to contact slurm controller (connect failure)\n", False),
        (1, "", False),
        (None, "", False),
    ],
)
def test_who_cannot_be_cancelled_is_gone_or_slurm_is(code: int, stderr: str, gone: bool) -> None:
    """With a state asked for, scancel takes elements in another one for unknown."""
    assert output.is_cancelled(completed("", stderr, code)) is gone


@pytest.mark.parametrize(
    ("line", "nodes"),
    [
        ("#SBATCH --exclude=n1,n2", ["n1,n2"]),
        ("#SBATCH -x n[3-4]", ["n[3-4]"]),
        ("#SBATCH --ntasks=1 --exclude n5", ["n5"]),
        ("#SBATCH --exclusive", []),
        ("echo --exclude=n1", []),
    ],
)
def test_what_a_script_leaves_out_itself_is_seen(line: str, nodes: list[str]) -> None:
    """An option of the command would take its place."""
    assert output.excluded(f"#!/bin/bash\n{line}\n") == nodes


class Slurmctld:
    """Answers commands at once, by their first word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Completed) -> None:
        self.commands: list[list[str]] = []
        slurmctld = self

        class Now:
            def __init__(self, argv: list[str], _: object, read: Reader, *__: object) -> None:
                slurmctld.commands.append(argv)
                self._done, self._read = answers[argv[0]], read

            def done(self) -> bool:
                return True

            def value(self) -> object:
                return self._read(self._done)

        monkeypatch.setattr(slurm, "Command", Now)


@pytest.mark.parametrize(
    "reason",
    ["launch failed requeued held", "launch_failed_requeued_held", "JobHoldMaxRequeue"],
)
def test_what_could_not_be_launched_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """It would stay for ever: it has ended, unless it cannot be cancelled now."""
    rows = f"7|0|RUNNING|n1|None\n7|1|PENDING||{reason}\n"
    asked = Slurmctld(monkeypatch, squeue=completed(rows), scancel=completed())
    states = wait(slurm.Slurm().queue(["7"]))
    assert states is not None
    assert states["7", 1] == ElementState("ended", "launch failed", reason)
    assert asked.commands[-1] == ["scancel", "--state=PENDING", "7_1"]
    Slurmctld(monkeypatch, squeue=completed(rows), scancel=completed(code=1))
    states = wait(slurm.Slurm().queue(["7"]))
    assert states is not None
    assert states["7", 1].phase == "pending"


def test_how_an_element_failed_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the queue lists it."""
    rows = "7|1|FAILED|n1|NonZeroExitCode\n7|2|PENDING||Resources\n"
    asked = Slurmctld(monkeypatch, squeue=completed(rows), scontrol=completed(DETAILS))
    scheduler = slurm.Slurm()
    for _ in range(3):
        states = wait(scheduler.queue(["7"]))
        assert states is not None
        assert states["7", 1].code == "127:0"
    assert [argv[0] for argv in asked.commands].count("scontrol") == 1


def test_only_pending_elements_are_cancelled_if_so_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """scancel has a word for that."""
    calls = Calls(monkeypatch)
    slurm.Slurm().cancel_pending([("7", 0), ("8", 3)])
    assert calls.argv == ["scancel", "--state=PENDING", "7_0", "8_3"]


def test_nodes_are_left_out_beside_those_of_the_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And only if there are any."""
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH --exclude=n1\n")
    calls = Calls(monkeypatch)
    slurm.Slurm().submit(str(script), "0a1b", 1, ["n3", "n2"])
    assert "--exclude=n1,n2,n3" in calls.argv
    slurm.Slurm().submit(str(script), "0a1b", 1)
    assert not [word for word in calls.argv if word.startswith("--exclude")]


# ---- a real one


def until_ended(scheduler: Scheduler, job: str, elements: int) -> dict[Element, ElementState]:
    """Asks until all elements of the job are over."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        states = wait(scheduler.queue([job]))
        assert states is not None
        if [state.phase for state in states.values()] == ["ended"] * elements:
            return states
        time.sleep(0.2)
    pytest.fail(f"job {job} has not ended: {states}")


def script_in(place: Path, *lines: str) -> str:
    """A job script whose log files are those of the run."""
    (place / "scheduler").mkdir()
    script = place / "job.sh"
    output = f"#SBATCH --output='{place}/scheduler/%A_%a.out'"
    script.write_text("\n".join(["#!/bin/bash", output, *lines]) + "\n")
    return str(script)


@pytest.mark.slurm
def test_what_is_submitted_runs_and_ends(shared_home: Path) -> None:
    """Each element gets the token and its index, is listed to its end, and has its log."""
    scheduler = slurm.Slurm()
    script = script_in(shared_home, 'echo "$1 $SLURM_ARRAY_TASK_ID"')
    job = wait(scheduler.submit(script, "abc", 2))
    assert job is not None
    states = until_ended(scheduler, job, 2)
    ends = {element: (state.phase, state.word) for element, state in states.items()}
    logs = [shared_home / "scheduler" / scheduler.log_file(job, index) for index in (0, 1)]
    assert ends == {(job, 0): ("ended", "completed"), (job, 1): ("ended", "completed")}
    assert all(state.node for state in states.values())
    assert [log.read_text() for log in logs] == ["abc 0\n", "abc 1\n"]


@pytest.mark.slurm
def test_a_cancelled_element_is_listed_as_such(shared_home: Path) -> None:
    """One element is cancelled while it runs, then the whole job."""
    scheduler = slurm.Slurm()
    job = wait(scheduler.submit(script_in(shared_home, "exec sleep 100"), "t", 2))
    assert job is not None
    deadline = time.monotonic() + 20
    while {state.phase for state in (wait(scheduler.queue([job])) or {}).values()} != {"running"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    wait(scheduler.cancel([], [(job, 1)]))
    states = wait(scheduler.queue([job]))
    wait(scheduler.cancel([job], []))
    assert states is not None
    assert states[job, 0].phase == "running"
    assert states[job, 1].word in ("cancelled", "COMPLETING")
    assert {state.word for state in until_ended(scheduler, job, 2).values()} == {"cancelled"}


@pytest.mark.slurm
def test_a_partition_that_is_not_there_is_refused(shared_home: Path) -> None:
    """The user gets Slurm's own words."""
    script = script_in(shared_home, "#SBATCH --partition='no such'")
    with pytest.raises(SubmitError, match="invalid partition specified: no such"):
        wait(slurm.Slurm().submit(script, "t", 1))


@pytest.mark.slurm
def test_an_array_that_is_too_large_is_told_as_such(shared_home: Path) -> None:
    """MaxArraySize is 1001 here: index 1500 is refused in the words that we know."""
    with pytest.raises(SubmitError) as caught:
        wait(slurm.Slurm().submit(script_in(shared_home, "true"), "t", 1501))
    assert kind(caught.value) == ["too_many"]


@pytest.mark.slurm
def test_the_largest_array_is_taken(shared_home: Path) -> None:
    """As many elements as the limit says, and not one more."""
    scheduler = slurm.Slurm()
    limit = wait(scheduler.limit())
    assert limit == 1001
    script = script_in(shared_home, "#SBATCH --hold")
    with pytest.raises(SubmitError):
        wait(scheduler.submit(script, "t", limit + 1))
    job = wait(scheduler.submit(script, "t", limit))
    assert job is not None
    wait(scheduler.cancel([job], []))


@pytest.mark.slurm
def test_a_token_finds_its_job(shared_home: Path) -> None:
    """While it is there; of another token nothing is found."""
    scheduler = slurm.Slurm()
    token = os.urandom(4).hex()
    job = wait(scheduler.submit(script_in(shared_home, "exec sleep 100"), token, 2))
    found = wait(scheduler.find(token))
    other = wait(scheduler.find(token + "0"))
    assert job is not None
    wait(scheduler.cancel([job], []))
    assert (found, other) == ([job], [])


@pytest.mark.slurm
@pytest.mark.parametrize("jobs", [["99999"], ["99998", "99999"]])
def test_jobs_that_slurm_does_not_know_are_absent(jobs: list[str]) -> None:
    """One unknown id and several are the same empty answer."""
    assert wait(slurm.Slurm().queue(jobs)) == {}


@pytest.mark.slurm
def test_cancelling_an_unknown_job_does_nothing() -> None:
    """What has ended meanwhile can be cancelled without an error."""
    wait(slurm.Slurm().cancel(["99999"], [("99999", 5)]))


@pytest.mark.slurm
def test_without_accounting_nothing_is_explained() -> None:
    """The test Slurm has none, as many sites."""
    assert wait(slurm.Slurm().explain("99999")) == ""
