"""Processes die, tasks do not get lost: right results, or an error that says what happened."""

import functools
import os
import signal
import time
from pathlib import Path

import pytest

from pypool import Pool, WorkerLostError

from . import tasks
from .conftest import MakePool

HOWS = ["SIGKILL", "SIGTERM", "segfault", "exit 0", "exit 3"]
on_clusters_slow = pytest.mark.parametrize(
    "backend",
    [
        pytest.param("local"),
        pytest.param("shell", marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        pytest.param(
            "slurm", marks=[pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(300)]
        ),
        pytest.param("sge", marks=[pytest.mark.sge, pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
    indirect=True,
)


def lost_by(pool: Pool, function: object, items: object) -> WorkerLostError:
    """The error of a call in which a task is lost for good."""
    with pytest.raises(WorkerLostError) as caught:
        pool.map_async(function, items).get(tasks.PATIENCE)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("how", HOWS)
def test_a_dead_workers_task_is_done_again(pool: Pool, shared_dir: Path, how: str) -> None:
    """When a worker dies in the middle of a map, the map has all the right results."""
    function = functools.partial(tasks.die_once, str(shared_dir / "mark"), how)
    assert pool.map_async(function, range(200)).get(tasks.PATIENCE) == list(range(200))
    assert (shared_dir / "mark").exists()


def test_every_worker_may_die(pool: Pool, shared_dir: Path) -> None:
    """Many deaths in one map cost nothing but time."""
    functions = [shared_dir / f"mark {number}" for number in range(8)]
    call = functools.partial(_die_once_each, [str(path) for path in functions])
    assert pool.map_async(call, range(40)).get(tasks.PATIENCE) == list(range(40))
    assert all(path.exists() for path in functions)


def _die_once_each(marks: list[str], index: int) -> int:
    if index % 5 == 0:
        tasks.die_once(marks[index // 5], "SIGKILL", index)
    return index


@pytest.mark.parametrize("how", ["SIGKILL", "segfault", "exit 0"])
def test_a_deadly_task_is_started_three_times(pool: Pool, shared_dir: Path, how: str) -> None:
    """Two retries, then the task is given up."""
    lost_by(pool, functools.partial(tasks.die_always, str(shared_dir)), [how])
    assert len(list(shared_dir.glob("start *"))) == 3


def test_the_error_names_task_function_and_signal(pool: Pool) -> None:
    """One learns which item it was, of which function, and what ended the worker."""
    told = str(lost_by(pool, functools.partial(tasks.die_if, 2), range(4)))
    assert "task 2 " in told
    assert "die_if" in told
    assert "SIGKILL" in told
    assert "3 times" in told


def test_the_error_names_the_exit_code(pool: Pool) -> None:
    """A worker that left by itself is told apart from one that was killed."""
    assert "exit code 3" in str(lost_by(pool, tasks.die, ["exit 3"]))


def test_other_tasks_are_done_beside_a_deadly_one(pool: Pool, shared_dir: Path) -> None:
    """A task that kills each of its workers takes no other task with it."""
    lost_by(pool, functools.partial(_note_or_die, str(shared_dir)), range(50))
    assert {path.name for path in shared_dir.glob("[0-9]*")} == {str(n) for n in range(50)} - {"17"}


def _note_or_die(directory: str, index: int) -> None:
    if index == 17:
        tasks.die("SIGKILL")
    Path(directory, str(index)).touch()


def test_a_deadly_task_among_many_short_ones_is_given_up(pool: Pool) -> None:
    """It comes again when its worker has sent what it made of others, and kills it then."""
    for _ in range(2):
        assert lost_by(pool, _die_if_five, range(3000))


def _die_if_five(number: int) -> int:
    if number == 5:
        os._exit(3)
    return number


def test_of_an_error_and_a_loss_the_lower_index_is_raised(pool: Pool) -> None:
    """A lost task counts as one that raised."""
    with pytest.raises(ZeroDivisionError) as caught:
        pool.map_async(_divide_or_die, [1, 0, -1]).get(tasks.PATIENCE)
    assert "1 other task" in "\n".join(caught.value.__notes__)


def _divide_or_die(number: int) -> float:
    if number < 0:
        tasks.die("SIGKILL")
    return 1 / number


def test_the_pool_goes_on_after_a_loss(pool: Pool) -> None:
    """The next call finds workers as if nothing had happened."""
    lost_by(pool, tasks.die, ["SIGKILL"])
    assert pool.map_async(tasks.square, range(50)).get(60) == [number**2 for number in range(50)]


def test_a_death_that_a_grandchild_outlives_is_noticed(pool: Pool, shared_dir: Path) -> None:
    """What a task has forked holds pipes open; that its worker is dead is learned all the same."""
    mark = str(shared_dir / "mark")
    assert pool.map_async(tasks.leave_child_and_die_once, [mark]).get(tasks.PATIENCE) == [True]


def test_a_child_that_comes_back_does_no_harm(pool: Pool) -> None:
    """A task that forks and lets the child return gives one result."""

    def fork(_: int) -> bool:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return pid != 0

    assert pool.map_async(fork, range(3)).get(tasks.PATIENCE) == [True, True, True]
    assert pool.map_async(tasks.square, range(3)).get(tasks.PATIENCE) == [0, 1, 4]


def test_a_worker_that_dies_between_calls_is_replaced(pool: Pool) -> None:
    """An idle worker's death costs nobody anything."""
    _, *_ = pids = set(pool.map_async(tasks.worker, range(20)).get(tasks.PATIENCE))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert pool.map_async(tasks.square, range(20)).get(tasks.PATIENCE) == [n**2 for n in range(20)]


def test_a_large_result_of_a_dying_worker_counts(pool: Pool, shared_dir: Path) -> None:
    """Results that were complete before the death are not lost with it."""
    function = functools.partial(_large_then_die_once, str(shared_dir / "mark"))
    results = pool.map_async(function, range(6)).get(tasks.PATIENCE)
    assert [len(result) for result in results] == [300_000] * 6


def _large_then_die_once(mark: str, index: int) -> bytes:
    if index == 4:
        tasks.die_once(mark, "SIGKILL", index)
    return bytes(300_000)


@on_clusters_slow
def test_a_dead_agents_tasks_are_done_again(make_pool: MakePool, shared_dir: Path) -> None:
    """When the agent itself is killed, another one is got and the map ends right."""
    pool = make_pool()
    function = functools.partial(tasks.kill_agent_once, str(shared_dir / "mark"))
    assert pool.map_async(function, range(50)).get(200) == list(range(50))


@on_clusters_slow
def test_workers_end_with_their_agent(make_pool: MakePool) -> None:
    """A killed agent leaves no worker behind."""
    pool = make_pool(processes=1)
    (pid,) = pool.map_async(tasks.worker, [0]).get(tasks.PATIENCE)
    (parent,) = pool.map_async(tasks.agent, [0]).get(tasks.PATIENCE)
    os.kill(parent, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


@on_clusters_slow
def test_an_agent_that_dies_between_calls_is_replaced(make_pool: MakePool) -> None:
    """After the death of an idle agent the next call gets a new one."""
    pool = make_pool(processes=1)
    (parent,) = pool.map_async(tasks.agent, [0]).get(tasks.PATIENCE)
    os.kill(parent, signal.SIGKILL)
    assert pool.map_async(tasks.square, range(5)).get(200) == [0, 1, 4, 9, 16]


@on_clusters_slow
def test_a_task_that_kills_its_agent_is_given_up(make_pool: MakePool) -> None:
    """An element's death is charged to the task that was at work, three times at most."""
    pool = make_pool(processes=1)
    handle = pool.map_async(_kill_agent_if_two, range(4))
    with pytest.raises(WorkerLostError, match="task 2 "):
        handle.get(200)


def _kill_agent_if_two(index: int) -> int:
    if index == 2:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(tasks.PATIENCE)
    return index
