"""An element is gone: its task is done elsewhere, and is charged only if it is to blame."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pypool

from . import tasks
from .clusters import Cluster, finish, headline, message, until
from .conftest import Noticed
from .places import on_own, on_site, takes_long
from .rows import failure
from .tasks import PATIENCE

TASKS = 8
MEBIBYTE = 1 << 20
BEAT_AND_POLL = 45.0  # seconds: a beat is overdue, and the queue has been looked at
LEASE = 200.0
"""The lease of a minute, twice if the scheduler knows nothing of the death, and a busy machine."""

FORGOTTEN_WITHIN = 150.0
"""A daemon that is started again looks once a minute after elements that it has not started."""

WORKERS_GONE_WITHIN = 1.0

RIGHT = "all results"
Said = Callable[[], list[str]]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def ends_well(cluster: Cluster, pool: pypool.Pool) -> None:
    finish(pool)
    cluster.nothing_is_left()


# ---- memory


@failure("An element takes too much memory")
@takes_long(300)
@on_own(
    "slurm",
    memory=4000,
    SelectTypeParameters="CR_CPU_Memory",
    JobAcctGatherType="jobacct_gather/linux",
    JobAcctGatherFrequency="task=1",
    JobAcctGatherParams="OverMemoryKill",
)
def test_memory_of_an_element(cluster: Cluster, noticed: Noticed) -> None:
    """Slurm says FAILED and kills everything; the error says memory."""
    too_much_memory(cluster, noticed, tasks.eat_all, "150M", 600)


@failure("An element takes too much memory")
@takes_long(300)
@on_site("sge")
def test_memory_of_an_element_in_all(cluster: Cluster, noticed: Noticed) -> None:
    """Its processes together, each below the limit: Grid Engine kills, `failed 37`."""
    too_much_memory(cluster, noticed, tasks.eat_with_child, "800M", 500)


def too_much_memory(
    cluster: Cluster, noticed: Noticed, eat: Callable[..., int], memory: str, mebibytes: int
) -> None:
    pool = cluster.pool(1, memory=memory, retries=0)
    handle = cluster.starts(pool, 1, eat, str(cluster.place), mebibytes * MEBIBYTE)
    with pytest.raises(pypool.OutOfMemoryError) as caught:
        handle.get(PATIENCE)
    raised_at = time.monotonic()
    fault = tasks.records(cluster.place, "fault")[0]
    said = message(caught.value)
    assert "task 0 " in said
    assert "memory" in said
    assert memory.removesuffix("M") in said
    finish(pool)
    cluster.nothing_is_left(files=False)  # what a task was lost with is kept
    by = f"{eat.__name__}: {mebibytes} MiB a process where {memory} were asked for"
    noticed(by, headline(said), raised_at - fault.at)


@failure("An element takes too much memory")
@takes_long(300)
@on_site("sge")
def test_memory_of_two_workers(cluster: Cluster, noticed: Noticed) -> None:
    """Each alone would have had enough: they are started again, one at a time."""
    pool = cluster.pool(2, memory="400M", workers_per_element=2, retries=0)
    handle = cluster.starts(pool, 2, tasks.eat_for, 10.0, str(cluster.place), 600 * MEBIBYTE)
    assert handle.get(PATIENCE) == [0, 1]
    fault, *_, last = tasks.records(cluster.place, "fault")
    assert max(cluster.executions().values()) <= 3, cluster.begun()
    finish(pool)
    cluster.nothing_is_left()
    noticed("2 workers, 600 MiB each, where 400M each were asked for", RIGHT, last.at - fault.at)


# ---- the scheduler ends it


@failure("A running element is cancelled")
@on_site("slurm")
def test_cancelled(cluster: Cluster, noticed: Noticed) -> None:
    """`scancel` sends SIGTERM, so the agent has a last word."""
    cancelled(cluster, noticed, 20)


@failure("A running element is cancelled")
@takes_long(300)
@on_site("sge")
def test_deleted(cluster: Cluster, noticed: Noticed) -> None:
    """`qdel` kills without a word."""
    cancelled(cluster, noticed, BEAT_AND_POLL)


def cancelled(cluster: Cluster, noticed: Noticed, within: float) -> None:
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    hit_at = time.monotonic()
    cluster.cancel(victim.element)
    again = cluster.wait_for_reaction(hit_at, within)
    assert again.element != victim.element
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    ends_well(cluster, pool)
    noticed(cluster.cancel_word, f"{RIGHT}; another element was asked for", again.at - hit_at)


@failure("A pending element is cancelled")
@takes_long(300)
@on_own("slurm", cpus=2)
def test_cancelled_while_it_waits(cluster: Cluster, noticed: Noticed) -> None:
    """It vanishes from Slurm's list, and is asked for anew once that is certain."""
    cancelled_while_it_waits(cluster, noticed)


