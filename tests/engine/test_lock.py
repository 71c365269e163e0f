"""The lock of a named run: one driver holds it, whoever comes, dies, or is somewhere else."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from pypool.engine.runs import lock
from pypool.engine.runs.lock import Holder, RunLock
from pypool.errors import RunDirectoryError
from pypool.rundir import names

fork = multiprocessing.get_context("fork")

RACERS = 10
ROUNDS = 100


def silent() -> int:
    """The beat of a driver that is gone."""
    return 0


def left_by(path: Path, **changed: Any) -> Holder:
    """A lock that somebody has left in the directory: a process that is gone, unless changed."""
    holder = Holder.here()._replace(pid=gone(), start=1)._replace(**changed)
    (path / names.LOCK).write_text(json.dumps(holder))
    return holder


def gone() -> int:
    """A pid that no process has."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same rules in a hundredth of the time."""
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    monkeypatch.setattr(lock, "PAUSE", 0.01)
    return


def test_nobody_holds_it(tmp_path: Path) -> None:
    """A lock that nobody holds is taken; released, nothing of it is left."""
    held = RunLock.acquire(str(tmp_path), silent)
    assert held.is_held
    told = Holder(*json.loads((tmp_path / names.LOCK).read_text()))
    assert (told.pid, told.start) == (os.getpid(), lock.start_of(os.getpid()))
    held.release()
    held.release()
    assert not held.is_held
    assert list(tmp_path.iterdir()) == []


def test_held_by_this_process(tmp_path: Path) -> None:
    """A second pool of the same name in one program is told that it is one."""
    held = RunLock.acquire(str(tmp_path), silent)
    with pytest.raises(RunDirectoryError, match="another Pool of this program"):
        RunLock.acquire(str(tmp_path), silent)
    assert held.is_held
    held.release()
    RunLock.acquire(str(tmp_path), silent).release()


def test_held_by_a_living_process_of_this_host(tmp_path: Path) -> None:
    """Who finds a living driver is told at once which one, since when, of what, and what to do."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = left_by(tmp_path, pid=child.pid, start=lock.start_of(child.pid), since=0.0)
    with pytest.raises(RunDirectoryError) as caught:
        RunLock.acquire(str(tmp_path), lambda: pytest.fail("it was waited for"))
    child.communicate()
    told = str(caught.value)
    assert str(tmp_path) in told
    assert f"process {child.pid} on {found.host} (since 19" in told
    assert "another name" in told


def test_holder_that_was_killed(tmp_path: Path) -> None:
    """After kill -9 the lock is taken over at once, also while the dead has not been reaped."""
    ready = fork.Event()
    child = fork.Process(target=acquire_and_stay, args=(tmp_path, ready))
    child.start()
    assert child.pid is not None
    assert ready.wait(30)
    with pytest.raises(RunDirectoryError, match=f"process {child.pid} "):
        RunLock.acquire(str(tmp_path), silent)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie
    held = RunLock.acquire(str(tmp_path), lambda: pytest.fail("it was waited for"))
    child.join()
    assert held.is_held
    held.release()
    assert list(tmp_path.iterdir()) == []


def acquire_and_stay(path: Path, ready: Event) -> None:
    RunLock.acquire(str(path), silent)
    ready.set()
    time.sleep(60)


def test_pid_that_is_used_again(tmp_path: Path) -> None:
    """A process with the same pid that was started at another time is not the holder."""
    left_by(tmp_path, pid=os.getppid(), start=1)
    RunLock.acquire(str(tmp_path), lambda: pytest.fail("it was waited for")).release()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", [{"host": "elsewhere"}, {"machine": "an earlier boot"}])
def test_silent_driver_elsewhere(
    tmp_path: Path, where: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The lock of another host is taken over when its driver is silent; a line says so before."""
    found = left_by(tmp_path, **where, pid=os.getpid(), start=lock.start_of(os.getpid()))
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "pypool"):
        held = RunLock.acquire(str(tmp_path), silent)
    assert time.monotonic() - begun >= lock.PATIENCE
    waits, takes = caplog.messages
    assert found.in_words in waits
    assert "waits until its beat has stood still" in waits
    assert "is taken over" in takes
    held.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("impatient")
def test_driver_elsewhere_that_beats(tmp_path: Path) -> None:
    """The lock of another host whose driver beats is not taken over."""
    left_by(tmp_path, host="elsewhere")
    beats = iter([1, 1, 1, 2])
    with pytest.raises(RunDirectoryError, match="on elsewhere"):
        RunLock.acquire(str(tmp_path), lambda: next(beats))
    assert (tmp_path / names.LOCK).exists()


