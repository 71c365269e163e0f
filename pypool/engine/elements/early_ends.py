"""Ends of elements: what caused them, on which nodes, and what to show of it."""

import logging
from collections import Counter
from collections.abc import Sequence

from pypool.printable import printable
from pypool.rundir import names
from pypool.rundir.run import RunDirectory
from pypool.schedulers.base import Cause, ElementState, Scheduler, wait

log = logging.getLogger("pypool")

ENDS_OF_A_BAD_NODE = 2
"""So many elements ended early on a node before it is left out."""

NEVER_STARTED = (
    "the job script ended well without having started pypool: look for an `exit` in setup=, and in "
    "a template of your own for the line that starts it"
)

LOG_BYTES = 64 << 10
LOG_LINES = 20
PATIENCE = 5.0


class Ends:
    """What is known of elements that have ended, above all before they said hello."""

    def __init__(self, run: RunDirectory, scheduler: Scheduler) -> None:
        self._run = run
        self._scheduler = scheduler
        self._nodes: Counter[str] = Counter()
        self._said: frozenset[str] = frozenset()
        self._last: tuple[str, int, ElementState, Cause] | None = None

    @property
    def bad_nodes(self) -> Sequence[str]:
        """Nodes on which elements ended early again and again."""
        return sorted(node for node, ends in self._nodes.items() if ends >= ENDS_OF_A_BAD_NODE)

    def leave_out(self) -> Sequence[str]:
        """Nodes that are left out of the next array; that is said."""
        bad = self.bad_nodes
        if bad and self._said != frozenset(bad):
            self._said = frozenset(bad)
            log.warning(
                "elements ended early on %s, %d times and more: left out of the next array",
                ", ".join(bad),
                ENDS_OF_A_BAD_NODE,
            )
        return bad

    def well(self, node: str) -> None:
        """An agent plays there."""
        self._nodes.pop(node, None)

    def pardon_nodes(self) -> None:
        """It was not the nodes: none of them is left out for what has been."""
        self._nodes.clear()

    def take(self, job: str, index: int, state: ElementState, early: bool) -> Cause:
        """An end, and what is likely to have caused it."""
        cause = self._scheduler.cause(state, self.log_tail(job, index))
        if early and state.word == "completed" and not cause.likely:
            cause = cause._replace(likely=NEVER_STARTED)
        if not cause.intruder:
            self._last = job, index, state, cause
            if early and state.node and not set(state.node) & set("[,"):
                self._nodes[state.node] += 1
        return cause

    def words(self, state: ElementState, cause: Cause) -> str:
        """For a person: the scheduler's words, and the likely cause."""
        seen = [
            state.reason,
            f"exit code {state.code}" if state.code and state.code not in state.reason else "",
            f"on {state.node}" if state.node else "",
        ]
        told = " ".join(filter(None, seen))
        likely = f"likely cause: {cause.likely}" if cause.likely else ""
        return printable("; ".join(filter(None, [told, likely])))

    def log_tail(self, job: str, index: int) -> str:
        """The end of the element's log; nothing if there is none, or it cannot be seen."""
        name = f"{names.SCHEDULER}/{self._scheduler.log_file(job, index)}"
        try:
            text = self._run.tail(name, LOG_BYTES).decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(printable(text).strip().splitlines()[-LOG_LINES:])

    # -- for messages

    def explain(self, jobs: Sequence[str], elements: int, script: str) -> str:
        """What the scheduler said last, the end of a log, and where to look."""
        told = []
        first = 0
        if self._last is not None:
            job, first, state, cause = self._last
            jobs = [job, *(each for each in jobs if each != job)]
            told_twice = state.reason.startswith(state.word)
            words = state.reason if told_twice else f"{state.word} {state.reason}".strip()
            if state.code and state.code not in state.reason:
                words += f" exit code {state.code}"
            told.append(f"The scheduler's last word: {words}{_on(state)}.")
            if cause.likely:
                told.append(f"The likely cause: {cause.likely}.")
        for job in jobs[:1]:
            told += self._end_of_a_log(job, [first, *range(elements)])
            told += filter(None, [wait(self._scheduler.explain(job), PATIENCE)])
        told.append(f"The job script is {self._run.path}/{script}.")
        return "\n".join(told)

    def _end_of_a_log(self, job: str, indexes: Sequence[int]) -> list[str]:
        for index in indexes:
            text = self.log_tail(job, index)
            if text:
                name = self._scheduler.log_file(job, index)
                return [
                    f"{self._run.path}/{names.SCHEDULER}/{name} ends in:",
                    *("    " + line for line in text.splitlines()),
                ]
        return []


def _on(state: ElementState) -> str:
    return f" on {state.node}" if state.node else ""
