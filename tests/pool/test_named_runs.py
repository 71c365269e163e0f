"""Named runs: whatever becomes of the driver, its program started again does only what is left."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from pypool.rundir import names

from .conftest import BACKENDS
from .scripts import Driver, wait_until

on_disk = pytest.mark.parametrize("backend", BACKENDS[1:])
on_shell = pytest.mark.parametrize("backend", ["shell"])

SURVEY = """
    import functools, os, sys, time

    def work(number, seconds=SECONDS, plus=0):
        with open(f"begun/{number}", "a") as record:
            record.write("x")
        time.sleep(seconds)
        return number * number + plus

    pool = NAMED
    """
TWENTY = """
    print(pool.map(work, range(20)), flush=True)
    """
RIGHT = [number * number for number in range(20)]


def program(driver: Driver, text: str, seconds: float = 0.1) -> str:
    """A program with a named pool; how often each item was begun is found in files."""
    named = driver.text("POOL").strip()[:-1] + ", name='survey')"
    driver.file("begun").mkdir(exist_ok=True)
    return (SURVEY + text).replace("NAMED", named).replace("SECONDS", str(seconds))


def begun(driver: Driver) -> dict[int, int]:
    """How often each item was begun."""
    return {int(file.name): file.stat().st_size for file in driver.file("begun").iterdir()}


def once(count: int = 20) -> dict[int, int]:
    return dict.fromkeys(range(count), 1)


def run(driver: Driver) -> Path:
    return driver.file("work") / "survey"


def await_begun(driver: Driver, count: int) -> None:
    """A file may be there a moment before something is in it."""
    assert wait_until(lambda: sum(map(bool, begun(driver).values())) >= count)


@on_disk
def test_a_killed_driver_is_followed_by_another_one(driver: Driver) -> None:
    """Nothing that was begun before is begun again: the agents go on meanwhile."""
    text = program(driver, TWENTY)
    first = driver.start(text)
    await_begun(driver, 5)
    first.kill()
    first.wait()
    assert driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == once()


@on_disk
def test_what_is_done_is_not_done_again(driver: Driver) -> None:
    """The program raises after its map: the next start finds all results."""
    text = program(driver, TWENTY + "\n    if not os.path.exists('twice'): raise SystemError")
    first = driver.start(text)
    output, errors = first.communicate()
    assert output == f"{RIGHT}\n"
    assert "SystemError" in errors
    driver.file("twice").touch()
    assert driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == once()


@on_shell
def test_a_run_whose_small_files_are_gone_is_resumed(driver: Driver) -> None:
    """A scratch disk is purged: what is done is not done again for want of a mailbox."""
    text = program(driver, TWENTY + "\n    if not os.path.exists('twice'): raise SystemError")
    driver.start(text).communicate()
    (run(driver) / names.DRIVER).unlink()
    inboxes = list(run(driver).glob("elements/*/*/inbox"))
    assert inboxes
    for inbox in inboxes:
        inbox.unlink()
    driver.file("twice").touch()
    assert driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == once()


@on_shell
def test_every_way_to_call_is_taken_up_again(driver: Driver) -> None:
    """starmap, imap, imap_unordered, apply and apply_async; each call has its number."""
    text = program(
        driver,
        """
    print(pool.starmap(work, [(number, 0.01) for number in range(5)]))
    print(list(pool.imap(work, range(5, 10))))
    print(sorted(pool.imap_unordered(work, range(10, 15), chunksize=2)))
    handles = [pool.apply_async(work, (number,), {"seconds": 0}) for number in range(15, 20)]
    print([handle.get() for handle in handles], pool.apply(work, (20,)), flush=True)
    if not os.path.exists("twice"):
        os.kill(os.getpid(), 9)
    """,
        seconds=0.01,
    )
    first = driver.start(text)
    output, _ = first.communicate()
    driver.file("twice").touch()
    assert driver.run(text) == output
    assert begun(driver) == once(21)


@on_shell
def test_a_run_that_is_complete_is_not_taken_up(driver: Driver) -> None:
    """The same program run twice computes twice; what the first run has left is set aside."""
    text = program(driver, TWENTY, seconds=0) + "\n    pool.close(); pool.join()"
    assert driver.run(text) == driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == dict.fromkeys(range(20), 2)
    aside = [each.name for each in driver.file("work").iterdir()]
    assert len(aside) == 2
    assert "survey" in aside
    assert not list(run(driver).glob(f"{names.BATCHES}/*"))


@on_shell
@pytest.mark.parametrize(
    "change",
    [
        "print(pool.map(work, [*range(10), *range(20, 30)]))",
        "print(pool.map(functools.partial(work, plus=1), range(20)))",
        "print(pool.map(abs, range(20)))",
        "print(pool.map(work, range(10))); print(pool.map(work, range(20)))",
        "print(pool.map(work, range(25)))",
        "print(pool.map(work, range(20), seed=3))",
    ],
)
def test_what_has_changed_is_computed(driver: Driver, change: str) -> None:
    """Other items, another function, other bound arguments, calls in another order."""
    dying = "\n    import os; os.kill(os.getpid(), 9)"
    driver.start(program(driver, TWENTY + dying, seconds=0)).communicate()
    changed = program(driver, "\n    " + change, seconds=0)
    alone = changed.replace(", name='survey'", "")
    assert driver.run(changed) == driver.run(alone)


@on_shell
def test_a_lambda_and_a_partial_are_known_again(driver: Driver) -> None:
    """Also with what they carry, and items that are objects of the program's own classes."""
    text = program(
        driver,
        """
    class Point:
        def __init__(self, x):
            self.x = x

    def of_point(point, plus):
        return work(point.x, 0, plus)

    two = 2
    print(pool.map(functools.partial(of_point, plus=two), [Point(x) for x in range(5)]))
    print(pool.map(lambda x: work(x, 0) + two, range(5, 10)), flush=True)
    if not os.path.exists("twice"):
        os.kill(os.getpid(), 9)
    """,
    )
    output, _ = driver.start(text).communicate()
    driver.file("twice").touch()
    assert driver.run(text) == output == "[2, 3, 6, 11, 18]\n[27, 38, 51, 66, 83]\n"
    assert begun(driver) == once(10)


