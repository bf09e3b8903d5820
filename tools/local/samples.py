"""The samples of ``events/``: signed when they are used, and the data that they speak of."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from nextbest.domain.access_keys import READ, issue_key
from nextbest.store.base import Store
from tools.local.demo import DemoClient, demo_program, is_complete, rebase
from tools.local.engines import REGION
from tools.local.key import MASTER_SECRET, operator_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DROPPED_FILE = b"""\
user_id,event_type,asset_id,timestamp,labels
ada,order,flat-white,2026-10-01T08:05:00Z,morning
bob,order,espresso,2026-10-01T09:15:00Z,
"""
"""The file that ``events/ingest/inbox-files.json`` is about."""

FOLDER = Path(__file__).resolve().parents[2] / "events"


def sample(name: str) -> Any:
    """The event in ``events/<name>.json``."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def sign_again(event: Any, key_text: str = operator_key()[1]) -> Any:
    """The event, signed now as an AWS SDK does, where it is signed: signatures in files are out of date in minutes."""
    headers: Mapping[str, str] = event.get("headers", {})
    if "authorization" not in headers:
        return event
    body = event["body"]
    request = AWSRequest(
        method=event["requestContext"]["http"]["method"],
        url=f"https://{headers['host']}{event['rawPath']}",
        data=base64.b64decode(body) if event["isBase64Encoded"] else body.encode(),
        headers={name: headers[name] for name in ("content-type", "x-amz-target") if name in headers},
    )
    key_id, _, secret = key_text.partition(".")
    SigV4Auth(Credentials(key_id, secret), "personalize", REGION).add_auth(request)
    return {**event, "headers": {**headers, **{name.lower(): value for name, value in request.headers.items()}}}


def drop_file(s3: S3Client) -> None:
    """Put the file that one sample is about where that says."""
    new = sample("ingest/inbox-files")["detail"]
    s3.put_object(Bucket=new["bucket"]["name"], Key=new["object"]["key"], Body=DROPPED_FILE)


def prepare(store: Store, url: str) -> None:
    """Make what the samples speak of, where it is missing: program, user, asset, access key and model.

    And remove the filter that one of them makes. ``url`` is that of the running stack. Raises DemoFailed.
    """
    client = DemoClient(url, operator_key()[1])
    program = demo_program(store)
    for name in ("collect/post-events", "manage/post-assets"):
        event = sample(name)
        client.call("POST", event["rawPath"], json.loads(event["body"]))
    key_id = sample("manage/put-key")["pathParameters"]["key_id"]
    key = store.access_key(key_id)
    if key is None or key.revoked:
        store.put_access_key(issue_key(MASTER_SECRET, key_id, programs=(program.incarnation,), scopes=(READ,))[0])
    _delete_filter(url, json.loads(base64.b64decode(sample("manage/personalize-control-plane")["body"]))["name"])
    if not is_complete(client):
        rebase(client)


def _delete_filter(url: str, name: str) -> None:
    key_id, _, secret = operator_key()[1].partition(".")
    personalize: Any = boto3.Session(key_id, secret, region_name=REGION).client(
        "personalize", endpoint_url=f"{url}/personalize"
    )
    for resource in personalize.list_filters()["Filters"]:
        if resource["name"] == name:
            personalize.delete_filter(filterArn=resource["filterArn"])
