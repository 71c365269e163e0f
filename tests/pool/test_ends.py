"""How pools end, on purpose or not: no caller waits for ever, no job and no process stays."""

import os
import signal
import time
from pathlib import Path

import pytest

from pypool.engine.dealing.deal import Deal

from . import tasks
from .conftest import BACKENDS, MakePool
from .scripts import WORKING, Driver, wait_until

ENDS = {
    "closed but not joined": "pool.close()",
    "closed and forgotten": "pool.close(); del pool, handle; gc.collect()",
    "forgotten": "del pool, handle; gc.collect()",
}

on_local = pytest.mark.parametrize("backend", ["local"])
on_shell = pytest.mark.parametrize("backend", ["shell"])


@pytest.mark.parametrize("end", ENDS)
def test_a_pool_that_was_left_alone_ends_with_the_program(driver: Driver, end: str) -> None:
    """Whoever does not join his pool leaves no job behind all the same."""
    driver.run(WORKING + "\n    " + ENDS[end])
    assert driver.all_end()


def test_many_small_maps_do_not_slow_down_to_a_halt(make_pool: MakePool) -> None:
    """After the allowance of opens is used up, maps go on."""
    pool = make_pool()
    for _ in range(1500):
        assert pool.map_async(abs, range(4)).get(tasks.PATIENCE) == [0, 1, 2, 3]


@on_local
def test_a_local_agent_that_is_terminated_is_replaced(make_pool: MakePool) -> None:
    """SIGTERM to the agent costs no result: the run is not over while the driver lives."""
    pool = make_pool()
    (agent,) = pool.map(tasks.agent, [0])
    handle = pool.map_async(time.sleep, [0.1] * 12)
    os.kill(agent, signal.SIGTERM)
    assert handle.get(tasks.PATIENCE) == [None] * 12


@on_local
def test_a_local_agent_that_dies_unseen_is_replaced(make_pool: MakePool) -> None:
    """A share for an agent that has just been killed goes to the next one."""
    pool = make_pool()
    for number in range(20):
        (agent,) = pool.map(tasks.agent, [0])
        os.kill(agent, signal.SIGKILL)
        time.sleep(0.001 * (number % 3))
        assert pool.map_async(abs, [-1]).get(tasks.PATIENCE) == [1]


@on_shell
def test_a_bug_in_the_dispatcher_makes_nobody_wait(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in the thread, callers get an error, and the next call a new run."""
    pool = make_pool()
    assert pool.map(abs, [-1]) == [1]

    def broken(self: Deal, now: float) -> None:
        raise ZeroDivisionError("a bug")

    for name in ("decide", "deal_at_once", "drop_batches"):
        monkeypatch.setattr(Deal, name, broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        pool.map_async(abs, [-1]).get(tasks.PATIENCE)
    monkeypatch.undo()
    assert pool.map_async(abs, [-1]).get(tasks.PATIENCE) == [1]


@on_local
def test_a_fork_of_a_fork_keeps_its_own_files(driver: Driver) -> None:
    """Letting go of the pool's pipes happens once, in the first fork."""
    program = """
        import os
        with POOL as pool:
            pool.map(abs, [1])
            if not os.fork():
                files = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
                if not os.fork():
                    for file in files:
                        os.fstat(file)
                    open("fine", "w").close()
                    os._exit(0)
                os.wait()
                os._exit(0)
            os.wait()
        """
    driver.run(program)
    assert driver.file("fine").exists()


@on_shell
def test_elements_that_have_left_leave_no_file(make_pool: MakePool, shared_dir: Path) -> None:
    """When an agent has said goodbye, its mailboxes go; what it printed nothing into too."""
    pool = make_pool(processes=1)
    (agent,) = pool.map(tasks.agent, [0])
    (run,) = (shared_dir / "work").iterdir()
    os.kill(agent, signal.SIGTERM)
    assert wait_until(lambda: not list((run / "elements").iterdir()))
    assert pool.map_async(abs, [-1]).get(tasks.PATIENCE) == [1]


@on_shell
def test_a_pool_that_was_never_used_leaves_nothing(make_pool: MakePool, shared_dir: Path) -> None:
    """Nothing was begun, so there is nothing to end."""
    for end in ("close", "terminate"):
        pool = make_pool()
        getattr(pool, end)()
        pool.join()
    assert list((shared_dir / "work").iterdir()) == []


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_while_the_pool_is_joined_leaves_nothing(driver: Driver, times: int) -> None:
    """An interrupted `join` is not the end of waiting: jobs are cancelled before the program ends.

    Whoever presses it again while they are has no effect on that.
    """
    process = driver.start(WORKING + "\n    pool.close()\n    pool.join()")
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    process.communicate(timeout=60)
    assert driver.all_end()
