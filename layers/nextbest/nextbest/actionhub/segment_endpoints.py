"""GET /segment and GET /segments: from the segments of the last rebase, or made anew on demand."""

from __future__ import annotations

from nextbest.actionhub import responses
from nextbest.actionhub.calls import Call
from nextbest.actionhub.inputs import SegmentBasis, comma_list
from nextbest.domain.catalogue import Catalogue
from nextbest.errors import NotFound, QuotaExceeded, Unavailable
from nextbest.logic.segments import NO_SEGMENTS
from nextbest.scoring.memberships import Segments

# The gateway lets a caller wait for 30 seconds, and what was computed is there to be read afterwards.
_POLLS = 80
_POLL_SECONDS = 0.25

MAX_ANSWER_BYTES = 5_500_000
"""Lambda answers 6 MB at most."""


def get_segment(call: Call) -> bytes:
    """The user ids of one segment, by line."""
    asked = call.asked
    segments = _segments(call)
    actions = _actions_by_asset(segments, comma_list(asked.action_types))
    if asset_ids := comma_list(asked.asset_ids):
        groups = [actions.get(asset_id, []) for asset_id in asset_ids]
    elif labels := comma_list(asked.labels):
        by_label = _by_label(actions, call.catalogue)
        groups = [by_label.get(label, []) for label in labels]
    else:
        groups = [[index for indices in actions.values() for index in indices]]
    users = segments.users_of(groups, asked.min_weight, match_all=asked.match_type == "all")
    text = responses.segment_members(users)
    if len(text) > MAX_ANSWER_BYTES:
        raise QuotaExceeded(
            f"the segment has {len(users):,} users, more than one answer holds: raise min_weight or name fewer assets"
        )
    return text


def get_segments(call: Call) -> object:
    """A page of all segments with members, the largest first."""
    asked = call.asked
    segments = _segments(call)
    found = []
    for event_type in sorted({action.event_type for action in segments.actions}):
        for basis_id, name, actions in _groups(segments, event_type, asked.segment_basis, call.catalogue):
            count, strength = segments.strength(actions, asked.min_weight)
            if count:
                found.append(
                    responses.Segment(
                        asked.segment_type, asked.segment_basis, basis_id, event_type, name, count, strength,
                        asked.min_weight,
                    )
                )  # fmt: skip
    found.sort(key=lambda segment: (-segment.user_count, segment.segment_basis_id, segment.action_type))
    start = (asked.page - 1) * asked.size
    items = [responses.segment(segment) for segment in found[start : start + asked.size]]
    return responses.page(items, total=len(found), page=asked.page, size=asked.size)


def _groups(
    segments: Segments, event_type: str, basis: SegmentBasis, catalogue: Catalogue
) -> list[tuple[str, str, list[int]]]:
    """Id, name and actions of every segment of one event type."""
    actions = _actions_by_asset(segments, (event_type,))
    if basis == "assets":
        return [(asset_id, catalogue.name_of(asset_id), indices) for asset_id, indices in actions.items()]
    return [(label, label, indices) for label, indices in _by_label(actions, catalogue).items()]


def _actions_by_asset(segments: Segments, event_types: tuple[str, ...]) -> dict[str, list[int]]:
    """Indices of the actions by their assets, of the given event types (none: all of them)."""
    actions: dict[str, list[int]] = {}
    for index, action in enumerate(segments.actions):
        if not event_types or action.event_type in event_types:
            actions.setdefault(action.asset_id, []).append(index)
    return actions


def _by_label(actions: dict[str, list[int]], catalogue: Catalogue) -> dict[str, list[int]]:
    """The same by the labels that the assets have now."""
    by_label: dict[str, list[int]] = {}
    for asset_id, indices in actions.items():
        asset = catalogue.assets.get(asset_id)
        for label in dict.fromkeys(asset.labels if asset else ()):
            by_label.setdefault(label, []).extend(indices)
    return by_label


def _segments(call: Call) -> Segments:
    if call.asked.force_refresh:
        _refresh(call)
    return call.deployment.segments.segments_of(call.program_id, call.asked.segment_type)


def _refresh(call: Call) -> None:
    """Have the segments computed by the rebase function, and wait for them."""
    if call.state.model is None:
        raise NotFound(NO_SEGMENTS)
    deployment = call.deployment
    before = deployment.store.segments(call.program_id)
    deployment.start_segments(call.program_id)
    for _ in range(_POLLS):
        if deployment.store.segments(call.program_id) != before:
            return
        deployment.pause(_POLL_SECONDS)
    raise Unavailable("the segments are still being computed; ask again, without force_refresh")
