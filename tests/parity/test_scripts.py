"""Whole programs, run as a user runs them: nothing is changed but the import.

What each has to print stands in a file beside it; multiprocessing has to print it too.
"""

from pathlib import Path

import pytest
from pool.scripts import TIMEOUT, Driver

from .kinds import on_processes, on_pypool

SCRIPTS = Path(__file__).parent / "scripts"
STDLIB_IMPORT = "from multiprocessing import Pool\n"


def names(folder: Path) -> list[str]:
    """The programs of a folder; each has its output beside it."""
    return sorted(path.stem for path in folder.glob("*.py"))


def program(text: str, kind: str) -> str:
    """The program with its import changed, in the one line that it has."""
    assert text.count(STDLIB_IMPORT) == 1
    if kind == "multiprocessing":
        return text
    return text.replace(STDLIB_IMPORT, f"from pypool.{kind} import Pool\n")


def assert_prints_what_it_should(driver: Driver, kind: str, path: Path) -> None:
    printed = driver.run(program(path.read_text(), kind))
    expected = path.with_suffix(".txt").read_bytes().decode()
    assert printed.replace("\r", "\n") == expected.replace("\r", "\n")


@pytest.mark.parametrize("name", names(SCRIPTS))
@on_processes
def test_output_is_the_same(driver: Driver, kind: str, name: str) -> None:
    """Scripts as they are written for multiprocessing."""
    assert_prints_what_it_should(driver, kind, SCRIPTS / f"{name}.py")
    assert driver.all_end()


@pytest.mark.parametrize("name", names(SCRIPTS / "unguarded"))
@on_pypool
def test_without_a_guard(driver: Driver, kind: str, name: str) -> None:
    """Scripts without `if __name__ == "__main__"`: multiprocessing needs a fork for them."""
    assert_prints_what_it_should(driver, kind, SCRIPTS / "unguarded" / f"{name}.py")
    assert driver.all_end()


FAILING = f"""
{STDLIB_IMPORT}
def work(number):
    return 1 / number

if __name__ == "__main__":
    with Pool(2) as pool:
        pool.map(work, [1, 0, 2])
"""


@on_processes
def test_an_error_ends_the_program(driver: Driver, kind: str) -> None:
    """What nobody catches is printed, with the line of the task, and the exit code is 1."""
    process = driver.start(program(FAILING, kind))
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "RemoteTraceback" in errors
    assert "return 1 / number" in errors
    assert "\nZeroDivisionError: division by zero\n" in errors
    assert driver.all_end()


UNWATCHED = f"""
{STDLIB_IMPORT}
import functools, os

def work(directory, number):
    open(os.path.join(directory, str(number)), "w").close()

if __name__ == "__main__":
    pool = Pool(2)
    pool.map_async(functools.partial(work, os.getcwd()), range(4)).wait()
    print(sorted(name for name in os.listdir() if name.isdigit()))
"""


@on_processes
def test_work_that_leaves_files(driver: Driver, kind: str) -> None:
    """Tasks are done for what they write; nobody asks for results."""
    assert driver.run(program(UNWATCHED, kind)) == "['0', '1', '2', '3']\n"
    assert driver.all_end()
