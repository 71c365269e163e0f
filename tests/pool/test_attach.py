"""A look at runs from outside."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import attached
from pypool.rundir import names

from . import tasks

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached, "READ_AGAIN", 0.05)


def pool(place: Path, **options: Any) -> pypool.Pool:
    made: pypool.Pool = pypool.shell.Pool(2, work_dir=place, **options)
    return made


def run_of(place: Path) -> Path:
    (found,) = place.iterdir()
    return found


def large(number: int) -> bytes:
    return bytes([number]) * 100_000


def picky(number: int) -> int:
    if number == 2:
        print("about to fail")
        raise ZeroDivisionError(f"no {number}")
    return number


def await_file(path: Path) -> int:
    while not path.exists():
        time.sleep(0.01)
    return 3


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("options", [{"keep": "all"}, {"name": "survey", "keep": "all"}])
def test_run_that_has_ended(tmp_path: Path, options: dict[str, str]) -> None:
    """Each result by itself, small and large, as often as one likes."""
    place = tmp_path / "work"
    with pool(place, **options) as made:
        assert made.map(abs, [-1, -2, -3]) == [1, 2, 3]
        made.map(large, range(3))
        made.close()
        made.join()
    before = sorted(run_of(place).rglob("*"))
    with pypool.attach(run_of(place)) as run:
        assert list(run.calls) == [1, 2]
        assert list(run.calls[1]) == [1, 2, 3]
        for _ in range(2):
            assert run.calls[2][1] == large(1)
        assert run.calls[2][-1] == large(2)
        assert run.calls[1].name == "builtins.abs"
        how = "done" if "name" in options else "close"  # its program has not ended
        assert run.status() == (2, 6, 6, 0, 1, how)
        with pytest.raises(IndexError, match="no task 3"):
            run.calls[1][3]
        with pytest.raises(KeyError):
            run.calls[3]
        with pytest.raises(pypool.NoResultError, match=r"run\.calls\[k\]\[1\] with k of 1, 2\."):
            run[1]
    assert sorted(run_of(place).rglob("*")) == before


def test_the_only_call(tmp_path: Path) -> None:
    place = tmp_path / "work"
    with pool(place, keep="all") as made:
        made.map(abs, range(4))
    run = pypool.attach(str(run_of(place)))
    assert (run[3], list(run), len(run)) == (3, [0, 1, 2, 3], 4)
    assert "1 calls, 4 tasks, 4 done, 0 failed" in repr(run)
    run.close()


def test_task_that_raised(tmp_path: Path) -> None:
    """What it raised is raised, with a note of where and which."""
    place = tmp_path / "work"
    with pool(place, keep="all") as made:
        made.map(picky, range(4), return_exceptions=True)
    with pypool.attach(run_of(place)) as run:
        assert (run.calls[1].done, run.calls[1].failed) == (4, 1)
        with pytest.raises(ZeroDivisionError, match="no 2") as caught:
            run[2]
        assert "task 2 of call 1" in caught.value.__notes__[0]
        assert "what it printed" in caught.value.__notes__[0]
        assert run[3] == 3


def test_result_that_was_removed(tmp_path: Path) -> None:
    """Whoever removed it is told how to keep it."""
    place = tmp_path / "work"
    with pool(place) as made:
        made.map(abs, range(4))
        made.close()
        made.join()
    with pypool.attach(run_of(place)) as run:
        assert run.status() == (1, 4, 4, 0, 1, "close")
        with pytest.raises(pypool.NoResultError, match='keep="all" would have kept it'):
            run[1]


@pytest.mark.parametrize("options", [{"keep": "all"}, {"name": "survey"}])
def test_run_that_lives(tmp_path: Path, options: dict[str, str]) -> None:
    """What is done is there, what is not is said to be not; later it is."""
    place = tmp_path / "work"
    go = tmp_path / "go"
    with pool(place, **options) as made:
        os.close(os.open(tmp_path / "there", os.O_CREAT))
        handle = made.map_async(await_file, [tmp_path / "there", go], chunksize=1)
        until(lambda: bool(list(place.glob(f"*/{names.JOURNAL}"))))
        with pypool.attach(run_of(place)) as run:
            until(lambda: run.status().done == 1)
            assert run[0] == 3
            with pytest.raises(pypool.NoResultError, match="It may come yet"):
                run[1]
            go.touch()
            assert handle.get(tasks.PATIENCE) == [3, 3]
            until(lambda: run.status().done == 2)
            assert run[1] == 3


def test_run_without_a_call(tmp_path: Path) -> None:
    place = tmp_path / "work"
    with pool(place, keep="all") as made:
        made.map(abs, [1])
    (run_of(place) / names.JOURNAL).write_bytes(b"")
    with pypool.attach(run_of(place)) as run, pytest.raises(pypool.NoResultError, match="no call"):
        run[0]


def test_what_is_no_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(pypool.RunDirectoryError, match=r"run\.json"):
        pypool.attach(tmp_path)
    with pytest.raises(pypool.RunDirectoryError, match="cannot be opened"):
        pypool.attach(tmp_path / "nowhere")
