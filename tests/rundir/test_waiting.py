"""Waiting for short."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypool.rundir import waiting

SLACK = Path("/proc/self/timerslack_ns")

pytestmark = pytest.mark.skipif(not SLACK.exists(), reason="only Linux has a timer slack")


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """This process goes on as it was."""
    before = SLACK.read_text()
    yield
    SLACK.write_text(before)
    waiting._slack_before = 0


def test_who_wakes_in_time_has_forks_that_wake_as_usual() -> None:
    """What tasks sleep is their own business."""
    SLACK.write_text("70000")
    waiting.wake_in_time()
    assert SLACK.read_text().strip() == "1"
    pid = os.fork()
    if not pid:
        waiting.wake_as_usual()
        os._exit(SLACK.read_text().strip() != "70000")
    assert os.waitpid(pid, 0)[1] == 0
    assert SLACK.read_text().strip() == "1"


def test_it_is_for_one_thread() -> None:
    """The program's own threads sleep as they did, and what it starts if it says so."""
    SLACK.write_text("70000")
    found: list[str] = []

    def slack() -> str:
        return Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text().strip()

    def run() -> None:
        waiting.wake_in_time()
        found.append(slack())
        other = threading.Thread(target=run_what_is_not_ours)
        other.start()
        other.join()

    def run_what_is_not_ours() -> None:
        waiting.wake_as_usual()
        found.append(slack())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == ["1", "70000"]
    assert SLACK.read_text().strip() == "70000"


def test_who_was_started_by_one_that_wakes_in_time_has_usual_forks() -> None:
    """An agent that a thread of the driver has started."""
    SLACK.write_text("1")
    waiting.wake_in_time()
    waiting.wake_as_usual()
    assert int(SLACK.read_text()) == waiting.USUAL_SLACK


def test_where_it_is_not_to_be_had_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without it, or one that does not let us."""
    monkeypatch.setattr("_thread.get_native_id", lambda: "nobody")
    SLACK.write_text("70000")
    waiting.wake_in_time()
    waiting.wake_as_usual()
    assert SLACK.read_text().strip() == "70000"
