"""The members of GET /users/{user_id}/actions that say what actions are worth for the goal. Imported only with
objective=goal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nextbest.logic.sentences import GOAL_NOTES, goal_sentence
from nextbest.scoring.goal_ranking import GoalImpact


def add_goal(actions: Sequence[dict[str, Any]], impacts: Sequence[GoalImpact]) -> None:
    """Add what each of the body's ``actions`` is worth; in a sentence to its explanation, where it has one."""
    for action, impact in zip(actions, impacts, strict=True):
        action |= {
            "goal_impact": impact.impact,
            "goal_impact_low": impact.impact_low,
            "goal_impact_high": impact.impact_high,
            "goal_effect": {
                "effect": impact.effect,
                "counted": impact.counted,
                "low": impact.low,
                "high": impact.high,
                "standard_error": impact.standard_error,
                "users": impact.users,
                "basis": impact.basis.name.lower(),
                "note": GOAL_NOTES[impact.basis.name],
            },
        }
        if action.get("explanation"):
            action["explanation"]["goal_sentence"] = goal_sentence(
                impact.basis.name,
                action["event_type"],
                action["asset_name"],
                effect=impact.effect,
                low=impact.low,
                high=impact.high,
                users=impact.users,
                horizon_days=impact.horizon_days,
                only_value=impact.only_value,
            )
