"""Segments: the users of one, and all of them with their sizes; from the last rebase, or computed again on demand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Literal, TypeVar

from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, PageNumber, PageSize, ProgramId, page_of
from nextbest.actionhub.errors import InvalidRequest
from nextbest.actionhub.parsing import comma_list
from nextbest.domain.access_keys import READ
from nextbest.domain.events import MAX_USER_ID_CHARACTERS
from nextbest.errors import InvalidInput
from nextbest.logic.segment_files import CSV_TYPE, MAX_USERS, PLAIN_TYPE, page_of_members, segment_text, segment_url
from nextbest.logic.segment_reading import StoredSegments
from nextbest.logic.segments import SegmentMember, members_of, refresh_segments, summaries_of
from nextbest.web.request import Request

T = TypeVar("T")
MatchType = Literal["any", "all"]
SegmentType = Literal["growth", "discovery", "base"]
SegmentBasis = Literal["assets", "labels"]
SegmentFormat = Literal["plain", "csv"]

LARGEST_WEIGHT = "x-nextbest-largest-weight"
"""The header that says up to which min_weight there is anybody at all."""

_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")

_SegmentType = Annotated[
    SegmentType, Query(description="Recommended; recommended and new to the user; or in the history.")
]
_MinWeight = Annotated[
    float, Field(ge=0, allow_inf_nan=False), Query(description="The least weight that makes a user a member.")
]
_ForceRefresh = Annotated[bool, Query(description="Compute again instead of answering from the last rebase.")]

router = ResourceRouter("segments")


class SegmentItem(ContractModel):
    segment_type: SegmentType
    segment_basis: SegmentBasis
    segment_basis_id: str
    action_type: str
    name: str
    user_count: int
    strength: Annotated[float, Field(description="The mean of the members' weights.")]
    min_weight: float


class SegmentPage(ContractModel):
    items: list[SegmentItem]
    total: int
    page: int
    size: int


@router.endpoint(
    "GET",
    "/segment",
    READ,
    "The users of one segment, by line",
    see_other="More users than one answer holds: for a while the file can be downloaded from location",
    media_types=("text/plain", "text/csv"),
)
def get_segment(
    program_id: ProgramId,
    asset_ids: Annotated[str, Query(description="Assets, separated by commas. They win over labels.")] = "",
    labels: Annotated[str, Query(description="Labels, separated by commas.")] = "",
    action_types: Annotated[str, Query(description="Event types, separated by commas; none: all of them.")] = "",
    match_type: Annotated[
        MatchType, Query(description="Whether a member has any or all of the assets or labels.")
    ] = "any",
    segment_type: _SegmentType = "growth",
    min_weight: _MinWeight = 0.5,
    force_refresh: _ForceRefresh = False,
    limit: Annotated[
        int | None,
        Query(
            description="How many users at most, in order of their ids. An extension: without it all are answered.",
            ge=1,
            le=MAX_USERS,
        ),
    ] = None,
    after: Annotated[
        str | None,
        Query(
            description="Only users whose ids come after this one: the last line of the page before. An extension.",
            max_length=MAX_USER_ID_CHARACTERS,
        ),
    ] = None,
    format: Annotated[
        SegmentFormat | None,
        Query(description="plain: user ids, by line; csv: with weights (an extension). None: what Accept says."),
    ] = None,
) -> HttpResponse[str]:
    call, deployment = router.call, router.call.deployment
    request: Request = router.context["request"]
    as_csv = format == "csv" or (format is None and prefers_csv(request.headers.get("accept", "")))

    def answer(segments: StoredSegments) -> HttpResponse[str]:
        members = members_of(
            segments,
            call.catalogue,
            asset_ids=comma_list(asset_ids),
            labels=comma_list(labels),
            event_types=comma_list(action_types),
            min_weight=min_weight,
            match_all=match_type == "all",
        )
        headers: dict[str, str | list[str]] = {LARGEST_WEIGHT: repr(members.largest_weight)}
        if limit is not None:
            parts: Iterable[list[SegmentMember]] = [page_of_members(members, after=after or "", limit=limit)]
        else:
            parts = members.in_parts(after=after or "")
        text = segment_text(parts, as_csv=as_csv)
        if text is not None:
            return HttpResponse(200, CSV_TYPE if as_csv else PLAIN_TYPE, text, headers)
        headers["location"] = segment_url(
            deployment.store, deployment.artifacts, call.incarnation, members, after=after or "", as_csv=as_csv
        )
        return HttpResponse(303, PLAIN_TYPE, "", headers)

    try:
        return _read(segment_type, answer, refresh=force_refresh)
    except InvalidInput as error:
        detail = {"type": "value_error", "loc": ("query", error.field), "msg": error.message, "input": action_types}
        raise InvalidRequest([detail]) from error


@router.endpoint("GET", "/segments", READ, "All segments, in pages")
def get_segments(
    program_id: ProgramId,
    segment_type: _SegmentType = "growth",
    segment_basis: Annotated[
        SegmentBasis, Query(description="A segment for every asset, or for every label.")
    ] = "labels",
    min_weight: _MinWeight = 0.5,
    force_refresh: _ForceRefresh = False,
    page: PageNumber = 1,
    size: PageSize = 50,
) -> HttpResponse[SegmentPage]:
    by_label = segment_basis == "labels"
    catalogue = router.call.catalogue
    summaries, largest_weight = _read(
        segment_type,
        lambda segments: summaries_of(segments, catalogue, by_label=by_label, min_weight=min_weight),
        refresh=force_refresh,
    )
    items = [
        SegmentItem(
            segment_type=segment_type,
            segment_basis=segment_basis,
            segment_basis_id=summary.basis_id,
            action_type=summary.event_type,
            name=summary.name,
            user_count=summary.user_count,
            strength=summary.strength,
            min_weight=min_weight,
        )
        for summary in page_of(summaries, page, size)
    ]
    answer = SegmentPage(items=items, total=len(summaries), page=page, size=size)
    return HttpResponse(200, "application/json", answer, {LARGEST_WEIGHT: repr(largest_weight)})


def prefers_csv(accept: str) -> bool:
    """Whether a header Accept names text/csv, and not text/plain before it."""
    weights = {"text/csv": 0.0, "text/plain": 0.0}
    for entry in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((value for name, _, value in (part.partition("=") for part in parameters) if name == "q"), "1")
        if media_type in weights:
            weights[media_type] = float(quality) if _QUALITY.fullmatch(quality) else 0.0
    return weights["text/csv"] > weights["text/plain"]


def _read(segment_type: SegmentType, use: Callable[[StoredSegments], T], *, refresh: bool) -> T:
    call, deployment = router.call, router.call.deployment
    if refresh:
        refresh_segments(deployment.store, call.state, deployment.start_segments, deployment.pause)
    return deployment.segments.read(call.incarnation, segment_type, use)