@failure("A pending element is cancelled")
@takes_long(300)
@on_own("sge", slots=2)
def test_deleted_while_it_waits(cluster: Cluster, noticed: Noticed) -> None:
    """It vanishes from Grid Engine's list without a record."""
    cancelled_while_it_waits(cluster, noticed)


def cancelled_while_it_waits(cluster: Cluster, noticed: Noticed) -> None:
    pool = cluster.pool(3)
    handle = cluster.starts(pool, TASKS)
    cluster.wait_for_begun(2)
    (waiting,) = until(cluster.pending, 30, "no element waits")
    known = cluster.elements()
    hit_at = time.monotonic()
    cluster.cancel(waiting)
    until(lambda: cluster.elements() - known, LEASE, "no other element is asked for")
    seconds = time.monotonic() - hit_at
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS)
    ends_well(cluster, pool)
    noticed(cluster.cancel_word, f"{RIGHT}; another element was asked for", seconds)


@failure("An element is requeued")
@on_own("slurm")
def test_requeued(cluster: Cluster, noticed: Noticed) -> None:
    """Though the script asks for none, somebody allows it and does it."""
    requeued(cluster, noticed, _requeue_slurm, "scontrol update requeue=1; scontrol requeue")


@failure("An element is requeued")
@takes_long(300)
@on_own("sge")
def test_rescheduled(cluster: Cluster, noticed: Noticed) -> None:
    """Though the script asks for none, somebody allows it and does it."""
    requeued(cluster, noticed, _reschedule_sge, "qalter -r y; qmod -rj")


def _requeue_slurm(cluster: Cluster, element: str) -> None:
    cluster.command("scontrol", "update", f"jobid={element}", "requeue=1")
    cluster.command("scontrol", "requeue", element)


def _reschedule_sge(cluster: Cluster, element: str) -> None:
    cluster.command("qalter", "-r", "y", element.split(".")[0])
    cluster.command("qmod", "-rj", element)


def requeued(
    cluster: Cluster, noticed: Noticed, requeue: Callable[[Cluster, str], None], by: str
) -> None:
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    hit_at = time.monotonic()
    requeue(cluster, victim.element)
    until(lambda: not alive(victim.worker), 30, "the requeued element goes on")
    again = cluster.wait_for_reaction(hit_at, LEASE)
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    ends_well(cluster, pool)
    noticed(by, f"{RIGHT}; another element was asked for", again.at - hit_at)


PREEMPTING = ("urgent PriorityTier=10 MaxTime=INFINITE State=UP",)


@failure("An element is preempted")
@takes_long(300)
@on_own(
    "slurm",
    cpus=2,
    partitions=PREEMPTING,
    PreemptType="preempt/partition_prio",
    PreemptMode="CANCEL",
)
def test_preempted(cluster: Cluster, noticed: Noticed) -> None:
    """A more urgent job takes its place, and it is cancelled."""
    preempted(cluster, noticed, "a job in a partition with more priority, PreemptMode=CANCEL")


@failure("An element is preempted")
@takes_long(300)
@on_own(
    "slurm",
    cpus=2,
    partitions=PREEMPTING,
    PreemptType="preempt/partition_prio",
    PreemptMode="REQUEUE",
)
def test_preempted_and_requeued(cluster: Cluster, noticed: Noticed) -> None:
    """A more urgent job takes its place; where requeueing is forbidden it is cancelled, too."""
    preempted(cluster, noticed, "a job in a partition with more priority, PreemptMode=REQUEUE")


def preempted(cluster: Cluster, noticed: Noticed, by: str) -> None:
    pool = cluster.pool(2, retries=0)
    handle = cluster.starts(pool, TASKS)
    begun = cluster.wait_for_begun(2)
    workers = {record.worker for record in begun}
    hit_at = time.monotonic()
    words = ["sbatch", "--parsable", "--partition=urgent", f"--output={cluster.place}/urgent"]
    urgent = cluster.command(*words, "--wrap=sleep 5").strip()
    until(lambda: not all(map(alive, workers)), 30, "nobody is preempted")
    (victim,) = [record for record in begun if not alive(record.worker)]
    again = cluster.wait_for_reaction(hit_at, LEASE)
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    until(lambda: urgent not in cluster.jobs_left(), 30, "the urgent job does not end")
    ends_well(cluster, pool)
    noticed(by, f"{RIGHT}; nothing is charged to the task", again.at - hit_at)


# ---- time


