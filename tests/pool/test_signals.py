"""Programs with a pool that has jobs, ended by SIGTERM and SIGHUP: nothing of theirs stays."""

import signal
from pathlib import Path

import pytest

from pypool.rundir import names

from .scripts import TIMEOUT, WORKING, Driver, wait_until

pytestmark = pytest.mark.parametrize("backend", ["shell"])

both = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])

NAMED = WORKING.replace("POOL", "__import__('pypool').shell.Pool(2, work_dir='work', name='it')")


def locks(driver: Driver) -> list[Path]:
    """What is there of locks of its runs."""
    return list(driver.file("work").glob(f"*/{names.LOCK}*"))


def end_by(driver: Driver, program: str, number: int) -> str:
    """Ends the program when its tasks are at work; gives what it says on standard error."""
    process = driver.start(program)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -number
    return errors


@both
@pytest.mark.parametrize("waiting", ["handle.get()", "time.sleep(60)", "input()"])
def test_signal_leaves_nothing(driver: Driver, number: int, waiting: str) -> None:
    """Workers, agents and the program are gone, and the status is the signal's."""
    errors = end_by(
        driver, WORKING + "\n    " + waiting.replace("input()", "os.read(os.pipe()[0], 1)"), number
    )
    assert driver.all_end()
    assert "Traceback" not in errors


@both
def test_signal_leaves_a_named_run_without_its_driver(driver: Driver, number: int) -> None:
    """A named run goes on, and nobody has its lock."""
    driver.file("work").mkdir(mode=0o700)
    errors = end_by(driver, NAMED + "\n    handle.get()", number)
    assert "Traceback" not in errors
    assert locks(driver) == []
    assert driver.processes()  # the agents


def test_killed_driver_leaves_a_lock_that_is_taken_over(driver: Driver) -> None:
    """After kill -9 the next start of the program has the run at once."""
    driver.file("work").mkdir(mode=0o700)
    end_by(driver, NAMED + "\n    handle.get()", signal.SIGKILL)
    assert len(locks(driver)) == 1
    program = """
        import pypool.shell
        with pypool.shell.Pool(2, work_dir="work", name="it") as pool:
            pool.map_async(abs, [-3])  # workers may still be at what the first program wanted
        """
    driver.run(program)
    assert wait_until(lambda: locks(driver) == [])


def test_forked_child_that_is_terminated_ends_nothing(driver: Driver) -> None:
    """A fork of the program that gets the signal leaves the pool alone."""
    program = """
        import os, signal, time
        with POOL as pool:
            handle = pool.map_async(time.sleep, [0.5] * 4)
            child = os.fork()
            if not child:
                time.sleep(60)
            os.kill(child, signal.SIGTERM)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), handle.get(30))
        """
    assert driver.run(program) == "-15 [None, None, None, None]\n"
    assert driver.all_end()
