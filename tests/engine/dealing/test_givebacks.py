"""What agents could not begin: who gets it next and when, and what becomes of such agents."""

from pypool.engine.dealing.deal import FREE_LOSSES, Dismiss, Fail
from pypool.engine.dealing.givebacks import (
    ELSEWHERE_SECONDS,
    FIRST_PAUSE,
    IN_A_ROW,
    LONGEST_PAUSE,
    REST_SECONDS,
    RESTS,
)

from .test_deal import Table

WHY = "no such file"


def give_back(table, share):
    """The agent could not begin any of it; true if it is sent away for that."""
    ranges = [(share.batch, share.first, share.last)]
    return table.deal.returned(share.agent, ranges, WHY, 0, table.now)


def give_back_singly(table, share):
    """As an agent does that feeds its workers task by task."""
    for index in range(share.first, share.last):
        table.deal.returned(share.agent, [(share.batch, index, index + 1)], WHY, 0, table.now)


def of(shares, agent):
    return [share for share in shares if share.agent == agent]


def test_what_one_gave_back_goes_to_another():
    """Though the one who gave it back is as idle, and was heard last."""
    table = Table(2)
    table.deal.open_batch(1, 1, "f")
    (first,) = table.decide()
    give_back(table, first)
    (second,) = table.decide(after=FIRST_PAUSE)
    assert second.agent != first.agent


def test_it_is_not_dealt_at_once():
    """Twice as long later each time: what is wrong may pass."""
    table = Table(1)
    table.deal.open_batch(1, 1, "f")
    (share,) = table.decide()
    pause = FIRST_PAUSE
    while pause < LONGEST_PAUSE:
        give_back(table, share)
        assert not table.decide(after=0.9 * pause)
        (share,) = table.decide(after=0.1 * pause + 1e-6)
        pause *= 2


def test_who_is_alone_gets_it_again_until_it_has_failed():
    """With what was wrong each time."""
    table = Table(1)
    table.deal.open_batch(1, 1, "f")
    for _ in range(FREE_LOSSES + 1):
        (share,) = table.decide(after=LONGEST_PAUSE)
        give_back(table, share)
    table.decide()
    (failed,) = table.of(Fail)
    assert failed.loss.told == [f"{WHY} (this does not count)"] * (FREE_LOSSES + 1)


def test_it_waits_for_an_element_to_come_but_not_for_ever():
    """Elements may be pending for days."""
    table = Table(1)
    table.deal.submitted(["late"], table.now)
    table.deal.open_batch(1, 1, "f")
    (share,) = table.decide()
    give_back(table, share)
    assert not table.decide(after=LONGEST_PAUSE)
    assert not table.decide(after=ELSEWHERE_SECONDS - LONGEST_PAUSE - 1)
    (again,) = table.decide(after=1.1)
    assert again.agent == "a0"


def test_if_all_have_given_it_back_anybody_gets_it():
    """It is the file that is bad, and may be whole later."""
    table = Table(2)
    table.deal.open_batch(1, 1, "f")
    for _ in range(3):
        (share,) = table.decide(after=LONGEST_PAUSE)
        give_back(table, share)
    assert len({share.agent for share in table.shares[:2]}) == 2


def test_a_task_that_came_back_is_delivered_by_whoever_has_it():
    """A task that pauses and is answered after all is over."""
    table = Table(1)
    table.deal.open_batch(1, 1, "f")
    (share,) = table.decide()
    give_back(table, share)
    assert table.answer(share) == [(0, 1)]
    assert not table.decide(after=LONGEST_PAUSE)
    assert table.deal.open_tasks == 0


def test_who_gives_back_all_it_gets_rests():
    """One bad node does not take in what others would do."""
    table = Table(2)
    table.deal.open_batch(1, 400, "f")
    bad, good = table.decide()[:2]
    assert bad.last - bad.first >= IN_A_ROW
    give_back_singly(table, bad)
    table.answer(good)
    dealt = table.decide(after=FIRST_PAUSE)
    assert dealt
    assert not of(dealt, bad.agent)
    assert not table.of(Fail)


def test_whose_first_task_comes_back_gets_only_what_it_can_begin():
    """Not half of all there is."""
    table = Table(1)
    table.deal.open_batch(1, 400, "f")
    (first,) = table.decide()
    for index in range(first.first, first.last):
        table.deal.returned("a0", [(1, index, index + 1)], WHY, 0, table.now)
    assert {share.last - share.first for share in table.decide()} == {1}


def play_until_sent_away(table, bad):
    """All but the bad one do what they get; gives how often that was dealt something."""
    times = 0
    for _ in range(1000):
        sent_away = False
        for share in table.decide(after=0.5):
            if share.agent != bad:
                table.answer(share, seconds=0.4)
                continue
            times += 1
            sent_away = sent_away or give_back(table, share)
        if sent_away:
            return times
    raise AssertionError("it stays for ever")


def test_who_goes_on_so_is_sent_away():
    """After some rests, each longer than the one before."""
    table = Table(3).knows("f", 0.4)
    table.deal.open_batch(1, 10_000, "f")
    assert play_until_sent_away(table, "a0") == IN_A_ROW + RESTS
    assert table.now > REST_SECONDS * (2**RESTS - 1)
    table.decide()
    assert table.of(Dismiss) == [Dismiss("a0")]
    assert not of(table.decide(after=2 * ELSEWHERE_SECONDS), "a0")


def test_an_answer_makes_up_for_what_came_back():
    """Only what comes many times in a row tells of a bad node."""
    table = Table(2).knows("f", 0.4)
    table.deal.open_batch(1, 10_000, "f")
    for turn in range(10 * IN_A_ROW):
        for share in table.decide(after=0.5):
            if share.agent == "a0" and turn % 2:
                assert not give_back(table, share)
            else:
                table.answer(share, seconds=0.4)
    assert of(table.decide(after=0.5), "a0")
    assert not table.of(Dismiss)


def test_if_nobody_can_begin_anything_nobody_rests():
    """It is then the files that are bad, and no node."""
    table = Table(2)
    table.deal.open_batch(1, 400, "f")
    for share in table.decide():
        give_back_singly(table, share)
    assert {share.agent for share in table.decide(after=FIRST_PAUSE)} == {"a0", "a1"}
