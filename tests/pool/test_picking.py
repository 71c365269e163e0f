"""`pypool.Pool` finds what there is: a scheduler, or this machine; who names one decides."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool import config, picking
from pypool.errors import SubmitError

SLURM = ("sbatch", "squeue", "scancel")
GRID_ENGINE = ("qsub", "qstat", "qdel", "qconf")
OF_SCHEDULERS = re.compile("SLURM|SGE_|JOB_ID|NSLOTS|NHOSTS|PYPOOL_(?!TEST_)")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in which commands are found; it is empty. No variable says anything."""
    directory = tmp_path / "commands"
    directory.mkdir()
    for name in list(os.environ):
        if OF_SCHEDULERS.match(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", os.fspath(directory))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    monkeypatch.chdir(directory)
    monkeypatch.setattr(picking, "_said", [])
    monkeypatch.setattr(config, "_said", set())
    return directory


def install(directory: Path, *names: str, does: str = "exit 0") -> None:
    """Commands that do nothing, or this."""
    for name in names:
        (directory / name).write_text(f"#!/bin/sh\n{does}\n")
        (directory / name).chmod(0o755)


def picked(**options: Any) -> str:
    """What a pool is made of."""
    return re.match(r"<pypool\.(\w+)\.Pool ", repr(pypool.Pool(**options)))[1]  # type: ignore[index]


# ---- who names one


@pytest.mark.parametrize("name", ["local", "serial", "sge", "shell", "slurm"])
def test_the_environment_decides(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """PYPOOL_SCHEDULER names the scheduler, whatever is installed."""
    install(commands, *SLURM)
    monkeypatch.setenv("PYPOOL_SCHEDULER", name)
    assert picked() == name


def test_serial_runs_in_this_process(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For debuggers: nothing is started, nothing written."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "serial")
    with pypool.Pool(4, queue="long") as pool:
        assert pool.map(lambda _: os.getpid(), range(3)) == [os.getpid()] * 3
    assert not list(home.iterdir())


def test_an_unknown_name_is_refused(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, its value, and what is accepted."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "slrum")
    with pytest.raises(ValueError, match=r"PYPOOL_SCHEDULER='slrum'.*sge, shell, slurm.*'slurm'\?"):
        pypool.Pool()


def test_an_empty_name_counts_as_none(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is set to nothing decides nothing."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "")
    assert picked() == "local"


@pytest.mark.parametrize("whose", ["commands", "home/.config/pypool", "site/pypool"])
def test_a_file_decides(home: Path, commands: Path, tmp_path: Path, whose: str) -> None:
    """The project's, the user's or the site's; it goes before what is installed."""
    install(commands, *SLURM)
    (tmp_path / whose).mkdir(parents=True, exist_ok=True)
    (tmp_path / whose / "pypool.toml").write_text('scheduler = "shell"\n')
    assert picked() == "shell"


def test_a_profile_decides(home: Path, commands: Path) -> None:
    """It goes before the rest of the file, and brings its options."""
    text = 'scheduler = "local"\n[profile.big]\nscheduler = "slurm"\nqueue = "bigmem"\n'
    (commands / "pypool.toml").write_text(text)
    assert picked() == "local"
    pool = pypool.Pool(profile="big")
    assert "pypool.slurm.Pool" in repr(pool)
    assert "#SBATCH --partition=bigmem\n" in pool.job_script()


def test_a_named_pool_does_not_choose(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pypool.local.Pool` is local, whatever the environment or a file says."""
    install(commands, *SLURM)
    monkeypatch.setenv("PYPOOL_SCHEDULER", "slurm")
    (commands / "pypool.toml").write_text('scheduler = "sge"\n')
    assert "pypool.local.Pool" in repr(pypool.local.Pool())
    assert "pypool.slurm.Pool" in repr(pypool.slurm.Pool())


def test_a_named_pool_refuses_the_profile_of_another_scheduler(home: Path, commands: Path) -> None:
    """Its queue would mean nothing there."""
    (commands / "pypool.toml").write_text('[profile.big]\nscheduler = "sge"\n')
    with pytest.raises(ValueError, match=r"profile='big' .* is for scheduler='sge', and this is a"):
        pypool.slurm.Pool(profile="big")
    assert "pypool.sge.Pool" in repr(pypool.sge.Pool(profile="big"))


def test_a_scheduler_is_no_option(home: Path, commands: Path) -> None:
    """Who gives it as one is told how it is meant."""
    with pytest.raises(
        TypeError, match=r"scheduler='slurm'.*pypool\.slurm\.Pool.*PYPOOL_SCHEDULER"
    ):
        pypool.Pool(scheduler="slurm")


def test_an_unknown_option_is_told_with_the_nearest(home: Path, commands: Path) -> None:
    """And all that there are."""
    with pytest.raises(TypeError, match=r"has no option 'quue'\. Did you mean 'queue'\? Options"):
        pypool.Pool(quue="long")


# ---- what is here


@pytest.mark.parametrize(("installed", "name"), [(SLURM, "slurm"), (GRID_ENGINE, "sge")])
def test_a_scheduler_is_found(
    home: Path, commands: Path, installed: tuple[str, ...], name: str
) -> None:
    """Where its commands are it is used, whether it answers or not: it may later."""
    install(commands, *installed, does="exit 1")
    assert picked() == name


@pytest.mark.parametrize("installed", [SLURM, GRID_ENGINE])
def test_all_commands_of_a_scheduler_are_needed(
    home: Path, commands: Path, installed: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """PBS has some of Grid Engine's. That processes of this machine are used is said, once."""
    install(commands, *installed[:-1])
    assert [picked(), picked()] == ["local", "local"]
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith(f"{installed[0]} is here, but neither all commands of Slurm")


def test_who_wants_local_processes_is_not_warned(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """PYPOOL_SCHEDULER=local says it all."""
    install(commands, "bsub")
    monkeypatch.setenv("PYPOOL_SCHEDULER", "local")
    assert picked() == "local"
    assert not caplog.records


def test_what_cannot_be_executed_is_no_command(home: Path, commands: Path) -> None:
    """A file that is called sbatch makes no Slurm."""
    for name in SLURM:
        (commands / name).touch(0o644)
    assert picked() == "local"


def test_else_it_is_this_machine(
    home: Path, commands: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A laptop needs no settings, and gets no directory and no words."""
    assert picked() == "local"
    assert not list(home.iterdir())
    assert not caplog.records


ANSWERS = "echo '<job_info/>'"
NO_SLURM = "echo 'Unable to contact slurm controller' >&2; exit 1"
NO_GRID_ENGINE = "echo 'unable to contact qmaster' >&2; exit 1"


def test_of_several_schedulers_one_that_answers_is_taken(home: Path, commands: Path) -> None:
    """In the order in which they are known."""
    install(commands, *SLURM)
    install(commands, *GRID_ENGINE, does=ANSWERS)
    assert picked() == "slurm"
    install(commands, *SLURM, does=NO_SLURM)
    assert picked() == "sge"


def test_if_none_of_several_answers_that_is_an_error(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never local processes; the message has what each of them said, and what to do."""
    install(commands, *SLURM, does=NO_SLURM)
    install(commands, *GRID_ENGINE, does=NO_GRID_ENGINE)
    with pytest.raises(SubmitError) as caught:
        pypool.Pool()
    for part in (
        "There are several schedulers here (slurm, sge), and none answers.",
        "Unable to contact slurm controller",
        "unable to contact qmaster",
        "PYPOOL_SCHEDULER=local for this machine alone",
    ):
        assert part in str(caught.value)


def test_one_that_hangs_is_not_waited_for_forever(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is taken."""
    monkeypatch.setattr(picking, "PATIENCE", 0.2)
    install(commands, *SLURM, does="PATH=/usr/bin:/bin exec sleep 5")
    install(commands, *GRID_ENGINE, does=ANSWERS)
    assert picked() == "sge"


# ---- inside an allocation

IN_A_JOB = """
import json, os, sys, time
import pypool

def look(number):
    time.sleep(0.1)
    return os.environ["SLURMD_NODENAME"], repr(pypool.Pool()).split()[0]

with pypool.Pool(work_dir=sys.argv[1]) as pool:
    seen = pool.map(look, range(40), chunksize=1)
    hosts, inner = ({*each} for each in zip(*seen))
    print(json.dumps({"pool": repr(pool), "hosts": [*hosts], "inner": [*inner]}))
"""

IN_SLURM = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SLURM_CPUS_ON_NODE": "1"}
IN_GRID_ENGINE = {"SGE_ROOT": "/sge", "JOB_ID": "7", "NSLOTS": "1"}


@pytest.mark.parametrize("variables", [IN_SLURM, IN_GRID_ENGINE])
def test_inside_an_allocation_it_is_used(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """With as many workers as it has CPUs, and without any jobs in a job."""
    install(commands, *SLURM)
    install(commands, *GRID_ENGINE)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert repr(pypool.Pool()).startswith("<pypool.shell.Pool state=RUN processes=1 ")
    assert picked(processes=3) == "shell"


def test_hosts_that_are_left_out_are_told(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Grid Engine's other hosts are not used."""
    for name, text in (IN_GRID_ENGINE | {"NHOSTS": "3"}).items():
        monkeypatch.setenv(name, text)
    assert picked() == "shell"
    assert [record.message for record in caplog.records] == [
        "the allocation has 3 nodes, workers run on this one only"
    ]


def test_all_nodes_of_an_allocation_are_used(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many workers as they have CPUs, an element on each."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "3(x2)")
    pool = pypool.Pool()
    assert repr(pool).startswith("<pypool.shell.Pool state=RUN processes=6 ")
    options = pool._runner.options
    assert (options.elements, options.workers) == (2, 3)


@pytest.mark.slurm
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_driver_in_a_job_uses_its_nodes(nodes: int, shared_home: Path) -> None:
    """And no other: no job is submitted, whatever its tasks do."""
    program = shared_home / "program.py"
    program.write_text(IN_A_JOB)
    output = shared_home / "output"
    resources = [f"--nodes={nodes}", f"--ntasks={nodes}", "--cpus-per-task=2"]
    argv = ["sbatch", "--wait", *resources, f"--output={output}", f"--chdir={shared_home}"]
    paths = f"PYTHONPATH={Path(pypool.__file__).parents[1]}"
    command = shlex.join(["env", paths, sys.executable, str(program), str(shared_home / "runs")])
    subprocess.run([*argv, f"--wrap={command}"], check=True, capture_output=True, timeout=100)
    told = json.loads(output.read_text().splitlines()[-1])
    assert told["pool"].startswith(f"<pypool.shell.Pool state=RUN processes={2 * nodes} ")
    assert len(told["hosts"]) == nodes
    assert told["inner"] == ["<pypool.shell.Pool"]


def test_who_names_a_scheduler_inside_an_allocation_gets_it(
    home: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver may well be a job itself."""
    install(commands, *SLURM)
    for name, text in (IN_SLURM | {"PYPOOL_SCHEDULER": "slurm"}).items():
        monkeypatch.setenv(name, text)
    assert picked() == "slurm"


# ---- the same program everywhere


def test_options_of_clusters_are_accepted_without_one(
    home: Path, commands: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same program runs on a laptop; what has no use there is told, all in one line."""
    for _ in range(2):
        with pypool.Pool(2, queue="long", time="1h", memory="1G", cpus=2) as pool:
            assert "pypool.local.Pool" in repr(pool)
    assert [record.message for record in caplog.records] == [
        "a local pool has no use for memory, queue, time"
    ]


def test_mistakes_are_told_on_a_laptop_as_well(home: Path, commands: Path) -> None:
    """Not only when the program has come to the cluster."""
    with pytest.raises(ValueError, match="time='soon'"):
        pypool.Pool(time="soon")


def test_a_picked_pool_works(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was picked computes."""
    monkeypatch.setenv("PYPOOL_SCHEDULER", "shell")
    with pypool.Pool(2, work_dir=tmp_path / "work") as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
