"""Progress: what a line says, and when one is due."""

import io
import sys

import pytest

from pypool.engine.dealing.deal import Deal, DealShare, Policy
from pypool.engine.dealing.estimates import Done
from pypool.engine.progress import EVERY_SECONDS, Progress, in_words


def new_deal(tasks: int = 0) -> Deal:
    deal = Deal(Policy(processes=4, slots=2))
    if tasks:
        deal.open_batch(1, tasks, "f", 1)
    return deal


def play(deal: Deal, *agents: str) -> list[DealShare]:
    """These agents say hello; gives what they are dealt."""
    deal.submitted(agents, 0.0)
    for agent in agents:
        deal.hello(agent, 2, 0.0)
    return [action for action in deal.decide(0.0) if isinstance(action, DealShare)]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


# ---- when


def test_nothing_is_said_unless_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """As a rule a program has its output for itself."""
    progress = Progress(False, 0.0)
    for now in range(100):
        progress.tell_if_due(new_deal(5), float(now))
    assert lines(capsys) == []


def test_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """The first one ten seconds after the begin."""
    progress = Progress(True, 100.0)
    said = []
    for now in range(100, 140):
        progress.tell_if_due(new_deal(5), float(now))
        said += [now] * len(lines(capsys))
    assert said == [110, 120, 130]
    assert EVERY_SECONDS == 10.0


def test_nothing_is_said_while_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A pool may be open for a day before its first task."""
    progress = Progress(True, 0.0)
    for now in range(100):
        progress.tell_if_due(new_deal(), float(now))
    assert lines(capsys) == []


def test_the_end_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """And after that nothing, until there is work again."""
    progress = Progress(True, 0.0)
    progress.tell_if_due(new_deal(3), 10.0)
    for now in (20.0, 30.0, 40.0):
        progress.tell_if_due(new_deal(), now)
    progress.tell_if_due(new_deal(4), 50.0)
    assert lines(capsys) == [
        "pypool: 0 of 3 tasks done, 0 running, 3 pending; 0 workers",
        "pypool: all tasks are done; 0 workers",
        "pypool: 0 of 4 tasks done, 0 running, 4 pending; 0 workers",
    ]


@pytest.mark.parametrize("closed", [True, False])
def test_a_program_without_standard_error_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], closed: bool
) -> None:
    """Services close it, or have none; nothing turns up elsewhere."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    Progress(True, 0.0).tell_if_due(new_deal(3), 10.0)
    assert capsys.readouterr().out == ""


def test_a_full_disk_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error may be a file, or a pipe whose reader has gone."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Full())
    Progress(True, 0.0).tell_if_due(new_deal(3), 10.0)


# ---- what


def test_it_counts_what_runs_and_what_waits() -> None:
    """Each agent runs as many as it has slots; who has not come yet is told of."""
    deal = new_deal(10)
    play(deal, "a", "b")
    deal.submitted(["c"], 0.0)
    assert in_words(deal) == (
        "0 of 10 tasks done, 4 running, 6 pending; 4 workers, 1 element not started yet"
    )


def test_what_is_done_counts_until_its_call_is_over() -> None:
    """Calls that are over are no part of it."""
    deal = new_deal(4)
    deal.open_batch(2, 3, "f", 1)
    for share in play(deal, "a", "b"):
        if share.batch == 1:
            deal.answered(share.agent, 1, [Done(share.first, share.last, 1.0)], 1.0)
    assert in_words(deal).startswith("0 of 3 tasks done, 0 running, 3 pending")


def test_no_number_is_negative() -> None:
    """Tasks that an agent still has in hand may be done already, by somebody who was given up."""
    deal = new_deal(2)
    play(deal, "a")
    deal.submitted(["b"], 0.0)
    deal.hello("b", 2, 0.0)
    deal.answered("b", 1, [Done(0, 1, 1.0)], 1.0)
    assert in_words(deal).startswith("1 of 2 tasks done, 1 running, 0 pending")
