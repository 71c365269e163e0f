"""When an agent looks at its inbox, and when it tells what it has done."""

import pytest

from pypool.worker.polling import (
    FEW,
    IDLE_AFTER,
    IDLE_SLEEP,
    KEEN_SECONDS,
    MANY_BYTES,
    QUICK_LOOK,
    SHORTEST_SLEEP,
    Looking,
    Telling,
    longest_sleep,
)


def looks_of(agents: int, seconds: float) -> int:
    """How often an agent without work looks in so many seconds."""
    looking = Looking(agents, 0.0)
    count = 0
    while looking.due < seconds:
        looking.looked(looking.due, enough=False)
        count += 1
    return count


def test_a_few_look_at_once() -> None:
    """Right after activity a share comes within a millisecond, and a caller waits for it."""
    looking = Looking(FEW, 0.0)
    assert looking.sleep(0.0, enough=False) == SHORTEST_SLEEP
    assert looking.sleep(0.5, enough=False) == pytest.approx(0.05)


def test_one_of_few_without_work_does_not_sleep_at_first() -> None:
    """The next share may come as soon as the last one has been told of; many spare the server."""
    few, many = Looking(FEW, 5.0), Looking(FEW + 1, 5.0)
    assert few.is_keen(5.0 + KEEN_SECONDS / 2)
    assert not few.is_keen(5.0 + KEEN_SECONDS)
    assert not many.is_keen(5.0)


@pytest.mark.parametrize("pause", [0.1, 1.0, 10.0])
def test_a_few_soon_see_a_map_after_a_pause(pause: float) -> None:
    """After a tenth of the pause at the latest, and 0.02 s for up to ten agents."""
    assert Looking(4, 0.0).sleep(pause, enough=False) <= 0.02
    assert Looking(FEW, 0.0).sleep(pause, enough=False) <= FEW / 500


def test_who_is_idle_for_long_looks_seldom() -> None:
    """A few times a second, or as seldom as many agents do anyway."""
    assert Looking(4, 0.0).sleep(IDLE_AFTER + 1, enough=False) == IDLE_SLEEP
    assert Looking(5000, 0.0).sleep(IDLE_AFTER + 1, enough=False) == longest_sleep(5000)


def test_a_busy_one_looks_seldom() -> None:
    """What is needed next is in hand."""
    for agents in (4, FEW, FEW + 1, 5000):
        assert Looking(agents, 0.0).sleep(0.0, enough=True) == longest_sleep(agents)


def test_a_few_look_before_they_run_dry() -> None:
    """The last share in hand has been begun: the next one should be there before its end."""
    assert not Looking(FEW, 0.0).has_enough(waiting=False, all_busy=True)
    assert Looking(FEW, 0.0).has_enough(waiting=True, all_busy=True)


def test_many_look_when_they_have_run_dry() -> None:
    """To look before costs an open each, and mostly the next share has come with the last one."""
    looking = Looking(FEW + 1, 0.0)
    assert looking.has_enough(waiting=False, all_busy=True)
    assert not looking.has_enough(waiting=True, all_busy=False)


@pytest.mark.parametrize(("agents", "renews"), [(FEW, 8), (FEW + 1, 3), (1000, 3)])
def test_many_do_not_look_anew_for_each_slot_that_runs_dry(agents: int, renews: int) -> None:
    """But when the first one does, and the last one; and while there is more to do."""
    looking = Looking(agents, 0.0)
    count = 0
    for now, free in enumerate([0, 1, 2, 3, 4, 5, 6, 8], 1):
        looking.finished(float(now), lambda free=free: (free, 8))
        count += looking.active == now
    assert count == renews


@pytest.mark.parametrize("agents", [FEW + 1, 1000, 10_000])
def test_many_that_run_dry_open_few_files(agents: int) -> None:
    """Until each looks as seldom as those that expect nothing; the more, the fewer looks each."""
    looks = looks_of(agents, 2 * longest_sleep(agents))
    assert looks <= max(8, 4000 / agents)


