"""One rule for ids and one for times: the same table through every way in, with the same verdict."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from nextbest.domain.times import parse_seconds, parse_time
from nextbest.errors import InvalidInput
from nextbest.event_files.rows import RowRules
from nextbest.personalize.datasets.csv_files import RefusedRow, read_rows
from nextbest.personalize.datasets.schema import parse_schema
from tests.contract.personalize_clients import SCHEMAS
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.test_samples import run

NO_IDS = [
    *("", " ", "\t ", "a\nb", "a\n", "\ra", "a\x00", "a\tb", "\x1b", "a\x7fb", "a\x80", "b\x85a", "\x9f"),
    *("a\u2028b", "\u2029", "a\ud800", "\udc00b", "x" * 257),
]
IDS = {
    **{text: text for text in ("a/b", "..", "%2F", "?#&=", "a b", "é日本", "😀", '"', "a\xa0b", "\u200f", "x" * 64)},
    **{" ann": "ann", "\tbob\t ": "bob", "é ": "é"},
}
NO_TIMES: list[Any] = [
    *("2024", "202402", "2024-02", "2024-W08", "240221", "2024052", "45343", "45343.427", "20240221101500"),
    *("1700000000000", "1700000000000000", "yesterday", "", "2024-02-30", "02/21/2024", "-1", "1969-12-31"),
    *("2999-01-01", "9999-12-31T23:59:60Z", "4102444800", "nan"),
    *(2024, 202402, 45343, 45343.5, 20240221, 1700000000000, 1.7e15, -1, 4102444800, 1e300),
    *(None, True, [], {}),
]
TIMES: list[Any] = [
    *("2024-02-21", "20240221", "2024-W08-3", "2024-052", "2024-02-21T10:15:00.25Z", "2024-02-21 10:15:00 UTC"),
    *("2024-02-21T10:15:00+01:00", "2024-02-21_10:15", "2016-12-31T23:59:60Z", "2024-02-21T24:00", "1700000000"),
    *("1700000000.25", "1.7e9", 1700000000, 1700000000.25, 0),
]

Refusal = str | None
"""Why something was refused; None: it was accepted."""
Way = Callable[[Functions, dict[str, Any]], Refusal]


def changed(event: Any, rows: str, values: dict[str, Any]) -> Any:
    """An event of a sample with other values: of the body where it has them, else of the first row in it."""
    body = json.loads(event["body"])
    of_body = {name: value for name, value in values.items() if name in body}
    row = body[rows][0] | {name: value for name, value in values.items() if name not in body}
    return {**event, "body": json.dumps({**body, **of_body, rows: [row]})}


def http(sample: str, rows: str, **query: str) -> Way:
    """Through a route: refused with 422, or Personalize's InvalidInputException, that names the field."""

    def send(functions: Functions, values: dict[str, Any]) -> Refusal:
        query_string = "&".join(f"{name}={value}" for name, value in query.items())
        response = run(
            functions, sample, lambda event: {**changed(event, rows, values), "rawQueryString": query_string}
        )
        if response["statusCode"] == 200:
            return None
        content = json.loads(response["body"])
        if response["statusCode"] == 400:
            assert content["__type"] == "InvalidInputException"
            return str(content["message"])
        assert response["statusCode"] == 422
        (error,) = content["detail"]
        assert error["loc"][:1] == ["body"]
        return f"{error['loc']}: {error['msg']}"

    return send


def bus(functions: Functions, values: dict[str, Any]) -> Refusal:
    def change(event: Any) -> Any:
        event["detail"]["events"] = [event["detail"]["events"][0] | values]
        return event

    try:
        assert run(functions, "ingest/bus-events", change) == {}
    except InvalidInput as error:
        return error.message
    return None


