"""A line on standard error now and then: how many tasks are done, at work, and waiting."""

import sys
from contextlib import suppress

from pypool.engine.dealing.deal import Deal

EVERY_SECONDS = 10.0


class Progress:
    """Counts the tasks of open calls.

    Parameters
    ----------
    wanted : bool
        Whether anything is to be said at all.
    """

    def __init__(self, wanted: bool, now: float) -> None:
        self._wanted = wanted
        self._due = now + EVERY_SECONDS
        self._told = False

    def tell_if_due(self, deal: Deal, now: float) -> None:
        if self._wanted and now >= self._due:
            self._due = now + EVERY_SECONDS
            if deal.open_tasks or self._told:
                say(f"pypool: {in_words(deal)}")
            self._told = bool(deal.open_tasks)  # the end is told once


def say(line: str) -> None:
    """On standard error, if the program has one: its tasks do not depend on that."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def in_words(deal: Deal) -> str:
    """What stands in a line."""
    books = [book for book in deal.batches.values() if book.left]
    total = sum(book.count for book in books)
    playing = [agent for agent in deal.agents.values() if agent.plays]
    at_work = sum(min(agent.slots, agent.in_hand) for agent in playing)
    running = min(at_work, deal.open_tasks)  # some may be done already, by somebody else
    slots = sum(agent.slots for agent in playing)
    if not total:
        return f"all tasks are done; {counted(slots, 'worker')}"
    text = (
        f"{total - deal.open_tasks} of {total} tasks done, {running} running, "
        f"{deal.open_tasks - running} pending; {counted(slots, 'worker')}"
    )
    coming = sum(agent.pending for agent in deal.agents.values())
    return text + (f", {counted(coming, 'element')} not started yet" if coming else "")


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
