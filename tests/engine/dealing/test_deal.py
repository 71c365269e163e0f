"""The dealing rules, each in one example; and all of them at once, at random."""

import random
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypool.engine.dealing.deal import (
    FREE_LOSSES,
    AskBack,
    Cancel,
    Deal,
    DealShare,
    Fail,
    GiveUp,
    Policy,
    Remove,
    Submit,
)
from pypool.engine.dealing.estimates import Done
from pypool.engine.dealing.givebacks import LONGEST_PAUSE
from pypool.engine.dealing.losses import FULL_DISK
from pypool.engine.dealing.needs import USUAL

from .crew import World


def one(index, seconds):
    """A task that took so long."""
    return [Done(index, index + 1, seconds)]


class Table:
    """A dealer with agents who have said hello, and a clock.

    Attributes
    ----------
    shares : list of DealShare
        All that were dealt.
    others : list
        All other actions, but for submissions.
    """

    def __init__(self, agents=0, slots=1, **policy):
        policy = {"processes": 64, "slots": slots} | policy
        self.deal = Deal(Policy(**policy))
        self.now = 0.0
        self.shares = []
        self.others = []
        self.submissions = []
        self.names = [f"a{number}" for number in range(agents)]
        self.deal.submitted(self.names, self.now)
        for name in self.names:
            self.deal.hello(name, slots, self.now)

    def decide(self, after=0.0):
        """The shares dealt now."""
        self.now += after
        actions = self.deal.decide(self.now)
        new = [action for action in actions if isinstance(action, DealShare)]
        self.shares += new
        self.submissions += [action for action in actions if isinstance(action, Submit)]
        self.others += [action for action in actions if not isinstance(action, DealShare | Submit)]
        return new

    def knows(self, function, seconds):
        """The function has been run before."""
        self.deal.estimates.add(function, [Done(0, 1, seconds)])
        return self

    def learns(self, function, seconds):
        """It takes so long now."""
        self.deal.estimates.add(function, [Done(0, 64, seconds)])

    def answer(self, share, seconds=0.01):
        """All of the share is done."""
        done = [Done(share.first, share.last, seconds)]
        return self.deal.answered(share.agent, share.batch, done, self.now)

    def join(self, name, slots=1):
        self.deal.submitted([name], self.now)
        self.deal.hello(name, slots, self.now)

    def of(self, kind):
        return [action for action in self.others if isinstance(action, kind)]

    def loss(self, task=0, batch=1):
        return self.deal.batches[batch].losses[task]


def one_task(**policy):
    """An agent at work at the only task there is."""
    table = Table(1, **policy)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    return table


# -- who gets how much


def test_no_ops_go_to_one_agent():
    """Sixteen tasks known to be short go to the agent that was heard last."""
    table = Table(4).knows("f", 1e-5)
    table.deal.beat("a2", 0, [], 1.0)
    table.deal.open_batch(1, 16, "f")
    assert [(s.agent, s.first, s.last) for s in table.decide(after=1.0)] == [("a2", 0, 16)]


def test_new_tasks_are_dealt_before_anybody_is_judged():
    """Their caller waits; what else there is to do comes with the next decision."""
    table = Table(2, start_timeout=1.0).knows("f", 1e-5)
    table.deal.submitted(["late"], table.now)
    table.deal.listed({"late": "running"}, table.now)
    table.deal.open_batch(1, 16, "f")
    assert [type(action) for action in table.deal.deal_at_once(10.0)] == [DealShare]
    assert table.deal.deal_at_once(10.0) == []
    table.decide(after=10.0)
    assert table.of(Cancel) == [Cancel("late")]


def test_who_was_asked_has_something_to_say():
    """As long as it has not answered, though all that it had is done."""
    table = Table(1)
    agent = table.deal.agents["a0"]
    assert not agent.has_something_to_say
    agent.asked = 1
    assert agent.has_something_to_say
    table.deal.returned("a0", [], "", 1, table.now)
    assert not agent.has_something_to_say
    table.deal.submitted(["a1"], table.now)
    assert table.deal.agents["a1"].has_something_to_say


def test_tasks_worth_a_journey_are_spread():
    """Sixteen tasks of 10 ms go to four agents in equal parts."""
    table = Table(4).knows("f", 0.01)
    table.deal.open_batch(1, 16, "f")
    shares = table.decide()
    assert {share.agent for share in shares} == set(table.names)
    assert [share.last - share.first for share in shares] == [4] * 4


def test_unknown_functions_begin_with_half_a_fair_part():
    """As long as nobody knows what a task takes, half of them are held back."""
    table = Table(4)
    table.deal.open_batch(1, 800, "f")
    assert [share.last - share.first for share in table.decide()] == [100] * 4
    assert table.decide(after=1.0) == []


def test_unknown_functions_leave_no_slot_idle():
    """Half a fair part is not enough if an agent has a slot for each task of the whole."""
    table = Table(4, slots=4)
    table.deal.open_batch(1, 16, "f")
    assert [share.last - share.first for share in table.decide()] == [4] * 4


def test_elements_about_to_start_are_counted():
    """Who is the first to say hello does not get what others will be there for at once."""
    table = Table(1)
    table.deal.submitted(["b1", "b2", "b3"], 0.0)
    table.deal.open_batch(1, 800, "f")
    assert [share.last for share in table.decide()] == [100]


@pytest.mark.parametrize(("seconds", "tasks"), [(0.001, 150), (0.01, 15), (1.0, 1), (100.0, 1)])
def test_shares_are_sized_by_time(seconds, tasks):
    """A share is 0.15 s of work, and one more is in hand."""
    table = Table(2).knows("f", seconds)
    table.deal.open_batch(1, 100_000, "f")
    assert [share.last - share.first for share in table.decide()] == [tasks] * 4


