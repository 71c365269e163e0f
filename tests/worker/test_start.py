"""The start of an agent: its exit code is its own, wherever its log goes."""

import subprocess
import sys
from pathlib import Path

import pytest

from pypool.worker.arrival import REFUSED

from .player import START


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_log_on_a_full_disk_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """Python by itself ends with 120 if it cannot bring out what was printed."""
    argv = [sys.executable, str(START), str(tmp_path / "nowhere"), "elements/x/0"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(argv, stdout=full, stderr=full, check=False, timeout=60)
    assert ended.returncode == REFUSED


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_does_not_either(tmp_path: Path, closed: str) -> None:
    """As a program that went into the background leaves them to its local pool."""
    line = f'exec "$0" "$@" {closed}'
    argv = [sys.executable, str(START), str(tmp_path / "nowhere"), "elements/x/0"]
    ended = subprocess.run(["sh", "-c", line, *argv], check=False, timeout=60)
    assert ended.returncode == REFUSED
