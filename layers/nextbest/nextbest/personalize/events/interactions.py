"""PutActionInteractions and PutEvents: what users did, one to ten events a call.

Actions that were taken, not taken and viewed become events of those types. Events of PutEvents are about items; the
model learns from them, but they are never recommended as actions, so a program records their types
(``datasets/item_event_types.py``). Source: docs/contracts/personalize.md, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nextbest.domain.access_keys import AccessKey
from nextbest.domain.events import MAX_IMPRESSION, MAX_RECOMMENDATION_ID_CHARACTERS, Event, check_event_value
from nextbest.domain.ids import check_id
from nextbest.errors import InvalidInput, NotFound
from nextbest.personalize.datasets.event_types import action_event_type
from nextbest.personalize.datasets.item_event_types import item_event_type, remember_item_events
from nextbest.personalize.datasets.properties import check_event_properties, read_properties, take_members
from nextbest.personalize.datasets.schema import (
    ACTION_INTERACTIONS,
    INTERACTIONS,
    DatasetSchema,
    SchemaField,
    value_field,
)
from nextbest.personalize.datasets.sources import ANONYMOUS, SOURCE
from nextbest.personalize.datasets.tracking_ids import Tracker, open_tracker
from nextbest.personalize.events.sessions import join_session
from nextbest.personalize.events.times import read_time
from nextbest.personalize.protocol.ids import MAX_ID_CHARACTERS, with_clean_ids
from nextbest.personalize.protocol.shapes import Listing, Members, Moment, Number, Text
from nextbest.store.base import Appended, Store

ID = Text(1, MAX_ID_CHARACTERS)
PROPERTIES = Text(1, 1024)
_RECOMMENDATION_ID = Text(1, MAX_RECOMMENDATION_ID_CHARACTERS)
_IMPRESSION = Listing(ID, 1, MAX_IMPRESSION)
_IDS = ("userId", "sessionId", "actionId", "itemId", "eventType", "eventId", "recommendationId")

PUT_ACTION_INTERACTIONS = Members(
    {
        "trackingId!": ID,
        "actionInteractions!": Listing(
            Members(
                {
                    "actionId!": ID,
                    "userId": ID,
                    "sessionId!": ID,
                    "timestamp!": Moment(),
                    "eventType!": ID,
                    "eventId": ID,
                    "recommendationId": _RECOMMENDATION_ID,
                    "impression": _IMPRESSION,
                    "properties": PROPERTIES,
                }
            ),
            1,
            10,
        ),
    }
)
PUT_EVENTS = Members(
    {
        "trackingId!": ID,
        "userId": ID,
        "sessionId!": ID,
        "eventList!": Listing(
            Members(
                {
                    "eventId": ID,
                    "eventType!": ID,
                    "eventValue": Number(),
                    "itemId": ID,
                    "properties": PROPERTIES,
                    "sentAt!": Moment(),
                    "recommendationId": _RECOMMENDATION_ID,
                    "impression": _IMPRESSION,
                    "metricAttribution": Members(
                        {"eventAttributionSource!": Text(0, 1024, r"[\x20-\x7E]*[\x21-\x7E]+[\x20-\x7E]*")}
                    ),
                }
            ),
            1,
            10,
        ),
    }
)

# Members of an event of PutEvents that may be in its properties instead.
_IN_PROPERTIES = DatasetSchema((SchemaField("itemId", "string", True), SchemaField("eventValue", "double", True)))
_UNDECLARED_VALUE = DatasetSchema((SchemaField("eventValue", "double", True),))
_ITEM_ID = Members({"itemId": ID})
_NOTHING = DatasetSchema(())


@dataclass(frozen=True, slots=True)
class Put:
    """The outcome of one call."""

    accepted: int
    duplicates: int


def put_action_interactions(store: Store, key: AccessKey, body: dict[str, Any], *, now: float) -> Put:
    """Store action interactions. ``now`` is in seconds since 1970.

    They have no member for what one is worth, so it may be in ``properties``: as ``eventValue``, where the dataset's
    schema has a number EVENT_VALUE or there is no dataset. Raises InvalidInput, NotFound (no such tracking id),
    Forbidden.
    """
    request = PUT_ACTION_INTERACTIONS.check(body)
    tracker = open_tracker(store, key, request["trackingId"], ACTION_INTERACTIONS)
    rows = _checked(request["actionInteractions"], tracker, "actionInteractions", _value_in_properties(tracker))
    events = [
        Event(
            user_id=row.get("userId") or row["sessionId"],
            timestamp_us=read_time(row["timestamp"], f"actionInteractions.{place}.member.timestamp", now=now),
            event_type=action_event_type(row["eventType"], path=f"actionInteractions.{place}.member.eventType"),
            asset_id=row["actionId"],
            event_id=row.get("eventId", ""),
            source=SOURCE if "userId" in row else ANONYMOUS,
            recommendation_id=row.get("recommendationId", ""),
            session_id=_session_id(row.get("userId"), row["sessionId"]),
            event_value=row.get("eventValue"),
            impression=tuple(row.get("impression", ())),
        )
        for place, row in enumerate(rows, 1)
    ]
    return _store(store, tracker, events, ((row.get("userId"), row["sessionId"]) for row in rows))


def put_events(store: Store, key: AccessKey, body: dict[str, Any], *, now: float) -> Put:
    """Store item interactions. ``now`` is in seconds since 1970.

    The item and the value may be members of the event, or be in its ``properties``, as clients of the first version of
    the API have them; where both are given the member counts. Events without an item are not stored, since nothing can
    be learned from them. Raises InvalidInput, also for an unknown tracking id: AWS models no other error here.
    """
    request = PUT_EVENTS.check(body)
    try:
        tracker = open_tracker(store, key, request["trackingId"], INTERACTIONS)
    except NotFound as error:
        raise InvalidInput(error.message, field="trackingId") from error
    request = with_clean_ids(request, ("userId", "sessionId"))
    user_id = request.get("userId")
    rows = _checked(request["eventList"], tracker, "eventList", _IN_PROPERTIES)
    times_us = [
        read_time(row["sentAt"], f"eventList.{place}.member.sentAt", now=now) for place, row in enumerate(rows, 1)
    ]
    events = [
        Event(
            user_id=user_id or request["sessionId"],
            timestamp_us=time_us,
            event_type=item_event_type(row["eventType"]),
            asset_id=row["itemId"],
            event_id=row.get("eventId", ""),
            source=SOURCE if user_id else ANONYMOUS,
            recommendation_id=row.get("recommendationId", ""),
            session_id=_session_id(user_id, request["sessionId"]),
            event_value=row.get("eventValue"),
            impression=tuple(row.get("impression", ())),
        )
        for row, time_us in zip(rows, times_us, strict=True)
        if "itemId" in row
    ]
    # Before the events themselves, so that no model learns a type before it is known to be about items.
    remember_item_events(store, tracker.state.program.incarnation, {event.event_type for event in events})
    return _store(store, tracker, events, [(user_id, request["sessionId"])])


def _value_in_properties(tracker: Tracker) -> DatasetSchema:
    """The value among the properties of an action interaction, as a field named like the member of PutEvents."""
    if tracker.schema is None:
        return _UNDECLARED_VALUE
    declared = value_field(tracker.schema)
    return DatasetSchema((replace(declared, name="eventValue"),)) if declared is not None else _NOTHING


def _session_id(user_id: str | None, session_id: str) -> str:
    """The session of an event; none where it is named like the known user, which marks anonymous events."""
    return "" if user_id == session_id else session_id


def _checked(
    rows: Sequence[dict[str, Any]], tracker: Tracker, path: str, in_properties: DatasetSchema = _NOTHING
) -> list[dict[str, Any]]:
    """Rows with their ids as they are stored, and with the members ``in_properties`` as far as a row lacks them.

    Raises InvalidInput for ids and properties that break the rules.
    """
    checked = []
    for place, row in enumerate(rows, 1):
        member = f"{path}.{place}.member"
        within = f"{member}.properties"
        properties = read_properties(row.get("properties"), path=within)
        members = take_members(properties, in_properties, path=within)
        _ITEM_ID.check(members, within)
        # Checked and not stored: this recipe does not use contextual columns (section 7.2).
        check_event_properties(properties, tracker.schema, path=within)
        clean = with_clean_ids(members | row, _IDS, member)
        if "eventValue" in clean:
            place_of_value = member if "eventValue" in row else within
            clean["eventValue"] = check_event_value(clean["eventValue"], field=f"{place_of_value}.eventValue")
        if "impression" in row:
            field = f"{member}.impression"
            shown = [check_id(each, max_characters=MAX_ID_CHARACTERS, field=field) for each in row["impression"]]
            clean["impression"] = shown
        checked.append(clean)
    return checked


def _store(store: Store, tracker: Tracker, events: Sequence[Event], visitors: Iterable[tuple[str | None, str]]) -> Put:
    program = tracker.state.program
    stored = store.append(program, events) if events else Appended(0, 0)
    for user_id, session_id in dict.fromkeys(visitors):
        if user_id is not None:
            join_session(store, program, session_id=session_id, user_id=user_id)
    return Put(stored.accepted, stored.duplicates)
