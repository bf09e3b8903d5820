"""A program id that is used again is a new program, over HTTP, while every function is warm."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.personalize_clients import Personalize, arn
from tests.contract.stacks import RunningStack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

OLD_ASSETS = [{"asset_id": f"stale-{n}", "asset_name": "Stale", "labels": ["stale-label"]} for n in range(5)]
NEW_ASSETS = [{"asset_id": f"new-{n}", "asset_name": "New", "labels": ["new-label"]} for n in range(5)]
USER = "ada"


def events_of(asset_ids: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "user_id": f"{user}",
            "event_timestamp": f"2026-01-{day:02}T0{place}:00:00Z",
            "event_type": "Taken",
            "asset_id": asset_id,
            "labels": [],
        }
        for user in (USER, "bob", "eve")
        for day in range(1, 29)
        for place, asset_id in enumerate(asset_ids)
    ]


class Tenant:
    """A program, by the key that it was created with."""

    def __init__(self, stack: RunningStack, operator: httpx.Client, program_id: str) -> None:
        answer = operator.post("/programs", json={"program_name": "shop", "program_id": program_id})
        assert answer.status_code == 200, answer.text
        self.program_id = program_id
        self.key: str = answer.json()["api_key"]
        headers = {"actionhub-key": self.key, "program-id": program_id}
        self.http = httpx.Client(base_url=stack.url, headers=headers, timeout=30)
        self.aws = Personalize.at(stack.url, self.key)

    def close(self) -> None:
        self.http.close()
        self.aws.close()

    def rebase(self) -> None:
        assert self.http.put("/program/rebase").status_code == 200
        wait_until(
            lambda: self.http.get("/program/status").json()["status_id"] == "program_user_graph_complete", seconds=60
        )

    def seen(self) -> str:
        """All that the program's own key is shown, as text."""
        paths = ("/assets", "/labels", "/segments", "/program", "/program/status", f"/users/{USER}/events")
        answers = [self.http.get(path) for path in (*paths, f"/users/{USER}/actions", f"/users/{USER}/labels", "/keys")]
        recommended = self.aws.recommend(self.program_id, USER, numResults=25)
        return f"{[answer.text for answer in answers]} {recommended}"


@pytest.fixture
def program_id() -> Iterator[str]:
    yield f"again-{uuid.uuid4().hex[:8]}"


def stored(stack: RunningStack) -> list[str]:
    """All that is in the table and all names in the bucket, as texts."""
    pages = stack.dynamodb.get_paginator("scan").paginate(TableName=stack.tables[0], ConsistentRead=True)
    items = [json.dumps(item, sort_keys=True, default=repr) for page in pages for item in page["Items"]]
    versions = stack.s3.get_paginator("list_object_versions").paginate(Bucket=stack.buckets[0])
    return items + [
        entry["Key"] for page in versions for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
    ]


def test_nothing_of_a_deleted_program_is_shown_to_the_next_one_of_its_id(
    stack: RunningStack, operator: httpx.Client, program_id: str
) -> None:
    # Given a program with all there is, which every function has in memory
    old = Tenant(stack, operator, program_id)
    assert old.http.post("/assets", json={"assets": OLD_ASSETS}).status_code == 200
    assert old.http.put("/labels", json={"labels": [{"label": "stale-weighted", "weight": 2}]}).status_code == 200
    assert old.http.post("/events", json={"events": events_of(["stale-0", "stale-1"])}).status_code == 200
    old.aws.put_action(program_id, "stale-action", VALUE=1)
    row = {"eventType": "stale-watch", "itemId": "stale-film", "sentAt": 1_767_225_600}
    old.aws.events.put_events(trackingId=program_id, userId=USER, sessionId="stale-session", eventList=[row])
    assert old.http.post("/keys", json={"programs": [program_id], "scopes": ["admin"]}).status_code == 200
    old.rebase()
    assert "stale-0" in old.seen()
    assert any(program_id in text for text in stored(stack))

    # When it is deleted
    aws = Personalize.at(stack.url, stack.key)
    aws.control.delete_dataset_group(datasetGroupArn=arn("dataset-group", program_id))
    aws.close()

    # Then no trace of it is left
    assert [text for text in stored(stack) if program_id in text] == []
    # And the next one of the id has its own things alone, all of them
    new = Tenant(stack, operator, program_id)
    assert new.http.post("/assets", json={"assets": NEW_ASSETS}).status_code == 200
    assert new.http.post("/events", json={"events": events_of(["new-0", "new-1"])}).status_code == 200
    shown = {asset["asset_id"] for asset in new.http.get("/assets").json()["items"]}
    assert shown == {asset["asset_id"] for asset in NEW_ASSETS}
    assert [label["label"] for label in new.http.get("/labels").json()["items"]] == ["new-label"]
    assert new.http.get("/keys").json()["keys"][1:] == []
    for _ in range(2):
        seen = new.seen()
        assert "new-0" in seen
        assert "stale" not in seen.lower()
        assert old.key.partition(".")[0] not in seen
        new.rebase()
    # And the old key opens nothing of it
    for path in ("/assets", f"/users/{USER}/actions", "/program", "/keys"):
        assert old.http.get(path).status_code == 403
    assert old.http.post("/events", json={"events": events_of(["stale-0"])}).status_code == 403
    new.close()
    old.close()
