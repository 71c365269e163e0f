"""How much work an agent is dealt at once, and how much is worth asking back."""

from math import ceil

from pypool.engine.dealing.books import AgentBook, BatchBook
from pypool.engine.dealing.estimates import LEAST_SECONDS, Estimates

LEAST_SHARE_SECONDS = 0.002
SHARE_SECONDS = 0.15
WAYS_PER_SHARE = 3
"""A share is worth so many ways to an agent and back: the next one is to be there in time."""

AGENTS_PER_SHARE_SECOND = 200
"""With many agents shares are larger: so many shares a second the dispatcher can deal."""

FEW = 64
AGENTS_PER_WORTH_SECOND = 500
"""Of more agents each looks seldom: what is asked back comes so much later."""

HOARD_SHARES = 8
"""Who has more than so many shares' work that has not begun has got it by mistake."""

LONG = 8
"""What takes so many times as long as usual is a long task."""

REPORT_SECONDS = 0.1
AGENTS_PER_REPORT_SECOND = 500
"""An agent tells what it has done at most so long after."""

FED_AHEAD = 16
"""No more tasks of a slot are thought to have begun since."""


def share_size(
    batch: BatchBook,
    seconds: float | None,
    agent: AgentBook,
    part: float,
    agents: int,
    way: float = 0.0,
) -> int:
    """How many tasks the agent is dealt at once.

    Parameters
    ----------
    seconds : float or None
        What a task takes, if that is known.
    part : float
        What is left of the batch for each slot.
    agents : int
        How many play.
    way : float
        Seconds to an agent and back.
    """
    fair = part * agent.slots
    idle = agent.idle_slots * batch.chunk
    if seconds is None:
        count = ceil(max(fair / 2, min(fair, idle)))
    else:
        seconds = max(seconds, LEAST_SECONDS)
        enough = agent.slots * share_seconds(agents, way) / seconds
        count = ceil(max(min(max(enough, idle), fair), LEAST_SHARE_SECONDS / seconds))
    return ceil(max(count, 1) / batch.chunk) * batch.chunk


def share_seconds(agents: int, way: float = 0.0) -> float:
    """How much work for each slot is dealt at once, if it is known and there is enough."""
    return max(SHARE_SECONDS, agents / AGENTS_PER_SHARE_SECOND, WAYS_PER_SHARE * way)


def recall_seconds(agents: int) -> float:
    """Work for each slot that is worth asking back, if so many agents may play."""
    return 0.05 if agents <= FEW else max(0.05, agents / AGENTS_PER_WORTH_SECOND)


def unbegun_seconds(agent: AgentBook, estimates: Estimates) -> float:
    """Work that the agent cannot have begun, for each of its slots."""
    return sum(
        count * max(estimates.get(share.batch.function) or 0.0, LEAST_SECONDS) / agent.slots
        for share, count in agent.unbegun()
    )


def work_to_recall(agent: AgentBook, estimates: Estimates, worth: float, now: float) -> float:
    """Seconds of work that could be asked back; 0 if asking is not worth the way."""
    work = unbegun_seconds(agent, estimates)
    if not work or work > worth:
        return work
    since = next(iter(agent.shares.values())).since
    out = now - max(since, agent.not_before)
    return out if out > 2 * worth + work else 0.0


def hoards(agent: AgentBook, estimates: Estimates, agents: int) -> bool:
    """Whether the agent was dealt far too much when nobody knew what the tasks take.

    One chunk in hand is no mistake, however long it takes: returned, it would be dealt again.
    """
    spare = [(count, share.batch.chunk) for share, count in agent.unbegun() if count]
    if sum(count for count, _ in spare) <= max((chunk for _, chunk in spare), default=0):
        return False
    return unbegun_seconds(agent, estimates) > HOARD_SHARES * share_seconds(agents, estimates.way)


def is_at_long_ones(
    agent: AgentBook, estimates: Estimates, worth: float, agents: int, now: float
) -> bool:
    """Whether all that it works at takes far longer than usual, while other tasks wait for it."""
    if not agent.shares or agent.idle_slots or not any(count for _, count in agent.unbegun()):
        return False
    seconds = estimates.get(next(iter(agent.shares.values())).batch.function)
    if seconds is None:
        return False
    usual = LONG * max(seconds, LEAST_SECONDS) + report_seconds(agents) + worth
    return now - agent.spoke_at > usual


def report_seconds(agents: int) -> float:
    """An agent tells what it has done at most so long after."""
    return max(REPORT_SECONDS, agents / AGENTS_PER_REPORT_SECOND)


def at_work_at_most(agent: AgentBook, seconds: float | None, agents: int) -> int:
    """How many of the tasks of which it has said nothing the agent can have begun.

    To each slot the task it works at, one that began meanwhile, and those done since the last
    report. If nobody knows what they take, as many as a slot is fed ahead.
    """
    if seconds is None:
        return FED_AHEAD * agent.slots
    unreported = report_seconds(agents) / max(seconds, LEAST_SECONDS)
    return agent.slots * min(FED_AHEAD, 2 + int(unreported))
