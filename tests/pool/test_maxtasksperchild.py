"""`maxtasksperchild`: after how much a worker is replaced."""

import atexit
import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from . import tasks
from .conftest import MakePool
from .scripts import wait_until


def pid_and_index(index: int) -> tuple[int, int]:
    return os.getpid(), index


def at_exit(path: str) -> None:
    atexit.register(Path(path).write_text, "ended")


def leave_a_child(_: int) -> int:
    return subprocess.Popen(["sleep", "60"]).pid


def hang_at_exit(_: int) -> int:
    atexit.register(wait_for_ever)
    return os.getpid()


def wait_for_ever() -> None:
    time.sleep(60)


@pytest.mark.parametrize("most", [1, 3])
def test_it_counts_tasks(make_pool: MakePool, most: int) -> None:
    """No worker runs more of them, and none ends before."""
    pool = make_pool(maxtasksperchild=most)
    pids = Counter(pool.map(tasks.worker, range(18)))
    assert max(pids.values()) <= most
    assert sum(pids.values()) == 18
    if most == 1:
        assert len(pids) == 18


def test_it_counts_chunks_if_they_are_given(make_pool: MakePool) -> None:
    """Each chunk, and nothing else, is run by a process of its own."""
    pool = make_pool(maxtasksperchild=1)
    found = pool.map(pid_and_index, range(22), 5)
    assert [index for _, index in found] == list(range(22))
    chunks = [{pid for pid, index in found if index // 5 == chunk} for chunk in range(5)]
    assert [len(pids) for pids in chunks] == [1] * 5
    assert len(set.union(*chunks)) == 5


def test_single_calls_and_lazy_ones_count_as_well(make_pool: MakePool) -> None:
    """Each is a task."""
    pool = make_pool(maxtasksperchild=1)
    handles = [pool.apply_async(tasks.worker) for _ in range(6)]
    pids = [handle.get(60) for handle in handles] + list(pool.imap(tasks.worker, range(6)))
    assert len(set(pids)) == 12


def test_a_worker_ends_as_a_process_of_python_does(make_pool: MakePool, shared_dir: Path) -> None:
    """What its tasks have registered for that is done; what they left running is ended."""
    pool = make_pool(processes=1, maxtasksperchild=2)
    pool.map(at_exit, [str(shared_dir / "one")])
    child = pool.apply(leave_a_child, (0,))
    assert wait_until((shared_dir / "one").exists, 20)
    assert wait_until(lambda: not Path(f"/proc/{child}").exists(), 20)


def test_so_do_workers_of_a_pool_that_is_closed(make_pool: MakePool, shared_dir: Path) -> None:
    """Those without work when it ends."""
    pool = make_pool()
    pool.map(at_exit, [str(shared_dir / "one")])
    pool.close()
    pool.join()
    assert (shared_dir / "one").read_text() == "ended"


def test_one_that_hangs_at_its_end_is_ended(make_pool: MakePool) -> None:
    """The next one takes its place."""
    pool = make_pool(processes=1, maxtasksperchild=1)
    first, second = pool.map(hang_at_exit, range(2), 1)
    assert first != second
