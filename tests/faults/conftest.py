"""Clusters to break, what must not be left of it, and the table at the end.

`tests/faults` prints what the user saw of each failure, and after how many seconds.
"""

import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pool.scripts import MARK
from private.conftest import StartSge, StartSlurm, start_sge, start_slurm

pytest.register_assert_rewrite("faults.clusters")

from .clusters import Cluster  # noqa: E402 # rewritten before it is imported
from .rows import Row  # noqa: E402

__all__ = ["start_sge", "start_slurm"]  # fixtures

NAMES = {"slurm": "Slurm", "sge": "Grid Engine"}
Noticed = Callable[[str, str, float], None]


# ---- clusters


@pytest.fixture
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """By parameter: `on_site` and `on_own` tell which. Afterwards nothing of the test is left."""
    name, own, settings = request.param
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    daemons: Any = None
    if own and name == "slurm":
        start: StartSlurm = request.getfixturevalue("start_slurm")
        daemons = start(**settings)
    elif own:
        start_it: StartSge = request.getfixturevalue("start_sge")
        daemons = start_it(**settings)
    place = Path(tempfile.mkdtemp(prefix="pypool-test-", dir=Path.home()))
    found = Cluster(name, daemons, place, mark)
    yield found
    for pool in found.pools:
        pool.terminate()
    try:
        found.nothing_is_left(files=False)
    finally:
        shutil.rmtree(place, ignore_errors=True)


# ---- what is said


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings so far, which are what a user sees on the terminal."""
    caplog.set_level(logging.INFO, "pypool")

    def warnings() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]

    return warnings


# ---- the table


@pytest.fixture
def noticed(request: pytest.FixtureRequest) -> Noticed:
    """Puts a line into the table: provoked by, what the user saw, seconds until it was noticed."""
    function = getattr(request, "function", None)
    failure = getattr(function, "failure", "?")
    where = "" if "cluster" not in request.fixturenames else _where(request)

    def note(by: str, saw: str, seconds: float) -> None:
        row = Row(failure, where, by, saw, round(seconds, 2))
        request.node.user_properties.append(("fault", list(row)))

    return note


def _where(request: pytest.FixtureRequest) -> str:
    name, own, _ = request.node.callspec.params["cluster"]
    return f"{NAMES[name]}{', own' if own else ''}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each test that has passed and has told what it saw."""
    rows = []
    for report in terminalreporter.stats.get("passed", []):
        for name, row in getattr(report, "user_properties", ()):
            if name == "fault" and report.when == "call":
                rows.append(Row(*row))
    if not rows:
        return
    terminalreporter.section("failures: what the user saw, and after how many seconds")
    for row in sorted(rows):
        terminalreporter.write_line(
            f"{row.failure} | {row.where} | {row.by} | {row.saw} | {row.seconds:.2f}"
        )
