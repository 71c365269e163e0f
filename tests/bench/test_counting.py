"""Counting from outside: calls that strace tells, files, commands, RPCs, jobs of a turn."""

import subprocess
from pathlib import Path

import pytest

from bench import counting, queue
from bench.workloads import counts

TOLD = """\
71 1764366000.100000 openat(AT_FDCWD, "/early", O_RDONLY) = 3
71 1764366001.100000 openat(AT_FDCWD, "/a", O_RDONLY <unfinished ...>
72 1764366001.200000 close(3)           = 0
71 1764366001.300000 <... openat resumed>) = 3
72 1764366001.400000 openat(AT_FDCWD, "/gone", O_RDONLY) = -1 ENOENT (No such file or directory)
71 1764366001.500000 renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 0) = 0
1764366001.600000 unlink("b") = 0
71 1764366002.100000 close(3)           = 0
72 1764366002.200000 +++ exited with 0 +++
"""

SDIAG = """\
Remote Procedure Call statistics by message type
\tREQUEST_PARTITION_INFO                  ( 2009) count:256    ave_time:144    total_time:37029
\tMESSAGE_NODE_REGISTRATION_STATUS        ( 1002) count:216    ave_time:489    total_time:105625

Remote Procedure Call statistics by user
\troot            (       0) count:1028   ave_time:340    total_time:349939
"""


def test_calls_are_counted_between_two_moments() -> None:
    """One that is resumed counts once, one that fails counts, others have their own time."""
    found = counting.calls_in(TOLD, 1764366001.0, 1764366002.0)
    assert found == {"opens": 2, "renames": 1, "closes": 1, "unlinks": 1}


def test_rpcs_are_read_by_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same calls are listed by user too: those are not counted again."""
    monkeypatch.setattr(queue, "asked", lambda *command: SDIAG)
    found = queue.remote_calls()
    assert found == {"REQUEST_PARTITION_INFO": 256, "MESSAGE_NODE_REGISTRATION_STATUS": 216}


def test_rpcs_that_are_there_anyway_are_not_counted() -> None:
    """Nodes report by themselves; new kinds count in full."""
    before = {"REQUEST_JOB_INFO": 2, "MESSAGE_NODE_REGISTRATION_STATUS": 1}
    after = {
        "REQUEST_JOB_INFO": 5,
        "MESSAGE_NODE_REGISTRATION_STATUS": 9,
        "REQUEST_SUBMIT_BATCH_JOB": 1,
    }
    assert counts.grown(before, after) == 4


def test_jobs_of_a_turn_are_those_submitted_from_its_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others of the same user are left alone, whatever their directory begins with."""
    listing = "7_1 /home/me/turn/work\n8 /home/me/turn2\n9 /home/me/turn\n"
    monkeypatch.setattr(queue, "asked", lambda *command: listing)
    assert queue.jobs_below(Path("/home/me/turn")) == ["7_1", "9"]


def test_peak_is_what_was_there_in_between(tmp_path: Path) -> None:
    """It is told when the block is over, and files in folders count."""
    with counting.peak_of_files(tmp_path) as peak:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "a").touch()
        (tmp_path / "b").touch()
    assert peak.value == 2


def test_commands_are_counted_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper hands on arguments, output and exit code."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sbatch").write_text('#!/bin/sh\necho "got $2"; exit 4\n')
    (site / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{site}:/usr/bin:/bin")
    wrappers = tmp_path / "wrappers"
    wrappers.mkdir()
    commands = counting.CountedCommands(wrappers)
    done = subprocess.run(
        [wrappers / "sbatch", "a", "b c"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, "got b c\n")
    assert commands.so_far() == {"sbatch": 1}
