"""The scheduler's own daemon hangs or is dead: that changes nothing but the waiting.

One line says so. Tasks that run go on and their results come; what could not be submitted is
submitted once, whatever the command said; what could not be cancelled leaves by itself.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from .clusters import Cluster, finish, headline, until
from .conftest import Noticed
from .places import on_own, takes_long
from .rows import failure
from .tasks import PATIENCE

MASTER = {"slurm": "slurmctld", "sge": "qmaster"}
AWAY = 25.0  # seconds: longer than sbatch waits for an answer
SAID_WITHIN = 120.0
TERMINATES_WITHIN = 60.0
TASKS = 6

HOWS = pytest.mark.parametrize("how", ["SIGSTOP", "SIGKILL"])
Said = Callable[[], list[str]]


class Master:
    """The daemon, which goes away and comes back."""

    def __init__(self, cluster: Cluster, how: str) -> None:
        self._daemons = cluster.daemons
        self._how = how
        self.name = MASTER[cluster.name]
        self.by = f"{'SIGSTOP' if how == 'SIGSTOP' else 'kill -9'} of {self.name}"

    def leaves(self) -> float:
        """When it went."""
        if self._how == "SIGSTOP":
            self._daemons.signal(self.name, signal.SIGSTOP)
        else:
            self._daemons.stop(self.name, signal.SIGKILL)
        return time.monotonic()

    def comes_back(self) -> None:
        if self._how == "SIGSTOP":
            self._daemons.signal(self.name, signal.SIGCONT)
        else:
            self._daemons.start(self.name)


def sentence(said: Said, since: int = 0) -> str:
    """What was said first, on one line."""
    lines = said()[since:]
    return headline(lines[0]) if lines else ""


@failure("The scheduler is away while elements are submitted")
@takes_long(400)
@HOWS
@on_own("slurm", "sge")
def test_during_submission(cluster: Cluster, said: Said, noticed: Noticed, how: str) -> None:
    """Whatever the command said: in the end there is one array, and it is ours."""
    master = Master(cluster, how)
    pool = cluster.pool(2)
    left_at = master.leaves()
    handle = cluster.starts(pool, TASKS)
    line = (
        until(lambda: sentence(said), SAID_WITHIN, "nothing is said") if waits(cluster, how) else ""
    )
    said_at = time.monotonic()
    time.sleep(max(0.0, left_at + AWAY - time.monotonic()))
    master.comes_back()
    begun = cluster.wait_for_begun(2, 120)
    until(lambda: len(cluster.rows()) == 2, 60, "not exactly what was asked for is in the queue")
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS)
    arrays = {record.element.split("_")[0].split(".")[0] for record in cluster.begun()}
    assert len(arrays) == 1, f"several arrays work: {begun}"
    finish(pool)
    cluster.nothing_is_left()
    noticed(master.by, f"all results, of one array; {line or 'nothing'}", said_at - left_at)


def waits(cluster: Cluster, how: str) -> bool:
    """Whether the command fails while the master is away; a stopped one of Grid Engine hangs."""
    return not (cluster.name == "sge" and how == "SIGSTOP")


@failure("The scheduler is away while it is asked")
@takes_long(400)
@HOWS
@on_own("slurm", "sge")
def test_during_poll(cluster: Cluster, said: Said, noticed: Noticed, how: str) -> None:
    """Tasks that run end, and their results come, though nobody can be asked."""
    master = Master(cluster, how)
    pool = cluster.pool(12)  # some of them have to wait, so that the queue is looked at
    handle = cluster.starts(pool, 40)
    begun = cluster.wait_for_begun(8)
    until(cluster.pending, 30, "no element waits")
    lines = len(said())
    left_at = master.leaves()
    if waits(cluster, how):
        line = until(lambda: sentence(said, lines), SAID_WITHIN, "nothing is said")
    else:
        time.sleep(AWAY)
        line = "nothing"
    said_at = time.monotonic()
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), 40)  # the master is still away
    master.comes_back()
    finish(pool)
    cluster.nothing_is_left()
    assert begun
    noticed(master.by, f"all results, while it was away; {line}", said_at - left_at)


@failure("The scheduler is away when elements are cancelled")
@takes_long(400)
@HOWS
@on_own("slurm", "sge")
def test_during_cancellation(cluster: Cluster, said: Said, noticed: Noticed, how: str) -> None:
    """`terminate()` comes back, the workers are gone; what is in the queue leaves it."""
    master = Master(cluster, how)
    pool = cluster.pool(12)
    cluster.starts(pool, 40)
    cluster.wait_for_begun(8)
    until(cluster.pending, 30, "no element waits")
    lines = len(said())
    left_at = master.leaves()
    pool.terminate()
    pool.join()
    returned_at = time.monotonic()
    assert returned_at - left_at < TERMINATES_WITHIN
    until(lambda: not cluster.processes(), 30, "workers or commands go on")
    master.comes_back()
    run_what_is_told(cluster, said()[lines:])
    until(lambda: not cluster.jobs_left(), 120, "elements stay in the queue")
    cluster.nothing_is_left()
    line = sentence(said, lines) or "nothing said"
    noticed(master.by, f"terminate() returned, nobody was left; {line}", returned_at - left_at)


def run_what_is_told(cluster: Cluster, said: list[str]) -> None:
    """The command that cancels what could not be cancelled, as soon as the scheduler answers."""
    told = [line.split() for each in said for line in each.splitlines()]
    commands = [words for words in told if words[:1] == [cluster.cancel_word]]
    cluster.daemons.wait_for_master()
    for command in commands:
        cluster.command(*command)


@failure("The scheduler comes back with an old state")
@takes_long(400)
@on_own("slurm", nodes=2, cpus=4)
def test_old_state(cluster: Cluster, noticed: Noticed) -> None:
    """Elements that have ended are pending once more, and may be held for ever: others come."""
    master = Master(cluster, "SIGKILL")
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    begun = cluster.wait_for_begun(2)  # so short a time ago that Slurm has not written it down
    master.leaves()
    for record in begun:
        os.kill(record.agent, signal.SIGKILL)
    hit_at = time.monotonic()
    time.sleep(5)  # slurmd has nobody to tell
    master.comes_back()
    cluster.daemons.wait_for_master()

    def somebody_else_works() -> bool:
        for node in cluster.daemons.nodes:  # after this Slurm drains them, and a person helps
            cluster.command("scontrol", "update", f"nodename={node}", "state=resume")
        return len({record.agent for record in cluster.begun()}) == 4

    until(somebody_else_works, 240, "no other elements come")
    seconds = time.monotonic() - hit_at
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, *(record.index for record in begun))
    finish(pool)
    cluster.nothing_is_left()
    saw = "all results; other elements were asked for"
    noticed("kill -9 of slurmctld and of all agents, slurmctld started again", saw, seconds)
