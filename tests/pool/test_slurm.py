"""`pypool.slurm.Pool`: what is asked of Slurm, what it refuses, and an empty queue afterwards."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import pypool
from pypool import SubmitError

from . import tasks
from .conftest import MakePool
from .queues import jobs_in_queue
from .scripts import WORKING, Driver, wait_until

on_slurm = pytest.mark.parametrize(
    "backend", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True
)
on_clusters = pytest.mark.parametrize(
    "backend",
    [pytest.param("shell"), pytest.param("slurm", marks=pytest.mark.slurm)],
    indirect=True,
)

# ---- the job script, for which no Slurm is needed


def script(tmp_path: Path, **options: object) -> str:
    pool = pypool.slurm.Pool(2, work_dir=tmp_path / "a $(touch b) 'c'", **options)  # type: ignore[arg-type]
    return pool.job_script()


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("queue", "short", "#SBATCH --partition=short"),
        ("time", "1h30m", "#SBATCH --time=0-01:30:00"),
        ("time", 90, "#SBATCH --time=0-00:01:30"),
        ("memory", "4G", "#SBATCH --mem=4096M"),
        ("memory", 500_000_000, "#SBATCH --mem=477M"),
        ("cpus", 3, "#SBATCH --cpus-per-task=3"),
    ],
)
def test_options_appear_in_the_job_script(
    tmp_path: Path, option: str, value: object, line: str
) -> None:
    """What the pool is asked for, the script asks of Slurm."""
    assert line in script(tmp_path, **{option: value}).splitlines()
    assert line.split("=")[0] not in script(tmp_path)


def test_the_job_script_is_a_shell_script(tmp_path: Path) -> None:
    """Whatever the names in it, bash can parse it."""
    text = script(tmp_path, queue="a b", time="2d", memory="1G", cpus=1)
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=True)
    assert not done.stderr


def test_what_cannot_stand_in_a_job_script_is_refused_at_once(tmp_path: Path) -> None:
    """When the pool is made, before there is any directory."""
    with pytest.raises(SubmitError, match="backslash"):
        pypool.slurm.Pool(2, work_dir=tmp_path / "a\\b")
    assert not list(tmp_path.iterdir())


def test_the_job_script_can_be_seen_before_anything_is_submitted(tmp_path: Path) -> None:
    """A look at the script makes no run."""
    assert script(tmp_path).startswith("#!/bin/bash\n")
    (work_dir,) = tmp_path.iterdir()
    assert not list(work_dir.iterdir())


@on_clusters
def test_the_job_script_is_the_one_in_the_run(make_pool: MakePool, shared_dir: Path) -> None:
    """What is shown is what was submitted."""
    pool = make_pool()
    pool.map(tasks.square, [1])
    (stored,) = (shared_dir / "work").glob("*/job.sh")
    assert pool.job_script() == stored.read_text()


# ---- what is asked for is got


@on_slurm
def test_the_queue_is_used(make_pool: MakePool) -> None:
    """Tasks run in the partition that was asked for."""
    pool = make_pool(processes=1, queue="short")
    assert pool.map(tasks.environment, ["SLURM_JOB_PARTITION"]) == ["short"]


@on_slurm
def test_cpus_are_got(make_pool: MakePool) -> None:
    """A worker has the CPUs that were asked for."""
    pool = make_pool(processes=1, cpus=2)
    assert pool.map(tasks.environment, ["SLURM_CPUS_PER_TASK"]) == ["2"]


@on_slurm
def test_memory_is_got(make_pool: MakePool) -> None:
    """A worker has the memory that was asked for."""
    pool = make_pool(processes=1, memory="300M")
    assert pool.map(tasks.environment, ["SLURM_MEM_PER_NODE"]) == ["300"]


@on_slurm
def test_all_processes_come_with_one_submission(make_pool: MakePool, shared_dir: Path) -> None:
    """The workers of a pool are one array."""
    place = shared_dir / "meeting"
    place.mkdir()
    pool = make_pool(processes=4)
    handle = pool.map_async(_meet_and_tell, [(str(place), index, 4) for index in range(4)])
    arrays, indices = zip(*handle.get(tasks.PATIENCE), strict=True)
    assert len(set(arrays)) == 1
    assert sorted(indices) == ["0", "1", "2", "3"]


def _meet_and_tell(arguments: tuple[str, int, int]) -> tuple[str, str]:
    tasks.meet(*arguments)
    return os.environ["SLURM_ARRAY_JOB_ID"], os.environ["SLURM_ARRAY_TASK_ID"]


@on_slurm
def test_one_task_needs_one_element(make_pool: MakePool) -> None:
    """No more is submitted than there is to do."""
    pool = make_pool(processes=4)
    assert pool.map(tasks.environment, ["SLURM_ARRAY_TASK_COUNT"]) == ["1"]


# ---- what is refused


@on_slurm
def test_a_refused_job_is_an_error(make_pool: MakePool, shared_dir: Path) -> None:
    """The call raises Slurm's own words, the command, and where the script is."""
    pool = make_pool(queue="nonesuch")
    with pytest.raises(SubmitError) as caught:
        pool.map_async(tasks.square, [1]).get(tasks.PATIENCE)
    told = str(caught.value)
    assert "invalid partition specified: nonesuch" in told
    assert "sbatch --parsable" in told
    (stored,) = (shared_dir / "work").glob("*/job.sh")
    assert str(stored) in told


