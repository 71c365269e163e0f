"""The protocol between the suite and a peer's process, with a toy."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import adapter
from bench.adapter import Adapter, PeerError
from bench.peers.arrays import PEER
from bench.peers.serve import Peer, Server
from bench.peers.tasks import TASKS
from bench.seats import ROOT

TOY = Path(__file__).with_name("toy_peer.py")


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Adapter]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    toy = Adapter([sys.executable, str(TOY)], tmp_path, tmp_path / "printed", environment)
    yield toy
    toy.end()


def test_map_answers_seconds_and_when(toy: Adapter) -> None:
    """Each of the maps has its seconds, within the moments that the answer names."""
    toy.ask("start", workers=2)
    answer = toy.ask("map", task="no_op", items=["range", 3], times=2)
    assert len(answer["seconds"]) == 2
    first, last = answer["when"]
    assert 0 < sum(answer["seconds"]) <= last - first + 0.001


def test_results_are_told_of_tasks_that_are_asked_for_them(toy: Adapter) -> None:
    """`settle` answers which processes there are; results of other tasks stay where they are."""
    toy.ask("start", workers=2)
    told = toy.ask("map", task="settle", items=["list", 0, 0])
    assert told["results"] == [[os.uname().nodename, toy.process.pid]] * 2
    assert "results" not in toy.ask("map", task="no_op", items=["range", 3])


@pytest.fixture
def standard(tmp_path: Path) -> Iterator[Adapter]:
    """A real peer, by the script that starts all of them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.peers.script", "standard"]
    peer = Adapter(command, tmp_path, tmp_path / "printed", environment)
    peer.ask("start", workers=2)
    yield peer
    peer.ask("stop")
    peer.end()


def test_script_has_a_class_of_its_own(standard: Adapter) -> None:
    """What users write: their classes are in `__main__`, which a worker cannot import."""
    told = standard.ask("map", task="class_of", items=["instances", 2])
    assert told["results"] == [["__main__", "Sample"]] * 2
    told = standard.ask("map", task="class_of", items=["tuples", 1])
    assert told["results"] == [["builtins", "tuple"]]


def test_results_as_they_come_are_counted(standard: Adapter) -> None:
    """Their time and memory are told."""
    answer = standard.ask("imap", task="no_op", items=["range", 10], chunksize=4)
    assert len(answer["seconds"]) == 1
    assert answer["grown"] >= 0


def test_what_a_peer_cannot_do_is_an_error(toy: Adapter) -> None:
    """It has no chunks to tell the size of, and gives all results at once."""
    toy.ask("start", workers=2)
    with pytest.raises(PeerError, match="it gives all results at once"):
        toy.ask("imap", task="no_op", items=["range", 3], chunksize=2)
    with pytest.raises(PeerError, match="it is not told how large chunks are"):
        toy.ask("map", task="no_op", items=["range", 3], chunksize=2)


class Keeping(Peer):
    """Keeps what it was given; loses a result of those that come one by one."""

    def start(self, workers: int, **options: Any) -> None: ...

    def stop(self) -> None: ...

    def prepared(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Sequence[Any]:
        return [("prepared", item) for item in items]

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.given = ("map", items)
        return list(items)

    def map_in_chunks(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> list[Any]:
        self.given = (f"chunks of {chunksize}", items)
        return list(items)

    def imap_unordered(
        self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int
    ) -> Iterator[Any]:
        return iter(items[1:])


def test_what_is_made_before_the_clock_is_what_is_mapped() -> None:
    """With the size of chunks, if one is told."""
    peer = Keeping()
    server = Server(peer, complex)
    server.do_map("no_op", ["range", 2])
    assert peer.given == ("map", [("prepared", 0), ("prepared", 1)])
    server.do_map("no_op", ["range", 1], chunksize=7)
    assert peer.given == ("chunks of 7", [("prepared", 0)])


def test_results_that_do_not_come_are_an_error() -> None:
    """A pool that loses one was not faster."""
    with pytest.raises(RuntimeError, match="1 results of 2 tasks"):
        Server(Keeping(), complex).do_imap("no_op", ["range", 2], chunksize=1)


def test_arrays_are_made_before_they_are_saved(tmp_path: Path) -> None:
    """Those that tasks would return; those that tasks would take are there."""
    arrays = PEER()
    made = arrays.prepared(TASKS["return_array"], [(3, 16), (4, 16)])
    assert [array.tolist() for array in made] == [[3.0, 3.0], [4.0, 4.0]]
    assert arrays.prepared(TASKS["touch_array"], made)[0] is made[0]
    arrays.start(1, work_dir=str(tmp_path))
    assert [array.tolist() for array in arrays.map(TASKS["return_array"], made)] == [[3, 3], [4, 4]]


def test_what_is_printed_is_no_answer(toy: Adapter, tmp_path: Path) -> None:
    """What the peer and its children print goes to a file."""
    toy.ask("start", workers=2)
    toy.ask("map", task="no_op", items=["range", 1])
    printed = (tmp_path / "printed").read_text()
    assert "nor is this one" in printed
    assert "and a child prints too" in printed


def test_cold_counts_start_and_map(toy: Adapter) -> None:
    """`cold` is one request with the words of both."""
    answer = toy.ask("cold", workers=2, task="no_op", items=["range", 3])
    assert len(answer["seconds"]) == 1


def test_what_the_peer_raises_is_told_and_it_goes_on(toy: Adapter) -> None:
    """An error is an answer with its last line; the next request is answered as any other."""
    with pytest.raises(PeerError, match="start: LookupError: no such toy"):
        toy.ask("start", workers=2, fails=True)
    assert toy.ask("stop") == {}


def test_end_of_the_process_is_told_with_what_it_printed(toy: Adapter) -> None:
    """Who dies answers nothing; the end of its output says why."""
    with pytest.raises(PeerError, match=r"the process has ended\. the toy breaks"):
        toy.ask("start", workers=2, ends=True)


def test_no_answer_in_time_is_an_error(toy: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that hangs keeps nobody waiting, and is made to end."""
    with pytest.raises(PeerError, match="start: no answer within 0 s"):
        toy.ask("start", within=0.01, workers=2, sleeps=True)
    monkeypatch.setattr(adapter, "ENDS_WITHIN", 0.1)
    toy.end()
    assert toy.process.returncode in (-signal.SIGTERM, -signal.SIGKILL)


def test_end_that_is_ended_leaves_no_process(toy: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal to the suite while it waits for a peer to leave: the peer goes with it."""

    def ended(_: Adapter) -> bool:
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr(Adapter, "_has_ended", ended)
        with pytest.raises(SystemExit):
            toy.end()
    assert toy.process.returncode is not None
