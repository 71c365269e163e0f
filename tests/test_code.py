"""What is known of the modules that a process has loaded."""

import hashlib
import importlib
import json
import subprocess
import sys
import timeit
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypool import code
from pypool.engine.backend import libraries


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module of the user's, loaded from `tmp_path`."""
    (tmp_path / "users_own.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("users_own")
    del sys.modules["users_own"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_modules_of_the_user(module: types.ModuleType) -> None:
    """The user's modules are there, those of libraries and of pypool are not."""
    found = code.user_modules(libraries())
    assert found["users_own"] == digest("value = 1\n")
    assert found[__name__] == digest(Path(__file__).read_text())
    assert not {"json", "pytest", "numpy", "pypool", "pypool.code"} & found.keys()


def test_module_that_is_loaded_later(tmp_path: Path, module: types.ModuleType) -> None:
    """A second look sees what has come, and what was reloaded."""
    code.user_modules(libraries())
    (tmp_path / "users_other.py").write_text("")
    (tmp_path / "users_own.py").write_text("value = 22\n")
    importlib.invalidate_caches()
    importlib.import_module("users_other")
    found = code.user_modules(libraries())
    assert found["users_other"] == digest("")
    assert found["users_own"] == digest("value = 1\n")  # that is what runs here
    importlib.reload(module)
    assert code.user_modules(libraries())["users_own"] == digest("value = 22\n")
    del sys.modules["users_other"]
    assert "users_other" not in code.user_modules(libraries())


def test_modules_within_given_directories(tmp_path: Path, module: types.ModuleType) -> None:
    assert "users_own" not in code.user_modules([str(tmp_path)])
    assert "users_own" in code.user_modules([str(tmp_path)[:-1]])


def test_differing(tmp_path: Path, module: types.ModuleType) -> None:
    """Of the modules that are named, those are told that are loaded here and were others."""
    said = {"users_own": digest("value = 0\n"), "nowhere": "", __name__: digest("")}
    assert code.differing(said) == ["users_own", __name__]
    assert code.differing({"users_own": digest("value = 1\n")}) == []
    assert code.file_of("users_own") == str(tmp_path / "users_own.py")


def test_source_that_is_gone(tmp_path: Path, module: types.ModuleType) -> None:
    """Of what cannot be read nothing is said."""
    (tmp_path / "users_own.py").unlink()
    assert "users_own" not in code.user_modules(libraries())
    assert code.differing({"users_own": ""}) == []


def test_script_and_stand_in(tmp_path: Path) -> None:
    """A script's own file counts; a worker's `__main__`, which only bears the name, does not."""
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys, types\n"
        "from pypool import code\n"
        "print(json.dumps(code.user_modules([])))\n"
        "main = types.ModuleType('__main__')\n"
        "main.__file__ = __file__\n"
        "sys.modules['__main__'] = main\n"
        "print(json.dumps(code.differing({'__main__': 'another'})))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == {"__main__": digest(script.read_text())}
    assert second == []


def test_second_look_is_cheap(module: types.ModuleType) -> None:
    """It costs microseconds for each of the user's modules, however many libraries there are."""
    given = libraries()
    count = len(code.user_modules(given))
    seconds = min(timeit.repeat(lambda: code.user_modules(given), number=100, repeat=5)) / 100
    assert seconds / count < 100e-6