@pytest.mark.parametrize(("agents", "most"), [(65, 0.11), (200, 0.35), (1000, 1.1)])
def test_with_more_agents_a_map_after_a_pause_is_seen_later(agents: int, most: float) -> None:
    """Not suddenly so with the 65th: after that part of the pause."""
    assert Looking(agents, 0.0).sleep(0.1, enough=False) <= most * 0.1


@pytest.mark.parametrize("agents", [100, 1000, 10_000])
def test_all_that_wait_open_500_files_a_second(agents: int) -> None:
    """However many there are."""
    longest = longest_sleep(agents)
    later = looks_of(agents, 32 * longest) - looks_of(agents, 2 * longest)
    assert agents * later / (30 * longest) == pytest.approx(500, rel=0.1)


def test_slow_looks_are_seldom_while_there_is_enough_to_do() -> None:
    """No slot is fed during a look; without work nothing is lost by one."""
    looking = Looking(4, 0.0)
    looking.looked(0.0, enough=True, took=0.015)
    assert looking.due == pytest.approx(0.3)
    looking.looked(1.0, enough=True, took=60.0)
    assert looking.due == pytest.approx(2.0)
    looking.looked(2.0, enough=False, took=0.015)
    assert looking.due < 2.1
    looking.looked(3.0, enough=True, took=1e-5)
    assert looking.due == pytest.approx(3.02)


def test_longest_sleep_ends_with_the_work() -> None:
    """It was for as long as there was enough to do."""
    looking = Looking(1000, 0.0)
    looking.looked(0.0, enough=True)
    looking.active = 1.0
    looking.look_sooner(1.0)
    assert looking.due < 1.1


def test_outcomes_are_told_in_groups() -> None:
    """Every 0.1 s by a few, seldomer by many."""
    for agents, every in [(4, 0.1), (FEW, 0.128), (1000, 2.0)]:
        telling = Telling(agents, by_pipe=False, now=5.0)
        assert not telling.is_due(5.0 + 0.9 * every, dry=False, done=False, news=False, size=10)
        assert telling.is_due(5.0 + 1.1 * every, dry=False, done=False, news=False, size=10)
        assert telling.at == pytest.approx(5.0 + every)


def test_outcomes_are_told_at_once_if_somebody_waits() -> None:
    """The agent has run dry, has other news, or many bytes."""
    telling = Telling(1000, by_pipe=False, now=5.0)
    assert not telling.is_due(5.0, dry=False, done=False, news=False, size=10)
    assert telling.is_due(5.0, dry=True, done=False, news=False, size=10)
    assert telling.is_due(5.0, dry=False, done=False, news=True, size=0)
    assert telling.is_due(5.0, dry=False, done=False, news=False, size=MANY_BYTES + 1)


def test_few_tell_at_once_that_a_share_is_done() -> None:
    """They hold so little that the next one should be dealt; many have seconds."""
    few, many = Telling(FEW, False, now=5.0), Telling(FEW + 1, False, now=5.0)
    assert few.is_due(5.0, dry=False, done=True, news=False, size=10)
    assert not many.is_due(5.0, dry=False, done=True, news=False, size=10)


def test_who_looks_slowly_or_is_not_alone_sleeps_between_looks() -> None:
    """Through a network nothing is gained; nor is a core that somebody else wants to be kept."""
    looking = Looking(4, 5.0)
    looking.looked(5.0, enough=False, took=2 * QUICK_LOOK)
    assert not looking.is_keen(5.0)
    looking.looked(5.0, enough=False, took=QUICK_LOOK / 2)
    assert looking.is_keen(5.0)
    looking.disturbed = 5.0
    assert not looking.is_keen(5.0)
    looking.active = 5.0001
    assert looking.is_keen(5.0001)
