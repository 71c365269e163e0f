"""Tasks that need more time or memory than was asked for at first: who gets them, and when."""

import pytest

from pypool.engine.dealing.deal import Dismiss, Fail, GiveUp, Submit
from pypool.engine.dealing.needs import USUAL, Need, amount, doublings, fits

from .test_deal import Table

GIB = 1 << 30
MORE = Need(memory=1)


def table_with_memory(agents=1, **policy):
    return Table(agents, **{"memory": GIB, "max_memory": 4 * GIB, "retries": 2} | policy)


def starved(table, agent="a0", task=0):
    """The agent's worker has died with that task for want of memory."""
    table.deal.death(agent, 1, task, "killed", table.now, "memory")
    return table.decide()


# -- amounts


@pytest.mark.parametrize(
    ("asked", "most", "times"), [(1, 1, 0), (1, 2, 1), (1, 3, 2), (1, 4, 2), (None, 4, 0)]
)
def test_amounts_are_doubled_up_to_the_most(asked, most, times):
    """The last time maybe by less."""
    assert doublings(asked, most) == times
    if asked is not None:
        assert amount(asked, times, most) == most


def test_without_a_most_nothing_is_raised():
    """No bigger bill."""
    assert doublings(1, None) == 0
    assert amount(1, 3, None) == 1


def test_an_agent_fits_if_it_has_at_least_as_much_of_both():
    """More of one does not make up for less of the other."""
    assert fits(Need(1, 1), MORE)
    assert fits(MORE, USUAL)
    assert not fits(Need(2, 0), MORE)


# -- dealing


def test_without_a_most_a_starved_task_starts_again_where_it_was():
    """It may do better."""
    table = table_with_memory(max_memory=None)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    assert [share.agent for share in starved(table)] == ["a0"]


def test_a_starved_task_waits_for_an_element_with_more():
    """Nobody else gets it, though there is one with nothing to do."""
    table = table_with_memory(2)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    agent = table.shares[0].agent
    assert starved(table, agent) == []
    assert table.submissions == [Submit(1, MORE)]
    table.deal.submitted(["big"], table.now, MORE)
    assert table.decide(after=1.0) == []
    table.deal.hello("big", 1, table.now)
    assert [share.agent for share in table.decide()] == ["big"]
    assert table.submissions == [Submit(1, MORE)]


def test_each_time_it_needs_twice_as_much():
    """Up to the most, where it starts as often as it may."""
    table = table_with_memory(retries=5)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    starved(table)
    needs = []
    for number in range(3):
        need = table.submissions[-1].need
        needs.append(need.memory)
        key = f"big{number}"
        table.deal.submitted([key], table.now, need)
        table.deal.hello(key, 1, table.now)
        table.decide()
        starved(table, key)
        if need.memory == 2:
            break
    assert needs == [1, 2]
    assert table.shares[-1].agent == key  # the most that there is, so once again there


def test_an_agent_with_more_takes_the_others_too():
    """But has none in reserve, so that it is free for those that need it."""
    table = table_with_memory(0).knows("f", 1.0)
    table.deal.submitted(["big"], table.now, MORE)
    table.deal.hello("big", 1, table.now)
    table.deal.open_batch(1, 10, "f")
    assert [(share.first, share.last) for share in table.decide()] == [(0, 1)]


def test_if_there_is_no_room_who_has_nothing_to_do_leaves():
    """Within `processes`, larger elements take the place of usual ones."""
    table = table_with_memory(1, processes=1)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    starved(table)
    assert table.of(Dismiss) == [Dismiss("a0")]
    assert table.submissions == [Submit(1, MORE)]


def test_who_works_is_not_sent_away():
    """There will be room when it has nothing more to do."""
    table = table_with_memory(1, processes=1).knows("f", 1.0)
    table.deal.open_batch(1, 3, "f")
    table.decide()
    starved(table)
    assert not table.of(Dismiss)
    assert table.submissions == []


def test_no_usual_element_is_asked_for_tasks_that_it_cannot_run():
    """Only as many larger ones as those tasks can use."""
    table = table_with_memory(1)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    starved(table)
    table.deal.submitted(["big"], table.now, MORE)
    table.deal.goodbye("a0", "idle", [], table.now)
    table.decide(after=100.0)
    assert table.submissions == [Submit(1, MORE)]