def slow_ways(seconds):
    """What an agent is dealt at once that waited so long for shares of 10 ms, again and again."""
    table = Table(1).knows("f", 0.01)
    table.deal.open_batch(1, 100_000, "f")
    for way in seconds:
        first, second = table.decide()
        table.now += way + 0.01 * (first.last - first.first)
        table.answer(first)
        table.now += 0.01 * (second.last - second.first)
        table.answer(second)
    return {share.last - share.first for share in table.decide()}


def test_shares_grow_with_the_way():
    """Where it is long, to an agent without work and back, the next share is dealt earlier."""
    assert slow_ways([0.4] * 9) == {120}


def test_what_was_late_once_was_not_on_its_way():
    """The shortest of the last ways counts, and the first answer tells none: all is loaded then."""
    assert slow_ways([9.0] + [0.4] * 7) == {15}
    assert slow_ways([0.4] * 8 + [0.01]) == {15}
    assert slow_ways([0.4] * 2 + [60.0] * 7) == {120}
    assert slow_ways([60.0] * 9) == {600}


def test_shares_grow_with_the_number_of_agents():
    """A thousand agents get five seconds of work at once."""
    table = Table(1000).knows("f", 0.01)
    table.deal.open_batch(1, 10_000_000, "f")
    assert {share.last - share.first for share in table.decide()} == {500}


def test_functions_have_histories_of_their_own():
    """Any number of no-ops of one function says nothing about another one."""
    table = Table(2).knows("f", 1.0)
    for _ in range(100):
        table.knows("g", 1e-6)
    table.deal.open_batch(1, 100, "f")
    assert [share.last - share.first for share in table.decide()] == [1] * 4


def test_each_slot_has_a_task():
    """An agent with many slots and long tasks gets a task for each slot, and then some."""
    table = Table(1, slots=8).knows("f", 10.0)
    table.deal.open_batch(1, 100, "f")
    assert [share.last - share.first for share in table.decide()] == [8, 1]


def test_long_tasks_in_two_shares_leave_no_slot_idle():
    """An agent whose shares have each a long task left is dealt more for its other slots."""
    table = Table(1, slots=4).knows("f", 0.1)
    table.deal.open_batch(1, 1000, "f")
    first, second = table.decide()
    for share in (first, second):
        done = [Done(share.first + 1, share.last, 0.1)]
        table.deal.answered("a0", 1, done, 1.0)
    assert table.decide(after=1.0)
    assert table.deal.agents["a0"].in_hand >= 4


def test_a_chunk_is_the_unit():
    """With a chunk given all shares are multiples of it."""
    table = Table(3).knows("f", 0.1)
    table.deal.open_batch(1, 100, "f", 7)
    assert [share.last - share.first for share in table.decide()] == [7] * 6


def test_oldest_batch_and_lowest_index_first():
    """Tasks are dealt in the order in which they were handed in."""
    table = Table(1).knows("f", 1.0)
    table.deal.open_batch(1, 2, "f")
    table.deal.open_batch(2, 2, "f")
    dealt = table.decide()
    while dealt:
        table.answer(dealt[0], 1.0)
        dealt = dealt[1:] + table.decide()
    assert [(share.batch, share.first) for share in table.shares] == [
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]


def test_an_empty_batch_is_over():
    """A batch without tasks is removed at once."""
    table = Table()
    table.deal.open_batch(1, 0, "f")
    table.decide()
    assert table.of(Remove) == [Remove(1)]


# -- asking back


def two_agents_one_rich(seconds):
    """One agent holds eight tasks that seemed to be quick, then another one says hello."""
    table = Table(1).knows("f", 1e-5)
    table.deal.open_batch(1, 8, "f")
    table.decide()
    table.learns("f", seconds)
    table.join("b")
    return table


def test_the_richest_is_asked():
    """When all is dealt and one agent is dry, the one with most unstarted work is asked."""
    table = Table(2).knows("f", 1e-5)
    table.deal.open_batch(1, 5, "f")
    table.deal.open_batch(2, 9, "f")
    rich = table.decide()[-1].agent
    table.learns("f", 1.0)
    table.join("b")
    table.decide(after=0.1)
    assert table.of(AskBack) == [AskBack(rich, 1)]


def test_returned_work_goes_to_the_dry():
    """What is returned unbegun is dealt again, as a first attempt, and costs nothing."""
    table = two_agents_one_rich(1.0)
    table.decide()
    table.deal.returned("a0", [(1, 1, 8)], "", 1, 0.1)
    shares = table.decide(after=0.1)
    assert ("b", 1, 2, 1) in [(each.agent, each.first, each.last, each.attempt) for each in shares]
    assert not table.deal.batches[1].losses


def test_what_is_not_worth_the_way_stays():
    """An agent with less work than a round trip takes is not asked."""
    table = two_agents_one_rich(0.001)
    table.decide(after=0.01)
    assert not table.of(AskBack)


def test_a_share_out_for_long_is_asked_for():
    """An estimate that has been proved wrong by the clock does not protect a share."""
    table = two_agents_one_rich(0.001)
    table.decide(after=0.3)
    assert table.of(AskBack) == [AskBack("a0", 1)]


def test_asked_in_vain():
    """Who has nothing to return is asked again, but ever more rarely."""
    table = two_agents_one_rich(1.0)
    asked = 0
    for _ in range(1000):
        table.decide(after=0.01)
        if len(table.of(AskBack)) > asked:
            asked += 1
            table.deal.returned("a0", [], "", asked, table.now)
    assert 5 < asked < 15


