"""The two hot routes: their models, and the reading of requests that are not plainly valid (``parsing.py``).

They are declared to the resolver for the document and for validation; their functions answer without it, and without
pydantic. So this is imported by them only where a request is wrong, or right in an unusual spelling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated, Literal

import pydantic
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field, PlainValidator
from pydantic_core import PydanticKnownError

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import (
    AssetId,
    ContractModel,
    EventType,
    LabelName,
    ProgramId,
    RecommendationId,
    Result,
    UserId,
    UserIdText,
    example,
)
from nextbest.actionhub.errors import NOT_FOUND, USER_HISTORY_NOT_FOUND, InvalidRequest
from nextbest.actionhub.narrowing import read_narrowing
from nextbest.actionhub.parsing import MAX_ENTRIES, MAX_LIMIT, NARROWING, GetActions, PostEvents
from nextbest.actionhub.resolver import encodable, validated
from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.events import FUTURE_SKEW_SECONDS, MAX_EVENT_VALUE, MAX_LABELS, Event, to_microseconds
from nextbest.domain.times import BEFORE_1970, TOO_LATE, format_time, parse_seconds, parse_time
from nextbest.errors import InvalidTime, NotFound
from nextbest.web.request import Request

# Seconds since 1970, by which the times of events are judged: validation takes no arguments of ours.
_now: ContextVar[float] = ContextVar("now", default=math.inf)

actions_router = ResourceRouter("users")
events_router = ResourceRouter("events")


class ScoreContribution(ContractModel):
    """What one action of the user's history adds to a score."""

    event_type: str
    asset_id: str
    base_weight: float
    share: float


class ScoreReason(ContractModel):
    """What one action of the user's history does to the growth weight, against the average user of the program."""

    event_type: str
    asset_id: str
    asset_name: str
    points: Annotated[float, Field(description="The effect on the growth weight, in percentage points: up or down.")]
    score_difference: float
    count: Annotated[int, Field(description="How many events of it are known one by one.")]
    more: Annotated[bool, Field(description="Whether there are earlier ones.")]
    days_since_last: Annotated[float | None, Field(description="Null where all are earlier.")]


class ScoreExplanation(ContractModel):
    """The reasons against the average user of the program, and the score in parts.

    The reasons' points + other_points = points, which is 100 times (the growth weight - average_growth_weight). The
    reasons' score_difference + other_score_difference = score - average_score. prior_share + the contributions' shares
    + other_share = score.
    """

    sentence: Annotated[str, Field(description="The reasons in one sentence.")]
    points: Annotated[float, Field(description="The difference from the average user, in percentage points.")]
    reasons: Annotated[list[ScoreReason], Field(description="Strongest first.")]
    other_points: Annotated[float, Field(description="Of what is not listed, and of what the user did not do.")]
    other_score_difference: float
    average_score: float
    average_growth_weight: Annotated[
        float, Field(description="The growth weight of the average user's score, for a user as active as this one.")
    ]
    score: float
    prior_share: float
    contributions: list[ScoreContribution]
    other_share: float
    goal_sentence: Annotated[
        str | None, Field(description="What the action is worth for the goal. Only with objective=goal.")
    ] = None


class GoalEffectEntry(ContractModel):
    """What an action is worth for the goal, whoever takes it, in the unit of the goal's values; null where there is no
    estimate. An association, not a cause, until an experiment has shown it."""

    effect: Annotated[
        float | None,
        Field(
            description="How much more of the goal's value the users who took the action reached within the horizon "
            "than similar users who did not: a doubly robust estimate of the last rebase."
        ),
    ]
    counted: Annotated[
        float,
        Field(
            description="The effect as it counts: effect * (1 - (standard_error / effect) ** 2), and 0 within one "
            "standard error of 0, or where there is no estimate."
        ),
    ]
    low: Annotated[float | None, Field(description="The 95 % interval begins here.")]
    high: Annotated[float | None, Field(description="The 95 % interval ends here.")]
    standard_error: float | None
    users: Annotated[int, Field(description="Users who took the action and have similar users who did not.")]
    basis: Annotated[
        Literal[
            "goal",
            "association",
            "uncertain",
            "too_few_users",
            "too_few_goals",
            "no_similar_users",
            "not_estimated",
        ],
        Field(
            description="goal: the action reaches the goal itself. association: the interval leaves out 0; uncertain: "
            "it does not. Otherwise why there is no estimate."
        ),
    ]
    note: Annotated[str, Field(description="The basis in words.")]


