"""A run that outlives its driver: what is dealt before it goes, and what the next one has of it."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pypool.engine.dealing.deal import Deal, DealShare, Fail, Policy
from pypool.engine.dealing.estimates import Done
from pypool.engine.dealing.needs import USUAL
from pypool.engine.dealing.ranges import Ranges


def ranges(*pairs):
    found = Ranges()
    for first, last in pairs:
        found.add(first, last)
    return found


def resumed(agents=("a", "b"), slots=1, count=20):
    """A dealer that finds these agents, the first with tasks 0 to 4, the second with 10 to 11."""
    deal = Deal(Policy(processes=8, slots=slots, deals_all=True))
    deal.lives.go_on(7)
    for key in agents:
        deal.lives.adopt_agent(key, slots, USUAL, 0.0)
    deal.lives.adopt_batch(1, count, "f", 1)
    deal.lives.adopt_share("a", 3, 1, 0, 5, ranges((0, 5)), 0.0)
    deal.lives.adopt_share("b", 4, 1, 9, 12, ranges((10, 12)), 0.0)
    return deal


def shares(actions):
    return [each for each in actions if isinstance(each, DealShare)]


def test_nobody_asks_for_what_was_taken_up():
    """Tasks of an earlier life are open once the program asks for them, not before."""
    deal = resumed()
    assert deal.open_tasks == 0
    assert shares(deal.decide(0.0)) == []
    assert [list(each) for each in deal.lives.in_hands().values()] == [[(0, 5), (10, 12)]]


def test_what_is_asked_for_is_waited_for_where_it_is():
    deal = resumed()
    for task in (3, 10):
        deal.reopen(1, 20, "f", 1, task)
    assert deal.open_tasks == 2
    assert shares(deal.decide(0.0)) == []
    assert deal.answered("a", 1, [Done(0, 4, 0.1)], 1.0) == [(3, 4)]
    assert deal.answered("b", 1, [Done(10, 11, 0.1)], 1.0) == [(10, 11)]
    assert deal.open_tasks == 0


def test_what_a_lost_agent_had_goes_to_others_if_somebody_asks_for_it():
    """And only that. Shares are numbered on, so that agents can tell new ones."""
    deal = resumed()
    deal.reopen(1, 20, "f", 1, 3)
    deal.ended("a", "node failure", 1.0)
    dealt = shares(deal.decide(1.0))
    assert [(each.agent, each.first, each.last) for each in dealt] == [("b", 3, 4)]
    assert dealt[0].number > 7


def test_an_element_that_never_began_gives_back_what_lay_in_its_inbox():
    deal = Deal(Policy(processes=8))
    deal.lives.adopt_agent("p", None, USUAL, 0.0)
    deal.lives.adopt_agent("q", 1, USUAL, 0.0)
    deal.lives.adopt_batch(1, 4, "f", 1)
    deal.lives.adopt_share("p", 1, 1, 0, 4, ranges((0, 4)), 0.0)
    for task in range(4):
        deal.reopen(1, 4, "f", 1, task)
    deal.ended("p", "cancelled", 1.0)
    assert {each.agent for each in shares(deal.decide(1.0))} == {"q"}


def test_a_silent_agent_that_was_taken_up_is_asked_after_at_once():
    """The scheduler knows whether it is there."""
    deal = resumed()
    assert deal.asks_scheduler(0.1)


@given(
    count=st.integers(1, 60),
    chunk=st.integers(1, 4),
    playing=st.integers(0, 4),
    pending=st.integers(0, 4),
    slots=st.integers(1, 3),
    done=st.integers(0, 10),
)
def test_before_the_driver_goes_everybody_has_his_part(count, chunk, playing, pending, slots, done):
    """Each task is in exactly one agent's hands, unless there is none; parts are equal."""
    deal = Deal(Policy(processes=64, slots=slots, deals_all=True))
    players = [f"a{number}" for number in range(playing)]
    others = [f"p{number}" for number in range(pending)]
    deal.submitted(players + others, 0.0)
    for key in players:
        deal.hello(key, slots, 0.0)
    deal.open_batch(1, count, "f", chunk)
    actions = deal.decide(10.0)
    for share in shares(actions):
        last = min(share.last, share.first + done)
        deal.answered(share.agent, 1, [Done(share.first, last, 0.1)], 11.0)
    actions += deal.leave(12.0)
    assert not [each for each in actions if isinstance(each, Fail)]
    dealt = [task for each in shares(actions) for task in range(each.first, each.last)]
    if playing + pending:
        assert sorted(dealt) == list(range(count))
        assert deal.lives.in_hands() or not deal.open_tasks
    else:
        assert dealt == []


def test_parts_of_elements_that_still_wait_are_as_large():
    deal = Deal(Policy(processes=8, deals_all=True))
    deal.submitted([f"p{number}" for number in range(4)], 0.0)
    deal.open_batch(1, 40, "f")
    parts = [each.last - each.first for each in shares(deal.leave(100.0))]
    assert parts == [10, 10, 10, 10]


def tasks_by_agent(actions):
    counts = Counter()
    for share in shares(actions):
        counts[share.agent] += share.last - share.first
    return counts


def test_single_calls_are_spread_as_well():
    """Each is a batch of its own."""
    deal = Deal(Policy(processes=8, deals_all=True))
    deal.submitted([f"p{number}" for number in range(4)], 0.0)
    for number in range(1, 13):
        deal.open_batch(number, 1, "f")
    assert tasks_by_agent(deal.leave(100.0)) == {f"p{number}": 3 for number in range(4)}


def test_what_does_not_come_out_even_goes_to_those_with_least_in_hand():
    """Who is at work at something already gets the next one last."""
    deal = Deal(Policy(processes=8, deals_all=True))
    deal.submitted(["a", "p", "q"], 0.0)
    deal.hello("a", 1, 0.0)
    deal.open_batch(1, 1, "f")
    assert tasks_by_agent(deal.decide(10.0)) == {"a": 1}
    deal.open_batch(2, 2, "f")
    assert tasks_by_agent(deal.leave(100.0)) == {"p": 1, "q": 1}