def test_a_refused_larger_element_fails_those_that_need_it():
    """And nobody else: what there is goes on."""
    table = table_with_memory(2)
    table.deal.open_batch(1, 2, "f")
    table.decide()
    agent, other = (share.agent for share in table.shares)
    starved(table, agent, table.shares[0].first)
    table.deal.submitted(["big"], table.now, MORE)
    table.deal.refused(["big"], "the partition has not so much", table.now)
    table.decide()
    (fail,) = table.of(Fail)
    assert fail.loss.short_of == "memory"
    assert "an element with 2048 MiB for each worker" in fail.loss.told[-1]
    assert "the partition has not so much" in fail.loss.told[-1]
    assert not table.of(GiveUp)
    assert table.deal.agents[other].shares


def test_a_larger_element_that_is_refused_for_now_is_asked_for_again():
    """As long as others are there, a limit may be gone later."""
    table = table_with_memory(2)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    starved(table, table.shares[0].agent)
    table.deal.submitted(["big"], table.now, MORE)
    table.deal.refused(["big"], "too many", table.now, for_now=True)
    table.decide(after=120.0)
    assert not table.of(Fail)
    assert table.submissions == [Submit(1, MORE)] * 2


def test_larger_elements_that_do_not_start_fail_those_that_need_them():
    """After as many as it takes to give up on usual ones."""
    table = table_with_memory(1)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    starved(table)
    for number in range(3):
        assert len(table.submissions) == number + 1
        table.deal.submitted([f"big{number}"], table.now, MORE)
        table.deal.ended(f"big{number}", "failed", table.now, "no such memory")
        table.decide(after=100.0)
    (fail,) = table.of(Fail)
    assert "no such memory" in fail.loss.told[-1]


# -- what costs an attempt


def test_time_is_charged_to_who_had_more_than_half_of_it():
    """Of the life of that element, which may be a longer one."""
    for need, seconds, charged in [(USUAL, 60, 1), (Need(time=1), 60, 0), (Need(time=1), 160, 1)]:
        table = Table(time=100.0, max_time=400.0)
        table.deal.submitted(["a"], table.now, need)
        table.deal.hello("a", 1, table.now)
        table.deal.open_batch(1, 1, "f")
        table.decide()
        table.deal.goodbye("a", "time", [(1, 0, seconds)], table.now)
        loss = table.loss()
        assert (loss.charged, loss.short_of) == (charged, "time" if charged else "")
        assert loss.need == (Need(time=need.time + 1) if charged else USUAL)


def test_a_limit_that_only_the_agent_knows_counts():
    """The scheduler's default, if the user has asked for nothing."""
    table = Table()
    table.deal.submitted(["a"], table.now)
    table.deal.hello("a", 1, table.now, 100.0)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    table.deal.goodbye("a", "time", [(1, 0, 60.0)], table.now)
    assert table.loss().charged == 1


@pytest.mark.parametrize("tasks", [1, 2])
def test_an_element_out_of_memory_charges_its_only_suspect(tasks):
    """Of several nobody knows which, so all go alone."""
    table = table_with_memory(1, slots=2)
    table.deal.open_batch(1, tasks, "f")
    table.decide()
    table.deal.ended("a0", "out of memory", table.now)
    line = table.deal.batches[1].lost[MORE if tasks == 1 else USUAL]
    assert len(line.suspects) == tasks
    assert table.loss().charged == (tasks == 1)
    assert table.loss().short_of == ("memory" if tasks == 1 else "")


@pytest.mark.parametrize("how", ["requeued", "launch failed", "never submitted", "disk"])
def test_ends_that_say_nothing_of_tasks_cost_nothing(how):
    """Neither an attempt nor the company of others."""
    table = Table(1)
    table.deal.open_batch(1, 1, "f")
    table.decide()
    table.deal.ended("a0", how, table.now)
    assert (table.loss().charged, table.loss().free) == (0, 1)
    assert not table.deal.batches[1].lost[USUAL].suspects


# -- cancelled by somebody else


def test_cancelled_elements_are_replaced_once():
    """The second time it is told who has done that."""
    table = Table()
    table.deal.open_batch(1, 4, "f")
    for wave in "ab":
        table.decide(after=1.0)
        keys = [f"{wave}{number}" for number in range(4)]
        table.deal.submitted(keys, table.now)
        for key in keys:
            table.deal.ended(key, "cancelled", table.now)
    table.decide(after=1.0)
    assert table.submissions == [Submit(4)] * 2
    (given_up,) = table.of(GiveUp)
    assert "cancelled by somebody else" in given_up.why