@failure("An element's time is over")
@takes_long(600)
@on_site("slurm", "sge")
def test_time_of_an_element(cluster: Cluster, noticed: Noticed) -> None:
    """No task is begun that would not end in time: others are done by the next element."""
    count, seconds = 8, 12.0
    pool = cluster.pool(1, time="1m")
    began_at = time.monotonic()
    handle = cluster.starts(pool, count, tasks.work_for, seconds, str(cluster.place))
    results = handle.get(PATIENCE)
    assert results == [index * index for index in range(count)]
    assert len({record.element for record in cluster.begun()}) > 1
    again = [index for index, times in cluster.executions().items() if times > 1]
    assert not again, cluster.begun()
    ends_well(cluster, pool)
    spent = time.monotonic() - began_at
    saw = f"{RIGHT} of {count * seconds:.0f} s of work, in {spent:.0f} s; no task was begun twice"
    noticed('time="1m"', saw, 0.0)


@failure("A task needs more time than its element has")
@takes_long(600)
@on_site("slurm", "sge")
def test_time_of_a_task(cluster: Cluster, noticed: Noticed) -> None:
    """The error says what it had and how to ask for more."""
    pool = cluster.pool(1, time="1m", retries=0)
    handle = cluster.starts(pool, 1, tasks.work_for, 300.0, str(cluster.place))
    with pytest.raises(pypool.TimeLimitError) as caught:
        handle.get(PATIENCE)
    raised_at = time.monotonic()
    said = message(caught.value)
    assert "task 0 " in said
    assert "time" in said
    (begin,) = cluster.begun()
    finish(pool)
    cluster.nothing_is_left(files=False)
    saw = headline(said)
    noticed('a task of 5 min, time="1m"', saw, raised_at - begin.at - 60.0)


# ---- its own processes die


@failure("An agent is killed")
@takes_long(300)
@on_site("slurm", "sge")
def test_agent_killed(cluster: Cluster, noticed: Noticed) -> None:
    """Its workers are gone within a second; the task is done elsewhere."""
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    hit_at = time.monotonic()
    os.kill(victim.agent, signal.SIGKILL)
    until(lambda: not alive(victim.worker), WORKERS_GONE_WITHIN, "the worker is not gone")
    again = cluster.wait_for_reaction(hit_at, LEASE)
    assert again.agent != victim.agent
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    ends_well(cluster, pool)
    saw = f"{RIGHT}; its worker was gone within {WORKERS_GONE_WITHIN:.0f} s"
    noticed("kill -9", saw, again.at - hit_at)


@failure("Who watches over an element is killed")
@takes_long(400)
@on_own("slurm")
def test_stepd_killed(cluster: Cluster, noticed: Noticed) -> None:
    """Slurm goes on to say RUNNING, for ever; agent and workers go on, too."""
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    (step,) = [pid for pid in cluster.daemons.steps().values() if parent(victim.agent) == pid]
    os.kill(step, signal.SIGKILL)
    outlives(cluster, noticed, pool, handle, victim, "kill -9 of slurmstepd")


@failure("Who watches over an element is killed")
@takes_long(400)
@on_own("sge")
def test_shepherd_killed(cluster: Cluster, noticed: Noticed) -> None:
    """Grid Engine says that the element is over; agent and workers go on."""
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    assert parent(victim.agent) in cluster.daemons.shepherds()
    os.kill(parent(victim.agent), signal.SIGKILL)
    outlives(cluster, noticed, pool, handle, victim, "kill -9 of sge_shepherd")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def outlives(
    cluster: Cluster,
    noticed: Noticed,
    pool: pypool.Pool,
    handle: pypool.results.AsyncResult[list[int]],
    victim: tasks.Record,
    by: str,
) -> None:
    """The scheduler has lost it, but it works: no task is done again because of that."""
    time.sleep(BEAT_AND_POLL)  # the scheduler is to be asked meanwhile, and not to be believed
    assert alive(victim.agent)
    assert alive(victim.worker)
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    ended_at = time.monotonic()
    ends_well(cluster, pool)
    saw = f"{RIGHT}; the element went on, and was gone with the pool"
    noticed(by, saw, time.monotonic() - ended_at)


# ---- the node's daemon dies


@failure("A node is lost")
@takes_long(500)
@on_own("slurm", nodes=2, cpus=1)
def test_node_lost(cluster: Cluster, noticed: Noticed) -> None:
    """Slurm gives it up."""
    node_lost(cluster, noticed, "kill -9 of slurmd and of all processes there")


@failure("A node is lost")
@takes_long(500)
@on_own("sge", slots=2)
def test_host_lost(cluster: Cluster, noticed: Noticed) -> None:
    """Only the lease tells: Grid Engine says running for ever."""
    node_lost(cluster, noticed, "kill -9 of sge_execd and of all processes there")


