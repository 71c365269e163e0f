"""`pypool.Pool` finds what there is: a scheduler, or this machine."""

import os
from pathlib import Path

import pytest

import pypool


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in which commands are found; it is empty."""
    directory = tmp_path / "commands"
    directory.mkdir()
    monkeypatch.setenv("PATH", os.fspath(directory))
    monkeypatch.delenv("PYPOOL_SCHEDULER", raising=False)
    return directory


def install(directory: Path, *names: str) -> None:
    """Commands that do nothing."""
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)


@pytest.mark.parametrize("name", ["local", "shell", "slurm"])
def test_the_environment_decides(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """PYPOOL_SCHEDULER names the scheduler, whatever is installed."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", name)
    assert repr(pypool.Pool()).startswith(f"<pypool.{name}.Pool ")


def test_an_unknown_name_is_refused(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, its value, and what is accepted."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "slrum")
    with pytest.raises(ValueError, match=r"PYPOOL_SCHEDULER='slrum'.*local, shell, slurm"):
        pypool.Pool()


def test_an_empty_name_counts_as_none(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is set to nothing decides nothing."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "")
    assert "pypool.local.Pool" in repr(pypool.Pool())


def test_slurm_is_found(home: Path, commands: Path) -> None:
    """Where Slurm's commands are, Slurm is used."""
    install(commands, "sbatch", "squeue", "scancel")
    assert "pypool.slurm.Pool" in repr(pypool.Pool())


def test_what_cannot_be_executed_is_no_command(home: Path, commands: Path) -> None:
    """A file that is called sbatch makes no Slurm."""
    (commands / "sbatch").touch(0o644)
    assert "pypool.local.Pool" in repr(pypool.Pool())


def test_else_it_is_this_machine(home: Path, commands: Path) -> None:
    """A laptop needs no settings, and gets no directory."""
    assert "pypool.local.Pool" in repr(pypool.Pool())
    assert not list(home.iterdir())


def test_a_named_pool_does_not_choose(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pypool.local.Pool` is local, whatever the environment says."""
    install(commands, "sbatch")
    monkeypatch.setenv("PYPOOL_SCHEDULER", "slurm")
    assert "pypool.local.Pool" in repr(pypool.local.Pool())


def test_options_of_clusters_are_accepted_without_one(home: Path, commands: Path) -> None:
    """The same program runs on a laptop: what only a scheduler can use is not in the way."""
    with pypool.Pool(2, queue="long", time="1h", memory="1G", cpus=2) as pool:
        assert "pypool.local.Pool" in repr(pool)


def test_a_picked_pool_works(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was picked computes."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "shell")
    with pypool.Pool(2, work_dir=tmp_path / "work") as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
