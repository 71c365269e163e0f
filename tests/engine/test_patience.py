"""What the machine is short of for a moment is waited for."""

import errno
import logging
import os
from pathlib import Path

import pytest

from pypool.engine.patience import PATIENCE, PATIENCE_AT_END, Patience
from pypool.rundir.run import RunDirectory


class Clock:
    """Goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ending = False
        self.patience = Patience(lambda: self.ending, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def waits(self, number: int) -> float:
        """Seconds until this error is raised, which meets every try."""
        began, since = self.now, None
        error = OSError(number, os.strerror(number))
        try:
            while True:
                since = self.patience(error, since)
        except OSError as raised:
            assert raised is error  # noqa: PT017
        return self.now - began


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN])
def test_shortages_are_waited_for(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """For some minutes; a line says so each minute."""
    with caplog.at_level(logging.WARNING, "pypool"):
        assert PATIENCE <= Clock().waits(number) <= PATIENCE + 2
    assert len(caplog.messages) == 3
    assert all(os.strerror(number) in line for line in caplog.messages)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ENOENT])
def test_what_is_no_shortage_is_not_waited_for(number: int) -> None:
    """A full disk is somebody else's affair."""
    assert Clock().waits(number) == 0


def test_the_end_waits_for_a_moment_only() -> None:
    """In all: however many files there are to say it in."""
    clock = Clock()
    clock.ending = True
    waited = sum(clock.waits(errno.EMFILE) for _ in range(100))
    assert PATIENCE_AT_END <= waited <= PATIENCE_AT_END + 2


def test_a_file_is_opened_as_soon_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants to read or write it notices nothing."""
    clock = Clock()
    run = RunDirectory.create(str(tmp_path), {})
    run.patience = clock.patience
    really = os.open

    def short(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if clock.now < 160:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", short)
    run.write("a file", [b"text"])
    assert clock.now >= 160
    assert run.read("a file") == b"text"
    run.close()
