"""What the loss of an element means for the tasks in its agent's hands."""

from collections.abc import Iterator
from itertools import groupby, islice

from pypool.engine.dealing.books import AgentBook, ShareBook
from pypool.engine.dealing.estimates import Estimates
from pypool.engine.dealing.sizes import at_work_at_most

FREE_LOSSES = 10
"""How often a task may be lost without a fault of its own."""

CHARGED_ENDS = frozenset({"failed", "out of memory"})
BLAMELESS_ENDS = frozenset(
    {"preempted", "node failure", "requeued", "launch failed", "never submitted", "disk"}
)
"""Ends of an element that say little against its tasks."""

FULL_DISK = "full disk"
"""The end of an element whose agent had no room to say hello: somebody else watches the disk."""

SHORT_OF = {"out of memory": "memory", "time limit": "time"}
"""Ends of an element that say what there was too little of."""

LEFT = {
    "orphan": "for it had heard nothing of your program for as long as orphan_timeout= says",
}
"""Why an agent left, where the word alone does not tell."""


def suspects(agent: AgentBook, estimates: Estimates, agents: int) -> list[tuple[ShareBook, int]]:
    """Open tasks in the agent's hands that may have been running: those dealt first.

    Of a chunk its first ones, and so for as many chunks as slots may have been given.
    """
    found: list[tuple[ShareBook, int]] = []
    chunks = 0
    for share in agent.shares.values():
        limit = at_work_at_most(agent, estimates.get(share.batch.function), agents)
        if share.batch.chunk == 1:
            indexes = islice(_open_tasks(share), max(limit - len(found), 0))
            found += [(share, index) for index in indexes]
            continue
        for _, chunk in groupby(_open_tasks(share), key=lambda i: i // share.batch.chunk):
            chunks += 1
            if chunks <= limit:
                found += [(share, index) for index in islice(chunk, limit // agent.slots)]
    return found


def _open_tasks(share: ShareBook) -> Iterator[int]:
    for first, last in share.silent:
        for begin, end in share.batch.open_in(first, last):
            yield from range(begin, end)


def costs_an_attempt(how: str, seconds: float, limit: float | None) -> bool:
    """Whether the end costs the only task that can have been running an attempt of its own.

    Parameters
    ----------
    seconds : float
        How long the task was in the agent's hands.
    limit : float or None
        How long an element lives.
    """
    if how == "time limit" and limit is not None:
        return seconds > limit / 2
    return how in CHARGED_ENDS


def goes_alone(how: str, lost_before: bool) -> bool:
    """Whether a task that may have been running is suspected of having killed its element.

    With many workers to an element this is dear: what a failed node or a more urgent job ended
    is suspected only when it happens to the same task again.
    """
    return lost_before or how not in BLAMELESS_ENDS
