"""The storm: a program maps over its tasks, and faults hit it as the plan says.

Which tasks a fault may have hit is known from the records that tasks leave: those at work, or just
done, where it struck. A task may be started once, and once more for each fault that hit it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from faults import tasks
from faults.clusters import Cluster
from pool.scripts import MARK
from private.slurm import PrivateSlurm

from .plan import Fault, duration

TESTS = Path(__file__).parents[1]
JUST_DONE = 3.0
"""Seconds: what a task gave back so short a time ago may have been on its way."""

SETTLES = 20.0
"""Seconds in which who is told to end has ended; and in which a daemon, after its return, ends
elements that it has given up or forgotten."""

WORD_OF_SCHEDULER = 120.0
"""Seconds after which a scheduler that was stopped or killed itself has done what it was told."""

ROUND = 0.05

PROGRAM = """
import functools, json, sys
sys.path.insert(0, {tests!r})
from chaos import storm
import pypool.slurm

if __name__ == "__main__":
    with pypool.slurm.Pool({processes}, work_dir={work!r}, name="storm", retries=30,
                           keep={keep!r}) as pool:
        results = pool.map(functools.partial(storm.work, {place!r}), range({count}))
        with open({results!r} + ".new", "w") as file:
            json.dump(results, file)
        import os
        os.rename({results!r} + ".new", {results!r})
        pool.close()
        pool.join()
