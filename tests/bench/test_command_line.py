"""What the command lines refuse, in one line and before anything is measured; and their end."""

import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import libraries, queue
from bench.figures import Figures, Series, load
from bench.options import end_by_signals, leave, new_file
from bench.simulation import __main__ as simulation
from bench.simulation import dealing


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for commands, the only one on PATH beside those of the system's shell."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return place


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would install other pools, and take minutes."""

    def never(*_: Any) -> None:
        raise AssertionError("it was not refused")

    monkeypatch.setattr(command, "measure", never)
    monkeypatch.setattr(simulation, "played", never)


def sinfo(site: Path, script: str) -> None:
    file = site / "sinfo"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def refused(capsys: pytest.CaptureFixture[str], call: Any, *words: Any) -> str:
    """The one line that is said."""
    with pytest.raises(SystemExit) as ended:
        call(*words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return str(line)


def run(*words: str) -> None:
    command.run(command.arguments(["run", *words]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "--rounds: '0' is not a whole number of at least 1"),
        (["--rounds", "-1"], "--rounds: '-1' is not"),
        (["--workers", "1.5"], "--workers: '1.5' is not"),
        (["--patience", "inf"], "--patience: 'inf' is not"),
        (["--workloads", "again:-1"], "workload again:-1: '-1' is not a number of at least 0"),
        (["--workloads", "idle:nan"], "workload idle:nan: 'nan' is not"),
        (["--workloads", "cold:16,abc"], "workload cold:16,abc: 'abc' is not a whole number"),
        (["--workloads", "cold:1.5"], "workload cold:1.5: '1.5' is not a whole number"),
        (["--workloads", "uneven-last:0"], "seconds of work"),
        (["--workloads", "commands:0.2"], "seconds of the map"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the option or the workload, and what it may be."""
    assert said in refused(capsys, run, *words)


@pytest.mark.parametrize(
    ("play", "words", "said"),
    [
        (simulation.arguments, ["--agents", "0"], "--agents: '0' is not"),
        (simulation.arguments, ["--work", "0"], "--work: '0' is not"),
        (simulation.arguments, ["--agents", "10", "--tasks", "9"], "--tasks must be 10 at least"),
        (simulation.arguments, ["--read", "/nowhere"], "/nowhere"),
        (simulation.arguments, ["--json", "/proc/none/x"], "cannot be written"),
    ],
)
def test_simulations_that_cannot_be_played_are_refused(
    play: Any, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first one is played."""
    assert said in refused(capsys, play, words)


@pytest.mark.parametrize("content", ["{", "[1]", '[{"agents": 1}]', "7"])
def test_simulation_reads_only_its_own_files(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others are named."""
    file = tmp_path / "rows.json"
    file.write_text(content)
    said = refused(capsys, simulation.arguments, ["--read", str(file)])
    assert f"{file} holds no rows" in said


def test_dealing_needs_agents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As all that simulates."""
    monkeypatch.setattr("sys.argv", ["dealing", "--agents", "0"])
    assert "--agents: '0' is not" in refused(capsys, dealing.arguments)


def test_place_for_figures_is_tried_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a file that can be written nothing is left, and what stands in one stays."""
    (tmp_path / "file").write_text("old")
    for place in (tmp_path / "file" / "below", tmp_path):
        assert "cannot be written" in refused(capsys, run, "--json", str(place))
    assert new_file(str(tmp_path / "new" / "file")) == tmp_path / "new" / "file"
    assert list((tmp_path / "new").iterdir()) == []
    new_file(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "old"


def test_slurm_that_is_not_there_is_said(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for it learns why; who asks for nothing does without."""
    assert "no command sinfo" in refused(capsys, run, "--backend", "slurm")
    assert command.backends(None, None) == ["local"]
    assert command.backends(["local"], None) == ["local"]


def test_slurm_that_fails_is_said(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it said, since peers would wait for minutes."""
    sinfo(site, "echo 'no such host' >&2; exit 1")
    assert "ended with 1: no such host" in refused(capsys, run, "--backend", "slurm")
    assert command.backends(None, None) == ["local"]


def test_configuration_that_is_not_there_is_said(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slurm's commands would wait for it."""
    sinfo(site, "echo never called; exit 3")
    monkeypatch.setenv("SLURM_CONF", "/nowhere/slurm.conf")
    assert "SLURM_CONF is /nowhere/slurm.conf" in refused(capsys, run, "--backend", "slurm")


def test_partition_that_is_not_there_is_said(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With those that are."""
    sinfo(site, "echo 'main*'; echo short")
    said = refused(capsys, run, "--backend", "slurm", "--partition", "long")
    assert "no partition long; there are main, short" in said
    assert command.backends(["slurm"], "main") == ["slurm"]
    assert queue.default_partition() == "main"


@pytest.mark.parametrize(
    ("words", "said"), [([], "no command sinfo"), (["--rounds", "0"], "--rounds: '0' is not")]
)
def test_libraries_need_their_scheduler(
    words: list[str],
    said: str,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And rounds."""
    monkeypatch.setattr("sys.argv", ["libraries", *words])
    monkeypatch.setattr(libraries, "end_by_signals", lambda: None)
    monkeypatch.setattr(libraries, "measure", lambda *_: None)
    assert said in refused(capsys, libraries.main)


def test_command_that_is_not_there_prints_nothing(site: Path) -> None:
    """It is no error: what it would have told is unknown."""
    assert queue.asked("sdiag") == ""


def test_run_that_is_ended_tells_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table and file have it, with a note; the code is that of the signal."""

    def ended(_: Any, __: Any, ___: Any, figures: Figures) -> None:
        figures.series.append(Series("local", "w", "m", "s", "pypool", values=[2.0]))
        leave(signal.SIGINT, None)

    monkeypatch.setattr(command, "measure", ended)
    with pytest.raises(SystemExit) as end:
        run("--backend", "local", "--json", str(tmp_path / "figures.json"))
    assert end.value.code == 130
    assert "w (local)" in capsys.readouterr().out
    kept = load(tmp_path / "figures.json")
    assert kept.series[0].values == [2.0]
    assert "ended before" in kept.notes[0]


def test_signals_that_are_ignored_stay_so() -> None:
    """Who runs it under `nohup` wants it to go on."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        end_by_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is leave
        assert signal.getsignal(signal.SIGTERM) is leave
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