class UserNextAction(ContractModel):
    event_type: str
    asset_id: str
    asset_name: str
    growth_weight: Annotated[
        float, Field(description="The probability that the user takes the action within the program's horizon.")
    ]
    base_weight: Annotated[
        float, Field(description="The sum of 0.5 ** (age in days / event_relevance_decay) over the user's own events.")
    ]
    explanation: Annotated[
        ScoreExplanation | None,
        Field(description="Only with explain=true, an extension."),
    ] = None
    goal_impact: Annotated[
        float | None,
        Field(
            description="growth_weight times goal_effect.counted. Only with objective=goal, an extension, like the "
            "other members of this name."
        ),
    ] = None
    goal_impact_low: Annotated[float | None, Field(description="growth_weight times the low end of the effect.")] = None
    goal_impact_high: Annotated[float | None, Field(description="growth_weight times its high end.")] = None
    goal_effect: GoalEffectEntry | None = None


class RestingEntry(ContractModel):
    """An action that would be listed if it did not rest."""

    event_type: str
    asset_id: str
    asset_name: str
    rests_until: str
    reason: Annotated[str, Field(description="The rest rule in words.")]


class UserNextActionList(ContractModel):
    """Strongest growth weight first; with objective=goal, largest goal_impact first."""

    actions: list[UserNextAction]
    resting: Annotated[
        list[RestingEntry] | None,
        Field(
            description="Up to 5 actions that would be in the list if they did not rest. Only with explain=true, of "
            "programs with rest_rules, an extension."
        ),
    ] = None


@actions_router.endpoint(
    "GET", "/users/{user_id}/actions", READ, "The user's next best actions", not_found=USER_HISTORY_NOT_FOUND
)
def get_actions(
    user_id: UserId,
    program_id: ProgramId,
    limit: Annotated[int, Query(description="How many actions at most.", ge=1, le=MAX_LIMIT)] = 10,
    allow_repeats: Annotated[
        bool, Query(description="Whether actions that the user took before may be recommended.")
    ] = True,
    explain: Annotated[bool, Query(description="Add the reasons of every recommendation (an extension).")] = False,
    event_types: Annotated[
        str, Query(description="Only actions of these event types, separated by commas (an extension).")
    ] = "",
    exclude_event_types: Annotated[
        str, Query(description="No actions of these event types, separated by commas (an extension).")
    ] = "",
    filter: Annotated[
        str,
        Query(
            description="Only actions whose asset passes this filter (an extension): the name of a filter of the "
            "program, or an expression of Personalize's language that selects ActionID."
        ),
    ] = "",
    filter_values: Annotated[
        str,
        Query(
            description="The values of the filter's parameters (an extension): a JSON object of texts, each as in "
            "Personalize's filterValues."
        ),
    ] = "",
    objective: Annotated[
        Literal["growth", "goal"],
        Query(
            description="What to rank by (an extension): the growth weight, or the expected impact on the program's "
            "goal. A 422 where the program has no goal, or its model no estimate for it yet."
        ),
    ] = "growth",
) -> UserNextActionList:
    raise NotFound(NOT_FOUND)  # the gateway sends this route to the function ``actions``


def read_get_actions(request: Request) -> GetActions:
    """The input of GET /users/{user_id}/actions. Raises InvalidRequest."""
    values = validated(actions_router, request)
    narrowing = {name: values.pop(name) for name in NARROWING}
    return GetActions(**values, narrowing=read_narrowing(**narrowing) if any(narrowing.values()) else None)


