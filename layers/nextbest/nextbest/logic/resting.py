"""What rests for a user and would be listed otherwise, and why: for explained answers. Imported only by these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.history import History
from nextbest.domain.programs import RestRule
from nextbest.scoring.rests import Rests

MOST_RESTING = 5
"""As many are named."""


@dataclass(frozen=True, slots=True)
class RestingAction:
    """An action that rests, until when (microseconds since 1970), and the rule in words."""

    action: Action
    until_us: int
    reason: str


def resting_actions(
    rules: Sequence[RestRule], history: History, otherwise: Iterable[Recommendation], *, now: float
) -> list[RestingAction]:
    """The first of the list ``otherwise``, which is as if nothing rested, that rest at ``now`` (seconds)."""
    rests = Rests.of(rules, history, now=now)
    resting = []
    for entry in otherwise:
        action = Action(entry.event_type, entry.asset_id)
        rest = rests.rest_of(action)
        if rest is not None:
            resting.append(RestingAction(action, rest.until_us, _reason(rest.rule, action)))
    return resting[:MOST_RESTING]


def _reason(rule: RestRule, action: Action) -> str:
    times = "once" if rule.after == 1 else f"{rule.after} times within {rule.within_days} days"
    return f"{' or '.join(rule.event_types)} {times}, and no {action.event_type} since"
