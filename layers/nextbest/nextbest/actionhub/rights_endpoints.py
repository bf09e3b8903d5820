"""People's rights over HTTP: an extension of the ActionHub API."""

from __future__ import annotations

from nextbest.actionhub import responses
from nextbest.actionhub.calls import Call
from nextbest.logic import users


def export_user(call: Call) -> object:
    deployment, asked = call.deployment, call.asked
    exported = users.export_user(
        deployment.store, deployment.artifacts, call.program_id, asked.user_id, skip=asked.skip
    )
    return {
        "program_id": call.program_id,
        "user_id": asked.user_id,
        "events": [responses.exported_event(event) for event in exported.events],
        "attributes": exported.attributes,
        "memberships": [
            {"segment_type": kind, "event_type": action.event_type, "asset_id": action.asset_id, "weight": weight}
            for kind, memberships in exported.memberships.items()
            for action, weight in memberships
        ],
        "next_skip": exported.next_skip,
    }


def delete_user(call: Call) -> object:
    deployment, user_id = call.deployment, call.asked.user_id
    deletion = users.delete_user(deployment.store, deployment.artifacts, call.program_id, user_id, now=call.now)
    return {
        "program_id": call.program_id,
        "user_id": user_id,
        "events": deletion.erased.events,
        "histories": deletion.erased.histories,
        "attributes": deletion.erased.attributes,
        "memberships": deletion.memberships,
    }