def test_a_lost_answer_does_not_idle_an_agent():
    """If a request to return or its answer was lost, a later beat makes up for it."""
    table = two_agents_one_rich(1.0)
    table.decide()
    table.deal.open_batch(2, 100, "f")
    table.deal.beat("a0", 1, [], 40.0)
    assert "a0" in {share.agent for share in table.decide(after=40.0)}


def test_hoards_are_asked_for_early():
    """Half a fair part of an unknown function that turns out to be long is not left to the end."""
    table = Table(2)
    table.deal.open_batch(1, 100, "f")
    first = table.decide()[0]
    table.deal.answered(first.agent, 1, one(first.first, 10.0), 10.0)
    table.decide(after=10.0)
    assert {ask.agent for ask in table.of(AskBack)} == {"a0", "a1"}


def at_a_long_task(slots=1, late=1.0):
    """Of two agents with tasks of 10 ms the first one says nothing for so long."""
    table = Table(2, slots=slots).knows("f", 0.01)
    table.deal.open_batch(1, 1000, "f")
    mine, *_ = [share for share in table.decide() if share.agent == "a0"]
    for share in [share for share in table.shares if share.agent == "a1"]:
        table.answer(share)
    table.decide(after=late)
    return table, mine


def test_what_waits_behind_a_long_task_is_for_others():
    """Who says nothing for far longer than usual is asked for it before the end is near."""
    table, mine = at_a_long_task()
    assert table.deal.batches[1].todo
    assert table.of(AskBack) == [AskBack("a0", 1)]
    table.deal.returned("a0", [(1, mine.first + 1, mine.last)], "", 1, table.now)
    for share in [share for share in table.shares if share.agent == "a1"][-2:]:
        table.answer(share)
    (*_, last) = table.decide()
    assert [(each.agent, each.first, each.last) for each in table.shares[-2:]] == [
        ("a1", mine.first + 1, mine.last),
        ("a1", last.first, last.last),
    ]


def test_who_is_at_a_long_task_has_none_in_reserve():
    """Until it is done: then it is dealt as much as others."""
    table, mine = at_a_long_task()
    held = [share for share in table.shares if share.agent == "a0"]
    returned = [(1, mine.first + 1, mine.last), *[(1, s.first, s.last) for s in held[1:]]]
    table.deal.returned("a0", returned, "", 1, table.now)
    for _ in range(10):
        assert "a0" not in {share.agent for share in table.decide(after=1.0)}
    table.deal.answered("a0", 1, one(mine.first, 12.0), table.now)
    assert [share.agent for share in table.decide()].count("a0") == 2


@pytest.mark.parametrize(("slots", "late"), [(1, 0.22), (2, 0.22)])
def test_who_takes_a_little_longer_keeps_its_work(slots, late):
    """What is usual is as long as eight tasks, and an agent does not tell of each at once."""
    table, _ = at_a_long_task(slots, late)
    assert not table.of(AskBack)


def test_a_slot_at_a_long_task_does_not_stop_the_others():
    """An agent that tells of others is not at long tasks only."""
    table = Table(2, slots=2).knows("f", 0.01)
    table.deal.open_batch(1, 1000, "f")
    first, *_ = [share for share in table.decide() if share.agent == "a0"]
    for index in range(first.first + 1, first.last - 1):
        table.now += 0.1
        table.deal.answered("a0", 1, one(index, 0.01), table.now)
        for share in table.decide():
            assert share.agent == "a0"
    assert "a0" not in {ask.agent for ask in table.of(AskBack)}


@pytest.mark.parametrize(("slots", "chunk"), [(1, 1), (4, 1), (1, 3), (4, 3)])
def test_one_spare_chunk_is_no_hoard(slots, chunk):
    """However long it takes it stays in hand: it would be dealt again as soon as it is returned."""
    table = Table(2, slots=slots).knows("f", 100.0)
    table.deal.open_batch(1, 100, "f", chunk)
    table.decide()
    assert all(agent.has_spare for agent in table.deal.agents.values())
    for _ in range(10):
        table.decide(after=5.0)
    assert not table.of(AskBack)


def test_of_two_shares_the_end_of_the_first_is_waited_for():
    """Though both are dealt at once."""
    table = Table(2).knows("f", 1.0)
    table.deal.open_batch(1, 100, "f")
    table.decide()
    book = table.deal.agents["a0"]
    numbers = [share.number for share in table.shares if share.agent == "a0"]
    assert len(numbers) > 1
    assert [book.comes_to(number) for number in numbers] == [True] + [False] * (len(numbers) - 1)


def test_who_was_asked_for_a_hoard_is_not_asked_again():
    """What is dealt instead is as little as can be."""
    table = Table(2)
    table.deal.open_batch(1, 100, "f")
    first = table.decide()
    for share in first:
        table.deal.answered(share.agent, 1, one(share.first, 10.0), 10.0)
    table.decide(after=10.0)
    for ask in table.of(AskBack):
        (share,) = [share for share in first if share.agent == ask.agent]
        begun = share.first + 2
        table.deal.returned(ask.agent, [(1, begun, share.last)], "", ask.number, table.now)
    for _ in range(10):
        table.decide(after=5.0)
    assert len(table.of(AskBack)) == 2


# -- what a loss costs


def test_worker_death_is_charged():
    """A task whose worker died has lost an attempt, and the third one is its last."""
    table = one_task()
    for start in range(3):
        assert table.shares[-1].attempt == start + 1
        table.deal.death("a0", 1, 0, "killed", table.now)
        table.decide()
    (failed,) = table.of(Fail)
    assert (failed.loss.charged, failed.loss.free, failed.loss.told) == (3, 0, ["killed"] * 3)


def test_other_tasks_of_a_dead_worker_are_not_charged():
    """Only the task that ran is charged."""
    table = Table(1)
    table.deal.open_batch(1, 10, "f")
    table.decide()
    table.deal.death("a0", 1, 2, "killed", 0.0)
    assert list(table.deal.batches[1].losses) == [2]


