"""Ctrl-C: the program gets a KeyboardInterrupt and ends, with all that it has started.

Only pypool promises this. With multiprocessing the workers get the signal as well, and now and
then `terminate` waits for ever for the lock of their queue.
"""

import os
import signal

import pytest
from pool.queues import jobs_in_queue
from pool.scripts import TIMEOUT, Driver, wait_until

from .kinds import CLUSTERS, on_pypool
from .test_scripts import STDLIB_IMPORT, program

ENDS_WITHIN = 10.0  # seconds

HEAD = f"""
{STDLIB_IMPORT}
import os, sys, time

def work(number):
    open("begun", "w").close()
    time.sleep(60)

if __name__ == "__main__":
"""

WAYS = {
    "map in with": """
    with Pool(2) as pool:
        pool.map(work, range(6))
    """,
    "starmap without with": """
    pool = Pool(2)
    pool.starmap(work, [(number,) for number in range(6)])
    """,
    "imap_unordered without with": """
    pool = Pool(2)
    for result in pool.imap_unordered(work, range(6)):
        print(result)
    """,
    "apply in with": """
    with Pool(2) as pool:
        pool.apply(work, (1,))
    """,
}

CAUGHT = """
    pool = Pool(2)
    try:
        pool.map_async(work, range(6)).get(timeout=10_000)
    except KeyboardInterrupt:
        pool.terminate()
        pool.join()
        print("interrupted")
        sys.exit(3)
    """


def interrupt(driver: Driver, text: str) -> tuple[int, str, str]:
    """Ctrl-C once a task is at work, as a terminal sends it: to the program and its children."""
    process = driver.start(text)
    begun = wait_until(driver.file("begun").exists)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert begun, errors
    return process.returncode, output, errors


def assert_all_is_gone(driver: Driver, kind: str, jobs_before: set[str]) -> None:
    if kind in CLUSTERS:
        assert wait_until(lambda: jobs_in_queue(kind) <= jobs_before, ENDS_WITHIN)
    assert wait_until(lambda: not driver.processes(), ENDS_WITHIN)


@pytest.mark.parametrize("way", WAYS)
@on_pypool
def test_nobody_catches_it(driver: Driver, kind: str, way: str) -> None:
    """The program dies of it, as Python programs do."""
    before = jobs_in_queue(kind) if kind in CLUSTERS else set()
    code, _, errors = interrupt(driver, program(HEAD + WAYS[way], kind))
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert_all_is_gone(driver, kind, before)


@on_pypool
def test_the_program_catches_it(driver: Driver, kind: str) -> None:
    """`except KeyboardInterrupt` around `get`: terminate, and on with the program."""
    before = jobs_in_queue(kind) if kind in CLUSTERS else set()
    code, output, _ = interrupt(driver, program(HEAD + CAUGHT, kind))
    assert (code, output) == (3, "interrupted\n")
    assert_all_is_gone(driver, kind, before)
