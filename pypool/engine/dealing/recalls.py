"""When to ask agents for the work that they have not begun."""

from collections.abc import Mapping

from pypool.engine.dealing.actions import Action, AskBack, Policy
from pypool.engine.dealing.books import AgentBook
from pypool.engine.dealing.estimates import Estimates
from pypool.engine.dealing.sizes import FEW, hoards, is_at_long_ones, work_to_recall

MOST_IN_VAIN = 6

LOOKS_OF_MANY = 40
"""To find who of many agents has most in hand takes its time: it is done at most so often in the
time that work has to be worth to be asked back."""


class Recalls:
    """Requests to return work, open ones and those to come.

    While one of its requests is open an agent is dealt nothing. Who had nothing to return is
    asked again after twice the time.
    """

    def __init__(
        self,
        policy: Policy,
        estimates: Estimates,
        playing: Mapping[str, AgentBook],
        actions: list[Action],
    ) -> None:
        self._policy = policy
        self._estimates = estimates
        self._playing = playing
        self._actions = actions
        self.number = 0
        many = policy.processes // policy.slots > FEW
        self._pause = policy.recall_seconds / LOOKS_OF_MANY if many else 0.0
        self._dry_at = self._not_before = 0.0
        self._hoards_at = self._long_ones_at = 0.0

    def at_once(self) -> None:
        """Something was dealt, so that asking may help again."""
        self._dry_at = self._not_before

    def may_help(self, now: float) -> bool:
        """Whether it is time to look at everybody; not each time somebody speaks."""
        return now >= self._dry_at

    def for_dry(self, dry: int, now: float) -> None:
        """Nothing is left to deal: those with most in hand are asked, one for each that is dry."""
        if not dry:
            return
        worth = self._policy.recall_seconds
        self._dry_at = now + worth / 5
        self._not_before = now + self._pause
        rich = []
        for agent in self._playing.values():
            dry -= agent.asked > 0
            if self._may_ask(agent, now):
                rich.append((work_to_recall(agent, self._estimates, worth, now), agent))
        rich.sort(key=lambda each: -each[0])
        for work, agent in rich[: max(dry, 0)]:
            if work:
                self._ask(agent, now)

    def from_hoards(self, now: float) -> None:
        """Shares dealt when nobody knew that their tasks are long are not left to the end.

        Else a long task among them begins far later than it would have, first come first served.
        """
        if now < self._hoards_at or self._policy.deals_all:
            return
        worth = self._policy.recall_seconds
        self._hoards_at = now + min(20 * worth, max(worth, 1.0))
        players = len(self._playing)
        for agent in self._playing.values():
            if self._may_ask(agent, now) and hoards(agent, self._estimates, players):
                self._ask(agent, now)

    def from_those_at_long_ones(self, now: float) -> None:
        """What waits behind tasks that take far longer than usual is for others.

        Else two long tasks in one share are run one after the other, while others are at short
        ones. They are dealt nothing in reserve until they are done with one.
        """
        if now < self._long_ones_at or self._policy.deals_all:
            return
        worth = self._policy.recall_seconds
        self._long_ones_at = now + worth
        players = len(self._playing)
        for agent in self._playing.values():
            if self._may_ask(agent, now) and is_at_long_ones(
                agent, self._estimates, worth, players, now
            ):
                agent.at_long_ones = True
                self._ask(agent, now)

    def at_any_rate(self, agent: AgentBook, now: float) -> None:
        """Whatever it is worth."""
        if not agent.asked:
            self._ask(agent, now)

    def answered(self, agent: AgentBook, asked: int, something: bool, now: float) -> None:
        """The agent returned something or nothing, because it was asked or by itself."""
        if asked and asked == agent.asked:
            agent.asked = 0
            agent.in_vain = 0 if something else min(agent.in_vain + 1, MOST_IN_VAIN)
            agent.not_before = now + self._policy.recall_seconds * 2**agent.in_vain

    def beat(self, agent: AgentBook, now: float) -> None:
        """If it still has not answered, either the request was lost or the answer."""
        if agent.asked and now - agent.asked_at > self._policy.lease / 2:
            agent.asked = 0

    def _may_ask(self, agent: AgentBook, now: float) -> bool:
        return not (agent.asked or agent.late) and now >= agent.not_before

    def _ask(self, agent: AgentBook, now: float) -> None:
        self.number += 1
        agent.asked = self.number
        agent.asked_at = now
        self._actions.append(AskBack(agent.key, self.number))
