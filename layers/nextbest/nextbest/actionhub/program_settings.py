"""The settings of a program as the API names them: of a new program, as changes, and as they are.

A member that is not known is refused, in new programs and in changes alike. A change leaves what it does not name.
"""

from __future__ import annotations

from collections.abc import Container, Sized
from dataclasses import replace
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from nextbest.actionhub.documentation import Cleaned, ContractModel, Id, example
from nextbest.domain.programs import (
    DEFAULT_HORIZON_DAYS,
    MAX_EVENT_TYPE_NAME_CHARACTERS,
    MAX_EVENT_TYPES,
    MAX_HORIZON_DAYS,
    MAX_LIST_CAP,
    MAX_REST_DAYS,
    Program,
)

MAX_GOAL_VALUE = 1e9
MAX_REST_RULES = 20
MAX_REST_EVENTS = 100
"""As many events a rest rule asks for at most: a history keeps the times of its newest ones only."""


def _is_empty(values: Sized) -> bool:
    return len(values) == 0


ProgramIdText = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
ProgramName = Annotated[str, Field(min_length=1, max_length=256)]
HighEngagementThreshold = Annotated[
    int,
    Field(
        gt=1,
        le=2**31 - 1,
        description="Users with so many events are highly engaged. The model learns from all users; the report of a "
        "training compares that with learning from these alone.",
    ),
]
HalfLifeDays = Annotated[int, Field(gt=2, le=2**31 - 1, description="Days after which an event counts half.")]
WeightFloor = Annotated[
    float, Field(lt=1, allow_inf_nan=False, description="Recommendations weaker than this are left out.")
]
Description = Annotated[str, Field(max_length=4096)]
HorizonDays = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_HORIZON_DAYS,
        description="Growth weights are probabilities that the user takes the action within so many days. An extension "
        "of the contract; it takes effect with the next rebase.",
    ),
]
EventTypeName = Annotated[Id, Field(max_length=MAX_EVENT_TYPE_NAME_CHARACTERS), Cleaned]
NeverRecommended = Annotated[
    list[EventTypeName],
    Field(
        max_length=MAX_EVENT_TYPES,
        description="Event types that are evidence, but never recommended, such as returns. An extension of the "
        "contract; it takes effect at once.",
    ),
]

DoneOnce = Annotated[
    list[EventTypeName],
    Field(
        max_length=MAX_EVENT_TYPES,
        description="Event types that a user does once with an asset, such as sign_up: after that the action is not "
        "recommended to the user again, not even as a repeat. An extension of the contract; it takes effect at once.",
    ),
]


class EventTypeRule(ContractModel):
    """Actions of ``event_type`` are recommended only to users who did something of one of the types ``after``."""

    model_config = ConfigDict(extra="forbid")

    event_type: EventTypeName
    after: Annotated[list[EventTypeName], Field(min_length=1, max_length=MAX_EVENT_TYPES)]


EventTypeRules = Annotated[
    list[EventTypeRule],
    Field(
        max_length=MAX_EVENT_TYPES,
        description="What has to come before: no upgrade is recommended before sign_up. Where there are several rules "
        "for an event type, all of them have to hold. An extension of the contract; it takes effect at once.",
    ),
]


class RestRuleEntry(ContractModel):
    """An action rests that met with ``after`` events of ``event_types`` within days and was not taken since.

    Events with the same asset count. The rest ends ``rest_days`` after the last of them, or when the action is taken.
    """

    model_config = ConfigDict(extra="forbid")

    event_types: Annotated[list[EventTypeName], Field(min_length=1, max_length=MAX_EVENT_TYPES)]
    after: Annotated[int, Field(ge=1, le=MAX_REST_EVENTS)]
    within_days: Annotated[int, Field(ge=1, le=MAX_REST_DAYS)]
    rest_days: Annotated[int, Field(ge=1, le=MAX_REST_DAYS)]
    for_event_types: Annotated[
        list[EventTypeName],
        Field(
            default_factory=list,
            max_length=MAX_EVENT_TYPES,
            exclude_if=_is_empty,
            description="Event types of the actions that rest; all but event_types where it is empty.",
        ),
    ]

    @model_validator(mode="after")
    def _counts_other_types(self) -> Self:
        if set(self.event_types) & set(self.for_event_types):
            raise PydanticCustomError("value_error", "No event type may be in event_types and in for_event_types")
        return self


