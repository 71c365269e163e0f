"""The simulation of pools plays to the end, alike each time, and counts what it does not play."""

from dataclasses import replace
from random import Random

import pytest

from bench.simulation import figures
from bench.simulation.disks import KINDS, Disk
from bench.simulation.players import Asked, Player
from bench.simulation.scenarios import Scenario
from pypool.engine import polling

TINY = Scenario(agents=5, tasks=60, disk="nfs", work=20.0)


def player(disk: Disk, tasks: list[float], slots: int = 1, agents: int = 4) -> Player:
    return Player("a0", slots, tasks, disk, agents, hello=1.0)


def disk() -> Disk:
    return Disk(KINDS["local"], Random(1))


@pytest.mark.parametrize(
    "scenario",
    [
        TINY,
        replace(TINY, slots=3),
        replace(TINY, agents=100, tasks=300),
        replace(TINY, agents=100, tasks=300, disk="lustre", as_few=True),
        replace(TINY, agents=70, tasks=20_000, disk="local", work=2.0),
    ],
)
def test_every_task_is_played(scenario: Scenario) -> None:
    """It ends, not before the best there is by the work alone."""
    outcome = scenario.play()
    assert outcome.makespan * scenario.agents >= scenario.work * scenario.agents * 0.8
    assert 0 <= outcome.ideal_idle < 1
    assert 0 < outcome.opens_of_driver < outcome.opens
    assert outcome.shares >= min(scenario.agents, scenario.tasks)


def test_the_same_seed_gives_the_same() -> None:
    """Another one does not."""
    assert TINY.play() == TINY.play()
    assert TINY.play() != replace(TINY, seed=2).play()


def test_rules_of_few_are_put_back() -> None:
    """They hold for one scenario."""
    few = polling.FEW
    replace(TINY, as_few=True).play()
    assert few == polling.FEW


def test_an_agent_tells_what_it_has_run() -> None:
    """It says hello, takes its share at its next look, and tells at the end of it."""
    agent = player(disk(), [3.0, 4.0])
    agent.inbox.append(Asked(seen_at=2.0, number=1, first=0, last=2))
    agent.catch_up(30.0)
    hello, *told = agent.outbox
    assert hello.kind == "hello"
    assert [each.tasks for each in told if each.kind == "answered"] == [[0], [1]]
    assert 9.0 < told[-1].seen_at < 9.2 or told[-1].kind == "beat"


def test_an_agent_returns_what_it_has_not_begun() -> None:
    """A slot works at one task of three: two come back, with the number of the request."""
    agent = player(disk(), [5.0] * 3)
    agent.inbox.append(Asked(2.0, number=1, first=0, last=3))
    agent.inbox.append(Asked(4.0, number=7))
    agent.catch_up(5.5)
    returned = agent.outbox[-1]
    assert (returned.kind, returned.number, returned.tasks) == ("returned", 7, [1, 2])
    agent.catch_up(9.0)
    assert agent.outbox[-1].tasks == [0]


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize(("share", "expected"), [(2, 91 / 0.02), (1, 3270)])
def test_looks_that_find_nothing_are_counted(steps: int, share: int, expected: float) -> None:
    """As many, whether somebody comes by often or once."""
    here = disk()
    agent = player(here, [100.0] * 2)
    agent.inbox.append(Asked(1.5, number=1, first=0, last=share))
    for step in range(steps):
        agent.catch_up(2.0 + 90.0 * (step + 1) / steps)
    looks = sum(here.opens["agents"].values())
    assert looks == pytest.approx(expected, rel=0.02)


def test_a_disk_counts_by_the_second() -> None:
    """Who has opened how many."""
    here = disk()
    here.open("driver", 3.2)
    here.open_often("agents", 3.5, count=4, every=0.25)
    assert here.opens["driver"] == {3: 1}
    assert here.opens["agents"] == {3: 2, 4: 2}


@pytest.mark.parametrize("kind", KINDS)
def test_times_of_a_disk_are_those_that_were_asked_for(kind: str) -> None:
    """Half of all opens are done in the median."""
    here = Disk(KINDS[kind], Random(1))
    times = sorted(here.open("driver", 0.0) for _ in range(4096))
    assert times[2048] == pytest.approx(KINDS[kind].opened[0], rel=0.1)
    assert times[4055] == pytest.approx(KINDS[kind].opened[1], rel=0.4)


def test_all_rows_are_drawn() -> None:
    """The most tasks lie on the line; others are points, of their own rules and disk."""
    rows = [
        {"agents": 10, "tasks": tasks, "work": 60.0, "disk": disk, "as_few": few, "ratio": ratio}
        for tasks, disk, few, ratio in (
            (1000, "nfs", False, 1.5),
            (100, "nfs", False, 1.1),
            (100, "local", False, 1.2),
            (100, "nfs", True, 1.3),
        )
    ]
    assert figures.lines(rows, False, "ratio") == {"nfs": ([10], [1.5]), "local": ([10], [1.2])}
    assert figures.points(rows, False, "ratio") == {
        "nfs": ([10, 10], [1.5, 1.1]),
        "local": ([10], [1.2]),
    }
    assert figures.points(rows, True, "ratio") == {"nfs": ([10], [1.3])}
