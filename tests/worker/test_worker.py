"""The worker: where it lays large results, and what the tasks find around them."""

import errno
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pypool.rundir import names, records
from pypool.rundir.run import RunDirectory
from pypool.worker import worker
from pypool.worker.page import Page
from pypool.worker.trouble import DiskTrouble
from pypool.worker.worker import DataFile, above_standard

from . import jobs
from .conftest import Play
from .player import ELEMENT, run_info

# ---- data files


class Files:
    """The data files of one slot; workers follow each other."""

    def __init__(self, place: Path) -> None:
        self.run = RunDirectory.create(str(place), run_info(place, 1))
        self.run.make_directory(str(Path(ELEMENT).parent))
        self.run.make_directory(ELEMENT)
        self._page = Page()

    def next_worker(self) -> DataFile:
        return DataFile(self.run, ELEMENT, 0, self._page)

    def content(self, part: int) -> bytes:
        return self.run.read(names.data(ELEMENT, 0, part))


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = Files(tmp_path)
    yield files
    files.run.close()


def test_results_share_a_part_up_to_its_limit(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that reaches it is the last one."""
    monkeypatch.setattr(names, "PART_LIMIT", 10)
    data = files.next_worker()
    places = [data.append([b"12345678"])[:3] for _ in range(3)]
    assert places == [(1, 0, 8), (1, 8, 8), (2, 0, 8)]


def test_a_large_result_has_a_part_of_its_own(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on where they were."""
    monkeypatch.setattr(worker.names, "OWN_PART", 10)
    data = files.next_worker()
    places = [data.append([body])[:3] for body in (b"small", b"very large", b"small")]
    assert places == [(1, 0, 5), (2, 0, 10), (1, 5, 5)]


def test_no_part_number_is_used_again(files: Files) -> None:
    """Not even after the driver has removed the part, and not by the next worker."""
    assert files.next_worker().append([b"one"])[0] == 1
    files.run.remove(names.data(ELEMENT, 0, 1))
    assert files.next_worker().append([b"two"])[0] == 2


Write = Callable[..., None]


def refusing(write: Write, code: int, times: int) -> Write:
    """Writes half of what is asked and fails, for a while."""
    refusals = 0

    def refuse(name: str, pieces: Iterable[bytes], offset: int = 0, sync: bool = False) -> None:
        nonlocal refusals
        refusals += 1
        if refusals > times:
            write(name, pieces, offset, sync)
        else:
            [body] = pieces
            write(name, [body[: len(body) // 2]], offset)
            raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_result_that_the_disk_refuses_is_written_again(
    files: Files, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """To the same place, once there is room."""
    monkeypatch.setattr(worker, "DISK_PAUSE", 0.0)
    data = files.next_worker()
    data.append([b"before"])
    monkeypatch.setattr(files.run, "write", refusing(files.run.write, code, times=3))
    assert data.append([b"result"])[:3] == (1, 6, 6)
    assert files.content(1) == b"beforeresult"


def test_a_result_is_not_held_for_ever(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some minutes the disk's own words are told, and nothing is left behind."""
    monkeypatch.setattr(worker, "DISK_PAUSE", 0.01)
    monkeypatch.setattr(worker, "DISK_PATIENCE", 0.05)
    monkeypatch.setattr(files.run, "write", refusing(files.run.write, errno.ENOSPC, times=1000))
    with pytest.raises(DiskTrouble, match="No space left on device"):
        files.next_worker().append([b"result"])
    assert not list(Path(f"{files.run.path}/{ELEMENT}").iterdir())


def test_what_a_pause_does_not_mend_is_told_at_once(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is gone stays so."""
    monkeypatch.setattr(files.run, "write", refusing(files.run.write, errno.ENOENT, times=1))
    with pytest.raises(DiskTrouble, match="No such file"):
        files.next_worker().append([b"result"])


# ---- what tasks may do


def test_files_of_ours_stand_above_standard_output() -> None:
    """And programs that tasks start do not inherit them."""
    standard = os.dup(0)
    os.close(0)
    try:
        fd = above_standard(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(standard, 0)
        os.close(standard)
    assert fd > 2
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_task_may_close_all_that_is_standard(play: Play) -> None:
    """And the next one as well, while batches are read and results written."""
    player = play()
    for round_ in range(3):
        number = player.deal(jobs.close_standard, [100_000 + round_] * 2)
        assert player.values(number, 2) == [b"x" * (100_000 + round_)] * 2
    assert not [record for record in player.news if record.kind == records.DEATH]


def test_a_task_can_interrupt_what_it_started(play: Play) -> None:
    """Ctrl-C is not ignored by programs that tasks run."""
    player = play()
    number = player.deal(jobs.interrupted_child, [0])
    assert player.values(number, 1) == [-signal.SIGINT]


def test_signals_are_as_in_a_fresh_python(play: Play) -> None:
    """Whatever the agent has done with its own."""
    player = play()
    number = player.deal(jobs.signal_handlers, [0])
    [found] = player.values(number, 1)
    assert found == {
        "SIGINT": repr(signal.default_int_handler),
        "SIGTERM": repr(signal.SIG_DFL),
        "SIGCHLD": repr(signal.SIG_DFL),
        "SIGPIPE": repr(signal.SIG_IGN),
        "SIGXFSZ": repr(signal.SIG_IGN),
    }


@pytest.mark.parametrize("how", [SystemExit, KeyboardInterrupt])
def test_pickling_a_result_may_raise_anything(play: Play, how: type[BaseException]) -> None:
    """It is the end of that result, not of the worker."""
    player = play()
    number = player.deal(jobs.raises_when_pickled, [how])
    [(reason, _)] = player.values(number, 1)
    assert how.__name__ in reason
    assert not [record for record in player.news if record.kind == records.DEATH]


def test_an_item_may_refuse_notes_when_it_does_not_load(play: Play) -> None:
    """The exception of its class is the task's, whatever that lets us add."""
    player = play()
    items: list[Any] = [jobs.Unloadable()]
    number = player.deal(jobs.same, items)
    [entry] = player.answers(number, 1)
    assert b"Frozen" in player.body(entry)
    assert not [record for record in player.news if record.kind == records.DEATH]