@on_shell
@pytest.mark.parametrize("end", ["pool.close(); pool.join()", "pool.terminate()"])
def test_what_raises_behind_the_pool_costs_nothing(driver: Driver, end: str) -> None:
    """The run is complete when its program has ended well."""
    text = program(driver, TWENTY + f"\n    {end}\n    assert os.path.exists('mended')", seconds=0)
    output, errors = driver.start(text).communicate()
    assert output == f"{RIGHT}\n"
    assert "AssertionError" in errors
    driver.file("mended").touch()
    assert driver.run(text) == output
    assert begun(driver) == once()
    assert driver.run(text) == output
    assert begun(driver) == dict.fromkeys(range(20), 2)


@on_shell
def test_what_workers_are_made_ready_with_counts(driver: Driver) -> None:
    """With other arguments of the initializer all is computed again, and by new workers."""
    text = program(
        driver,
        """
    def ready(plus):
        global more
        more = plus

    def of_more(number):
        return work(number, plus=more)

    print(pool.map(of_more, range(8)), flush=True)
    """,
        seconds=0.1,
    )
    text = text.replace("name='survey'", "name='survey', initializer=ready, initargs=(INITARG,)")
    made = text[text.index("pool = ") : text.index("\n", text.index("pool = "))]
    text = text.replace(made, "", 1).replace("    print", f"    {made}\n    print", 1)
    life = driver.start(text.replace("INITARG", "1"))
    await_begun(driver, 3)
    life.kill()
    life.wait()
    again = driver.start(text.replace("INITARG", "2"))
    output, errors = again.communicate(timeout=60)
    assert output == f"{[number * number + 2 for number in range(8)]}\n", errors
    assert "another initializer" in errors


