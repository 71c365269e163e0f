"""The protocol between the suite and a peer's process, with a toy."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import adapter
from bench.adapter import Adapter, PeerError
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
