"""Campaign settings that recommendations need: exploration, and what starts the pause of REPEAT_FREQUENCY.

Clients give them in ``campaignConfig.itemExplorationConfig``, a map from text to text (docs/contracts/personalize.md,
section 7.6). Hot path: standard library and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextbest.errors import InvalidInput
from nextbest.filters.interactions import normalised_event_type
from nextbest.personalize.protocol.arns import RECIPE_NAME

WEIGHT = "explorationWeight"
AGE_DAYS = "explorationItemAgeCutOff"
REPEAT_EVENT_TYPES = "repeatFrequencyEventTypes"

DEFAULT_WEIGHT = 0.3  # AWS's own default (section 7.6)
_FIELD = "campaignConfig.itemExplorationConfig"


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """Settings of one campaign.

    ``exploration_weight`` (0..1) is the chance that an action unknown to the model gets the last place of a full list;
    0 switches exploration off. Actions created more than ``exploration_age_days`` ago are not explored. Interactions
    of ``repeat_event_types`` start the pause of REPEAT_FREQUENCY; None: all do.
    """

    exploration_weight: float = DEFAULT_WEIGHT
    exploration_age_days: float | None = None
    repeat_event_types: frozenset[str] | None = None

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> CampaignSettings:
        """From a campaignConfig. Raises InvalidInput."""
        if config.get("rankingInfluence"):
            field = "campaignConfig.rankingInfluence"
            raise InvalidInput(f"{field} is not supported by the recipe {RECIPE_NAME}", field=field)
        settings = config.get("itemExplorationConfig") or {}
        unknown = settings.keys() - {WEIGHT, AGE_DAYS, REPEAT_EVENT_TYPES}
        if unknown:
            known = ", ".join((WEIGHT, AGE_DAYS, REPEAT_EVENT_TYPES))
            raise InvalidInput(f"{_FIELD} holds {min(unknown)}; it may hold {known}", field=_FIELD)
        types = settings.get(REPEAT_EVENT_TYPES, "")
        names = frozenset(normalised_event_type(name.strip()) for name in types.split("|"))
        return cls(
            _number(settings, WEIGHT, DEFAULT_WEIGHT, 0.0, 1.0),
            _number(settings, AGE_DAYS, 1.0, 1.0, 100_000.0) if AGE_DAYS in settings else None,
            names if types.strip() else None,
        )


def _number(settings: Mapping[str, str], name: str, default: float, minimum: float, maximum: float) -> float:
    text = settings.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not minimum <= number <= maximum:
        problem = f"{_FIELD}: {name} is '{text[:100]}'; it must be a number from {minimum:g} to {maximum:g}"
        raise InvalidInput(problem, field=_FIELD)
    return number
