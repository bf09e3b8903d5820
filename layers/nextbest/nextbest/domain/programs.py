"""Programs: one tenant and one goal."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import NewType

Incarnation = NewType("Incarnation", str)
"""One life of a program id: ``<program id>@<random>``. What outlives a request is stored and cached under it.

A program that is created again under the id of a deleted one has another incarnation, so nothing of the old one is ever
its own. Programs from before there were incarnations have one that equals their id. No program id contains an ``@``.
"""

_RANDOM_CHARACTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class Program:
    """Settings of one program.

    ``half_life_days`` is ActionHub's ``event_relevance_decay``; ``horizon_days`` the window that growth weights are
    probabilities for; recommendations with a growth weight under ``action_weight_floor`` are left out. Users with at
    least ``high_engagement_threshold`` events may be selected as the ones the model learns from. Without an
    ``incarnation`` given it is the program id. Events of the types
    ``never_recommended`` are evidence, but their actions are never recommended.
    """

    program_id: str
    program_name: str = ""
    description: str = ""
    half_life_days: int = 365
    high_engagement_threshold: int = 3
    action_weight_floor: float = 0.0
    horizon_days: int = 14
    incarnation: Incarnation = Incarnation("")
    never_recommended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "never_recommended", tuple(self.never_recommended))  # JSON has lists
        if not self.incarnation:
            object.__setattr__(self, "incarnation", Incarnation(self.program_id))


def new_incarnation(program_id: str, *, random: Random) -> Incarnation:
    """The incarnation of a program that is being created: 50 random bits tell it from all others of the id."""
    return Incarnation(f"{program_id}@{''.join(random.choices(_RANDOM_CHARACTERS, k=10))}")


def program_id_of(incarnation: Incarnation) -> str:
    """The id of the program that ``incarnation`` is a life of."""
    return incarnation.partition("@")[0]