def test_returned_unbegun_costs_nothing():
    """A task may be returned unbegun any number of times."""
    table = one_task()
    for _ in range(50):
        table.deal.returned("a0", [(1, 0, 1)], "", 0, table.now)
        assert len(table.decide()) == 1
    assert table.shares[-1].attempt == 1


def test_returned_with_a_reason_is_free():
    """A batch that an agent cannot read costs no attempt, but not for ever."""
    table = one_task()
    for _ in range(FREE_LOSSES + 1):
        table.deal.returned("a0", [(1, 0, 1)], "no such file", 0, table.now)
        table.decide(after=LONGEST_PAUSE)
    assert table.of(Fail)[0].loss.free == FREE_LOSSES + 1


@pytest.mark.parametrize(
    ("reason", "seconds", "charged"),
    [("time", 60.0, 1), ("time", 40.0, 0), ("signal", 60.0, 0), ("stop", 60.0, 0)],
)
def test_goodbye_charges_by_its_reason(reason, seconds, charged):
    """Only a task that ran for more than half of the element's time pays for being cut off."""
    table = one_task(time=100.0)
    table.deal.goodbye("a0", reason, [(1, 0, seconds)], 1.0)
    assert (table.loss().charged, table.loss().free) == (charged, 1 - charged)


def test_a_task_of_an_agent_that_heard_nothing_is_told_so():
    """By the name of the option that says how long it waits."""
    table = one_task()
    for _ in range(FREE_LOSSES + 1):
        (share,) = table.shares[-1:]
        table.deal.goodbye(share.agent, "orphan", [(1, 0, 60.0)], table.now)
        table.join(f"b{len(table.shares)}")
        table.decide()
    assert "heard nothing of your program" in table.of(Fail)[0].loss.told[0]
    assert "orphan_timeout" in table.of(Fail)[0].loss.told[0]


def test_cut_tasks_are_no_suspects():
    """A task cut off by a goodbye may be dealt with others in hand."""
    table = one_task()
    table.deal.goodbye("a0", "signal", [(1, 0, 1.0)], 1.0)
    line = table.deal.batches[1].lost[USUAL]
    assert (len(line.again), len(line.suspects)) == (1, 0)


def test_what_a_leaving_agent_has_not_begun_is_dealt_at_once():
    """The rest of its shares goes to others, uncharged."""
    table = Table(2).knows("f", 1.0)
    table.deal.open_batch(1, 4, "f")
    table.decide()
    table.deal.goodbye("a0", "idle", [], 1.0)
    assert table.deal.batches[1].waiting == 2
    assert not table.deal.batches[1].losses


@pytest.mark.parametrize("how", ["failed", "out of memory"])
def test_element_death_charges_its_only_task(how):
    """With one task in hand there is no doubt which one it was."""
    table = one_task()
    table.deal.ended("a0", how, 1.0)
    assert table.loss().charged == 1


@pytest.mark.parametrize(("seconds", "charged"), [(40.0, 0), (60.0, 1)])
def test_time_limit_charges_long_tasks(seconds, charged):
    """An element killed at its time limit costs a task that was out for more than half of it."""
    table = one_task(time=100.0, lease=1000.0)
    table.deal.ended("a0", "time limit", seconds)
    assert table.loss().charged == charged


def test_suspects_go_alone():
    """With several tasks in hand none is charged; each goes alone, and the next death counts."""
    table = Table(1).knows("f", 0.1)
    table.deal.open_batch(1, 2, "f")
    table.decide()
    table.deal.ended("a0", "failed", 1.0)
    assert [table.loss(task).charged for task in (0, 1)] == [0, 0]
    table.join("b")
    (share,) = table.decide(after=1.0)
    assert (share.first, share.last) == (0, 1)
    table.deal.ended("b", "failed", 2.0)
    assert [table.loss(task).charged for task in (0, 1)] == [1, 0]


def test_an_agent_runs_dry_for_a_suspect():
    """A suspect waits for an agent without work, and one of them is left without more."""
    table = Table(3, slots=2).knows("f", 0.25)
    table.deal.open_batch(1, 1000, "f")
    table.decide()
    table.deal.ended("a0", "failed", 0.0)
    for _ in range(40):
        for agent in list(table.deal.agents.values()):
            for share in list(agent.shares.values())[:1] if agent.plays else ():
                done = [Done(*each, 0.25) for each in share.silent]
                table.deal.answered(agent.key, 1, done, table.now)
        table.decide(after=0.25)
    book = table.deal.batches[1]
    assert book.losses
    assert not any(line.suspects for line in book.lost.values())
    assert all(book.state[index] for index in book.losses)


def test_only_what_can_have_begun_is_suspected():
    """Of long tasks an agent with one slot has begun two at most since its last word."""
    table = Table(1).knows("f", 1e-5)
    table.deal.open_batch(1, 100, "f")
    table.decide()
    table.learns("f", 10.0)
    table.deal.ended("a0", "failed", 1.0)
    assert list(table.deal.batches[1].losses) == [0, 1]


def test_of_chunks_the_first_tasks_are_suspected():
    """One chunk is at work, another one may have begun."""
    table = Table(1).knows("f", 1e-5)
    table.deal.open_batch(1, 100, "f", 20)
    table.decide()
    table.learns("f", 10.0)
    table.deal.ended("a0", "failed", 1.0)
    assert list(table.deal.batches[1].losses) == [0, 1, 20, 21]


def test_a_chunk_keeps_one_slot_busy():
    """So that sixteen slots get sixteen chunks at once, whatever a task takes."""
    for seconds in (1e-5, 0.02, 100.0):
        table = Table(1, slots=16).knows("f", seconds)
        table.deal.open_batch(1, 3200, "f", 100)
        table.decide()
        assert sum(share.last - share.first for share in table.shares) >= 1600


