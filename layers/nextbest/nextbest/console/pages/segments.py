"""Segments: the users of one, with a least weight; all of them with their sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from nextbest.console.paging import ROWS_OF_A_PAGE, page_of
from nextbest.console.rendering import attachment
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import READ
from nextbest.errors import ArtifactError, InvalidInput, NotFound
from nextbest.logic.segment_files import CSV_TYPE, PLAIN_TYPE, segment_text, segment_url
from nextbest.logic.segment_reading import StoredSegments
from nextbest.logic.segments import (
    SegmentMember,
    SegmentMembers,
    SegmentSummary,
    members_of,
    start_refresh,
    summaries_of,
)
from nextbest.scoring.segment_manifest import GROWTH, SEGMENT_TYPES
from nextbest.web.response import Response

T = TypeVar("T")

SHOWN_MEMBERS = 100
_OFFERED = 500
"""How many assets and labels the fields offer while somebody types."""

KINDS = {
    "growth": "What they are recommended",
    "discovery": "What they are recommended and never did",
    "base": "What they did",
}
"""What each kind of segment says of its users."""

WEIGHTS = {
    "growth": "the growth weight: the probability that they do it within {days} days",
    "discovery": "the growth weight: the probability that they do it for the first time within {days} days",
    "base": "the base weight: how often they did it, where what is long ago counts less",
}
"""What the weight of each kind is."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which segment somebody looks at. ``problem`` is what is wrong with it."""

    event_type: str
    asset_id: str
    label: str
    kind: str
    min_weight_text: str
    min_weight: float
    problem: str = ""

    def query(self, **changes: object) -> dict[str, object]:
        """The parameters of an address that leads here."""
        return {
            "event_type": self.event_type,
            "asset_id": self.asset_id,
            "label": self.label,
            "kind": self.kind,
            "min_weight": self.min_weight_text,
            **changes,
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """How many users are in a segment, those with the largest weights, and the largest weight of anybody."""

    largest_weight: float
    count: int
    strongest: Sequence[SegmentMember]


def show(visit: Visit) -> Response:
    """The page, or the users of the segment that is being chosen."""
    choice, segments, found, problem = _choice_of(visit), None, None, ""
    try:
        segments, found = _read(visit, choice, lambda segments: (segments, _found(visit, choice, segments)))
    except InvalidInput as error:
        choice = replace(choice, problem=error.message)
        segments = _segments(visit, choice)
    except (ArtifactError, NotFound) as error:
        problem = error.message
    values = _values(visit, choice, found)
    if visit.is_partial:
        return visit.part("segments_members.html", problem=problem, **values)
    pointer = visit.services.store.segments(visit.incarnation)
    return visit.page(
        "segments.html",
        title="Segments",
        problem=problem,
        pointer=pointer,
        is_refreshing=pointer is not None and visit.parameter("refreshing") == pointer.version,
        **_offers(visit, segments),
        **values,
    )


def download(visit: Visit) -> Response:
    """The users of a segment as a file: what GET /segment answers."""
    choice, as_csv = _choice_of(visit), visit.parameter("format") == "csv"
    services = visit.services

    def answer(segments: StoredSegments) -> Response:
        members = _members(visit, choice, segments)
        text = segment_text(members.in_parts(), as_csv=as_csv)
        if text is None:
            url = segment_url(services.store, services.artifacts, visit.incarnation, members, after="", as_csv=as_csv)
            return Response(303, b"", {"location": url, "cache-control": "no-store"})
        if as_csv:
            return attachment(text.encode(), CSV_TYPE, filename="segment.csv")
        return attachment(text.encode(), PLAIN_TYPE, filename="segment.txt")

    return _read(visit, choice, answer)


def show_all(visit: Visit) -> Response:
    """Every segment with members, the largest first."""
    choice, by_label = _choice_of(visit), visit.parameter("basis", "assets") == "labels"
    summaries: list[SegmentSummary] = []
    largest, problem = 0.0, choice.problem
    try:
        catalogue = visit.services.recommender.catalogues.catalogue_of(visit.state)
        if problem:
            _segments(visit, choice)
        else:
            summaries, largest = _read(
                visit,
                choice,
                partial(summaries_of, catalogue=catalogue, by_label=by_label, min_weight=choice.min_weight),
            )
    except (ArtifactError, NotFound) as error:
        problem = error.message
    basis = "labels" if by_label else "assets"
    command = visit.curl(
        "GET",
        "/segments",
        segment_type=choice.kind,
        segment_basis=basis,
        min_weight=choice.min_weight_text,
        size=ROWS_OF_A_PAGE,
    )
    return visit.page(
        "segments_all.html",
        title="All segments",
        choice=choice,
        basis=basis,
        kinds=KINDS,
        page=page_of(summaries, visit),
        largest=largest,
        problem=problem,
        command=command,
    )


def refresh(visit: Visit) -> Response:
    """Have the segments computed again, as force_refresh does."""
    pointer = visit.services.store.segments(visit.incarnation)
    start_refresh(visit.state, visit.services.start_segments)
    return visit.see_other("segments", refreshing=pointer.version if pointer is not None else "")


def progress(visit: Visit) -> Response:
    """Whether segments newer than those that the page shows are there: then the page is loaded again."""
    pointer = visit.services.store.segments(visit.incarnation)
    if pointer is not None and pointer.version != visit.parameter("refreshing"):
        return visit.see_other("segments")
    return visit.part("segments_progress.html", pointer=pointer)


def _choice_of(visit: Visit) -> _Choice:
    kind = visit.parameter("kind", GROWTH)
    text = visit.parameter("min_weight", "0.5").strip()
    event_type, asset_id, label = (visit.parameter(name).strip() for name in ("event_type", "asset_id", "label"))
    problem = ""
    try:
        min_weight = float(text)
    except ValueError:
        min_weight = math.nan
    if not (math.isfinite(min_weight) and min_weight >= 0):
        problem = "The least weight is a number of at least 0."
    if kind not in SEGMENT_TYPES:
        kind, problem = GROWTH, f"A segment is of one of the kinds {', '.join(SEGMENT_TYPES)}."
    return _Choice(event_type, asset_id, label, kind, text, min_weight, problem)


def _segments(visit: Visit, choice: _Choice) -> StoredSegments:
    return visit.services.segments.segments_of(visit.incarnation, choice.kind)


def _read(visit: Visit, choice: _Choice, use: Callable[[StoredSegments], T]) -> T:
    return visit.services.segments.read(visit.incarnation, choice.kind, use)


def _members(visit: Visit, choice: _Choice, segments: StoredSegments) -> SegmentMembers:
    if choice.problem:
        raise InvalidInput(choice.problem)
    return members_of(
        segments,
        visit.services.recommender.catalogues.catalogue_of(visit.state),
        asset_ids=(choice.asset_id,) if choice.asset_id else (),
        labels=(choice.label,) if choice.label else (),
        event_types=(choice.event_type,) if choice.event_type else (),
        min_weight=choice.min_weight,
        match_all=False,
    )


def _found(visit: Visit, choice: _Choice, segments: StoredSegments) -> _Found:
    members = _members(visit, choice, segments)
    count, strongest = members.strongest(SHOWN_MEMBERS)
    return _Found(members.largest_weight, count, strongest)


def _values(visit: Visit, choice: _Choice, found: _Found | None) -> dict[str, Any]:
    """What the part of the page with the members shows."""
    command = visit.curl(
        "GET",
        "/segment",
        asset_ids=choice.asset_id,
        labels=choice.label,
        action_types=choice.event_type,
        segment_type=choice.kind,
        min_weight=choice.min_weight_text,
    )
    return {
        "choice": choice,
        "found": found,
        "count": found.count if found is not None else 0,
        "shown": found.strongest if found is not None else (),
        "weight_is": WEIGHTS[choice.kind].format(days=visit.state.program.horizon_days),
        "command": command,
    }


def _offers(visit: Visit, segments: StoredSegments | None) -> dict[str, Any]:
    """What the fields of the form offer."""
    catalogue = visit.services.recommender.catalogues.catalogue_of(visit.state)
    actions = segments.actions if segments is not None else ()
    assets = dict.fromkeys(action.asset_id for action in actions)
    labels = sorted({label for asset in catalogue for label in asset.labels})
    return {
        "kinds": KINDS,
        "event_types": sorted({action.event_type for action in actions}),
        "offered_assets": [(asset_id, catalogue.name_of(asset_id)) for asset_id in list(assets)[:_OFFERED]],
        "offered_labels": labels[:_OFFERED],
    }


ROUTES = (
    Route("GET", "segments", READ, show),
    Route("GET", "segments/all", READ, show_all),
    Route("GET", "segments/download", READ, download),
    Route("GET", "segments/progress", READ, progress),
    Route("POST", "segments/refresh", READ, refresh),
)
