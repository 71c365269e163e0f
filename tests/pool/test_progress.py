"""`progress`: lines of a real pool on standard error."""

import re
from pathlib import Path

import pytest

from pypool.engine import progress

from . import tasks
from .conftest import MakePool
from .scripts import wait_until

pytestmark = pytest.mark.parametrize("backend", ["local", "shell"], indirect=True)
LINE = (
    r"pypool: \d+ of 4 tasks done, \d+ running, \d+ pending; \d+ workers?"
    r"(, \d+ elements? not started yet)?"
)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.05)


class Said:
    """What has come on standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.lines: list[str] = []

    def has(self, line: str) -> bool:
        self.lines += self._capsys.readouterr().err.splitlines()
        return line in self.lines


@pytest.mark.parametrize("option", ["progress", "verbose"])
def test_lines_tell_how_far_it_is(
    make_pool: MakePool, shared_dir: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """Both words for it mean the same. Tasks are counted, and workers."""
    said = Said(capsys)
    gate, other = str(shared_dir / "gate"), str(shared_dir / "other")
    with make_pool(processes=2, **{option: True}) as pool:
        handle = pool.map_async(tasks.wait_for, [gate, gate, other, other])
        assert wait_until(
            lambda: said.has("pypool: 0 of 4 tasks done, 2 running, 2 pending; 2 workers")
        )
        Path(gate).touch()
        assert wait_until(
            lambda: said.has("pypool: 2 of 4 tasks done, 2 running, 0 pending; 2 workers")
        )
        Path(other).touch()
        handle.get(tasks.PATIENCE)
        assert wait_until(lambda: said.has("pypool: all tasks are done; 2 workers"))
    *at_work, end = said.lines
    assert all(re.fullmatch(LINE, line) for line in at_work)
    assert end == "pypool: all tasks are done; 2 workers"


def test_without_it_nothing_is_said(
    make_pool: MakePool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program has its standard error for itself."""
    with make_pool(processes=1) as pool:
        pool.starmap(tasks.power, [(1, 2)])
        pool.map_async(_pause, range(3)).get(tasks.PATIENCE)
    assert capsys.readouterr().err == ""


def _pause(_: int) -> None:
    import time

    time.sleep(0.1)