@pytest.mark.parametrize("how", ["preempted", "node failure", "completed"])
def test_ends_that_are_not_the_tasks_fault_are_free(how):
    """Ten of them at most, then the task has failed."""
    table = one_task()
    for number in range(FREE_LOSSES):
        table.deal.ended(table.shares[-1].agent, how, table.now)
        table.join(f"b{number}")
        assert len(table.decide()) == 1
    table.deal.ended(table.shares[-1].agent, how, table.now)
    table.decide()
    (failed,) = table.of(Fail)
    assert (failed.loss.charged, failed.loss.free) == (0, FREE_LOSSES + 1)


def test_a_failed_node_makes_no_suspects_at_first():
    """Only what was lost before is dealt alone after the failure of a node."""
    table = Table(1, slots=4).knows("f", 1.0)
    table.deal.open_batch(1, 4, "f")
    table.decide()
    table.deal.ended("a0", "node failure", 1.0)
    book = table.deal.batches[1]
    line = book.lost[USUAL]
    assert (len(line.again), len(line.suspects)) == (4, 0)


# -- agents that vanish, and come back


def vanish(table, key="a0"):
    """The agent is silent, and three good answers do not list it."""
    table.now += 61.0
    for _ in range(3):
        table.deal.listed({}, table.now)
    return table.decide()


def test_an_agent_that_vanished_is_free():
    """Silence and absence from three good answers end an agent, at nobody's expense."""
    table = one_task()
    vanish(table)
    assert table.deal.agents["a0"].lost
    assert (table.loss().charged, table.loss().free) == (0, 1)


def test_absence_alone_means_nothing():
    """An agent that is heard is there, whatever the scheduler says."""
    table = one_task()
    for _ in range(5):
        table.now += 30.0
        table.deal.listed({}, table.now)
        table.deal.beat("a0", 1, [1], table.now)
        table.decide()
    assert table.deal.agents["a0"].plays


def test_a_suspended_agent_keeps_its_lease():
    """While the scheduler says suspended the clock stands still."""
    table = one_task()
    for _ in range(20):
        table.now += 50.0
        table.deal.listed({"a0": "suspended"}, table.now)
        table.decide()
    assert table.deal.agents["a0"].plays


def test_a_running_agent_has_two_leases():
    """An element that is listed but silent for two leases is cancelled and given up."""
    table = one_task()
    table.deal.listed({"a0": "running"}, 119.0)
    table.decide(after=119.0)
    assert table.deal.agents["a0"].plays
    table.decide(after=2.0)
    assert table.of(Cancel) == [Cancel("a0")]
    assert table.deal.agents["a0"].lost


def test_the_first_result_counts():
    """A zombie's result is taken if it is the first one; the other one is dropped and counted."""
    table = one_task()
    vanish(table)
    table.join("b")
    (share,) = table.decide()
    assert table.deal.answered("a0", 1, one(0, 1.0), table.now) == [(0, 1)]
    assert table.answer(share) == []
    assert table.deal.duplicates == 1


def test_a_zombie_s_second_result_is_dropped():
    """Once a task has its result a zombie's is dropped and counted."""
    table = one_task()
    vanish(table)
    table.join("b")
    assert table.answer(table.decide()[0]) == [(0, 1)]
    assert table.deal.answered("a0", 1, one(0, 1.0), table.now) == []
    assert table.deal.duplicates == 1


def test_who_beats_again_keeps_what_nobody_else_has():
    """Of a revived agent's shares what waits is its own again, what others hold is not."""
    table = Table(1).knows("f", 1.0)
    table.deal.open_batch(1, 2, "f", 2)
    table.decide()
    vanish(table)
    table.join("b")
    (share,) = table.decide()
    table.deal.beat("a0", 1, [1], table.now)
    table.decide()
    (kept,) = table.deal.agents["a0"].shares.values()
    assert list(kept.silent) == [(1 - share.first, 2 - share.first)]
    assert not table.deal.batches[1].waiting


def test_an_unread_share_of_who_beats_again_is_its_own():
    """What lies unread in the inbox of a revived agent will be run by it."""
    table = one_task()
    vanish(table)
    table.deal.beat("a0", 0, [], table.now)
    assert table.decide() == []
    assert list(table.deal.agents["a0"].shares) == [1]


def test_a_lost_share_is_dealt_again():
    """What was dealt before the point read to and is not held has got lost, and costs nothing."""
    table = one_task()
    table.deal.beat("a0", 1, [], 1.0)
    (share,) = table.decide(after=1.0)
    assert (share.first, share.attempt) == (0, 1)


def test_a_batch_that_a_lost_agent_had_is_kept():
    """Nobody removes what a zombie may still read; all other batches are removed once."""
    table = one_task()
    vanish(table)
    table.join("b")
    table.answer(table.decide()[0])
    table.deal.open_batch(2, 1, "f")
    table.answer(table.decide()[0])
    table.decide()
    assert table.of(Remove) == [Remove(2)]


# -- elements


def test_nothing_is_submitted_before_the_first_task():
    """A pool without tasks has no elements."""
    table = Table()
    table.decide()
    assert table.submissions == []


@pytest.mark.parametrize(
    ("tasks", "slots", "elements"), [(3, 1, 3), (1000, 1, 8), (3, 4, 1), (1000, 4, 2), (9, 3, 2)]
)
def test_elements_for_what_the_tasks_can_use(tasks, slots, elements):
    """As many as there are tasks for, and `processes` workers at most."""
    table = Table(slots=slots, processes=8)
    table.deal.open_batch(1, tasks, "f")
    table.decide()
    assert table.submissions == [Submit(elements)]


