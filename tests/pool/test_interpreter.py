"""`python`: an interpreter of the nodes' own, with libraries of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pypool import VersionMismatchError
from pypool.errors import AgentStartError

from . import tasks
from .conftest import MakePool

pytestmark = pytest.mark.parametrize("backend", ["shell"], indirect=True)
BARE = "/usr/bin/python3"


def version_of(python: str) -> tuple[int, ...]:
    """Major and minor version; empty if it cannot be run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ()
    return tuple(map(int, done.stdout.split()))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with two modules of its own: one of a name that the driver has, too."""
    if version_of(BARE) != sys.version_info[:2]:
        pytest.skip(f"needs {BARE} of the same version")
    place = tmp_path / "environment"
    subprocess.run([BARE, "-m", "venv", "--without-pip", str(place)], check=True)
    (libraries,) = place.glob("lib/python*/site-packages")
    (libraries / "only_there.py").write_text("answer = 42\n")
    (libraries / "filelock.py").write_text("answer = 43\n")
    return place


def prefix(_: int) -> tuple[str, str]:
    return sys.prefix, sys.executable


def answer_of(module: str) -> int | None:
    import importlib

    return getattr(importlib.import_module(module), "answer", None)


def file_of(module: str) -> str:
    import importlib

    return str(importlib.import_module(module).__file__)


def test_tasks_run_in_it(make_pool: MakePool, environment: Path) -> None:
    """It is no other one of the same version."""
    pool = make_pool(processes=1, python=environment / "bin" / "python")
    assert pool.map(prefix, [0]) == [(str(environment), str(environment / "bin" / "python"))]


def test_its_libraries_come_before_the_drivers(make_pool: MakePool, environment: Path) -> None:
    """Those that only it has, and those that both have."""
    pool = make_pool(processes=1, python=environment / "bin" / "python")
    assert pool.map(answer_of, ["only_there", "filelock"]) == [42, 43]


def test_what_it_lacks_is_the_drivers(make_pool: MakePool, environment: Path) -> None:
    """Functions without a name travel by cloudpickle, which it need not have."""
    import cloudpickle

    pool = make_pool(processes=1, python=environment / "bin" / "python")
    assert pool.map(lambda number: number + 1, [1]) == [2]
    assert pool.map(file_of, ["cloudpickle"]) == [cloudpickle.__file__]


def test_what_the_program_brings_along_comes_first(
    make_pool: MakePool, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own directory, wherever that is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "only_there.py").write_text("answer = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "mine")
    pool = make_pool(processes=1, python=environment / "bin" / "python")
    assert pool.map(answer_of, ["only_there"]) == [1]


def test_a_command_is_found_by_what_setup_has_set(make_pool: MakePool, environment: Path) -> None:
    """As modules and conda provide it."""
    setup = f"export PATH='{environment}/bin':$PATH"
    pool = make_pool(processes=1, python="python", setup=setup)
    assert pool.map(prefix, [0])[0][0] == str(environment)


def test_another_version_is_refused(make_pool: MakePool) -> None:
    """What one pickles the other may not read."""
    others = [f"python3.{minor}" for minor in range(11, 20) if minor != sys.version_info[1]]
    found = [path for path in map(shutil.which, others) if path and version_of(path)]
    if not found:
        pytest.skip("no other Python here")
    with pytest.raises(VersionMismatchError, match=r"the driver runs Python 3\.\d+"):
        make_pool(processes=1, python=found[0]).map(tasks.square, [1])


@pytest.mark.slow
def test_one_that_is_not_there_is_told_of(make_pool: MakePool, tmp_path: Path) -> None:
    """With what the shell said."""
    with pytest.raises(AgentStartError, match="no-python"):
        make_pool(processes=1, python=tmp_path / "no-python").map(tasks.square, [1])