@on_shell
def test_a_later_pool_of_the_same_name_is_told_from_the_first(driver: Driver) -> None:
    """Whose run it is could not be known at the next start."""
    text = program(
        driver,
        """
    print(pool.map(work, range(5)), flush=True)
    pool.close()
    pool.join()
    second = NAMED
    print(second.map(abs, range(5)), flush=True)
    os.kill(os.getpid(), 9)
    """,
        seconds=0,
    )
    output, _ = driver.start(text).communicate()
    assert output == "[0, 1, 4, 9, 16]\n[0, 1, 2, 3, 4]\n"
    _, errors = driver.start(text).communicate()
    assert "was begun by pool 2 of that name" in errors


@on_shell
def test_what_raised_is_tried_again(driver: Driver) -> None:
    """An exception is no result: the program may have been mended."""
    text = program(
        driver,
        """
    def picky(number):
        work(number, 0)
        if number == 3 and not os.path.exists("mended"):
            raise ValueError("three")
        return number

    print(pool.map(picky, range(6)))
    """,
    )
    _, errors = driver.start(text).communicate()
    assert "ValueError: three" in errors
    driver.file("mended").touch()
    assert driver.run(text) == "[0, 1, 2, 3, 4, 5]\n"
    assert begun(driver) == once(6) | {3: 2}


@on_shell
def test_more_than_half_new_is_said_before_computing(driver: Driver) -> None:
    dying = "\n    import os; os.kill(os.getpid(), 9)"
    driver.start(program(driver, TWENTY + dying, seconds=0)).communicate()
    changed = driver.start(program(driver, "\n    pool.map(work, range(7, 27))", seconds=0))
    _, errors = changed.communicate()
    assert "of 20 tasks 0 have been done before" in errors
    assert "20 ARE NEW OR HAVE CHANGED" in errors


@on_shell
def test_a_run_has_one_driver(driver: Driver) -> None:
    """The second one is told who has it; the first one goes on."""
    stays = "\n    while not os.path.exists('told'): time.sleep(0.01)"
    text = program(driver, TWENTY + stays)
    first = driver.start(text)
    await_begun(driver, 1)
    second = driver.start(text)
    _, errors = second.communicate()
    driver.file("told").touch()
    assert second.returncode == 1
    assert "RunDirectoryError" in errors
    assert f"process {first.pid}" in errors
    output, _ = first.communicate()
    assert output == f"{RIGHT}\n"
    assert begun(driver) == once()


@on_shell
def test_two_pools_of_one_program_cannot_have_one_name(driver: Driver) -> None:
    text = program(driver, "\n    pool.apply(work, (1,)); other = NAMED; other.apply(work, (1,))")
    _, errors = driver.start(text).communicate()
    assert "another Pool of this program" in errors


@on_shell
def test_another_version_is_refused(driver: Driver) -> None:
    """Both versions are named, and nothing is lost by it."""
    text = program(driver, TWENTY)
    first = driver.start(text)
    await_begun(driver, 5)
    first.kill()
    first.wait()
    info = run(driver) / names.RUN_INFO
    ours = info.read_text()
    other = ours.replace('"python_version": [\n  3,\n  ', '"python_version": [\n  3,\n  9')
    assert other != ours
    info.write_text(other)
    _, errors = driver.start(text).communicate()
    assert "VersionMismatchError" in errors
    info.write_text(ours)
    assert driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == once()


@on_disk
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_who_hangs_up_finds_the_results_later(driver: Driver, number: int) -> None:
    """All that is left is dealt before the driver goes; agents do it without a driver."""
    text = program(driver, TWENTY)
    first = driver.start(text)
    await_begun(driver, 1)
    first.send_signal(number)
    _, errors = first.communicate()
    assert first.returncode == -number, errors
    await_begun(driver, 20)
    assert begun(driver) == once()
    assert driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == once()


