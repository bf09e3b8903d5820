"""Programs: one tenant and one goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """Settings of one program.

    ``half_life_days`` is ActionHub's ``event_relevance_decay``; ``horizon_days`` the window that growth weights are
    probabilities for; recommendations with a growth weight under ``action_weight_floor`` are left out. Users with at
    least ``high_engagement_threshold`` events may be selected as the ones the model learns from. Events of the types
    ``never_recommended`` are evidence, but their actions are never recommended.
    """

    program_id: str
    program_name: str = ""
    description: str = ""
    half_life_days: int = 365
    high_engagement_threshold: int = 3
    action_weight_floor: float = 0.0
    horizon_days: int = 14
    never_recommended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "never_recommended", tuple(self.never_recommended))  # JSON has lists
