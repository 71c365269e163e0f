"""Intake: when a call is over, in whatever order its tasks come to their ends."""

import pickle
from typing import Any, cast

import pytest

from pypool.engine.callbacks import Callbacks
from pypool.engine.calls import Batch, Call, Calls, Portion
from pypool.engine.dealing.deal import Deal, DealShare, Fail, Policy
from pypool.engine.intake import Intake
from pypool.engine.journal import Journal
from pypool.engine.links import Link
from pypool.engine.outcomes import Outcomes
from pypool.results import MapResult
from pypool.rundir import messages, records
from pypool.rundir.messages import VALUE, Entry, pack_entry
from pypool.rundir.records import Record


class Results:
    """Stands for outcomes and journal: each result is the index of its task."""

    def settle(self, link: Link) -> None:
        """All are there."""

    def decode(self, link: Link, entry: Entry, call: Call, index: int) -> tuple[bool, Any]:
        return True, index

    def tasks(self, batch: int, heads: list[bytes]) -> None:
        """It is written down."""


class Agent:
    """A link by its name."""

    host = "n7"

    def __init__(self, key: str) -> None:
        self.key = key


class Table:
    """One call of two tasks, each in the hands of an agent of its own."""

    def __init__(self) -> None:
        self.deal = Deal(Policy(processes=2, slots=1, retries=0))
        self.handle: MapResult[int] = MapResult(2, None, None, Callbacks().post)
        portion = Portion(Call(0, b"", b"", "f", 1, self.handle), 0, [b"", b""], final=True)
        batch = Batch(1)
        batch.add(portion)
        self.calls = Calls()
        self.calls.take(portion)
        self.calls.written(batch)
        results = Results()
        self.intake = Intake(
            self.deal, self.calls, cast(Outcomes, results), cast(Journal, results), lambda _: 30.0
        )
        self.deal.submitted(["a", "b"], 0.0)
        for key in ("a", "b"):
            self.deal.hello(key, 1, 0.0)
        self.deal.open_batch(1, 2, "f", 1)
        shares = [each for each in self.deal.decide(0.0) if isinstance(each, DealShare)]
        self.agents = {share.first: share.agent for share in shares}
        assert len(self.agents) == 2

    def answer(self, index: int) -> None:
        entry = pack_entry(index, 1, VALUE, 0, 0.0, 0.1, 0, (0, 0), b"")
        self._take(index, Record(records.RESULTS, 1, entry))

    def lose(self, index: int) -> None:
        words = {"batch": 1, "index": index, "attempt": 1, "code": -9, "seconds": 0.1}
        payload = messages.pack(words | {"slot": 0, "host": "here"})
        self._take(index, Record(records.DEATH, 0, payload))

    def _take(self, index: int, record: Record) -> None:
        assert self.intake.take(cast(Link, Agent(self.agents[index])), record, 1.0)

    def fail_what_was_lost(self) -> None:
        """What the dispatcher does at the end of a round."""
        for action in self.deal.decide(1.0):
            if isinstance(action, Fail):
                batch = self.calls.batch(action.batch)
                assert batch is not None
                self.calls.tell(batch, action.task, False, LookupError("lost"))


def test_a_call_is_over_with_its_last_result() -> None:
    """Not before."""
    table = Table()
    table.answer(0)
    assert table.calls
    table.answer(1)
    assert not table.calls
    assert table.handle.get(0) == [0, 1]


@pytest.mark.parametrize("order", ["lost first", "lost last"])
def test_a_caller_is_told_of_a_loss_whatever_else_came_in_that_round(order: str) -> None:
    """The last result may come between the loss and the word of it."""
    table = Table()
    if order == "lost first":
        table.lose(0)
        table.answer(1)
    else:
        table.answer(1)
        table.lose(0)
    assert table.calls
    table.fail_what_was_lost()
    assert not table.calls
    with pytest.raises(LookupError, match="lost"):
        table.handle.get(0)


def test_an_agent_that_is_sent_away_is_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On which node it was, and what was wrong there."""
    table = Table()
    words = {"ranges": [[1, 0, 1]], "why": "no such file", "late": False}
    record = Record(records.RETURNED, 0, messages.pack(words))
    table._take(0, record)
    assert not caplog.text
    monkeypatch.setattr(table.deal, "returned", lambda *_, **__: True)
    table._take(1, record)
    assert "on n7 cannot begin" in caplog.text
    assert "no such file" in caplog.text


def test_a_beat_names_what_is_held_by_ranges() -> None:
    """What it has read and does not hold is dealt again."""
    table = Table()
    shares = {key: max(agent.shares) for key, agent in table.deal.agents.items()}
    held, lost = table.agents[0], table.agents[1]
    words = {"read": 2, "held": [[shares[held], shares[held] + 1]]}
    table._take(0, Record(records.BEAT, 0, messages.pack(words)))
    table._take(1, Record(records.BEAT, 0, messages.pack(words | {"held": []})))
    assert shares[held] in table.deal.agents[held].shares
    assert not table.deal.agents[lost].shares


def entry_of(index: int, *values: int) -> bytes:
    """An entry with the values of that task and those behind it."""
    pickles = [pickle.dumps(value) for value in values]
    sizes = b"".join(len(each).to_bytes(4, "little") for each in pickles)
    body = b"p" + sizes + b"".join(pickles)
    return pack_entry(index, 1, messages.VALUES, 0, 0.0, 1e-6, 0, (0, 0), body, count=len(values))


@pytest.mark.parametrize("overlap", [(0, 2), (1, 1), (0, 1)])
def test_values_that_are_told_twice_count_once(overlap: tuple[int, int]) -> None:
    """What an agent took from its worker comes again with what the worker itself sends."""
    first, count = overlap
    table = Table()
    once = entry_of(first, *([70] * count))
    table._take(0, Record(records.RESULTS, 1, once + entry_of(0, 70, 70)))
    assert not table.calls
    assert table.handle.get(0) == [0, 1]
    assert table.deal.open_tasks == 0