RestRules = Annotated[
    list[RestRuleEntry],
    Field(
        max_length=MAX_REST_RULES,
        description="Contact policy: what was viewed or declined several times without being taken rests for a while. "
        "An extension of the contract; it takes effect at once.",
    ),
]
MostPerList = Annotated[
    dict[EventTypeName, Annotated[int, Field(ge=1, le=MAX_LIST_CAP)]],
    Field(
        max_length=MAX_EVENT_TYPES,
        description="Contact policy: at most so many actions of these event types are in a list. An extension of the "
        "contract; it takes effect at once.",
    ),
]


class GoalEntry(ContractModel):
    """An event type that the program is for, and what reaching it is worth, in any unit."""

    model_config = ConfigDict(extra="forbid")

    event_type: EventTypeName
    value: Annotated[float, Field(gt=0, le=MAX_GOAL_VALUE, allow_inf_nan=False)] = 1.0


def _each_once(entries: list[GoalEntry]) -> list[GoalEntry]:
    if len({entry.event_type for entry in entries}) < len(entries):
        raise PydanticCustomError("value_error", "Every event type may be there only once")
    return entries


Goal = Annotated[
    list[GoalEntry],
    Field(
        max_length=MAX_EVENT_TYPES,
        description="What the program is for: event types with their values. A rebase then estimates what each action "
        "is worth for it, and objective=goal ranks by that. An empty list removes the goal. An extension of the "
        "contract; it takes effect with the next rebase.",
    ),
    AfterValidator(_each_once),
]
DecisionShare = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The share of users whose answers with recommendations are recorded as decisions: all of a user's "
        "or none; 0 records none. An extension of the contract; it takes effect at once.",
    ),
]

_SETTINGS = {
    "program_name": "program_name",
    "description": "description",
    "event_relevance_decay": "half_life_days",
    "high_engagement_threshold": "high_engagement_threshold",
    "action_weight_floor": "action_weight_floor",
    "horizon_days": "horizon_days",
    "never_recommended": "never_recommended",
    "done_once": "done_once",
    "event_type_order": "event_type_order",
    "goal": "goal",
    "rest_rules": "rest_rules",
    "most_per_list": "most_per_list",
    "decision_share": "decision_share",
}
"""The program's settings by the API's names."""


class ProgramChanges(ContractModel):
    """Settings to change; what is not sent stays as it is, but the name has to be sent."""

    model_config = ConfigDict(extra="forbid", **example(program_name="Coffee shop", event_relevance_decay=90))

    # The contract requires the name. The defaults of the others let them be missing; only what was sent is read.
    program_id: Annotated[ProgramIdText | None, Field(description="None, or that of the header.")] = None
    program_name: ProgramName
    high_engagement_threshold: Annotated[HighEngagementThreshold, Field(default_factory=int)]
    event_relevance_decay: Annotated[HalfLifeDays, Field(default_factory=int)]
    action_weight_floor: Annotated[WeightFloor, Field(default_factory=float)]
    description: Annotated[Description, Field(default_factory=str)]
    horizon_days: Annotated[HorizonDays, Field(default_factory=int)]
    never_recommended: Annotated[NeverRecommended, Field(default_factory=list)]
    done_once: Annotated[DoneOnce, Field(default_factory=list)]
    event_type_order: Annotated[EventTypeRules, Field(default_factory=list)]
    goal: Annotated[Goal, Field(default_factory=list)]
    rest_rules: Annotated[RestRules, Field(default_factory=list)]
    most_per_list: Annotated[MostPerList, Field(default_factory=dict)]
    decision_share: Annotated[DecisionShare, Field(default_factory=float)]

    def applied_to(self, program: Program) -> Program:
        """The program with the settings that were sent."""
        return _applied(self, self.model_fields_set, program)


