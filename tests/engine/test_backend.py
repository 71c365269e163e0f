"""What a backend makes and removes: old runs go, what is not a run stays."""

import os
import time
from pathlib import Path

import pytest

from pypool.engine import backend
from pypool.engine.backend import KEPT_RUNS, prune, run_info
from pypool.options import Keep, Options
from pypool.rundir import names, records
from pypool.rundir.mailbox import FileWriter
from pypool.rundir.run import RunDirectory

LONG_AGO = time.time() - 30 * 86400


def new_run(work_dir: Path, ended: bool, keep: Keep = "failed") -> Path:
    """A run whose driver is at work, or has stopped."""
    info = run_info(Options(1, str(work_dir), keep=keep), 1, "shell")
    run = RunDirectory.create(str(work_dir), info)
    writer = FileWriter(run.open_file, names.DRIVER, run.mark)
    writer.put(records.STOP if ended else records.DRIVER_BEAT)
    writer.flush()
    run.close()
    return Path(run.path)


def age(path: Path) -> None:
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_the_last_twenty_ended_runs_stay(tmp_path: Path) -> None:
    """Older ones go."""
    runs = [new_run(tmp_path, ended=True) for _ in range(KEPT_RUNS + 5)]
    prune(str(tmp_path))
    assert sum(run.exists() for run in runs) == KEPT_RUNS


def test_runs_at_work_stay(tmp_path: Path) -> None:
    """However many there are."""
    runs = [new_run(tmp_path, ended=False) for _ in range(KEPT_RUNS + 5)]
    prune(str(tmp_path))
    assert all(run.exists() for run in runs)


@pytest.mark.parametrize("ended", [True, False])
def test_runs_that_were_silent_for_a_week_go(tmp_path: Path, ended: bool) -> None:
    """Their driver was killed, or has ended long ago."""
    run = new_run(tmp_path, ended)
    age(run / names.DRIVER)
    prune(str(tmp_path))
    assert not run.exists()


@pytest.mark.parametrize("name", ["kernel", "20200101-000000-deadbeef"])
def test_what_is_no_run_stays(tmp_path: Path, name: str) -> None:
    """The directory may hold other things of the user, whatever they are called."""
    thesis = tmp_path / name / "thesis.tex"
    thesis.parent.mkdir(mode=0o700)
    thesis.touch()
    (tmp_path / name / names.DRIVER).touch()
    for path in (tmp_path / name / names.DRIVER, thesis, tmp_path / name):
        age(path)
    prune(str(tmp_path))
    assert thesis.exists()


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_of_which_all_is_kept_stays(tmp_path: Path, ended: bool) -> None:
    """However long ago that was, and however many there are."""
    runs = [new_run(tmp_path, ended, keep="all") for _ in range(KEPT_RUNS + 2)]
    age(runs[0] / names.DRIVER)
    others = [new_run(tmp_path, ended=True) for _ in range(KEPT_RUNS + 2)]
    prune(str(tmp_path))
    assert all(run.exists() for run in runs)
    assert sum(run.exists() for run in others) == KEPT_RUNS


class Busy(RunDirectory):
    """Somebody writes while it is removed, so many times."""

    writes = 0

    def remove_tree(self, name: str) -> None:
        if self.writes:
            self.writes -= 1
            (Path(self.path) / "elements" / str(self.writes)).mkdir()
        else:
            super().remove_tree(name)


def busy_run(tmp_path: Path, writes: int) -> Busy:
    run = Busy.open(str(new_run(tmp_path, ended=True)))
    assert isinstance(run, Busy)
    run.writes = writes
    return run


def test_a_run_goes_though_somebody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again."""
    monkeypatch.setattr(backend, "PAUSES", (0.0, 0.0, 0.0))
    run = busy_run(tmp_path, writes=2)
    backend.remove_all(run)
    run.close()
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []


def test_a_run_that_does_not_go_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody tries for ever."""
    monkeypatch.setattr(backend, "PAUSES", (0.0, 0.0, 0.0))
    run = busy_run(tmp_path, writes=100)
    backend.remove_all(run)
    run.close()
    assert f"{run.path} cannot be removed" in caplog.text


def test_a_run_open_to_others_stays(tmp_path: Path) -> None:
    """It is not ours to judge."""
    run = new_run(tmp_path, ended=True)
    age(run / names.DRIVER)
    run.chmod(0o755)
    prune(str(tmp_path))
    assert run.exists()
