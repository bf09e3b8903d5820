"""What a program may put in is bounded where it is stored as one item; ids of every length are taken or refused."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from nextbest.aws.table import Table
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.resource_statuses import CREATE_FAILED, CREATE_PENDING
from nextbest.errors import InvalidInput, QuotaExceeded
from nextbest.personalize.datasets.item_event_types import ITEM_EVENTS, MAX_EVENT_TYPES, item_event_types
from nextbest.personalize.events.interactions import put_events
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.personalize.protocol.arns import DATASET, IMPORT_JOB
from nextbest.personalize.protocol.errors import Protocol, wire_error
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.tenants import NOW, key_of

OPERATOR = key_of()
RULES = ImportRules("artifacts", program_folders_bucket="imports")


@pytest.fixture
def table(start_engine: Callable[[str], str]) -> Table:
    """An empty table: which engine it is on makes no difference here."""
    return create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")


def test_event_types_of_items_are_refused_beyond_what_a_program_may_have(store: DynamoStore) -> None:
    def put(*event_types: str) -> int:
        rows = [{"eventType": name, "itemId": "i", "sentAt": NOW} for name in event_types]
        body = {"trackingId": PROGRAM.program_id, "userId": "u", "sessionId": "s", "eventList": rows}
        return put_events(store, OPERATOR, body, now=NOW).accepted

    known = [f"type-{number}" for number in range(MAX_EVENT_TYPES)]
    store.put_resource(PROGRAM.incarnation, *ITEM_EVENTS, {"event_types": known})
    assert put("type-0") == 1
    with pytest.raises(QuotaExceeded, match="at most 1,000 event types") as refused:
        put("type-1", "one-more")
    assert wire_error(refused.value, Protocol.REST)[:2] == ("InvalidInputException", 400)
    assert {event.event_type for event in store.events_of(PROGRAM.incarnation, "u")} == {"type-0"}

    # The longest that there can be: as many as the item holds
    longest = [f"{number:04d}" + "😀" * 240 for number in range(310)]
    store.put_resource(PROGRAM.incarnation, *ITEM_EVENTS, {"event_types": longest[:308]})
    assert put(longest[308]) == 1
    with pytest.raises(QuotaExceeded, match="at most 300,000 bytes together"):
        put(longest[309])


def test_a_tracking_id_too_long_for_a_key_does_not_exist(store: DynamoStore) -> None:
    body = {"trackingId": "😀" * 256, "sessionId": "s", "eventList": [{"eventType": "e", "sentAt": NOW}]}
    with pytest.raises(InvalidInput, match="does not exist"):
        put_events(store, OPERATOR, body, now=NOW)


def test_a_session_with_the_longest_id_is_joined_to_its_user(store: DynamoStore) -> None:
    session = "😀" * 256
    for user in ({}, {"userId": "u"}):
        body = {"trackingId": PROGRAM.program_id, "sessionId": session, **user,
                "eventList": [{"eventType": "e", "itemId": f"i{len(user)}", "sentAt": NOW}]}  # fmt: skip
        put_events(store, OPERATOR, body, now=NOW)

    assert {event.asset_id for event in store.events_of(PROGRAM.incarnation, "u")} == {"i0", "i1"}


class OneFile:
    """Files of an import, which are one. Implements ``aws.s3_files.ImportSource``."""

    def __init__(self, text: str) -> None:
        self._text = text

    def files(self, bucket: str, key: str) -> Iterator[tuple[str, TextIO]]:
        assert (bucket, key) == ("imports", "coffee/k.csv")
        yield key, io.StringIO(self._text)


def test_an_import_of_more_event_types_than_a_program_may_have_stores_nothing(store: DynamoStore) -> None:
    owner = PROGRAM.incarnation
    ids = {"program_id": PROGRAM.program_id, "incarnation": owner}
    fields = [[name, "string", False, False, False] for name in ("USER_ID", "ITEM_ID", "EVENT_TYPE")]
    dataset = {"name": "coffee/INTERACTIONS", "dataset_type": "INTERACTIONS",
               "fields": [*fields, ["TIMESTAMP", "long", False, False, False]]}  # fmt: skip
    job = {
        "name": "j",
        "dataset": dataset["name"],
        "location": "s3://imports/coffee/k.csv",
        "mode": "FULL",
        "status": CREATE_PENDING,
    }
    store.create_resource(owner, DATASET, str(dataset["name"]), {**ids, **dataset})
    store.create_resource(owner, IMPORT_JOB, "j", {**ids, **job})
    rows = [f"u,i,type-{number},{round(NOW)}" for number in range(MAX_EVENT_TYPES + 1)]

    files = OneFile("\n".join(["USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP", *rows]))
    run_import(store, files, RULES, owner, "j", clock=lambda: NOW)

    ended = store.resource(owner, IMPORT_JOB, "j")
    assert ended is not None
    assert ended["status"] == CREATE_FAILED
    assert "at most 1,000 event types" in ended["failure"]
    assert list(store.events_of(owner, "u")) == []
    assert item_event_types(store, owner) == frozenset()
