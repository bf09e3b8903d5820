"""Event trackers: ids to put item events with. A dataset group has at most one.

Source: docs/contracts/personalize.md, section 6.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import AlreadyExists
from nextbest.personalize.control.dataset_groups import group_named, list_of_group
from nextbest.personalize.control.datasets import new_tracking_id
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates
from nextbest.personalize.datasets.removal import remove_tracking_id
from nextbest.personalize.datasets.schema import INTERACTIONS, DatasetSchema
from nextbest.personalize.datasets.tracking_ids import TRACKING_ID, tracker_resource
from nextbest.personalize.protocol.arns import DATASET, DATASET_GROUP, EVENT_TRACKER
from nextbest.store.base import DEPLOYMENT


def create_event_tracker(call: ControlCall) -> Mapping[str, Any]:
    program = group_named(call, call.request["datasetGroupArn"])
    other = next(call.resources(EVENT_TRACKER, of=program.incarnation), None)
    if other is not None:
        raise AlreadyExists(f"The dataset group has an event tracker already: {call.arn(EVENT_TRACKER, other['name'])}")
    dataset = call.store.resource(program.incarnation, DATASET, f"{program.program_id}/{INTERACTIONS}")
    schema = DatasetSchema.from_json(dataset["fields"]) if dataset is not None else None
    name, tracking_id = f"{call.deployment.random.getrandbits(32):08x}", new_tracking_id(call)
    tracker = tracker_resource(program, INTERACTIONS, schema)
    members = {"tracker_name": call.request["name"], "tracking_id": tracking_id}
    call.create(EVENT_TRACKER, name, program.incarnation, members)
    call.store.create_resource(DEPLOYMENT, TRACKING_ID, tracking_id, tracker)
    return {"eventTrackerArn": call.arn(EVENT_TRACKER, name), "trackingId": tracking_id}


def describe_event_tracker(call: ControlCall) -> Mapping[str, Any]:
    tracker = call.find(EVENT_TRACKER, "eventTrackerArn")
    return {
        "eventTracker": {
            **_summary(call, tracker),
            "accountId": call.deployment.arns.account_id,
            "trackingId": tracker["tracking_id"],
            "datasetGroupArn": call.arn(DATASET_GROUP, tracker["program_id"]),
        }
    }


def list_event_trackers(call: ControlCall) -> Mapping[str, Any]:
    return list_of_group(call, EVENT_TRACKER, "eventTrackers", _summary)


def delete_event_tracker(call: ControlCall) -> None:
    tracker = call.find(EVENT_TRACKER, "eventTrackerArn")
    call.require_stored(EVENT_TRACKER, tracker)
    remove_tracking_id(call.store, tracker["tracking_id"])
    call.delete(EVENT_TRACKER, tracker)


def _summary(call: ControlCall, tracker: Resource) -> dict[str, Any]:
    return {
        "name": tracker["tracker_name"],
        "eventTrackerArn": call.arn(EVENT_TRACKER, tracker["name"]),
        "status": ACTIVE,
        **dates(tracker),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateEventTracker": create_event_tracker,
    "DescribeEventTracker": describe_event_tracker,
    "ListEventTrackers": list_event_trackers,
    "DeleteEventTracker": delete_event_tracker,
}