@on_slurm
def test_each_call_of_a_refused_pool_raises(make_pool: MakePool) -> None:
    """Nothing hangs, however often one tries."""
    pool = make_pool(queue="nonesuch")
    for _ in range(3):
        with pytest.raises(SubmitError):
            pool.map_async(tasks.square, [1]).get(tasks.PATIENCE)


@on_slurm
def test_a_missing_sbatch_is_an_error(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no commands of Slurm, the call says so."""
    pool = make_pool()
    monkeypatch.setenv("PATH", "/nonesuch")
    with pytest.raises(SubmitError, match="sbatch"):
        pool.map_async(tasks.square, [1]).get(tasks.PATIENCE)


@on_slurm
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interpreter_that_is_missing_there_is_an_error(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """Elements that end before they say a word are told of with the end of their log."""
    pool = make_pool(processes=1, python=shared_dir / "no-python")
    with pytest.raises(pypool.AgentStartError, match="no-python"):
        pool.map_async(tasks.square, [1]).get(200)


@on_slurm
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_script_that_ends_before_it_begins_is_an_error(make_pool: MakePool) -> None:
    """It ends well, as far as the scheduler knows; the likely cause is said."""
    pool = make_pool(processes=1, setup="exit 0")
    with pytest.raises(pypool.AgentStartError, match="look for an `exit` in setup="):
        pool.map_async(tasks.square, [1]).get(200)


# ---- the environment


@on_slurm
def test_habits_and_outer_jobs_change_nothing(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables by which Slurm's commands are steered do not reach them."""
    habits = {
        "SBATCH_PARTITION": "nonesuch",
        "SBATCH_ARRAY_INX": "0-99",
        "SBATCH_EXPORT": "NONE",
        "SQUEUE_FORMAT": "%i",
        "SQUEUE_STATES": "FAILED",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_ARRAY_TASK_ID": "77",
        "SLURM_JOB_ID": "1",
    }
    for name, value in habits.items():
        monkeypatch.setenv(name, value)
    pool = make_pool(processes=2)
    assert pool.map_async(tasks.square, range(4)).get(tasks.PATIENCE) == [0, 1, 4, 9]


@on_clusters
def test_the_environment_comes_along(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks see the variables of the driver."""
    monkeypatch.setenv("MY_SETTING", "so and so")
    assert make_pool().map(tasks.environment, ["MY_SETTING"]) == ["so and so"]


@on_clusters
@pytest.mark.parametrize("name", ["MY_TOKEN", "SECRET_NAME", "DB_PASSWORD", "api_key"])
def test_secrets_stay_at_home(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What looks like a secret does not reach the compute nodes."""
    monkeypatch.setenv(name, "42")
    assert make_pool(processes=1).map(tasks.environment, [name]) == [None]


# ---- the queue afterwards


@on_slurm
def test_after_close_and_join_the_queue_empties(make_pool: MakePool) -> None:
    """Elements leave when the pool is closed."""
    before = jobs_in_queue("slurm")
    pool = make_pool()
    pool.map(tasks.square, range(100))
    assert jobs_in_queue("slurm") > before
    pool.close()
    pool.join()
    assert wait_until(lambda: jobs_in_queue("slurm") <= before, 10)


@on_slurm
def test_terminate_in_the_middle_empties_the_queue(make_pool: MakePool, shared_dir: Path) -> None:
    """Tasks at work are ended, by Slurm's own means."""
    begun = shared_dir / "begun"
    pool = make_pool()
    pool.map_async(tasks.begin_and_sleep, [str(begun)] * 8)
    assert wait_until(begun.exists)
    pool.terminate()
    assert wait_until(lambda: not jobs_in_queue("slurm"), 10)


@on_slurm
def test_terminate_at_once_empties_the_queue(make_pool: MakePool) -> None:
    """Also if `sbatch` has not even answered."""
    pool = make_pool()
    pool.map_async(tasks.square, range(8))
    pool.terminate()
    assert wait_until(lambda: not jobs_in_queue("slurm"), 10)


@on_slurm
def test_leaving_with_by_an_error_empties_the_queue(make_pool: MakePool, shared_dir: Path) -> None:
    """So does an exception in a `with` block."""
    begun = shared_dir / "begun"

    def use(pool: pypool.Pool) -> None:
        with pool:
            pool.map_async(tasks.begin_and_sleep, [str(begun)])
            assert wait_until(begun.exists)
            raise LookupError

    with pytest.raises(LookupError):
        use(make_pool())
    assert wait_until(lambda: not jobs_in_queue("slurm"), 10)


@on_slurm
def test_nobody_who_is_pending_stays(make_pool: MakePool) -> None:
    """Elements for which there is no room yet are cancelled when the pool ends."""
    pool = make_pool(processes=40)
    assert len(pool.map_async(tasks.square, range(4000)).get(tasks.PATIENCE)) == 4000
    pool.close()
    pool.join()
    assert wait_until(lambda: not jobs_in_queue("slurm"), 10)


@on_slurm
def test_a_program_that_ends_without_close_leaves_no_job(driver: Driver) -> None:
    """At the end of a program its open pools are terminated."""
    driver.run(WORKING)
    assert wait_until(lambda: not jobs_in_queue("slurm"), 10)


@on_clusters
def test_interrupt_leaves_no_job(driver: Driver) -> None:
    """Ctrl-C is a KeyboardInterrupt in the driver, and nothing goes on."""
    program = driver.start(WORKING + "\n    handle.get()")
    assert wait_until(driver.file("begun").exists)
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=tasks.PATIENCE)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    if driver.backend == "slurm":
        assert wait_until(lambda: not jobs_in_queue("slurm"), 10)
    assert wait_until(lambda: not driver.processes(), 10)


@on_slurm
def test_a_driver_that_was_killed_can_be_cleaned_up_by_hand(driver: Driver) -> None:
    """Its jobs are called pypool-..., so that one finds them."""
    program = driver.start(WORKING + "\n    handle.get()")
    assert wait_until(driver.file("begun").exists)
    program.kill()
    squeue = ["squeue", "--noheader", "--me", "--format=%F %j"]
    lines = subprocess.run(squeue, capture_output=True, text=True, check=True).stdout.splitlines()
    jobs = {line.split()[0] for line in lines if line.split()[1].startswith("pypool-")}
    assert jobs == jobs_in_queue("slurm") != set()
    subprocess.run(["scancel", *jobs], check=True)


# ---- the scheduler that does not answer


@on_slurm
@pytest.mark.slow
def test_a_silent_squeue_does_no_harm(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results count, whatever the queue says or does not say."""
    commands = shared_dir / "commands"
    commands.mkdir()
    squeue = commands / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Socket timed out' >&2\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    assert shutil.which("squeue") == str(squeue)
    pool = make_pool(processes=2)
    assert pool.map_async(_pause_a_second, range(30)).get(100) == list(range(30))


def _pause_a_second(number: int) -> int:
    import time

    time.sleep(1)
    return number