def test_elements_for_tasks_that_are_about_to_come():
    """They are asked for once: whether the tasks come, and others are needed, is seen later."""
    table = Table(processes=8)
    table.deal.expect(1000, "f")
    table.decide()
    assert table.submissions == [Submit(8)]
    table.decide()
    assert len(table.submissions) == 1


def test_what_is_about_to_come_may_need_few():
    """If it is known what such tasks take."""
    table = Table(processes=8)
    table.deal.estimates.add("f", [Done(0, 64, 0.001)])
    table.deal.expect(1500, "f")
    table.decide()
    assert table.submissions == [Submit(2)]


def test_who_is_there_or_comes_suffices():
    """No more elements are asked for than tasks need beyond those that play or are pending."""
    table = Table(2)
    table.deal.submitted(["b"], 0.0)
    table.deal.open_batch(1, 3, "f")
    table.decide()
    assert table.submissions == []
    table.deal.open_batch(2, 2, "f")
    table.decide()
    assert table.submissions == [Submit(2)]


def test_an_agent_that_left_is_replaced():
    """While there are tasks, who leaves makes room for a new element."""
    table = one_task()
    table.deal.goodbye("a0", "time", [], 1.0)
    table.decide(after=1.0)
    assert table.submissions == [Submit(1)]


def test_three_early_deaths_give_up():
    """Elements that end before hello are replaced twice; then the callers are told why."""
    table = Table()
    table.deal.open_batch(1, 1, "f")
    for number in range(3):
        table.decide()
        assert len(table.submissions) == number + 1
        table.deal.submitted([f"b{number}"], table.now)
        table.deal.ended(f"b{number}", "failed", table.now)
    table.decide()
    assert table.of(GiveUp) == [GiveUp("3 elements ended before hello: failed")]
    assert len(table.submissions) == 3


