"""What the local stack tells a function of new objects, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from nextbest.logic.inbox import InboxTask
from tests.waiting import wait_until
from tools.local.environments import Invocation
from tools.local.inbox import ObjectWatcher
from tools.local.template import Function, ObjectSource

INGEST = Function("ingest", "IngestFunction", "app.handler", Path("functions/ingest"), (), 60, 1024, {})
THEN = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Bucket:
    """As much of an S3 client as the watcher uses."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, datetime]] = {}

    def get_paginator(self, operation: str) -> Bucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **arguments: str) -> list[dict[str, Any]]:
        assert arguments == {"Bucket": "artifacts-local", "Prefix": "inbox/"}
        return [
            {"Contents": [{"Key": key, "ETag": f'"{etag}"', "LastModified": time, "Size": 7}]}
            for key, (etag, time) in self.objects.items()
        ] or [{}]


class Calls:
    """What runs functions: notes the events, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[Any] = []
        self._failures = failures

    def invoke(self, function: Function, event: bytes) -> Invocation:
        assert function is INGEST
        self.events.append(json.loads(event))
        return Invocation(b"{}", "ValueError" if len(self.events) <= self._failures else None)


def watcher(bucket: Bucket, calls: Calls) -> ObjectWatcher:
    source = ObjectSource("artifacts-local", "inbox/", "IngestFunction")
    return ObjectWatcher(source, INGEST, s3=cast(Any, bucket), invoker=calls)


def test_each_new_object_is_told_once_and_again_when_it_is_put_again() -> None:
    bucket = Bucket()
    watching = watcher(bucket, Calls())
    assert watching.new_events() == []
    bucket.objects = {"inbox/p/b c+ü%.csv": ("b", THEN), "inbox/p/a": ("a", THEN - timedelta(seconds=1))}

    first, second = watching.new_events()

    assert InboxTask.from_event(first) == InboxTask("inbox/p/a", "a", round((THEN.timestamp() - 1) * 1e6))
    assert second["detail"]["object"]["key"] == "inbox/p/b c+ü%.csv"
    assert watching.new_events() == []
    bucket.objects["inbox/p/a"] = ("a", THEN)
    assert [event["detail"]["object"]["key"] for event in watching.new_events()] == ["inbox/p/a"]


@pytest.mark.parametrize(("failures", "expected"), [(0, 1), (1, 2), (9, 3)])
def test_a_failed_invocation_is_repeated_twice(failures: int, expected: int) -> None:
    bucket, calls = Bucket(), Calls(failures)
    bucket.objects = {"inbox/p/a": ("a", THEN)}
    watching = watcher(bucket, calls)
    watching.start()
    try:
        wait_until(lambda: len(calls.events) == expected, seconds=20)
    finally:
        watching.close()
    assert len(calls.events) == expected