def queue(functions: Functions, values: dict[str, Any]) -> Refusal:
    def change(event: Any) -> Any:
        (record, *_) = event["Records"]
        message = json.loads(record["body"])
        message["events"] = [message["events"][0] | values]
        return {"Records": [{**record, "body": json.dumps(message)}]}

    failures = run(functions, "ingest/queued-events", change)["batchItemFailures"]
    return str(failures) if failures else None


def imported(dataset: str, row: dict[str, str]) -> Way:
    """Through a row of an import's file, which is refused with its file, line and column."""

    def read(_functions: Functions, values: dict[str, Any]) -> Refusal:
        dataset_type, schema = parse_schema(json.dumps(SCHEMAS[dataset]))
        text = io.StringIO(newline="")
        csv.writer(text).writerows([list(row), [str(value) for value in (row | values).values()]])
        text.seek(0)
        (read,) = read_rows("file.csv", text, schema, dataset_type, now=time.time())
        if not isinstance(read, RefusedRow):
            return None
        assert str(read).startswith("file.csv, line ")
        return read.reason

    return read


def loaded(_functions: Functions, values: dict[str, Any]) -> Refusal:
    row = {
        "user_id": "ann",
        "event_type": "order",
        "asset_id": "tea",
        "timestamp": "0",
        "labels": None,
        "value": None,
    } | values
    try:
        RowRules(time.time()).event(
            (row["user_id"], row["event_type"], row["asset_id"], row["timestamp"], row["labels"], row["value"])
        )
    except InvalidInput as error:
        return error.message
    return None


EVENT = ("user_id", "event_type", "asset_id")
INTERACTION = {"USER_ID": "ann", "ITEM_ID": "tea", "EVENT_TYPE": "order", "TIMESTAMP": "1700000000"}
ACTION = {"USER_ID": "ann", "ACTION_ID": "tea", "EVENT_TYPE": "TAKEN", "TIMESTAMP": "1700000000"}
WAYS: dict[str, tuple[Way, tuple[str, ...]]] = {
    "POST /events": (http("collect/post-events", "events"), EVENT),
    "POST /events, queued": (http("collect/post-events", "events", queue_updates="true"), EVENT),
    "a message of the queue": (queue, EVENT),
    "an event of the bus": (bus, EVENT),
    "PutEvents": (http("collect/put-events", "eventList"), ("userId", "sessionId", "eventType", "itemId", "eventId")),
    "PutActionInteractions": (
        http("collect/put-action-interactions", "actionInteractions"),
        ("userId", "sessionId", "actionId", "eventId"),
    ),
    "PutUsers": (http("collect/put-users", "users"), ("userId",)),
    "PutActions": (http("collect/put-actions", "actions"), ("actionId",)),
    "PutItems": (http("collect/put-items", "items"), ("itemId",)),
    "POST /assets": (http("manage/post-assets", "assets"), ("asset_id",)),
    "PUT /labels": (http("manage/put-labels", "labels"), ("label",)),
    "an import of interactions": (imported("Interactions", INTERACTION), ("USER_ID", "ITEM_ID")),
    "an import of action interactions": (imported("Action_Interactions", ACTION), ("USER_ID", "ACTION_ID")),
    "the loader": (loaded, EVENT),
}
FIELDS = [(name, field) for name, (_, fields) in WAYS.items() for field in fields]
TIMED: dict[str, tuple[Way, str]] = {
    "POST /events": (WAYS["POST /events"][0], "event_timestamp"),
    "POST /events, queued": (WAYS["POST /events, queued"][0], "event_timestamp"),
    "an event of the bus": (bus, "event_timestamp"),
    "PutEvents": (WAYS["PutEvents"][0], "sentAt"),
    "PutActionInteractions": (WAYS["PutActionInteractions"][0], "timestamp"),
    "an import of interactions": (WAYS["an import of interactions"][0], "TIMESTAMP"),
    "an import of action interactions": (WAYS["an import of action interactions"][0], "TIMESTAMP"),
    "the loader": (loaded, "timestamp"),
}
FILES = ("an import of interactions", "an import of action interactions", "the loader")