class NewProgram(ContractModel):
    """The settings of a new program."""

    model_config = ConfigDict(extra="forbid", **example(program_name="Coffee shop", event_relevance_decay=90))

    program_id: Annotated[ProgramIdText | None, Field(description="Where it is missing one is made of the name.")] = (
        None
    )
    program_name: ProgramName
    high_engagement_threshold: HighEngagementThreshold = 3
    event_relevance_decay: HalfLifeDays = 365
    action_weight_floor: WeightFloor = 0
    description: Description = ""
    horizon_days: HorizonDays = DEFAULT_HORIZON_DAYS
    never_recommended: Annotated[NeverRecommended, Field(default_factory=list, exclude_if=_is_empty)]
    done_once: Annotated[DoneOnce, Field(default_factory=list, exclude_if=_is_empty)]
    event_type_order: Annotated[EventTypeRules, Field(default_factory=list, exclude_if=_is_empty)]
    goal: Annotated[Goal, Field(default_factory=list, exclude_if=_is_empty)]
    rest_rules: Annotated[RestRules, Field(default_factory=list, exclude_if=_is_empty)]
    most_per_list: Annotated[MostPerList, Field(default_factory=dict, exclude_if=_is_empty)]
    decision_share: DecisionShare = 1.0

    def applied_to(self, program: Program) -> Program:
        """The program with these settings; its id stays."""
        return _applied(self, type(self).model_fields, program)


class ProgramSettings(ContractModel):
    program_id: str
    program_name: str
    high_engagement_threshold: int
    event_relevance_decay: int
    action_weight_floor: float
    description: str


class ProgramDetails(ProgramSettings):
    """The settings of a program. Those that the contract does not have are there only where they were set."""

    horizon_days: Annotated[
        int,
        Field(
            default=DEFAULT_HORIZON_DAYS,
            exclude_if=lambda days: days == DEFAULT_HORIZON_DAYS,
            description=f"There where it is not {DEFAULT_HORIZON_DAYS}.",
        ),
    ]
    never_recommended: Annotated[list[str], Field(default_factory=list, exclude_if=_is_empty)]
    done_once: Annotated[list[str], Field(default_factory=list, exclude_if=_is_empty)]
    event_type_order: Annotated[list[EventTypeRule], Field(default_factory=list, exclude_if=_is_empty)]
    goal: Annotated[list[GoalEntry], Field(default_factory=list, exclude_if=_is_empty)]
    rest_rules: Annotated[list[RestRuleEntry], Field(default_factory=list, exclude_if=_is_empty)]
    most_per_list: Annotated[dict[str, int], Field(default_factory=dict, exclude_if=_is_empty)]
    decision_share: Annotated[
        float, Field(default=1.0, exclude_if=lambda share: share == 1.0, description="There where it is not 1.")
    ]

    @classmethod
    def of(cls, program: Program) -> ProgramDetails:
        values = {name: getattr(program, field) for name, field in _SETTINGS.items()}
        for name in ("event_type_order", "goal", "rest_rules"):
            values[name] = [entry._asdict() for entry in getattr(program, name)]
        values["most_per_list"] = dict(program.most_per_list)
        return cls(program_id=program.program_id, **values)


def _applied(settings: NewProgram | ProgramChanges, names: Container[str], program: Program) -> Program:
    values = {field: getattr(settings, name) for name, field in _SETTINGS.items() if name in names}
    if "event_type_order" in values:
        values["event_type_order"] = [(rule.event_type, rule.after) for rule in settings.event_type_order]
    if "goal" in values:
        values["goal"] = [(entry.event_type, entry.value) for entry in settings.goal]
    if "rest_rules" in values:
        values["rest_rules"] = [
            (rule.event_types, rule.after, rule.within_days, rule.rest_days, rule.for_event_types)
            for rule in settings.rest_rules
        ]
    if "most_per_list" in values:
        values["most_per_list"] = tuple(settings.most_per_list.items())
    return replace(program, **values)