def _read_time(value: object) -> int:
    """Microseconds since 1970 of a time in any form of ``domain/times.py``; refused as FastAPI refuses a datetime."""
    now = _now.get()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PydanticKnownError("datetime_type")
    try:
        return parse_time(value, now=now) if isinstance(value, str) else parse_seconds(value, now=now)
    except InvalidTime as error:
        if error.problem == BEFORE_1970:
            raise PydanticKnownError("greater_than_equal", {"ge": format_time(0)}) from error
        if error.problem == TOO_LATE:
            latest = format_time(to_microseconds(now + FUTURE_SKEW_SECONDS))
            raise PydanticKnownError("less_than_equal", {"le": latest}) from error
        raise PydanticKnownError("datetime_from_date_parsing", {"error": f"it {error.problem}"}) from error


class UserEvent(ContractModel):
    """At *event_timestamp*, *user_id* did *event_type* with *asset_id*."""

    user_id: UserIdText
    event_timestamp: Annotated[
        int,
        PlainValidator(_read_time, json_schema_input_type=datetime),
        Field(description="ISO 8601; UTC where no offset is given. Not before 1970, not over 24 hours in the future."),
    ]
    event_type: EventType
    asset_id: AssetId
    labels: Annotated[list[LabelName], Field(max_length=MAX_LABELS)]
    recommendation_id: Annotated[
        RecommendationId,
        Field(description="The answer that led to it: its header x-nextbest-decision. An extension."),
    ] = ""
    value: Annotated[
        float | None,
        Field(
            strict=True,
            ge=-MAX_EVENT_VALUE,
            le=MAX_EVENT_VALUE,
            allow_inf_nan=False,
            description="What it is worth, such as a price; below zero it takes back, as a refund does. Reports of "
            "experiments count it; nothing is learned from it. Null: none. An extension.",
        ),
    ] = None

    def to_domain(self) -> Event:
        return Event(
            self.user_id,
            self.event_timestamp,
            self.event_type,
            self.asset_id,
            labels=tuple(self.labels),
            recommendation_id=self.recommendation_id,
            event_value=self.value,
        )


class UserEventList(ContractModel):
    """One to a thousand events. The same event sent again is one event."""

    model_config = example(
        events=[
            {
                "user_id": "ann",
                "event_timestamp": "2026-03-01T08:15:00Z",
                "event_type": "order",
                "asset_id": "latte",
                "labels": ["morning"],
            }
        ]
    )

    events: Annotated[list[UserEvent], Field(min_length=1, max_length=MAX_ENTRIES)]

    def to_domain(self) -> tuple[Event, ...]:
        return tuple(event.to_domain() for event in self.events)


class EventsResult(Result):
    """Of the events, how many are new and how many were there before; or how many are queued."""

    accepted: int | None = None
    duplicates: int | None = None
    queued: int | None = None


@events_router.endpoint("POST", "/events", WRITE, "Add events to users' histories")
def post_events(
    program_id: ProgramId,
    body: UserEventList,
    queue_updates: Annotated[bool, Query(description="Answer once the events are queued, before they are stored.")] = (
        False
    ),
    process_user_actions: Annotated[
        bool, Query(description="False for back-fill: store the events without refreshing recommendations.")
    ] = True,
) -> EventsResult:
    raise NotFound(NOT_FOUND)  # the gateway sends this route to the function ``collect``


def read_post_events(request: Request, now: float) -> PostEvents:
    """The input of POST /events at the time ``now``. Raises as ``parsing.parse_post_events``."""
    with at_time(now):
        values = validated(events_router, request)
    return PostEvents(events=values.pop("body").to_domain(), **values)


def read_event_list(body: object, now: float) -> tuple[Event, ...]:
    """The events in a decoded body of POST /events. Raises InvalidRequest."""
    try:
        with at_time(now):
            return UserEventList.model_validate(body).to_domain()
    except pydantic.ValidationError as error:
        details = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
        raise InvalidRequest(encodable(details)) from error


@contextmanager
def at_time(now: float) -> Iterator[None]:
    """While the body runs, times of events are judged as of ``now``, in seconds since 1970."""
    token = _now.set(now)
    try:
        yield
    finally:
        _now.reset(token)
