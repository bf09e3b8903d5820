"""Users: their history and labels, their recalculation, and people's rights to be told and forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, Result, UserId
from nextbest.actionhub.errors import render
from nextbest.actionhub.pages import (
    MAX_TOKEN_CHARACTERS,
    Limit,
    NextToken,
    fitting,
    position_of,
    refused_token,
)
from nextbest.actionhub.segments import SegmentType
from nextbest.domain.access_keys import ADMIN, READ, WRITE
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import Event, to_microseconds
from nextbest.errors import InvalidInput
from nextbest.logic import users
from nextbest.logic.users import USER_NOT_FOUND
from nextbest.web.page_tokens import token_of

router = ResourceRouter("users")


Impression = Annotated[
    list[str],
    Field(
        default_factory=list,
        exclude_if=lambda shown: not shown,
        description="The ids that were shown when it was done, in order; there only where the client gave them. An "
        "extension.",
    ),
]


EventValue = Annotated[
    float | None,
    Field(
        exclude_if=lambda value: value is None,
        description="What the client said it is worth, such as a price; there only where it did. An extension.",
    ),
]


class UserLabelWeights(ContractModel):
    """Highest first. ``next_token`` is there only in a page that is not the last."""

    labels: dict[str, float]
    next_token: Annotated[str | None, Field(exclude_if=lambda token: token is None)] = None


class UserHistoryEvent(ContractModel):
    timestamp: datetime
    event_type: str
    asset_id: str
    asset_name: str
    event_labels: list[str]
    asset_labels: list[str]
    recommendation_id: Annotated[
        str,
        Field(
            exclude_if=lambda recommendation_id: not recommendation_id,
            description="The answer that led to it; there only where the client named one. An extension.",
        ),
    ] = ""
    event_value: EventValue = None
    impression: Impression

    @classmethod
    def of(cls, event: Event, catalogue: Catalogue) -> UserHistoryEvent:
        asset = catalogue.assets.get(event.asset_id)
        return cls(
            timestamp=time_of(event.timestamp_us),
            event_type=event.event_type,
            asset_id=event.asset_id,
            asset_name=catalogue.name_of(event.asset_id),
            event_labels=list(event.labels),
            asset_labels=list(asset.labels) if asset else [],
            recommendation_id=event.recommendation_id,
            event_value=event.event_value,
            impression=list(event.impression),
        )


class UserHistory(ContractModel):
    """Latest first. ``next_token`` is there only in a page that is not the last."""

    history: list[UserHistoryEvent]
    next_token: Annotated[str | None, Field(exclude_if=lambda token: token is None)] = None


class ExportedEvent(ContractModel):
    timestamp: datetime
    event_type: str
    asset_id: str
    event_id: str
    labels: list[str]
    source: str
    recommendation_id: str
    session_id: str
    event_value: EventValue = None
    impression: Impression


class SegmentMembership(ContractModel):
    """One action for which the last rebase put the user into segments, and the weight."""

    segment_type: SegmentType
    event_type: str
    asset_id: str
    weight: float


class UserExport(ContractModel):
    """All that is held on one user, in parts where it is much; attributes and memberships are in the first."""

    program_id: str
    user_id: str
    events: Annotated[list[ExportedEvent], Field(description="The event log, oldest first.")]
    attributes: Annotated[dict[str, Any] | None, Field(description="What PutUsers stored.")]
    memberships: list[SegmentMembership]
    next_token: Annotated[str | None, Field(description="The next_token of the next part; null in the last.")]


class UserDeletion(ContractModel):
    """What was removed."""

    program_id: str
    user_id: str
    events: int
    histories: int
    attributes: int
    memberships: int


def time_at(seconds: float) -> datetime:
    """Seconds since 1970 as a time in UTC, to the microsecond."""
    return time_of(to_microseconds(seconds))


def time_of(microseconds: int) -> datetime:
    """Microseconds since 1970 as a time in UTC: exact, where a float would not be."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


