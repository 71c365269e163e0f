"""`pypool.local.Pool`: this machine's processors, nothing on its disks, nothing left behind."""

import errno
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import WorkerLostError
from pypool.engine import this_machine
from pypool.engine.this_machine import LocalElements
from pypool.errors import SubmitError
from pypool.machine import usable_cpus

from . import tasks
from .conftest import MakePool
from .scripts import ENDS_WITHIN, WORKING, Driver, memory_directories, wait_until

pytestmark = pytest.mark.parametrize("backend", ["local"], indirect=True)
in_memory = pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs /dev/shm")


def test_its_size_is_the_number_of_usable_processors(backend: str) -> None:
    """Unless told otherwise, as many workers as this process may use CPUs."""
    pool = pypool.local.Pool()
    assert f"processes={usable_cpus()}" in repr(pool)


def test_affinity_is_respected(driver: Driver) -> None:
    """A process that was bound to one CPU gets one worker."""
    program = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import pypool.local
        print("processes=1" in repr(pypool.local.Pool()))
        """
    assert driver.run(program) == "True\n"


def test_it_has_no_job_script(make_pool: MakePool) -> None:
    """Where there is no scheduler there is nothing to show."""
    with pytest.raises(ValueError, match="no job script"):
        make_pool().job_script()


@pytest.mark.parametrize(
    "options", [{"time": 1}, {"python": "/usr/bin/python3"}, {"keep": "none"}, {"linger": 0}]
)
def test_what_is_of_no_use_here_changes_nothing(
    make_pool: MakePool, options: dict[str, object]
) -> None:
    """The same agent serves call after call, and tasks import from where the driver does."""
    pool = make_pool(processes=1, **options)
    assert len({pool.map(tasks.agent, [0])[0] for _ in range(5)}) == 1
    assert pool.map(_import_path, [0]) == [[os.path.abspath(entry) for entry in sys.path]]  # noqa: PTH100


def _import_path(_: int) -> list[str]:
    return sys.path[:]


def test_workers_are_children_of_an_agent(make_pool: MakePool) -> None:
    """Tasks run in processes of their own, not in the driver."""
    pool = make_pool()
    assert os.getpid() not in pool.map(tasks.worker, range(10))
    assert os.getpid() not in pool.map(tasks.agent, range(10))


def test_nothing_is_written_to_the_home_directory(
    make_pool: MakePool, home: Path, shared_dir: Path
) -> None:
    """Nor to the working directory."""
    make_pool().map(tasks.zeros, [100, 100_000])
    assert list(shared_dir.iterdir()) == [home]
    assert not list(home.iterdir())


# ---- the private directory


@in_memory
def test_its_directory_is_private_and_in_memory(make_pool: MakePool) -> None:
    """While the pool is open, what workers read lies in memory, for this user alone."""
    before = memory_directories(os.getpid())
    make_pool().map(tasks.square, range(10))
    (directory,) = set(memory_directories(os.getpid())) - set(before)
    assert directory.stat().st_mode & 0o777 == 0o700


@in_memory
def test_an_empty_call_makes_no_directory(make_pool: MakePool) -> None:
    """Nothing is made before there is a task."""
    before = memory_directories(os.getpid())
    assert make_pool().map(tasks.square, []) == []
    assert memory_directories(os.getpid()) == before


@in_memory
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_its_directory_goes_with_the_pool(make_pool: MakePool, end: str) -> None:
    """After `close` and `join`, or `terminate`, nothing is left in memory."""
    before = memory_directories(os.getpid())
    pool = make_pool()
    pool.map(tasks.zeros, [100, 100_000] * 10)
    getattr(pool, end)()
    pool.join()
    assert memory_directories(os.getpid()) == before


@in_memory
def test_its_directory_goes_after_the_agents_death(make_pool: MakePool) -> None:
    """Also if the agent was killed meanwhile."""
    before = memory_directories(os.getpid())
    pool = make_pool()
    (agent,) = pool.map(tasks.agent, [0])
    os.kill(agent, signal.SIGKILL)
    pool.close()
    pool.join()
    assert memory_directories(os.getpid()) == before


def test_a_task_that_kills_its_agent_is_started_no_more_often_than_asked(
    make_pool: MakePool, tmp_path: Path
) -> None:
    """Once, without retries; the error names the signal."""
    pool = make_pool(processes=1, retries=0)
    starts = tmp_path / "starts"
    with pytest.raises(WorkerLostError, match=r"lost once .*\n.* agent was killed by SIGKILL\n"):
        pool.map_async(tasks.kill_agent, [str(starts)]).get(tasks.PATIENCE)
    assert starts.read_text() == "x"


# ---- many threads from the first call on


@pytest.mark.parametrize("start", range(3))
def test_threads_may_make_the_first_calls_together(driver: Driver, start: int) -> None:
    """Of functions without a name, for which more has to be imported, at any moment."""
    program = """
        import threading
        import pypool.local

        pool = pypool.local.Pool(2)
        together = threading.Barrier(20)
        right = []

        def use(k):
            together.wait()
            right.append(pool.map(lambda x: x + k, range(200)) == list(range(k, k + 200)))

        threads = [threading.Thread(target=use, args=(k,)) for k in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(right == [True] * 20)
        """
    assert driver.run(program) == "True\n"


# ---- the ends of a program

ENDS = {
    "falls off its end": "",
    "raises": "raise ValueError",
    "exits": "raise SystemExit(0)",
    "closes": "pool.terminate()",
    "forgets the pool": "del pool, handle",
}


@pytest.mark.parametrize("end", ENDS)
def test_no_process_is_left(driver: Driver, end: str) -> None:
    """However a program ends with tasks at work, its workers end with it."""
    program = driver.start(WORKING + "\n    " + ENDS[end])
    output, _ = program.communicate(timeout=tasks.PATIENCE)
    assert "at work" in output
    assert driver.all_end()
    assert not memory_directories(program.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_process_is_left_after_the_drivers_death(driver: Driver, number: int) -> None:
    """A driver that was killed leaves neither workers nor files in memory."""
    program = driver.start(WORKING + "\n    time.sleep(60)")
    assert wait_until(driver.file("begun").exists)
    os.kill(program.pid, number)
    program.wait(tasks.PATIENCE)
    assert driver.all_end()
    assert wait_until(lambda: not memory_directories(program.pid), ENDS_WITHIN)


def test_no_process_is_left_by_an_idle_pool(driver: Driver) -> None:
    """A driver that was killed while its pool had nothing to do."""
    program = driver.start(
        """
        import time
        pool = POOL
        pool.map(abs, range(10))
        open("begun", "w").close()
        time.sleep(60)
        """
    )
    assert wait_until(driver.file("begun").exists)
    program.kill()
    program.wait(tasks.PATIENCE)
    assert driver.all_end()
    assert wait_until(lambda: not memory_directories(program.pid), ENDS_WITHIN)


def test_what_tasks_print_appears(driver: Driver) -> None:
    """Tasks print where the program prints."""
    program = """
        with POOL as pool:
            pool.map(print, ["from a task", "from another"])
        """
    assert sorted(driver.run(program).splitlines()) == ["from a task", "from another"]


def test_interrupt_ends_the_program(driver: Driver) -> None:
    """Ctrl-C raises KeyboardInterrupt in the driver; workers say nothing of their own."""
    program = driver.start(WORKING + "\n    handle.get()")
    assert wait_until(driver.file("begun").exists)
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=tasks.PATIENCE)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    assert driver.all_end()


# ---- forks, threads, pools in pools


def test_a_forked_child_does_no_harm(driver: Driver) -> None:
    """A fork of the driver may end as it likes, the pool is its parent's."""
    program = """
        import os, sys

        pool = POOL
        print(pool.map(abs, range(3)), flush=True)
        child = os.fork()
        if not child:
            sys.exit()  # runs what was registered for the end
        print(os.waitpid(child, 0)[1], flush=True)
        print(pool.map(abs, range(3)))
        pool.close()
        pool.join()
        """
    assert driver.run(program) == "[0, 1, 2]\n0\n[0, 1, 2]\n"


def test_a_forked_child_cannot_use_the_pool(driver: Driver) -> None:
    """In a fork the pool is not running, and its ends do nothing."""
    program = """
        import os, sys

        pool = POOL
        pool.map(abs, range(3))
        child = os.fork()
        if not child:
            try:
                pool.map(abs, [1])
            except ValueError as error:
                print(error, flush=True)
            pool.close()
            pool.terminate()
            sys.exit()
        os.waitpid(child, 0)
        print(pool.map(abs, range(3)))
        """
    assert driver.run(program) == "Pool not running\n[0, 1, 2]\n"


def test_a_child_that_goes_on_does_not_hold_the_pool_open(driver: Driver) -> None:
    """Workers end with the driver although a fork of it lives on with its descriptors."""
    program = """
        import os, time

        pool = POOL
        pool.map(abs, range(3))
        if not os.fork():
            open("child", "w").write(str(os.getpid()))
            time.sleep(60)
        while not os.path.exists("child") or not open("child").read():
            time.sleep(0.01)
        os._exit(0)
        """
    process = driver.start(program)
    process.wait(tasks.PATIENCE)
    child = int(driver.file("child").read_text())
    try:
        assert wait_until(lambda: driver.processes() == [child], ENDS_WITHIN)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_pool_in_a_task_of_a_pool(make_pool: MakePool) -> None:
    """Pools nest."""

    def inner(number: int) -> list[int]:
        with pypool.local.Pool(2) as pool:
            return pool.map(abs, range(number))

    assert make_pool().map_async(inner, [2, 3]).get(tasks.PATIENCE) == [[0, 1], [0, 1, 2]]


def test_a_stdlib_pool_in_a_task_of_a_pool(make_pool: MakePool) -> None:
    """Workers may have children, unlike those of the stdlib."""

    def inner(number: int) -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, range(number))

    assert make_pool().map_async(inner, [2, 3]).get(tasks.PATIENCE) == [[0, 1], [0, 1, 2]]


def put_guarded(item: tuple[Any, Any, int]) -> None:
    queue, lock, number = item
    with lock:
        queue.put(number)


def test_managers_of_the_program_can_be_used(backend: str) -> None:
    """As by the standard library's workers: their queues and locks go along with items."""
    with multiprocessing.Manager() as manager, pypool.local.Pool(2) as pool:
        queue, lock = manager.Queue(), manager.Lock()
        pool.map(put_guarded, [(queue, lock, number) for number in range(5)])
        assert sorted(queue.get(timeout=30) for _ in range(5)) == list(range(5))


def test_a_machine_without_processes_ends_a_call_and_not_the_pool(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happened is told; the next call tries it again."""

    def no_more(self: LocalElements, element: str) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(this_machine, "PATIENCE_AT_START", 0.0)
    with make_pool(processes=1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(LocalElements, "_start", no_more)
            with pytest.raises(SubmitError, match="Resource temporarily unavailable"):
                pool.map(abs, [-1])
        assert pool.map(abs, [-1]) == [1]
