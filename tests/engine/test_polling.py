"""When an outbox is looked at, and how many files are opened a second."""

import pytest

from pypool.engine.dealing import sizes
from pypool.engine.polling import (
    FEW,
    FEW_LINKS,
    IDLE_LOOKS_PER_SECOND,
    IDLE_SLEEP,
    LATEST_LOOK,
    OPENS_PER_SECOND,
    OPENS_PER_SECOND_OF_FEW,
    QUICKEST,
    SHORTEST_LOOK,
    Allowance,
    Looks,
    Pace,
)
from pypool.rundir.messages import beat_seconds
from pypool.worker.polling import longest_sleep

MANY = [FEW + 1, 1000, 10_000]


@pytest.mark.parametrize(
    ("links", "rate"),
    [(FEW_LINKS, OPENS_PER_SECOND_OF_FEW), (FEW_LINKS + 1, OPENS_PER_SECOND)],
)
def test_so_many_files_a_second(links: int, rate: float) -> None:
    """After a pause as many at once; then it is said when the next one may be opened."""
    allowance = Allowance(0.0)
    assert sum(allowance.allows(100.0, links) for _ in range(5000)) == rate
    assert allowance.next_at == pytest.approx(100.0 + 1 / rate)
    assert sum(allowance.allows(101.0, links) for _ in range(5000)) == rate


def test_a_few_are_looked_at_soon_after_a_share() -> None:
    """At four fifths of what it should take, or after 20 ms; earlier if something else is due."""
    looks = Looks(4, 0.0)
    looks.dealt(1.0, work=0.01, is_first=True)
    assert looks.due == pytest.approx(1.008 + QUICKEST)
    looks.dealt(1.0, work=5.0, is_first=False)
    assert looks.due == pytest.approx(1.008 + QUICKEST)
    looks.dealt(1.0, work=5.0, is_first=True)
    assert looks.due == pytest.approx(1.0 + LATEST_LOOK)


def test_a_few_are_looked_at_again_after_a_tenth_of_the_silence() -> None:
    """But not oftener than files of an idle disk want, nor seldomer than results may come."""
    looks = Looks(4, 0.0)
    looks.looked(1.0, found=True, busy=True, awaited=0)
    assert looks.due == pytest.approx(1.0 + SHORTEST_LOOK)
    looks.looked(1.1, found=False, busy=True, awaited=0)
    assert looks.due == pytest.approx(1.11)
    looks.looked(9.0, found=False, busy=True, awaited=0)
    assert looks.due == pytest.approx(9.0 + longest_sleep(4))


def test_a_few_that_are_idle_or_awaited_are_looked_at_each_second() -> None:
    """Right after submission oftener: a local one starts in no time."""
    looks = Looks(4, 0.0)
    looks.looked(0.1, found=False, busy=True, awaited=4)
    assert looks.due == pytest.approx(0.102)
    for busy, awaited in [(False, 0), (True, 4)]:
        looks.looked(200.0, found=False, busy=busy, awaited=awaited)
        assert looks.due == pytest.approx(200.0 + IDLE_SLEEP)


def test_a_few_that_have_nothing_more_to_do_are_left_alone() -> None:
    """The program goes on, and the thread that looks would stand in its way."""
    looks = Looks(4, 0.0)
    looks.looked(1.0, found=True, busy=False, awaited=0)
    assert 1.0 + IDLE_SLEEP <= looks.due <= 1.0 + 2 * IDLE_SLEEP
    looks.dealt(1.001, work=1e-5, is_first=True)
    assert looks.due < 1.002


@pytest.mark.parametrize("agents", [4, 16, FEW])
def test_a_beat_of_an_idle_agent_is_no_reason_to_look_again(agents: int) -> None:
    """All of them together are looked at so often, whatever they say."""
    links = [Looks(agents, 0.0) for _ in range(agents)]
    looks = 0
    for now in (tick / 100 for tick in range(100, 3100)):
        for number, link in enumerate(links):
            if link.due <= now:
                looks += 1
                link.looked(now, found=looks % 10 == number % 10, busy=False, awaited=0)
    assert 30 * min(agents, IDLE_LOOKS_PER_SECOND) / 2.5 < looks
    assert looks <= agents + 30 * min(agents, IDLE_LOOKS_PER_SECOND)


