"""Results to the bodies of the contract's answers. ``errors.render`` makes bytes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nextbest.actionhub.inputs import LabelWeight, SegmentBasis, SegmentType
from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.events import MICROSECONDS, Event, to_microseconds
from nextbest.domain.programs import Program

if TYPE_CHECKING:
    from nextbest.domain.access_keys import AccessKey
    from nextbest.scoring import Explanation

REBASE_COMPLETE = "program_user_graph_complete"


def user_actions(
    recommendations: Sequence[Recommendation],
    name_of: Callable[[str], str],
    explanations: Sequence[Explanation] | None = None,
) -> dict[str, Any]:
    """GET /users/{user_id}/actions. ``name_of`` gives an asset's name.

    ``explanations`` are told where the caller asked for them (not None): null for an action without one.
    """
    actions: list[dict[str, Any]] = [
        {
            "event_type": recommendation.event_type,
            "asset_id": recommendation.asset_id,
            "asset_name": name_of(recommendation.asset_id),
            "growth_weight": float(recommendation.growth_weight),
            "base_weight": float(recommendation.base_weight),
        }
        for recommendation in recommendations
    ]
    if explanations is not None:
        explained = {explanation.action: _explanation(explanation) for explanation in explanations}
        for action in actions:
            action["explanation"] = explained.get(Action(action["event_type"], action["asset_id"]))
    return {"actions": actions}


def _explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "score": explanation.score,
        "prior_share": explanation.prior_share,
        "contributions": [
            {
                "event_type": contribution.action.event_type,
                "asset_id": contribution.action.asset_id,
                "base_weight": contribution.base_weight,
                "share": contribution.share,
            }
            for contribution in explanation.contributions
        ],
        "other_share": explanation.other_share,
    }


def result(text: str) -> dict[str, str]:
    """Every call that changes something."""
    return {"result": text}


def user_labels(weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """GET /users/{user_id}/labels: highest weight first, equal weights by label."""
    ordered = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return {"labels": {label: float(weight) for label, weight in ordered}}


def user_history(events: Iterable[Event], assets: Mapping[str, Asset]) -> dict[str, list[dict[str, Any]]]:
    """GET /users/{user_id}/events, latest first. ``assets`` maps asset ids to what is known of them."""
    history = []
    for event in sorted(events, reverse=True, key=lambda event: (event.timestamp_us, event.event_type, event.asset_id)):
        asset = assets.get(event.asset_id)
        history.append(
            {
                "timestamp": timestamp(event.timestamp_us),
                "event_type": event.event_type,
                "asset_id": event.asset_id,
                "asset_name": (asset.asset_name if asset else "") or event.asset_id,
                "event_labels": list(event.labels),
                "asset_labels": list(asset.labels) if asset else [],
            }
        )
    return {"history": history}


def timestamp(microseconds: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC, with a fraction only where there is one."""
    seconds, fraction = divmod(microseconds, MICROSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=fraction, tzinfo=None).isoformat() + "Z"


def asset(item: Asset) -> dict[str, Any]:
    """One entry of GET /assets."""
    return {
        "asset_id": item.asset_id,
        "asset_name": item.asset_name or item.asset_id,
        "labels": list(item.labels),
    }


def label(item: LabelWeight) -> dict[str, Any]:
    """One entry of GET /labels."""
    return {"label": item.label, "weight": float(item.weight)}


def page(items: Sequence[dict[str, Any]], *, total: int, page: int, size: int) -> dict[str, Any]:
    """A page of GET /assets, /labels or /segments. ``total`` counts the entries of all pages."""
    return {"items": list(items), "total": total, "page": page, "size": size}


def program(item: Program) -> dict[str, Any]:
    """GET /program, and one entry of GET /programs."""
    return {
        "program_id": item.program_id,
        "program_name": item.program_name,
        "high_engagement_threshold": item.high_engagement_threshold,
        "event_relevance_decay": item.half_life_days,
        "action_weight_floor": item.action_weight_floor,
        "description": item.description,
    }


def programs(items: Iterable[Program]) -> dict[str, list[dict[str, Any]]]:
    """GET /programs"""
    return {"programs": [program(item) for item in items]}


def program_key(*, api_key: str, program_id: str) -> dict[str, str]:
    """POST /programs. The only time that the key is told."""
    return {"api_key": api_key, "program_id": program_id}


def key(item: AccessKey, *, now: float) -> dict[str, Any]:
    """One entry of GET /keys: everything but the secret's hash."""
    overlaps = len(item.generations(now=now)) > 1
    return {
        "key_id": item.key_id,
        "name": item.name,
        "programs": list(item.programs),
        "scopes": list(item.scopes),
        "generation": item.generation,
        "active": item.stands(now=now),
        "ts_created": timestamp(to_microseconds(item.created_at)) if item.created_at else None,
        "ts_previous_expires": timestamp(to_microseconds(item.previous_expires_at)) if overlaps else None,
    }


def exported_event(event: Event) -> dict[str, Any]:
    """One event of GET /users/{user_id}/export, whole."""
    return {
        "timestamp": timestamp(event.timestamp_us),
        "event_type": event.event_type,
        "asset_id": event.asset_id,
        "event_id": event.event_id,
        "labels": list(event.labels),
        "source": event.source,
        "recommendation_id": event.recommendation_id,
    }


def program_status(*, program_id: str, status_id: str, message: str, logged_us: int) -> dict[str, str]:
    """GET /program/status. A client polls until ``status_id`` is ``REBASE_COMPLETE``."""
    return {"program_id": program_id, "status_id": status_id, "message": message, "ts_logged": timestamp(logged_us)}


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: the users whose weight for an asset or label is at least ``min_weight``.

    ``strength`` is the mean of the members' weights, 0 for a segment without members.
    """

    segment_type: SegmentType
    segment_basis: SegmentBasis
    segment_basis_id: str
    action_type: str
    name: str
    user_count: int
    strength: float
    min_weight: float


def segment(item: Segment) -> dict[str, Any]:
    """One entry of GET /segments."""
    return {
        "segment_type": item.segment_type,
        "segment_basis": item.segment_basis,
        "segment_basis_id": item.segment_basis_id,
        "action_type": item.action_type,
        "name": item.name,
        "user_count": item.user_count,
        "strength": float(item.strength),
        "min_weight": float(item.min_weight),
    }


def segment_members(user_ids: Iterable[str]) -> bytes:
    """GET /segment: text/plain, one user id a line."""
    return "".join(f"{user_id}\n" for user_id in user_ids).encode("utf-8")