"""


def work(place: str, index: int) -> int:
    """A task of the storm."""
    tasks.note(place, "begin", index)
    time.sleep(duration(index))
    tasks.note(place, "end", index)
    return index * index


@dataclass
class Strike:
    """A fault that has happened.

    Attributes
    ----------
    hit : set of int
        Tasks that may have to be started again because of it.
    who : int or None
        The agent that lost its worker or its life, if it was one.
    where : str
        Its element, or the node.
    """

    kind: str
    at: float
    hit: set[int]
    who: int | None = None
    where: str = ""


class Storm:
    """See the module.

    Attributes
    ----------
    happened : list of Strike
        In the order in which they came.
    false_failures : list of str
        What the program said each time that it ended without having been killed or being done.
    """

    def __init__(
        self, cluster: Cluster, slurm: PrivateSlurm, processes: int, count: int, keep: str
    ) -> None:
        self._cluster = cluster
        self._slurm = slurm
        self._count = count
        self._results = cluster.place / "results.json"
        self._program = cluster.place / "storm_program.py"
        self._program.write_text(
            PROGRAM.format(
                tests=str(TESTS),
                processes=processes,
                work=str(cluster.work_dir),
                place=str(cluster.place),
                count=count,
                results=str(self._results),
                keep=keep,
            )
        )
        self._driver: subprocess.Popen[bytes] | None = None
        self._undo: list[tuple[float, Callable[[], None]]] = []
        self._away: set[str] = set()
        self._began = 0.0
        self.happened: list[Strike] = []
        self.false_failures: list[str] = []
        self.output = cluster.place / "output"

    # -- the run

    def rage(self, faults: list[Fault], patience: float) -> float:
        """Runs the program through all faults, and to its end; gives the seconds that took."""
        began = self._began = time.monotonic()
        self._start_driver()
        waiting = list(faults)
        while time.monotonic() - began < patience:
            now = time.monotonic()
            for undo in [undo for undo in self._undo if undo[0] <= now]:
                self._undo.remove(undo)
                undo[1]()
            while waiting and waiting[0].at <= now - began:
                self._strike(waiting.pop(0), now)
            if self._is_done():
                break
            time.sleep(ROUND)
        for _ in range(2):  # who comes back may be followed by a look whom that has hit
            undone, self._undo = self._undo, []
            for _, undo in undone:
                undo()
        if self._driver is not None:
            self._driver.wait(60)
        return time.monotonic() - began

    def _is_done(self) -> bool:
        """The program has ended by itself. If it was not to end, it is started again."""
        driver = self._driver
        if driver is None or driver.poll() is None:
            return False
        if driver.returncode == 0 and self._results.exists():
            return True
        self.false_failures.append(f"exit code {driver.returncode}: {self._last_words()}")
        if len(self.false_failures) > 5:
            return True
        self._start_driver()
        return False

    def _last_words(self) -> str:
        return self.output.read_text()[-600:]

    def _start_driver(self) -> None:
        self._away.discard("driver")
        with self.output.open("ab") as output:
            self._driver = subprocess.Popen(
                [sys.executable, str(self._program)],
                cwd=self._cluster.place,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {MARK: self._cluster.mark},
                start_new_session=True,
            )

    @property
    def results(self) -> list[int]:
        return json.loads(self._results.read_text()) if self._results.exists() else []

    def end(self) -> None:
        """Leaves no program behind."""
        if self._driver is not None and self._driver.poll() is None:
            self._driver.kill()
            self._driver.wait()

    # -- faults

    def _strike(self, fault: Fault, now: float) -> None:
        strike = {
            "worker": self._kill_worker,
            "agent": self._kill_agent,
            "scancel": self._cancel,
            "requeue": self._requeue,
            "slurmd": self._kill_slurmd,
            "slurmctld stopped": self._stop_slurmctld,
            "slurmctld killed": self._kill_slurmctld,
            "driver": self._kill_driver,
        }[fault.kind]
        self._victim: tuple[int | None, str] = None, ""
        hit = strike(fault)
        if hit is not None:
            self.happened.append(Strike(fault.kind, now, hit, *self._victim))

    def _kill_worker(self, fault: Fault) -> set[int] | None:
        record = chosen(sorted(self._at_work()), fault)
        if record is None or not killed(record.worker):
            return None
        self._victim = record.agent, record.element
        return self._tasks_of(lambda each: each.worker == record.worker)

    def _kill_agent(self, fault: Fault) -> set[int] | None:
        record = chosen(sorted(self._at_work()), fault)
        if record is None:
            return None
        hit = self._last_tasks_of({record.agent})
        if not killed(record.agent):
            return None
        self._victim = record.agent, record.element
        return hit

    def _cancel(self, fault: Fault) -> set[int] | None:
        return self._command(fault, ["scancel"])

    def _requeue(self, fault: Fault) -> set[int] | None:
        return self._command(fault, ["scontrol", "requeue"], ["scontrol", "update", "requeue=1"])

    def _command(self, fault: Fault, *commands: list[str]) -> set[int] | None:
        """What a person does to an element at work; the last command is run first."""
        record = chosen(sorted(self._at_work()), fault)
        if record is None or "slurmctld" in self._away:
            return None
        known = tasks.records(self._cluster.place)
        hit = self._last_tasks_of({each.agent for each in known if each.element == record.element})
        for command in reversed(commands):
            last = f"jobid={record.element}" if "update" in command else record.element
            self._slurm.run(*command, last)
        self._victim = record.agent, record.element
        return hit

    def _kill_slurmd(self, fault: Fault) -> set[int] | None:
        """Its elements go on, as zombies, until it is back and ends them."""
        node = chosen(self._slurm.nodes, fault)
        if node is None or node in self._away:
            return None
        return self._kill_daemon(node, node, fault)

    def _kill_slurmctld(self, fault: Fault) -> set[int] | None:
        """It comes back with an old state, and may end what it does not know of."""
        return None if "slurmctld" in self._away else self._kill_daemon("slurmctld", "", fault)

    def _kill_daemon(self, name: str, node: str, fault: Fault) -> set[int]:
        """What it ends after its return is known later: the last tasks of workers gone by then."""
        gone_at = time.monotonic()
        self._victim = None, f"{name} for {fault.away:.0f} s"
        here = {record.worker for record in self._at_work() if node in ("", record.node)}
        hit: set[int] = set()
        self._slurm.stop(name, signal.SIGKILL)
        self._away.add(name)

        def come_back() -> None:
            self._away.discard(name)
            self._slurm.start(name)
            self._undo.append((time.monotonic() + SETTLES, count_the_hit))

        def count_the_hit() -> None:
            mine = [record for record in self._records() if node in ("", record.node)]
            workers = here | {record.worker for record in mine if record.at > gone_at}
            hit.update(last_tasks(mine, workers))

        self._undo.append((gone_at + fault.away, come_back))
        return hit

    def _stop_slurmctld(self, fault: Fault) -> set[int] | None:
        if "slurmctld" in self._away:
            return None
        self._victim = None, f"for {fault.away:.0f} s"
        self._slurm.signal("slurmctld", signal.SIGSTOP)
        self._away.add("slurmctld")

        def come_back() -> None:
            self._away.discard("slurmctld")
            self._slurm.signal("slurmctld", signal.SIGCONT)

        self._undo.append((time.monotonic() + fault.away, come_back))
        return set()

    def _kill_driver(self, fault: Fault) -> set[int] | None:
        driver = self._driver
        if driver is None or driver.poll() is not None or self._results.exists():
            return None
        driver.kill()
        driver.wait()
        self._driver = None
        self._victim = None, f"for {fault.away:.0f} s"
        self._away.add("driver")
        self._undo.append((time.monotonic() + fault.away, self._start_driver))
        return set()

    # -- whom it hit

    def _at_work(self) -> list[tasks.Record]:
        """The last start in each worker that lives, if it has not ended."""
        ended = {(record.worker, record.index) for record in self._ends()}
        return [
            record
            for record in self._last_starts().values()
            if (record.worker, record.index) not in ended and lives(record.worker)
        ]

    def _last_starts(self) -> dict[int, tasks.Record]:
        return {record.worker: record for record in tasks.records(self._cluster.place)}

    def _ends(self) -> list[tasks.Record]:
        return tasks.records(self._cluster.place, "end")

    def _records(self) -> list[tasks.Record]:
        return [*tasks.records(self._cluster.place), *self._ends()]

    def _last_tasks_of(self, agents: set[int]) -> set[int]:
        """Those of their workers, once these are gone: they go on until a signal reaches them."""
        now = time.monotonic()
        here = {worker for worker in {record.worker for record in self._records()} if lives(worker)}
        hit: set[int] = set()

        def count_the_hit() -> None:
            mine = [record for record in self._records() if record.agent in agents]
            workers = {record.worker for record in mine if record.at > now or record.worker in here}
            hit.update(last_tasks(mine, workers))
            later = time.monotonic() + SETTLES
            if any(map(lives, workers)) and later < now + WORD_OF_SCHEDULER:
                self._undo.append((later, count_the_hit))

        self._undo.append((now + SETTLES, count_the_hit))
        return hit

    def _tasks_of(self, hit: Callable[[tasks.Record], bool]) -> set[int]:
        """Those at work there, or just done."""
        now = time.monotonic()
        found = {record.index for record in self._last_starts().values() if hit(record)}
        return found | {
            record.index for record in self._ends() if hit(record) and now - record.at < JUST_DONE
        }

    # -- what came of it

    def too_often(self) -> dict[int, tuple[int, int]]:
        """Tasks started more often than faults explain: how often, and how many faults."""
        starts = Counter(record.index for record in tasks.records(self._cluster.place))
        hits = Counter(index for strike in self.happened for index in strike.hit)
        return {
            index: (times, hits[index])
            for index, times in starts.items()
            if times > 1 + hits[index]
        }

    def life_of(self, index: int) -> str:
        """All that is known of a task."""
        lines = [
            f"  {record.at - self._began:6.1f} s  {record.kind:<5} worker {record.worker}, "
            f"agent {record.agent}, element {record.element} on {record.node}"
            for record in sorted(self._records(), key=lambda record: record.at)
            if record.index == index
        ]
        return "\n".join([f"task {index}:", *lines])

    def story(self) -> str:
        """A line for each fault: when, what, and whom it may have hit."""
        lines = [
            f"  {strike.at - self._began:6.1f} s  {strike.kind} {strike.where} {sorted(strike.hit)}"
            for strike in self.happened
        ]
        return "\n".join(lines)

    def notices(self) -> Iterator[tuple[float, str]]:
        """Seconds from a fault to the first task of who takes the place, and which fault it was.

        The task that was hit may come much later: in a named run others have been dealt before.
        """
        begun = tasks.records(self._cluster.place)
        for strike in self.happened:
            known = {record.agent for record in begun if record.at < strike.at}
            workers = {record.worker for record in begun if record.at < strike.at}
            for record in begun:
                if record.at < strike.at or strike.who is None:
                    continue
                if record.agent == strike.who and record.worker not in workers:
                    break  # a worker's successor
                if strike.kind != "worker" and record.agent not in known:
                    break  # another element
            else:
                continue
            when = strike.at - self._began
            yield record.at - strike.at, f"{strike.kind} at {when:.0f} s"


def chosen(candidates: list, fault: Fault):  # type: ignore[no-untyped-def, type-arg]
    """The one that the fault picks, if there is any."""
    return candidates[int(fault.pick * len(candidates))] if candidates else None


def last_tasks(records: list[tasks.Record], workers: set[int]) -> set[int]:
    """What those of the workers that are gone were at, or had just done, when they went."""
    hit: set[int] = set()
    for worker in workers:
        mine = [record for record in records if record.worker == worker]
        if mine and not lives(worker):
            last = max(record.at for record in mine)
            hit.update(record.index for record in mine if record.at > last - JUST_DONE)
    return hit


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def killed(pid: int) -> bool:
    """Whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