@pytest.mark.usefixtures("impatient")
def test_driver_elsewhere_that_ends(tmp_path: Path) -> None:
    """A lock that is released while its holder's beat is watched is free."""
    left_by(tmp_path, host="elsewhere")

    def ends() -> int:
        (tmp_path / names.LOCK).unlink(missing_ok=True)
        return 0

    RunLock.acquire(str(tmp_path), ends).release()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", [b"", b"[1]", b'{"pid": 3}', b"\0\0\0"])
def test_lock_that_says_nothing(tmp_path: Path, content: bytes) -> None:
    """A lock whose maker died before writing into it is taken over after the same time."""
    (tmp_path / names.LOCK).write_bytes(content)
    begun = time.monotonic()
    RunLock.acquire(str(tmp_path), silent).release()
    assert time.monotonic() - begun >= lock.PATIENCE


@pytest.mark.usefixtures("impatient")
def test_take_over_that_was_broken_off(tmp_path: Path) -> None:
    """Who died elsewhere while it took a lock over leaves a file; it is named."""
    found = left_by(tmp_path)
    left = tmp_path / f"{names.LOCK}.{found.id}"
    left.write_text("1\nelsewhere\n")
    with pytest.raises(RunDirectoryError, match=f"remove {left}"):
        RunLock.acquire(str(tmp_path), silent)
    left.unlink()
    RunLock.acquire(str(tmp_path), silent).release()


@pytest.mark.usefixtures("impatient")
def test_driver_elsewhere_that_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of another host is not taken over while its holder lives, whatever that is doing."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    held = RunLock.acquire(str(tmp_path), silent)
    monkeypatch.setattr(lock, "machine", lambda: "somewhere else")
    with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()} on"):
        RunLock.acquire(str(tmp_path), silent)
    assert held.is_held
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_beats_go_into_ones_own_lock_alone(tmp_path: Path) -> None:
    """Whoever was stopped for long and comes back writes nothing into that of its successor."""
    found = left_by(tmp_path)
    before = (tmp_path / names.LOCK).read_bytes()
    lock._lengthen(str(tmp_path), "another id")
    assert (tmp_path / names.LOCK).read_bytes() == before
    lock._lengthen(str(tmp_path), found.id)
    assert (tmp_path / names.LOCK).read_bytes() == before + b" "


def test_lock_that_this_process_has_forgotten(tmp_path: Path) -> None:
    """Ctrl-C may come when it is taken and before anybody has it: it is taken over at once."""
    held = RunLock.acquire(str(tmp_path), silent)
    over = held._over
    del held
    RunLock.acquire(str(tmp_path), lambda: pytest.fail("it was waited for")).release()
    over.release()
    assert list(tmp_path.iterdir()) == []


def test_fork_owns_nothing(tmp_path: Path) -> None:
    """A fork of the driver does not release its lock."""
    held = RunLock.acquire(str(tmp_path), silent)
    child = fork.Process(target=held.release)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert held.is_held
    held.release()


def test_lock_that_was_taken_over(tmp_path: Path) -> None:
    """Who was stopped for long and comes back leaves the lock of its successor alone."""
    held = RunLock.acquire(str(tmp_path), silent)
    successor = left_by(tmp_path, host="elsewhere")
    assert not held.is_held
    held.release()
    assert Holder(*json.loads((tmp_path / names.LOCK).read_text())) == successor


def test_directory_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="No such file"):
        RunLock.acquire(str(tmp_path / "nothing"), silent)


@pytest.mark.parametrize("before", ["stale", "free"])
def test_race(tmp_path: Path, before: str) -> None:
    """Of ten processes that want the lock at the same time one gets it, a hundred times."""
    start, tried, seen, over = steps = [fork.Barrier(RACERS + 1, timeout=30) for _ in range(4)]
    winners = fork.SimpleQueue()
    racers = [fork.Process(target=race, args=(tmp_path, steps, winners.put)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    dead = gone()
    for number in range(ROUNDS):
        place = tmp_path / str(number)
        place.mkdir()
        if before == "stale":
            left_by(place, pid=dead)
        start.wait()
        tried.wait()
        holder = Holder(*json.loads((place / names.LOCK).read_text()))
        seen.wait()
        over.wait()
        assert winners.get() == (number, holder.pid)
        assert winners.empty()
        if before == "stale":
            assert list(place.iterdir()) == []
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0


def race(path: Path, steps: list[Barrier], tell: Callable[[Any], None]) -> None:
    start, tried, seen, over = steps
    for number in range(ROUNDS):
        held = None
        start.wait()
        try:
            held = RunLock.acquire(str(path / str(number)), silent)
            tell((number, os.getpid()))
        except RunDirectoryError as error:
            assert "is in use by process" in str(error)  # noqa: PT017
        tried.wait()
        seen.wait()
        if held is not None:
            assert held.is_held
            held.release()
        over.wait()
