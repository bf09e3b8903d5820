"""The answers of the API as pydantic models, named as the OpenAPI document names them.

They document; ``responses.py`` builds the same shapes without validating them again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from nextbest.actionhub.inputs import KeyScope, SegmentBasis, SegmentType
from nextbest.actionhub.schemas import Label


class Contribution(BaseModel):
    """What one action of the user's history adds to a score."""

    event_type: str
    asset_id: str
    base_weight: float
    share: float


class Explanation(BaseModel):
    """A score in parts: prior_share + the contributions' shares + other_share = score."""

    score: float
    prior_share: float
    contributions: list[Contribution]
    other_share: float


class UserNextAction(BaseModel):
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
        Explanation | None,
        Field(description="Only with explain=true, an extension; null before the program's first rebase."),
    ] = None


class UserNextActionList(BaseModel):
    """Strongest growth weight first."""

    actions: list[UserNextAction]


class UserLabelWeights(BaseModel):
    """Highest first."""

    labels: dict[str, float]


class UserHistoryEvent(BaseModel):
    timestamp: datetime
    event_type: str
    asset_id: str
    asset_name: str
    event_labels: list[str]
    asset_labels: list[str]


class UserHistory(BaseModel):
    """Latest first."""

    history: list[UserHistoryEvent]


class Result(BaseModel):
    result: str


class EventsResult(Result):
    """Of the events, how many are new and how many were there before; or how many are queued."""

    accepted: int | None = None
    duplicates: int | None = None
    queued: int | None = None


class Asset(BaseModel):
    asset_id: str
    asset_name: str
    labels: list[str]


class AssetPage(BaseModel):
    items: list[Asset]
    total: int
    page: int
    size: int


class LabelPage(BaseModel):
    items: list[Label]
    total: int
    page: int
    size: int


class Program(BaseModel):
    program_id: str
    program_name: str
    high_engagement_threshold: int
    event_relevance_decay: int
    action_weight_floor: float
    description: str


class ProgramList(BaseModel):
    programs: list[Program]


class ProgramKey(BaseModel):
    """The key is told this once."""

    api_key: str
    program_id: str


class Key(BaseModel):
    """A key, without its secret. ``active`` is false once it is revoked or expired."""

    key_id: str
    name: str
    programs: list[str]
    scopes: list[KeyScope]
    generation: int
    active: bool
    ts_created: Annotated[datetime | None, Field(description="Null for a key that was not made by POST /keys.")]
    ts_previous_expires: Annotated[
        datetime | None, Field(description="Until when the secret of before the last rotation works, too.")
    ]


class KeyList(BaseModel):
    keys: list[Key]


class KeyWithSecret(Key):
    """The key is told this once."""

    api_key: str


class ExportedEvent(BaseModel):
    timestamp: datetime
    event_type: str
    asset_id: str
    event_id: str
    labels: list[str]
    source: str
    recommendation_id: str


class Membership(BaseModel):
    """One action for which the last rebase put the user into segments, and the weight."""

    segment_type: SegmentType
    event_type: str
    asset_id: str
    weight: float


class UserExport(BaseModel):
    """All that is held on one user, in parts where it is much; attributes and memberships are in the first."""

    program_id: str
    user_id: str
    events: Annotated[list[ExportedEvent], Field(description="The event log, oldest first.")]
    attributes: Annotated[dict[str, Any] | None, Field(description="What PutUsers stored.")]
    memberships: list[Membership]
    next_skip: Annotated[int | None, Field(description="The skip of the next part; null in the last.")]


class UserDeletion(BaseModel):
    """What was removed."""

    program_id: str
    user_id: str
    events: int
    histories: int
    attributes: int
    memberships: int


class ProgramStatus(BaseModel):
    """``status_id`` is ``program_user_graph_complete`` once a rebase is done."""

    program_id: str
    status_id: str
    message: str
    ts_logged: datetime


class Segment(BaseModel):
    segment_type: SegmentType
    segment_basis: SegmentBasis
    segment_basis_id: str
    action_type: str
    name: str
    user_count: int
    strength: Annotated[float, Field(description="The mean of the members' weights.")]
    min_weight: float


class SegmentPage(BaseModel):
    items: list[Segment]
    total: int
    page: int
    size: int


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


class ValidationError(BaseModel):
    """One thing that is wrong with a request, and where."""

    loc: Annotated[
        list[str | int], Field(description="path, query, header or body; then the name; then indexes and fields.")
    ]
    msg: str
    type: str
    input: Any = None
    ctx: dict[str, Any] = Field(default_factory=dict)


class HTTPValidationError(BaseModel):
    """Everything that is wrong with a request."""

    detail: list[ValidationError]
