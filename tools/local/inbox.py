"""Rules for new objects in S3: a watcher that tells functions of them as S3 and EventBridge do.

The local S3 sends no events. The watcher lists the objects under a rule's prefix, again and again, and invokes the
function once for each that is new, or was put again; a failed invocation is repeated twice, as Lambda does. What is
there already at the start is announced too: nothing that was dropped while the stack was down is overlooked.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local.engines import ACCOUNT_ID, REGION
from tools.local.poller import Invoker, invoke_asynchronously
from tools.local.template import Function, ObjectSource

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_AT_ONCE = 2


class ObjectWatcher:
    """Tells one function of the objects under one prefix, in a thread of its own until ``close``."""

    def __init__(self, source: ObjectSource, function: Function, *, s3: S3Client, invoker: Invoker) -> None:
        self._source = source
        self._function = function
        self._s3 = s3
        self._invoker = invoker
        self._announced: dict[str, tuple[str, datetime]] = {}
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="inbox")
        self._thread = threading.Thread(target=self._run, name=f"watcher-{source.bucket}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop watching; an invocation that is running ends with its environment."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def new_events(self) -> list[dict[str, Any]]:
        """The events of objects that are new since the last call, oldest first; forgets those that are gone."""
        present: dict[str, tuple[str, datetime]] = {}
        sizes: dict[str, int] = {}
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._source.bucket, Prefix=self._source.prefix
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                present[entry["Key"]] = (entry["ETag"].strip('"'), entry["LastModified"])
                sizes[entry["Key"]] = entry["Size"]
        new = sorted((key for key in present if present[key] != self._announced.get(key)), key=lambda k: present[k][1])
        self._announced = present
        return [object_event(self._source.bucket, key, *present[key], sizes[key]) for key in new]

    def _run(self) -> None:
        while not self._stopped.wait(_PAUSE_SECONDS):
            try:
                for event in self.new_events():
                    self._pool.submit(self._announce, json.dumps(event).encode())
            except (BotoCoreError, ClientError) as error:
                if not self._stopped.is_set():
                    _LOG.error("watching %s: %s", self._source.bucket, error)

    def _announce(self, event: bytes) -> None:
        invoke_asynchronously(self._invoker, self._function, event, of="a file", stopped=self._stopped)


def object_event(bucket: str, key: str, etag: str, modified: datetime, size: int) -> dict[str, Any]:
    """The event that EventBridge delivers for a new object; other than a notification's, its key is not encoded."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT_ID,
        "time": modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size, "etag": etag, "sequencer": "0"},
            "request-id": "LOCAL",
            "requester": ACCOUNT_ID,
            "reason": "PutObject",
        },
    }
