"""One rule for what an event is worth: the same table through every way in, with the same verdict."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.functions.conftest import PROGRAM, Functions
from tests.functions.test_ids_and_times import Refusal, Way, bus, http, loaded, queue

NO_VALUES: list[Any] = [
    *(1.1e15, -1.1e15, 10**15 + 1, 1e300, 10**400, -(10**400)),
    *(True, False, [], [1], {}, "dear", "1,5", "0x10", "1e16", "1_000", "\u0661", "Infinity"),
]
NO_JSON = [float("nan"), float("inf"), float("-inf")]
NUMBERS: Mapping[Any, float] = {number: float(number) for number in (0, -0.0, 7, 2.5, -19.99, 1e15, -(10**15), 5e-324)}
IN_TEXT = {"12.50": 12.5, " -3 ": -3.0, "+.5": 0.5, "1e3": 1000.0, f"0.1{'0' * 40}1": 0.1}


def in_properties(way: Way) -> Way:
    def send(functions: Functions, values: dict[str, Any]) -> Refusal:
        named = {name: value for name, value in values.items() if name != "eventValue"}
        return way(functions, named | {"properties": json.dumps({"eventValue": values["eventValue"]})})

    return send


def in_a_cell(functions: Functions, values: dict[str, Any]) -> Refusal:
    """A cell of a file is text."""
    return loaded(functions, {name: str(value) for name, value in values.items()})


put_events = http("collect/put-events", "eventList")
put_action_interactions = http("collect/put-action-interactions", "actionInteractions")
WAYS: dict[str, tuple[Way, str, str]] = {
    "POST /events": (http("collect/post-events", "events"), "value", "user_id"),
    "POST /events, queued": (http("collect/post-events", "events", queue_updates="true"), "value", ""),
    "a message of the queue": (queue, "event_value", "user_id"),
    "an event of the bus": (bus, "value", "user_id"),
    "PutEvents": (put_events, "eventValue", "userId"),
    "PutEvents, in properties": (in_properties(put_events), "eventValue", "userId"),
    "PutActionInteractions, in properties": (in_properties(put_action_interactions), "eventValue", "userId"),
    "the loader": (in_a_cell, "value", ""),
}
TAKE_TEXT = ("PutEvents, in properties", "PutActionInteractions, in properties", "the loader")


@pytest.mark.parametrize("name", WAYS)
def test_what_is_no_value_is_refused_by_its_field_on_every_way_in(functions: Functions, name: str) -> None:
    way, field, _ = WAYS[name]
    for value in NO_VALUES:
        refusal = way(functions, {field: value})
        assert refusal is not None, value
        assert field in refusal or name == "a message of the queue", refusal
    # In a cell NaN stands for nothing
    no_json = [value for value in NO_JSON if name != "the loader" or value == value]
    assert [value for value in no_json if way(functions, {field: value}) is None] == []
    assert (way(functions, {field: "12.5"}) is None) == (name in TAKE_TEXT)


@pytest.mark.parametrize("name", [name for name, (*_, user) in WAYS.items() if user])
def test_a_value_is_kept_as_a_double_on_every_way_in(functions: Functions, name: str) -> None:
    way, field, user = WAYS[name]
    for place, (value, kept) in enumerate({**NUMBERS, **(IN_TEXT if name in TAKE_TEXT else {}), None: None}.items()):
        user_id = f"{name} {place}"
        assert way(functions, {user: user_id, field: value}) is None, value
        (event,) = functions.store.events_of(PROGRAM.incarnation, user_id)
        assert event.event_value == kept, value
        functions.store.erase_user(PROGRAM.incarnation, user_id, now=time.time())