def test_a_few_that_were_asked_are_looked_at_now() -> None:
    """The answer may be there at once."""
    looks = Looks(4, 0.0)
    looks.looked(200.0, found=False, busy=False, awaited=0)
    looks.asked(200.1)
    assert looks.due == 200.1


@pytest.mark.parametrize("agents", MANY)
def test_many_are_looked_at_when_their_share_should_be_over(agents: int) -> None:
    """Not before; the next share changes nothing in that."""
    looks = Looks(agents, 0.0)
    work = longest_sleep(agents)
    looks.dealt(0.5, work, is_first=True)
    assert looks.due == pytest.approx(0.5 + work)
    looks.dealt(0.6, work, is_first=False)
    assert looks.due == pytest.approx(0.5 + work)


@pytest.mark.parametrize("agents", MANY)
def test_many_that_work_are_looked_at_250_times_a_second(agents: int) -> None:
    """At least, all together, however long their shares are: their results are waited for."""
    looks = Looks(agents, 0.0)
    looks.looked(0.0, found=True, busy=True, awaited=0, expected=1e6)
    assert looks.due == pytest.approx(agents / 250)


@pytest.mark.parametrize("agents", MANY)
def test_who_takes_longer_than_expected_is_looked_at_again(agents: int) -> None:
    """After half of that, each time."""
    looks = Looks(agents, 0.0)
    expected = longest_sleep(agents)
    looks.looked(0.0, found=True, busy=True, awaited=0, expected=expected)
    looks.looked(looks.due, found=False, busy=True, awaited=0, expected=expected)
    assert looks.due == pytest.approx(1.5 * expected)


def test_a_few_idle_ones_are_looked_at_together() -> None:
    """The dispatcher wakes once for all of them, however far apart they were done."""
    due = set()
    for number in range(FEW):
        looks = Looks(FEW, 0.0)
        looks.touch(0.01 * number)
        looks.looked(100.5 + 0.005 * number, found=False, busy=False, awaited=0)
        due.add(looks.due)
    assert len(due) == 1
    assert 100.0 + IDLE_SLEEP < due.pop() < 110.0


@pytest.mark.parametrize("agents", MANY)
def test_many_idle_ones_are_looked_at_once_a_beat(agents: int) -> None:
    """They have nothing else to say."""
    looks = Looks(agents, 0.0)
    looks.looked(5.0, found=True, busy=False, awaited=0)
    assert looks.due >= 5.0 + beat_seconds(agents)


@pytest.mark.parametrize("agents", MANY)
def test_who_was_idle_is_looked_at_soon_after_a_share(agents: int) -> None:
    """It may have left since; the share goes to somebody else then."""
    looks = Looks(agents, 0.0)
    looks.looked(5.0, found=True, busy=False, awaited=0)
    looks.dealt(15.0, work=1000.0, is_first=True)
    assert looks.due <= 15.0 + longest_sleep(agents) / 8


def test_the_fewer_are_awaited_the_oftener_they_are_looked_at() -> None:
    """The scheduler starts them when it likes; 250 looks a second are for them."""
    looks = Looks(10_000, 0.0)
    looks.looked(5000.0, found=False, busy=True, awaited=10_000)
    assert looks.due == pytest.approx(5040.0)
    looks.looked(5000.0, found=False, busy=True, awaited=500)
    assert looks.due == pytest.approx(5002.0)


def test_many_that_were_asked_are_looked_at_soon() -> None:
    """They look at their inbox when they look."""
    looks = Looks(1000, 0.0)
    looks.looked(0.0, found=True, busy=True, awaited=0, expected=100.0)
    looks.asked(1.0)
    assert 1.0 < looks.due <= 1.0 + longest_sleep(1000)


def test_a_disk_is_slow_if_it_was_so_lately() -> None:
    """One slow open among others says nothing; a long one does not count for ever."""
    pace = Pace()
    for _ in range(100):
        pace.took(0.0001)
    pace.took(0.05)
    assert not pace.is_slow
    for _ in range(20):
        pace.took(0.015)
    assert pace.is_slow
    pace.took(3600.0)
    for _ in range(100):
        pace.took(0.0001)
    assert not pace.is_slow


def test_the_dealer_means_the_same_by_few() -> None:
    """It imports nothing that is not its own, so the number stands there, too."""
    assert sizes.FEW == FEW