@router.endpoint(
    "GET",
    "/users/{user_id}/labels",
    READ,
    "The labels that the user's events and their assets carry, weighted",
    not_found=USER_NOT_FOUND,
)
def get_user_labels(
    user_id: UserId, program_id: ProgramId, limit: Limit = None, next_token: NextToken = None
) -> UserLabelWeights:
    call = router.call
    position = position_of(next_token, with_limit=limit is not None)
    events = users.events_of_user(call.deployment.store, call.incarnation, user_id)
    weights = users.label_weights(call.state, call.catalogue, events, now=call.now)
    if limit is None:
        # One label a row, so that a row is never too large for a page.
        fitting(
            (UserLabelWeights(labels={label: weight}) for label, weight in weights.items()),
            limit=None,
            what="The user has more labels",
        )
        return UserLabelWeights(labels=weights)
    start = _place(position, next_token)
    is_last = start + limit >= len(weights)
    return UserLabelWeights(
        labels=dict(islice(weights.items(), start, start + limit)),
        next_token=None if is_last else token_of(str(start + limit)),
    )


def _place(position: str | None, token: str | None) -> int:
    """The place in a list at which a page begins. Raises InvalidRequest."""
    if position is None:
        return 0
    if not (position.isascii() and position.isdigit() and len(position) < 10):
        raise refused_token(token)
    return int(position)


@router.endpoint("GET", "/users/{user_id}/events", READ, "The user's history", not_found=USER_NOT_FOUND)
def get_user_events(
    user_id: UserId, program_id: ProgramId, limit: Limit = None, next_token: NextToken = None
) -> UserHistory:
    call, store, catalogue = router.call, router.call.deployment.store, router.call.catalogue
    position = position_of(next_token, with_limit=limit is not None)
    if limit is None:
        events = users.events_of_user(store, call.incarnation, user_id)
        rows = (UserHistoryEvent.of(event, catalogue) for event in events)
        return UserHistory(history=fitting(rows, limit=None, what="The user has more events"))
    try:
        page = users.page_of_user(store, call.incarnation, user_id, after=position, limit=limit)
    except InvalidInput as error:
        raise refused_token(next_token) from error
    rows = (UserHistoryEvent.of(event, catalogue) for event in page.events)
    history = fitting(rows, limit=limit, what="The user has more events")
    rest = (
        page.next_position if len(history) == len(page.events) else users.position_after(page.events[len(history) - 1])
    )
    return UserHistory(history=history, next_token=token_of(rest))


@router.endpoint(
    "PUT", "/users/{user_id}/rebase", WRITE, "Recalculate one user from the event log", not_found=USER_NOT_FOUND
)
def rebase_user(user_id: UserId, program_id: ProgramId) -> Result:
    users.rebuild_user(router.call.deployment.store, router.call.state.program, user_id)
    return Result(result=f"user {user_id} was recalculated from the event log")


@router.endpoint("GET", "/random/user_id", READ, "Some user's id, for checking a set-up", not_found=USER_NOT_FOUND)
def get_random_user_id(program_id: ProgramId) -> HttpResponse[str]:
    call = router.call
    user_id = users.random_user_id(call.deployment.store, call.incarnation, random=call.deployment.random)
    # The resolver takes a text for JSON that is written already.
    return HttpResponse(200, "application/json", render(user_id).decode())


@router.endpoint(
    "GET",
    "/users/{user_id}/export",
    ADMIN,
    "All that is held on a user",
    is_extension=True,
    not_found=USER_NOT_FOUND,
)
def export_user(
    user_id: UserId,
    program_id: ProgramId,
    next_token: Annotated[
        str | None, Query(description="The next_token of the part before.", max_length=MAX_TOKEN_CHARACTERS)
    ] = None,
) -> UserExport:
    call, deployment = router.call, router.call.deployment
    position = position_of(next_token)
    try:
        export = users.export_user(deployment.store, deployment.artifacts, call.incarnation, user_id, after=position)
    except InvalidInput as error:
        raise refused_token(next_token) from error
    body = users.export_body(export, program_id, user_id, next_token=token_of(export.next_position))
    return UserExport.model_validate(body)


@router.endpoint(
    "DELETE", "/users/{user_id}", ADMIN, "Forget a user, for good", is_extension=True, not_found=USER_NOT_FOUND
)
def delete_user(user_id: UserId, program_id: ProgramId) -> UserDeletion:
    call, deployment = router.call, router.call.deployment
    deletion = users.delete_user(deployment.store, deployment.artifacts, call.incarnation, user_id, now=call.now)
    return UserDeletion(
        program_id=program_id,
        user_id=user_id,
        events=deletion.erased.events,
        histories=deletion.erased.histories,
        attributes=deletion.erased.attributes,
        memberships=deletion.memberships,
    )
