"""Names, values and variables that mean something to shells, Pythons and terminals."""

import hashlib
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from engine.test_hostile_values import (
    test_lines_of_shell_cannot_swallow_the_start_of_the_agent as lines_of_shell,
)
from pool import tasks
from pool.conftest import MakePool
from pool.scripts import Driver
from worker.player import Player

from pypool import PoolError, VersionMismatchError
from pypool.engine.outcomes import how_it_died
from pypool.rundir import records
from pypool.rundir.run import RunDirectory
from pypool.schedulers.base import clean_environment

from .threats import against

on_shell = pytest.mark.parametrize("backend", ["shell"], indirect=True)
on_clusters = pytest.mark.parametrize(
    "backend",
    [
        pytest.param("shell"),
        pytest.param("slurm", marks=pytest.mark.slurm),
        pytest.param("sge", marks=pytest.mark.sge),
    ],
    indirect=True,
)
CANARY = "canary-6f1c9d"

HOSTILE = [
    "$(touch marker)",
    "`touch marker`",
    "';touch marker;'",
    '";touch marker;"',
    "a b;touch marker",
    "|touch marker",
    "&touch marker",
    "-x",
    "#SBATCH --wrap=x",
    "{{ run }}",
]

# ---- names that a shell reads


@against("Names that a shell reads")
@on_clusters
@pytest.mark.parametrize("value", HOSTILE)
def test_a_variable_is_what_was_given(
    backend: str, make_pool: MakePool, shared_dir: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `env`, on each scheduler; and no shell has read it on its way."""
    if backend != "shell" and value not in HOSTILE[:3]:
        pytest.skip("some are enough where a job takes its time")
    monkeypatch.chdir(shared_dir)
    pool = make_pool(processes=1, env={"HOSTILE": value})
    assert pool.map_async(tasks.environment, ["HOSTILE"]).get(tasks.PATIENCE) == [value]
    assert not list(shared_dir.rglob("marker"))


@against("Names that a shell reads")
@on_shell
@pytest.mark.parametrize("value", HOSTILE)
def test_no_shell_reads_the_name_of_the_driver(
    driver: Driver, shared_dir: Path, value: str
) -> None:
    """Of its script and of the directory it runs in."""
    place = shared_dir / value
    place.mkdir()
    (place / f"{value}.py").write_text(driver.text(f"import os; os.chdir({str(place)!r})\n"))
    program = f"""
        import os, sys
        os.chdir({str(place)!r})
        sys.argv = [{value!r}]
        with POOL as pool:
            print(pool.map(abs, [-3]))
        """
    assert driver.run(program) == "[3]\n"
    assert not list(shared_dir.rglob("marker"))


@against("Names that a shell reads")
@pytest.mark.timeout(300)
def test_lines_of_shell_stay_in_their_place(tmp_path: Path) -> None:
    """Thousands of strings in all options are in `tests/engine/test_hostile_values.py`."""
    lines_of_shell(tmp_path, 60)


# ---- secrets


def environments(_: int) -> list[str]:
    """Of this process and those above it, as the system tells them."""
    found, pid = [], os.getpid()
    while pid > 1:
        try:
            found.append(Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace"))
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # of another user
            break
        pid = int(words[1])
    return [*found, str(dict(os.environ))]


def digest_of(name: str) -> str:
    return hashlib.sha256(os.environ[name].encode()).hexdigest()


def told_of_jobs(backend: str) -> str:
    """All that the scheduler tells of the jobs of this user, and all that `ps` tells."""
    commands = [["ps", "-eo", "args", "ww"]]
    if backend == "slurm":
        commands += [["scontrol", "show", "job", "-dd"], ["squeue", "-a", "-o", "%all"]]
    if backend == "sge":
        commands += [["qstat", "-j", "*"], ["qstat", "-ext", "-urg", "-r"]]
    said = [subprocess.run(each, capture_output=True, text=True, check=False) for each in commands]
    assert all(each.stdout for each in said)
    return "".join(each.stdout for each in said)


@against("Secrets in the environment")
@on_clusters
@pytest.mark.parametrize("name", ["MY_SECRET", "GITHUB_TOKEN", "DB_PASSWORD", "aws_access_key_id"])
def test_a_secret_stays_at_home(
    backend: str,
    make_pool: MakePool,
    shared_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """In no process above the task, no file, no command line, no answer of the scheduler."""
    if backend != "shell" and name != "MY_SECRET":
        pytest.skip("which names are left out does not depend on the scheduler")
    monkeypatch.setenv(name, CANARY)
    pool = make_pool(processes=1, keep="all")
    (seen,) = pool.map(environments, [0])
    assert len(seen) >= 2
    ours = [text for text in seen if "pytest" not in text.partition("PYTEST_CURRENT_TEST")[0]]
    if backend != "shell":  # there the driver itself is above the task
        ours = seen
    assert not [text for text in [ours[0], ours[-1]] if CANARY in text]
    assert CANARY not in told_of_jobs(backend)
    pool.terminate()
    pool.join()
    files = [path for path in (shared_dir / "work").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


@against("Secrets in the environment")
@on_clusters
@pytest.mark.parametrize("how", ["name", "value"])
def test_a_secret_that_is_named_travels_out_of_sight(
    backend: str,
    make_pool: MakePool,
    shared_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """The task has it; files, command lines and the scheduler's answers do not."""
    monkeypatch.setenv("MY_SECRET", CANARY)
    given = ["MY_SECRET"] if how == "name" else {"MY_SECRET": CANARY}
    pool = make_pool(processes=1, keep="all", env=given)
    assert pool.map(digest_of, ["MY_SECRET"]) == [hashlib.sha256(CANARY.encode()).hexdigest()]
    if backend != "sge":  # qstat -j tells its user the environment of the job
        assert CANARY not in told_of_jobs(backend)
    pool.terminate()
    pool.join()
    files = [path for path in (shared_dir / "work").rglob("*") if path.is_file()]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


# ---- environments and folders that run code


@against("Environments and folders that run code")
@on_clusters
def test_what_shells_would_run_does_not_travel(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BASH_ENV, ENV and functions."""
    start = shared_dir / "start.sh"
    start.write_text(f"touch {shared_dir}/marker\n")
    monkeypatch.setenv("BASH_ENV", str(start))
    monkeypatch.setenv("ENV", str(start))
    monkeypatch.setenv("BASH_FUNC_exec%%", f"() {{ touch {shared_dir}/marker\n}}")
    monkeypatch.setenv("PYTHONSTARTUP", str(start))
    pool = make_pool(processes=1)
    names = ["BASH_ENV", "ENV", "BASH_FUNC_exec%%"]
    assert pool.map_async(tasks.environment, names).get(tasks.PATIENCE) == [None] * 3
    assert not (shared_dir / "marker").exists()


@against("Environments and folders that run code")
@on_clusters
def test_modules_in_the_working_directory_are_not_imported(
    driver: Driver, shared_dir: Path
) -> None:
    """Unless the program's own path begins there."""
    place = shared_dir / "elsewhere"
    place.mkdir()
    for module in ("pickle", "signal", "json", "struct", "selectors", "zlib", "pypool"):
        (place / f"{module}.py").write_text(f"open({str(shared_dir / 'marker')!r}, 'w')\n")
    program = f"""
        import os
        os.chdir({str(place)!r})
        with POOL as pool:
            print(pool.map(abs, range(3)))
        """
    assert driver.run(program) == "[0, 1, 2]\n"
    assert not (shared_dir / "marker").exists()


@against("Environments and folders that run code")
@on_shell
def test_the_working_directory_is_on_the_path_if_it_is_on_the_programs(
    driver: Driver, shared_dir: Path
) -> None:
    """As with `multiprocessing`: a program in a notebook or from `-c` imports from there."""
    (shared_dir / "beside.py").write_text("def double(x): return 2 * x\n")
    program = """
        import beside
        with POOL as pool:
            print(pool.map(beside.double, [4]))
        """
    assert driver.run(program, "-c") == "[8]\n"


# ---- another version


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@against("Another version")
@pytest.mark.parametrize("pipes", [False, True])
@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"pypool": "0.0.0"}, r"the driver runs pypool 0\.0\.0"),
        ({"python_version": (3, 1)}, r"the driver runs Python 3\.1: what one pickles"),
    ],
)
def test_another_version_is_told_and_nothing_is_run(
    place: Path, pipes: bool, info: dict[str, Any], told: str
) -> None:
    """The agent says who it is and who the driver is, and leaves."""
    player = Player(place, pipes, **info)
    try:
        player.start()
        words = player.words(records.REFUSED)
        assert words["mismatch"]
        assert re.search(told, words["why"])
        assert player.agent.wait(10) == 3
    finally:
        player.end()