@pytest.mark.parametrize("elements", [4, 5, 64])
def test_whole_arrays_of_early_deaths_give_up(elements):
    """However many elements die, the end of the last one is noticed."""
    table = Table()
    table.deal.open_batch(1, 64, "f")
    names = [f"b{number}" for number in range(elements)]
    table.deal.submitted(names[: elements // 2], 0.0)
    table.deal.submitted(names[elements // 2 :], 0.0)
    for name in names:
        table.deal.ended(name, "failed", 0.0)
        table.decide()
    assert len(table.of(GiveUp)) == 1


def test_elements_without_disk_are_replaced_again_and_again():
    """But not at once: if there is no room for long, somebody else says so."""
    table = Table()
    table.deal.open_batch(1, 1, "f")
    for number in range(30):
        table.decide(after=5.0)
        assert len(table.submissions) == number + 1
        table.deal.submitted([f"b{number}"], table.now)
        table.deal.ended(f"b{number}", FULL_DISK, table.now)
        table.decide(after=1.0)
    assert not table.of(GiveUp)
    assert len(table.submissions) == 30


def test_a_hello_forgives_early_deaths():
    """Only elements that die one after the other, with no hello between, make hopeless."""
    table = Table()
    table.deal.open_batch(1, 1, "f")
    for number in range(5):
        table.deal.submitted([f"b{number}", f"c{number}"], 0.0)
        table.deal.ended(f"b{number}", "failed", 0.0)
        table.deal.hello(f"c{number}", 1, 0.0)
        table.deal.goodbye(f"c{number}", "signal", [], 0.0)
        table.decide()
    assert not table.of(GiveUp)


def test_a_slow_start_is_an_early_death():
    """An element that runs for `start_timeout` without hello is cancelled and replaced."""
    table = Table(start_timeout=600.0)
    table.deal.open_batch(1, 1, "f")
    table.deal.submitted(["b"], 0.0)
    table.deal.listed({"b": "running"}, 10.0)
    table.decide(after=605.0)
    assert not table.of(Cancel)
    table.decide(after=10.0)
    assert table.of(Cancel) == [Cancel("b")]
    assert table.submissions == [Submit(1)]


def test_waiting_in_the_queue_is_no_slow_start():
    """A pending element is waited for, for ever."""
    table = Table()
    table.deal.open_batch(1, 1, "f")
    table.deal.submitted(["b"], 0.0)
    for _ in range(10):
        table.deal.listed({"b": "pending"}, table.now)
        table.decide(after=3600.0)
    assert not table.others
    assert not table.submissions


def test_work_that_one_worker_does_in_no_time_is_worth_one_element():
    """A map of no-ops a second does not replace those who left because there was nothing to do."""
    table = Table(1, processes=4).knows("f", 1e-5)
    for second in range(100):
        table.deal.open_batch(second, 16, "f")
        (share,) = table.decide(after=1.0)
        table.answer(share, 1e-5)
    assert table.submissions == []


@pytest.mark.parametrize(("seconds", "elements"), [(1e-5, 1), (0.1, 2), (0.5, 8), (100.0, 16)])
def test_every_element_has_a_second_of_work(seconds, elements):
    """Sixteen tasks that are known to be short are worth fewer elements than sixteen."""
    table = Table().knows("f", seconds)
    table.deal.open_batch(1, 16, "f")
    table.decide()
    assert table.submissions == [Submit(elements)]


def test_work_of_the_last_half_minute_counts():
    """A program that calls again and again keeps its workers, however short each call is."""
    table = Table(8, processes=8).knows("f", 0.1)
    for number in range(20):
        table.deal.open_batch(number, 16, "f")
        while shares := table.decide(after=0.1):
            for share in shares:
                table.answer(share, 0.1)
    for name in table.names[1:]:
        table.deal.goodbye(name, "time", [], table.now)
    table.deal.open_batch(20, 16, "f")
    table.decide()
    assert table.submissions == [Submit(7)]


def test_long_silence_forgets_that_work():
    """What was done an hour ago is no reason to ask for anybody."""
    table = Table(1).knows("f", 0.1)
    table.deal.open_batch(1, 1, "f")
    table.answer(table.decide()[0], 1000.0)
    table.deal.goodbye("a0", "idle", [], 1.0)
    table.deal.open_batch(2, 2, "g")
    table.knows("g", 0.1)
    table.decide(after=3600.0)
    assert table.submissions == [Submit(1)]


def test_a_late_agent_is_dealt_nothing_more():
    """What it returns goes to others, and does not come back to it."""
    table = Table(1).knows("f", 1.0)
    table.deal.open_batch(1, 8, "f", 4)
    table.decide()
    table.others.clear()
    table.deal.returned("a0", [(1, 1, 8)], "", 0, 1.0, late=True)
    for _ in range(10):
        assert table.decide(after=1.0) == []
        table.deal.beat("a0", 2, [1], table.now)
    assert not table.of(AskBack)


def test_a_late_agent_has_a_successor():
    """Its slot is not counted, so another element is asked for if tasks wait."""
    table = Table(1, processes=1).knows("f", 1.0)
    table.deal.open_batch(1, 8, "f", 8)
    table.decide()
    assert table.submissions == []
    table.deal.returned("a0", [(1, 1, 8)], "", 0, 1.0, late=True)
    table.decide(after=1.0)
    assert table.submissions == [Submit(1)]


def test_a_late_agent_keeps_what_it_runs():
    """Its answers count, and nobody is asked for the sake of what it still works at."""
    table = one_task()
    table.deal.returned("a0", [], "", 0, 1.0, late=True)
    assert table.decide(after=100.0) == []
    assert table.submissions == []
    assert table.answer(table.shares[0]) == [(0, 1)]


def test_a_forgotten_agent_has_no_book():
    """Of who was lost and will not be read again nothing is kept, but the batch's file."""
    table = one_task()
    vanish(table)
    assert "a0" in table.deal.agents
    table.deal.forgotten("a0")
    table.deal.forgotten("a0")
    table.join("b")
    table.answer(table.decide()[0])
    table.decide()
    assert list(table.deal.agents) == ["b"]
    assert not table.of(Remove)


def test_withdrawn_elements_are_not_asked_for_at_once():
    """The others are there meanwhile; a minute later the scheduler may take more."""
    table = Table()
    table.deal.open_batch(1, 5, "f")
    table.decide()
    names = [f"b{number}" for number in range(5)]
    table.deal.submitted(names, 0.0)
    table.deal.withdrawn(names[2:], 0.0)
    table.decide(after=59.0)
    assert len(table.submissions) == 1
    table.decide(after=2.0)
    assert table.submissions[1:] == [Submit(3)]


def test_what_one_array_cannot_have_is_asked_for_at_once():
    """The scheduler takes more of them, in another array."""
    table = Table()
    table.deal.open_batch(1, 8, "f")
    table.deal.submitted([f"b{number}" for number in range(8)], 0.0)
    table.deal.withdrawn([f"b{number}" for number in range(3, 8)], 0.0, at_once=True)
    table.decide()
    assert table.submissions == [Submit(5)]


def test_another_limit_holds_though_an_array_was_too_large():
    """What was refused for another reason is not asked for before its time."""
    table = Table()
    table.deal.open_batch(1, 8, "f")
    table.deal.submitted([f"b{number}" for number in range(8)], 0.0)
    table.deal.withdrawn(["b7"], 0.0)
    table.deal.withdrawn(["b6"], 0.0, at_once=True)
    table.decide(after=59.0)
    assert table.submissions == []
    table.decide(after=2.0)
    assert table.submissions == [Submit(2)]


def test_withdrawn_elements_are_no_early_deaths():
    """However many they are, nobody gives up."""
    table = Table()
    table.deal.open_batch(1, 5, "f")
    table.deal.submitted([f"b{number}" for number in range(5)], 0.0)
    table.deal.withdrawn([f"b{number}" for number in range(1, 5)], 0.0)
    table.decide()
    assert not table.others


def test_nobody_is_waited_for_if_nobody_is_there():
    """With the last element gone another one is asked for, whatever was refused a moment ago."""
    table = Table()
    table.deal.open_batch(1, 5, "f")
    table.deal.submitted(["b", "c"], 0.0)
    table.deal.withdrawn(["c"], 0.0)
    table.deal.hello("b", 1, 0.0)
    table.deal.goodbye("b", "signal", [], 1.0)
    table.decide(after=1.0)
    assert table.submissions == [Submit(5)]


@pytest.mark.parametrize(("others", "gives_up"), [([], 1), (["b"], 0)])
def test_a_refusal_gives_up_only_if_nobody_is_there(others, gives_up):
    """While somebody plays or is pending a refused submission is tried again later."""
    table = Table()
    table.deal.submitted(others, 0.0)
    table.deal.open_batch(1, 5, "f")
    table.decide()
    table.deal.submitted(["c"], 0.0)
    table.deal.refused(["c"], "QOSMaxSubmitJobPerUserLimit", 0.0)
    table.decide()
    assert len(table.of(GiveUp)) == gives_up
    assert len(table.submissions) == 1
    table.decide(after=31.0)
    assert len(table.submissions) == 2


def test_an_unfit_agent_is_not_dealt_to():
    """Who cannot serve is gone; if nobody else is there the callers are told its reason."""
    table = Table()
    table.deal.open_batch(1, 1, "f")
    table.deal.submitted(["b"], 0.0)
    table.deal.unfit("b", "Python 3.9 runs there")
    table.deal.goodbye("b", "refused", [], 0.0)
    assert table.decide() == []
    assert table.of(GiveUp) == [GiveUp("Python 3.9 runs there")]


def test_dropped_batches_are_removed_when_their_agents_have_answered():
    """After the caller has gone a batch stays as long as an agent may read it."""
    table = one_task()
    table.deal.drop_batches()
    table.decide()
    assert not table.of(Remove)
    assert table.answer(table.shares[0]) == []
    table.decide()
    assert table.of(Remove) == [Remove(1)]


# -- all at once


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from([30, 150, 300]))
def test_every_task_comes_to_one_end(seed, steps):
    """Whatever happens, each task is delivered once or fails once; `crew` checks all the rest."""
    world = World(random.Random(seed))
    for _ in range(steps):
        world.step()
    world.finish()


@settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_short_stories(chances):
    """The same with few steps, so that what fails comes out short."""
    world = World(chances)
    for _ in range(25):
        world.step()
    world.finish()


# -- cost, in calls of functions: the same on every machine


def calls_for(table, tasks, seconds):
    """Calls that dealing out a batch takes if agents answer whole shares of such tasks."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    table.knows("f", seconds)
    sys.setprofile(count)
    try:
        table.deal.open_batch(1, tasks, "f")
        shares = table.decide()
        while shares:
            new = []
            for share in shares:
                table.answer(share, seconds)
                new += table.decide(after=0.001)
            shares = new
    finally:
        sys.setprofile(None)
    assert table.deal.open_tasks == 0
    return calls


def test_tasks_answered_together_cost_together():
    """Ten times as many tasks in shares of the same size cost no more than ten times as much."""
    few, many = (calls_for(Table(4), tasks, 0.00025) for tasks in (20_000, 200_000))
    assert many < 12 * few


def test_agents_are_not_all_looked_at_for_each_answer():
    """With ten times as many agents an answer and what follows cost about the same."""
    few = calls_for(Table(40, processes=40), 800, 0.3)
    many = calls_for(Table(400, processes=400), 8_000, 0.3)
    assert many / 8_000 < 3 * few / 800


def test_all_elements_on_one_bad_node_are_no_reason_to_give_up():
    """A few more are asked for, which may come elsewhere; if those end as well, that is enough."""
    table = Table()
    table.deal.open_batch(1, 100, "f")
    table.decide()
    (first,) = table.submissions
    names = [f"x{number}" for number in range(first.elements)]
    table.deal.submitted(names, table.now)
    for name in names:
        table.deal.ended(name, "failed", table.now)
    table.decide(1.0)
    assert [action.elements for action in table.submissions[1:]] == [3]
    assert not table.of(GiveUp)
    others = ["y0", "y1", "y2"]
    table.deal.submitted(others, table.now)
    for name in others:
        table.deal.ended(name, "failed", table.now)
    table.decide(1.0)
    assert len(table.of(GiveUp)) == 1


# -- many agents


def test_who_got_nothing_in_reserve_gets_it_once_run_times_are_known():
    """Nobody has to hear of it again for that: another agent's answer is enough."""
    table = Table(agents=2)
    table.deal.open_batch(1, 1000, "f")
    first, second = table.decide()
    assert table.decide(1.0) == []
    table.deal.answered(first.agent, 1, one(first.first, 0.5), table.now)
    assert second.agent in {share.agent for share in table.decide(1.0)}


def test_expected_slots_are_those_that_play_and_those_just_asked_for():
    """An element that has not come after some seconds is not counted any more."""
    table = Table(agents=2, slots=3)
    roster = table.deal._roster
    table.deal.submitted(["b0", "b1"], 10.0)
    table.deal.submitted(["c0"], 12.0)
    assert roster.expected_slots(12.0) == 15
    table.deal.hello("b0", 4, 12.0)
    assert roster.expected_slots(12.0) == 16
    table.deal.ended("c0", "failed", 12.0)
    assert roster.expected_slots(12.0) == 13
    assert roster.expected_slots(15.0) == 10


def test_one_overdue_agent_among_others_is_enough_to_ask_the_scheduler():
    """Those that beat say nothing of it; nor is it forgotten what was found before."""
    table = Table(agents=3)
    assert not table.deal.asks_scheduler(14.0)
    for beat in (8.0, 16.0):
        table.deal.beat("a0", 0, [], beat)
        table.deal.beat("a1", 0, [], beat)
    assert table.deal.silent(16.0) == ["a2"]
    assert table.deal.asks_scheduler(16.0)
    table.deal.beat("a2", 0, [], 17.0)
    assert not table.deal.asks_scheduler(18.0)
    assert table.deal.asks_scheduler(40.0)


def test_the_richest_of_many_is_not_looked_for_each_round():
    """Whatever is dealt meanwhile; of a few it is looked for as soon as something was dealt."""
    for agents, again in [(64, True), (65, False)]:
        table = Table(agents, processes=agents, recall_seconds=4.0)
        recalls = table.deal._recalls
        recalls.for_dry(1, 10.0)
        assert not recalls.may_help(10.05)
        recalls.at_once()
        assert recalls.may_help(10.05) is again
        assert recalls.may_help(10.2)


def test_what_is_expected_is_the_end_of_the_oldest_share():
    """By what its tasks usually take, and what is left of it; nothing if nobody knows."""
    table = Table(agents=1)
    table.deal.open_batch(1, 100, "f", chunk=4)
    table.decide()
    assert table.deal.expects("a0") == 0.0
    table.knows("f", 0.5)
    (share,) = table.deal.agents["a0"].shares.values()
    silent = len(share.silent)
    assert table.deal.expects("a0") == silent * 0.5
    table.deal.answered("a0", 1, one(share.first, 0.5), table.now)
    assert table.deal.expects("a0") == (silent - 1) * 0.5
    assert table.deal.expects("nobody") == 0.0
