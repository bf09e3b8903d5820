"""Users: their history and labels, their recalculation, and people's rights to be told and forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, Result, UserId
from nextbest.actionhub.errors import render
from nextbest.actionhub.segments import SegmentType
from nextbest.domain.access_keys import ADMIN, READ, WRITE
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import Event
from nextbest.logic import users
from nextbest.logic.users import USER_NOT_FOUND

MAX_SKIP = 2**31 - 1

router = ResourceRouter("users")


class UserLabelWeights(ContractModel):
    """Highest first."""

    labels: dict[str, float]


class UserHistoryEvent(ContractModel):
    timestamp: datetime
    event_type: str
    asset_id: str
    asset_name: str
    event_labels: list[str]
    asset_labels: list[str]

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
        )


class UserHistory(ContractModel):
    """Latest first."""

    history: list[UserHistoryEvent]


class ExportedEvent(ContractModel):
    timestamp: datetime
    event_type: str
    asset_id: str
    event_id: str
    labels: list[str]
    source: str
    recommendation_id: str
    session_id: str
    event_value: Annotated[
        float | None,
        Field(
            exclude_if=lambda value: value is None,
            description="The number that the client gave with the event, such as a price; there only where it did.",
        ),
    ] = None

    @classmethod
    def of(cls, event: Event) -> ExportedEvent:
        return cls(
            timestamp=time_of(event.timestamp_us),
            event_type=event.event_type,
            asset_id=event.asset_id,
            event_id=event.event_id,
            labels=list(event.labels),
            source=event.source,
            recommendation_id=event.recommendation_id,
            session_id=event.session_id,
            event_value=event.event_value,
        )


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
    next_skip: Annotated[int | None, Field(description="The skip of the next part; null in the last.")]


class UserDeletion(ContractModel):
    """What was removed."""

    program_id: str
    user_id: str
    events: int
    histories: int
    attributes: int
    memberships: int


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
def get_user_labels(user_id: UserId, program_id: ProgramId) -> UserLabelWeights:
    call = router.call
    events = users.events_of_user(call.deployment.store, call.incarnation, user_id)
    return UserLabelWeights(labels=users.label_weights(call.state, call.catalogue, events, now=call.now))


@router.endpoint("GET", "/users/{user_id}/events", READ, "The user's history", not_found=USER_NOT_FOUND)
def get_user_events(user_id: UserId, program_id: ProgramId) -> UserHistory:
    call = router.call
    events = users.events_of_user(call.deployment.store, call.incarnation, user_id)
    return UserHistory(history=[UserHistoryEvent.of(event, call.catalogue) for event in events])


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
    skip: Annotated[
        int, Query(description="How many events to leave out: next_skip of the answer before.", ge=0, le=MAX_SKIP)
    ] = 0,
) -> UserExport:
    call, deployment = router.call, router.call.deployment
    export = users.export_user(deployment.store, deployment.artifacts, call.incarnation, user_id, skip=skip)
    return UserExport(
        program_id=program_id,
        user_id=user_id,
        events=[ExportedEvent.of(event) for event in export.events],
        attributes=dict(export.attributes) if export.attributes is not None else None,
        memberships=[
            SegmentMembership.model_validate(
                {"segment_type": kind, "event_type": action.event_type, "asset_id": action.asset_id, "weight": weight}
            )
            for kind, memberships in export.memberships.items()
            for action, weight in memberships
        ],
        next_skip=export.next_skip,
    )


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