@against("Another version")
@on_shell
def test_the_caller_is_told_of_another_version(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an error of its own, which names both."""
    monkeypatch.setattr("pypool.engine.backend.VERSION", "0.0.0")
    pool = make_pool(processes=1)
    with pytest.raises(VersionMismatchError, match=r"the driver runs pypool 0\.0\.0"):
        pool.map_async(tasks.square, [1]).get(tasks.PATIENCE)


# ---- control characters

BAD = "\x1b]0;owned\x07\x1b[31mred\r\nsecond line\x00\x9b2J\u202e"
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@against("Control characters in what is shown")
def test_what_a_node_says_is_escaped() -> None:
    """Its name, in what is told of a death."""
    words = {"host": BAD, "code": -9, "seconds": 1.0, "memory": 1, "oom": False}
    assert not HARMFUL.search(how_it_died(words))


@against("Control characters in what is shown")
@on_shell
def test_the_name_of_a_task_is_escaped(make_pool: MakePool) -> None:
    """In the notes and messages about it; the exception's own text stays as it is."""

    def fail(_: int) -> None:
        raise ValueError(BAD)

    fail.__name__ = fail.__qualname__ = BAD
    pool = make_pool(processes=1)
    with pytest.raises(ValueError) as caught:
        pool.map(fail, [1])
    assert caught.value.args == (BAD,)
    assert not HARMFUL.search("".join(caught.value.__notes__))


@against("Control characters in what is shown")
@on_shell
def test_the_end_of_a_log_is_escaped(make_pool: MakePool, shared_dir: Path) -> None:
    """Where it is shown because no agent has started."""
    said = shared_dir / "said"
    said.write_bytes(BAD.encode())
    pool = make_pool(processes=1, setup=[f"cat '{said}'", "exit 7"])
    with pytest.raises(PoolError, match="second line") as caught:
        pool.map_async(tasks.square, [1]).get(tasks.PATIENCE)
    assert not HARMFUL.search(str(caught.value))


@against("Control characters in what is shown")
@on_shell
def test_the_death_of_a_task_with_a_bad_name_is_escaped(make_pool: MakePool) -> None:
    """The message of the error is ours."""

    def die(_: int) -> None:
        os._exit(3)

    die.__name__ = die.__qualname__ = BAD
    pool = make_pool(processes=1, retries=0)
    with pytest.raises(PoolError, match="exit code 3") as caught:
        pool.map_async(die, [1]).get(tasks.PATIENCE)
    assert not HARMFUL.search(str(caught.value))


# ---- what travels is what the page says


@against("Secrets in the environment")
def test_which_names_stay_at_home() -> None:
    """Whatever case and place the word has."""
    secret = {"A_TOKEN": "1", "secretary": "1", "PASSWORD_FILE": "1", "SSH_KEY": "1"}
    assert clean_environment(secret | {"MY_PIN": "1"}) == {"MY_PIN": "1"}


def test_a_run_is_opened_in_no_time(tmp_path: Path) -> None:
    """What is checked of each file that is opened costs next to nothing."""
    run = RunDirectory.create(str(tmp_path), {})
    started = time.perf_counter()
    for _ in range(2000):
        os.close(run.open_file("driver", os.O_RDONLY))
    assert time.perf_counter() - started < 1
    run.close()
