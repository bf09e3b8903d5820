"""Events of the bus: for those who send events without the API. Held to the contract of POST /events."""

from __future__ import annotations

from datetime import datetime

from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent

from nextbest.actionhub.parsing import parse_boolean, parse_event_list
from nextbest.domain.events import to_microseconds
from nextbest.errors import InvalidInput
from nextbest.logic.events import EventMessage


def bus_message(event: EventBridgeEvent, *, now: float) -> EventMessage:
    """The events in an event of the bus: its detail is a body of POST /events with ``program_id`` beside the events.

    Raises InvalidInput.
    """
    detail = event.get("detail")
    if not isinstance(detail, dict) or not isinstance(detail.get("program_id"), str):
        raise InvalidInput("the detail of a bus event is an object with the text program_id", field="program_id")
    refresh_histories = parse_boolean(detail.get("process_user_actions", True), field="process_user_actions")
    sent_us = to_microseconds(datetime.fromisoformat(event.time).timestamp())
    return EventMessage(detail["program_id"], parse_event_list(detail, now=now), refresh_histories, sent_us)