def node_lost(cluster: Cluster, noticed: Noticed, by: str) -> None:
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    known = cluster.elements()
    daemon = _daemon_of(cluster, victim)
    hit_at = time.monotonic()
    cluster.daemons.stop(daemon, signal.SIGKILL)
    for pid in (parent(victim.agent), victim.agent, victim.worker):
        os.kill(pid, signal.SIGKILL)
    until(lambda: cluster.elements() - known, LEASE, "no other element is asked for")
    seconds = time.monotonic() - hit_at
    cluster.daemons.start(daemon)
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    finish(pool)
    until(lambda: not cluster.jobs_left(), FORGOTTEN_WITHIN, "elements stay in the queue")
    cluster.nothing_is_left()
    noticed(by, f"{RIGHT}; another element was asked for", seconds)


@failure("A node is lost, but its processes go on")
@takes_long(500)
@on_own("slurm", nodes=2, cpus=1)
def test_node_down(cluster: Cluster, noticed: Noticed) -> None:
    """Slurm says NODE_FAIL. Who beats is believed all the same."""
    daemon_dies(cluster, noticed, "kill -9 of slurmd")


@failure("A node is lost, but its processes go on")
@takes_long(500)
@on_own("sge", slots=2)
def test_execd_dead(cluster: Cluster, noticed: Noticed) -> None:
    """Grid Engine says running for ever."""
    daemon_dies(cluster, noticed, "kill -9 of sge_execd")


def daemon_dies(cluster: Cluster, noticed: Noticed, by: str) -> None:
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    daemon = _daemon_of(cluster, victim)
    cluster.daemons.stop(daemon, signal.SIGKILL)
    time.sleep(BEAT_AND_POLL)  # SlurmdTimeout and max_unheard are over, the queue was looked at
    assert alive(victim.worker)
    cluster.go()
    cluster.is_right(handle.get(PATIENCE), TASKS, victim.index)
    ended_at = time.monotonic()
    finish(pool)
    until(lambda: not cluster.processes(), 30, "processes are left")
    seconds = time.monotonic() - ended_at
    cluster.daemons.start(daemon)
    until(lambda: not cluster.jobs_left(), FORGOTTEN_WITHIN, "elements stay in the queue")
    cluster.nothing_is_left()
    noticed(by, f"{RIGHT}; nothing else", seconds)


@failure("A node was lost, and comes back")
@takes_long(500)
@on_own("slurm", nodes=2, cpus=1)
def test_node_back(cluster: Cluster, noticed: Noticed) -> None:
    """Its task is done elsewhere meanwhile; then both give a result."""
    comes_back(cluster, noticed, "kill -9 of slurmd, SIGSTOP and later SIGCONT of its processes")


@failure("A node was lost, and comes back")
@takes_long(500)
@on_own("sge", slots=3)
def test_host_back(cluster: Cluster, noticed: Noticed) -> None:
    """Its task is done elsewhere meanwhile; then both give a result."""
    comes_back(cluster, noticed, "kill -9 of sge_execd, SIGSTOP and later SIGCONT of its processes")


def comes_back(cluster: Cluster, noticed: Noticed, by: str) -> None:
    pool = cluster.pool(2)
    handle = cluster.starts(pool, TASKS)
    victim = cluster.wait_for_begun(2)[0]
    known = cluster.elements()
    daemon = _daemon_of(cluster, victim)
    hit_at = time.monotonic()
    cluster.daemons.stop(daemon, signal.SIGKILL)
    for pid in (victim.agent, victim.worker):
        os.kill(pid, signal.SIGSTOP)
    until(lambda: cluster.elements() - known, LEASE, "no other element is asked for")
    seconds = time.monotonic() - hit_at
    for pid in (victim.agent, victim.worker):
        os.kill(pid, signal.SIGCONT)
    cluster.go()
    results = handle.get(PATIENCE)
    by_both = {record.index for record in cluster.begun() if record.agent == victim.agent}
    cluster.is_right(results, TASKS, *by_both)
    finish(pool)
    cluster.daemons.start(daemon)
    until(lambda: not cluster.jobs_left(), FORGOTTEN_WITHIN, "elements stay in the queue")
    cluster.nothing_is_left()
    noticed(by, f"{RIGHT}, each once", seconds)


def _daemon_of(cluster: Cluster, victim: tasks.Record) -> str:
    """The one that starts elements where the victim is."""
    if cluster.name == "sge":
        return "execd"
    find = ("squeue", "--noheader", "--format=%N", "--jobs", victim.element)
    return until(lambda: cluster.command(*find).strip(), 10, "no node")
