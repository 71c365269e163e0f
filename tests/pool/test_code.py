"""Code that was changed since the program has loaded it."""

import pytest

from .scripts import Driver

pytestmark = pytest.mark.parametrize("backend", ["local", "shell"])

PROGRAM = """
    import importlib, sys
    from pathlib import Path

    sys.dont_write_bytecode = True
    Path("mine.py").write_text("def f(x):\\n    return x + 1\\n")
    import mine
    import pypool

    pool = POOL
    """


def program(driver: Driver, rest: str, **options: str) -> str:
    """A program with the module `mine`, and what else it does."""
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    if driver.backend != "local":
        given += f", work_dir={str(driver.file('work'))!r}, keep='all'"
    pool = f"pypool.{driver.backend}.Pool(1{given})"
    return PROGRAM.replace("POOL", pool) + rest


CHANGED = """
    print(pool.map(mine.f, [1, 2]))
    Path("mine.py").write_text("def f(x):\\n    return x + 10\\n")
    importlib.reload(mine)
    for _ in range(2):
        try:
            pool.map(lambda x: mine.f(x), [1, 2])
        except pypool.CodeChangedError as error:
            print("refused", error)
    """


def said(driver: Driver, errors: str) -> str:
    """What workers have said: it stands with what tasks print."""
    outputs = driver.directory.glob("work/*/elements/*/*/output.*")
    return errors + "".join(path.read_text() for path in outputs)


def test_unchanged_code_is_not_spoken_of(driver: Driver) -> None:
    process = driver.start(
        program(driver, "\n    print(pool.map(mine.f, [1, 2]))", on_change="refuse")
    )
    output, errors = process.communicate()
    assert output == "[2, 3]\n", errors
    assert "mine" not in said(driver, errors)


def test_change_is_said_once(driver: Driver) -> None:
    """A worker with another source says so, once, and goes on."""
    rest = CHANGED.replace("pool.map(lambda", "print(pool.map(lambda").replace(
        "[1, 2])\n        ex", "[1, 2]))\n        ex"
    )
    process = driver.start(program(driver, rest + "\n    pool.close()\n    pool.join()"))
    output, errors = process.communicate()
    assert output == "[2, 3]\n" * 3, errors  # the worker has the old module
    told = said(driver, errors)
    assert told.count(f"mine ({driver.directory}/mine.py)") == 1


def test_change_is_refused(driver: Driver) -> None:
    """With `on_change="refuse"` it is an error that names the module, each time."""
    process = driver.start(program(driver, CHANGED, on_change="refuse"))
    output, errors = process.communicate()
    first, *others = output.splitlines()
    assert first == "[2, 3]", errors
    assert len(others) == 2
    for line in others:
        assert line.startswith("refused on ")
        assert f"mine ({driver.directory}/mine.py)" in line
