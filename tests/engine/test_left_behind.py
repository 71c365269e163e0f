"""Private directories of killed local pools go; nothing else does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pypool.engine.backend import run_info
from pypool.engine.left_behind import PREFIX, owner, remove_left_behind
from pypool.options import Options
from pypool.rundir.run import RunDirectory


@pytest.fixture
def gone() -> int:
    """The pid of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    return ended.pid


def private(place: Path, prefix: str = PREFIX, **words: Any) -> Path:
    """A local pool's directory, of this process unless said otherwise."""
    info = run_info(Options(1, str(place)), 1, "local") | owner() | words
    run = RunDirectory.create(str(place), info, prefix=prefix)
    run.close()
    return Path(run.path)


def test_what_a_killed_program_left_behind_goes(tmp_path: Path, gone: int) -> None:
    """Nobody will ever need it."""
    directory = private(tmp_path, pid=gone)
    remove_left_behind(str(tmp_path))
    assert not directory.exists()


def test_that_of_a_living_program_stays(tmp_path: Path) -> None:
    """Here it is this one."""
    directory = private(tmp_path)
    remove_left_behind(str(tmp_path))
    assert directory.exists()


def test_a_pid_that_is_used_again_is_no_sign_of_life(tmp_path: Path) -> None:
    """The process of that number was started at another time."""
    directory = private(tmp_path, started=1)
    remove_left_behind(str(tmp_path))
    assert not directory.exists()


@pytest.mark.parametrize(
    "words",
    [
        {"machine": "another boot or container"},
        {"machine": ""},
        {"started": None},
        {"scheduler": "shell"},
    ],
)
def test_where_nothing_is_known_of_the_program_it_stays(
    tmp_path: Path, gone: int, words: dict[str, Any]
) -> None:
    """A pid means something on its own machine only."""
    directory = private(tmp_path, pid=gone, **words)
    remove_left_behind(str(tmp_path))
    assert directory.exists()


def test_what_has_another_name_stays(tmp_path: Path, gone: int) -> None:
    """It is not in its place as a private directory."""
    directory = private(tmp_path, prefix="mine-", pid=gone)
    remove_left_behind(str(tmp_path))
    assert directory.exists()


def test_what_is_no_run_stays(tmp_path: Path, gone: int) -> None:
    """Whatever it is called; neither is a link followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = private(elsewhere, pid=gone)
    thesis = tmp_path / f"{PREFIX}20200101-000000-deadbeef"
    thesis.mkdir(mode=0o700)
    (thesis / "thesis.tex").touch()
    link = tmp_path / f"{PREFIX}20200101-000000-deadbee0"
    link.symlink_to(run)
    remove_left_behind(str(tmp_path))
    assert (thesis / "thesis.tex").exists()
    assert link.is_symlink()
    assert run.exists()


def test_a_place_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    """Not every system has such memory."""
    remove_left_behind(os.fspath(tmp_path / "shm"))
