"""`keep`: what lies in the work directory when a pool has ended, file by file."""

import os
import time
from pathlib import Path

import pytest

from pypool import WorkerLostError
from pypool.engine.backend import KEPT_RUNS
from pypool.rundir import names

from . import tasks
from .conftest import MakePool

CLUSTERS = [pytest.param("shell"), pytest.param("slurm", marks=pytest.mark.slurm)]
on_clusters = pytest.mark.parametrize("backend", CLUSTERS, indirect=True)
on_shell = pytest.mark.parametrize("backend", ["shell"], indirect=True)

RECORD = {"run.json", "job.sh", "driver", "journal", "scheduler/LOG"}
"""What tells of a run."""

INPUTS = {"functions/DIGEST", "batches/1"}
MAILBOXES = {f"elements/TOKEN/0/{name}" for name in ("owner", "inbox", "outbox.1")}
OUTPUT = {"elements/TOKEN/0/output.0"}
LARGE_RESULT = {"elements/TOKEN/0/data.0.1"}
LARGE = names.INLINE_LIMIT
LARGE_BATCH = names.OWN_BATCH


def left_in(work_dir: Path) -> set[str]:
    """All files of the only run; what has another name each time is called by what it is."""
    (run,) = work_dir.iterdir()
    found = set()
    for path in run.rglob("*"):
        parts = list(path.relative_to(run).parts)
        if not path.is_dir():
            if parts[0] == "elements":
                parts[1] = "TOKEN"
            if parts[0] in ("functions", "scheduler"):
                parts[1] = {"functions": "DIGEST", "scheduler": "LOG"}[parts[0]]
            found.add("/".join(parts))
    return found


def use(make_pool: MakePool, keep: str, end: str = "close") -> None:
    """A pool of one worker that gives small and large results and prints something."""
    pool = make_pool(processes=1, keep=keep)
    assert pool.map(tasks.zeros, [1, LARGE]) == [bytes(1), bytes(LARGE)]
    pool.map(print, ["hello"])
    getattr(pool, end)()
    pool.join()


def lose_a_task(make_pool: MakePool, keep: str) -> None:
    """As before, and a task of another call is lost for good."""
    pool = make_pool(processes=1, keep=keep, retries=0)
    pool.map(tasks.square, [3])
    with pytest.raises(WorkerLostError):
        pool.map(tasks.die, ["SIGKILL"])
    pool.close()
    pool.join()


@on_clusters
def test_none_leaves_nothing(make_pool: MakePool, shared_dir: Path) -> None:
    """The directory goes."""
    use(make_pool, "none")
    assert list((shared_dir / "work").iterdir()) == []


@on_shell
def test_none_leaves_nothing_after_terminate(make_pool: MakePool, shared_dir: Path) -> None:
    """However the pool ends."""
    use(make_pool, "none", end="terminate")
    assert list((shared_dir / "work").iterdir()) == []


@on_shell
def test_none_leaves_nothing_though_tasks_failed(make_pool: MakePool, shared_dir: Path) -> None:
    """The message was all that was wanted."""
    lose_a_task(make_pool, "none")
    assert list((shared_dir / "work").iterdir()) == []


@on_clusters
def test_all_leaves_everything(make_pool: MakePool, shared_dir: Path) -> None:
    """Inputs, mailboxes, results and what was printed."""
    use(make_pool, "all")
    found = left_in(shared_dir / "work")
    assert found == RECORD | INPUTS | MAILBOXES | OUTPUT | LARGE_RESULT


@on_shell
def test_all_keeps_batches_that_are_over(make_pool: MakePool, shared_dir: Path) -> None:
    """A large one has a file of its own, which would go when its call is over."""
    pool = make_pool(processes=1, keep="all")
    for _ in range(3):
        pool.map(tasks.size_of, [bytes(LARGE_BATCH)])
    pool.terminate()
    found = left_in(shared_dir / "work")
    assert found >= {f"batches/{number}" for number in (1, 2, 3)}


@on_shell
def test_all_keeps_elements_that_have_left(make_pool: MakePool, shared_dir: Path) -> None:
    """Also those that left before the end."""
    pool = make_pool(processes=1, keep="all", linger=0.2)
    pool.map(tasks.square, [3])
    time.sleep(2)
    pool.map(tasks.square, [3])
    pool.close()
    pool.join()
    (run,) = (shared_dir / "work").iterdir()
    assert len(list(run.glob("elements/*/0/outbox.1"))) == 2


@on_clusters
def test_failed_leaves_what_tells_of_the_run(make_pool: MakePool, shared_dir: Path) -> None:
    """And what tasks have printed; no input, no result, no mailbox."""
    use(make_pool, "failed")
    assert left_in(shared_dir / "work") == RECORD | OUTPUT


@on_shell
def test_an_error_of_the_function_is_no_failure(make_pool: MakePool, shared_dir: Path) -> None:
    """The program was told all of it."""
    pool = make_pool(processes=1)
    with pytest.raises(ZeroDivisionError):
        pool.map(tasks.divide, [0])
    pool.close()
    pool.join()
    assert left_in(shared_dir / "work") == RECORD


@on_shell
def test_failed_leaves_everything_of_a_lost_task(make_pool: MakePool, shared_dir: Path) -> None:
    """Whoever looks for the reason needs function and item."""
    lose_a_task(make_pool, "failed")
    assert left_in(shared_dir / "work") == RECORD | INPUTS | MAILBOXES | OUTPUT


@on_shell
def test_a_lost_task_s_batch_stays(make_pool: MakePool, shared_dir: Path) -> None:
    """Large batches of other calls go as ever."""
    pool = make_pool(processes=1, retries=0)
    pool.map(tasks.size_of, [bytes(LARGE_BATCH)])
    with pytest.raises(WorkerLostError):
        pool.map(lambda item: os._exit(len(item) > 0), [bytes(LARGE_BATCH)])
    pool.map(tasks.size_of, [bytes(LARGE_BATCH)])
    pool.close()
    pool.join()
    batches = {name for name in left_in(shared_dir / "work") if name.startswith("batches")}
    assert "batches/2" in batches
    assert "batches/1" not in batches


@on_shell
def test_runs_of_which_all_is_kept_do_not_go_by_themselves(
    make_pool: MakePool, shared_dir: Path
) -> None:
    """However old, and however many newer ones there are."""
    use(make_pool, "all")
    (kept,) = (shared_dir / "work").iterdir()
    os.utime(kept / "driver", (1, 1))
    for _ in range(KEPT_RUNS + 2):
        pool = make_pool(processes=1)
        pool.map(tasks.square, [1])
        pool.terminate()
    assert (kept / "batches" / "1").exists()
    assert len(list((shared_dir / "work").iterdir())) <= KEPT_RUNS + 2


@on_shell
def test_a_work_directory_that_others_use_too_stays(make_pool: MakePool, shared_dir: Path) -> None:
    """`none` removes the run, not what lies beside it."""
    (shared_dir / "work").mkdir()
    (shared_dir / "work" / "thesis.tex").touch()
    use(make_pool, "none")
    assert [path.name for path in (shared_dir / "work").iterdir()] == ["thesis.tex"]