MODULE = "def helper(number):\n    return number\n"


@on_shell
@pytest.mark.parametrize("on_change", ["say", "refuse"])
def test_code_that_has_changed_since_is_told_or_refused(driver: Driver, on_change: str) -> None:
    """The module's file is another one at the next start; results that are there stay."""
    driver.file("mine.py").write_text(MODULE)
    lines = "\n    import mine\n    print(pool.map(mine.helper, range(5)), flush=True)"
    text = program(driver, lines + "\n    if not os.path.exists('twice'): os.kill(os.getpid(), 9)")
    text = text.replace("name='survey'", f"name='survey', on_change={on_change!r}")
    output, _ = driver.start(text).communicate()
    assert output == "[0, 1, 2, 3, 4]\n"
    driver.file("twice").touch()
    driver.file("mine.py").write_text(MODULE.replace("return number", "return number + 1"))
    second, errors = driver.start(text).communicate()
    assert "mine" in errors
    if on_change == "say":
        assert "was begun with other code" in errors
        assert second == output
    else:
        assert "CodeChangedError" in errors
        assert second == ""
        driver.file("mine.py").write_text(MODULE)
        assert driver.run(text) == output


@on_shell
def test_a_run_is_resumed_again_and_again(driver: Driver) -> None:
    """Each life may end at any moment."""
    text = program(driver, TWENTY)
    for count in range(1, 5):
        life = driver.start(text)
        await_begun(driver, 3 * count)
        life.kill()
        life.wait()
    assert driver.run(text) == f"{RIGHT}\n"
    assert begun(driver) == once()


@on_shell
def test_ctrl_c_ends_the_elements_and_keeps_what_is_done(driver: Driver) -> None:
    """What was cut off is begun again, nothing else."""
    text = program(driver, "\n    with pool:\n        print(pool.map(work, range(20)))")
    first = driver.start(text)
    await_begun(driver, 7)
    first.send_signal(signal.SIGINT)
    first.communicate()
    cut = driver.processes()
    assert wait_until(lambda: not driver.processes(), 10.0), cut
    assert driver.run(text) == f"{RIGHT}\n"
    twice = [number for number, count in begun(driver).items() if count > 1]
    assert len(twice) <= 2


@pytest.mark.waits
@on_shell
def test_dead_agents_are_replaced_after_a_resume(driver: Driver) -> None:
    """Everybody was killed: what they held is given to others, within a lease."""
    text = program(driver, TWENTY, seconds=0.3)
    first = driver.start(text)
    await_begun(driver, 5)
    for pid in driver.processes():
        os.kill(pid, signal.SIGKILL)
    first.wait()
    start = time.monotonic()
    second = driver.start(text)
    output, _ = second.communicate(timeout=120)
    assert output == f"{RIGHT}\n"
    assert time.monotonic() - start < 90


WAYS = {
    "map": "pool.map(work, range(60))",
    "imap": "list(pool.imap(work, range(60), chunksize=3))",
    "apply_async": "[each.get() for each in [pool.apply_async(work, (i,)) for i in range(60)]]",
    "two maps": "pool.map(work, range(30)) + pool.map(work, range(30, 60), chunksize=4)",
}


@pytest.mark.slow
@on_shell
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(5))
def test_whenever_it_dies_nothing_is_done_twice(driver: Driver, way: str, seed: int) -> None:
    """Some lives end at any moment, by SIGKILL or by SIGHUP; the agents are left alone."""
    chance = random.Random(f"{way} {seed}")
    text = program(driver, f"\n    print({WAYS[way]}, flush=True)", seconds=0.02)
    for _ in range(chance.randrange(1, 5)):
        life = driver.start(text)
        time.sleep(chance.uniform(0.1, 1.5))
        life.send_signal(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGHUP]))
        if life.communicate(timeout=60)[0]:
            return  # it was too quick for us
    assert driver.run(text) == f"{[number * number for number in range(60)]}\n"
    assert begun(driver) == once(60)