def verdicts(functions: Functions, way: Way, field: str, values: Iterable[Any]) -> dict[Any, Refusal]:
    return {repr(value): way(functions, {field: value}) for value in values}


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_what_is_no_id_is_refused_on_every_way_in(functions: Functions, name: str, field: str) -> None:
    refusals = verdicts(functions, WAYS[name][0], field, NO_IDS)

    assert [value for value, refusal in refusals.items() if refusal is None] == []


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_what_is_an_id_is_accepted_on_every_way_in(functions: Functions, name: str, field: str) -> None:
    refusals = verdicts(functions, WAYS[name][0], field, IDS)

    assert {value: refusal for value, refusal in refusals.items() if refusal is not None} == {}


@pytest.mark.parametrize("name", TIMED)
def test_what_is_no_time_is_refused_on_every_way_in(functions: Functions, name: str) -> None:
    way, field = TIMED[name]
    # Cells of files are text.
    times = [value for value in NO_TIMES if isinstance(value, str) or name not in FILES]
    refusals = verdicts(functions, way, field, times)

    assert [value for value, refusal in refusals.items() if refusal is None] == []
    hints = [refusal or "" for value, refusal in refusals.items() if "1700000000000" in value]
    assert all("looks like m" in hint and "since 1970: divide by 1,000" in hint for hint in hints)
    assert hints


@pytest.mark.parametrize("name", TIMED)
def test_a_time_in_any_form_is_accepted_on_every_way_in(functions: Functions, name: str) -> None:
    way, field = TIMED[name]
    times = TIMES if name not in FILES else [value for value in TIMES if isinstance(value, str)]
    if "import" in name:  # whole seconds, as the type long of TIMESTAMP says
        times = ["1700000000", "0", "86400"]
    refusals = verdicts(functions, way, field, times)

    assert {value: refusal for value, refusal in refusals.items() if refusal is not None} == {}


def test_an_id_is_stored_without_blanks_around_it_and_a_time_as_its_instant(functions: Functions) -> None:
    for name, field in (("POST /events", "user_id"), ("an event of the bus", "user_id"), ("PutEvents", "userId")):
        way, time_field = TIMED[name]
        for place, value in enumerate(TIMES):
            user_id = f"{name} {place}"
            assert way(functions, {field: f" {user_id}\t", time_field: value}) is None
            (event,) = functions.store.events_of(PROGRAM.incarnation, user_id)
            read: Callable[..., int] = parse_time if isinstance(value, str) else parse_seconds
            assert event.timestamp_us == read(value, now=time.time())
            functions.store.erase_user(PROGRAM.incarnation, user_id, now=time.time())


@pytest.mark.parametrize("timestamp_us", [-1, 253_402_300_799_999_999, True, 1.5, "1700000000", None])
def test_a_message_of_the_queue_with_no_time_fails(functions: Functions, timestamp_us: object) -> None:
    assert queue(functions, {"timestamp_us": timestamp_us}) is not None


@pytest.mark.parametrize("body", [{}, {"body": None}, {"body": ""}, {"body": "{}"}, {"body": "[]"}, {"body": "\ud800"}])
def test_a_record_without_a_message_fails_alone_and_says_why(
    functions: Functions, body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def change(event: Any) -> Any:
        first, second = event["Records"]
        return {"Records": [{name: value for name, value in first.items() if name != "body"} | body, second]}

    failures = run(functions, "ingest/queued-events", change)["batchItemFailures"]

    assert failures == [{"itemIdentifier": "19dd0b57-b21e-4ac1-bd88-01bbb068cb70"}]
    (record,) = [record for record in caplog.records if "could not be ingested" in record.getMessage()]
    assert record.exc_info is not None
    error = str(record.exc_info[1])
    assert "has no body" in error if body.get("body") is None else "is not a message of events" in error
    assert [row[0] for row in functions.store.scan_events(PROGRAM.incarnation)] == ["carlos"]
