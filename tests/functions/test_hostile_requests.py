"""Requests that no honest client sends, to every route of both APIs: refused with a 4xx in the API's own words.

Nothing that strangers send rings an alarm: no line of level error is logged. AWS is as strict here as in the cloud
(``tests/aws_limits.py``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings

from nextbest.aws.direct_reads import Endpoint
from nextbest.domain.access_keys import READ, issue_key
from nextbest.observability import logger
from tests.aws_limits import refuse_what_aws_refuses
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.hostile_requests import HALF_A_PAIR, Sent, authorization, changed, hostile_requests
from tests.infrastructure.test_events import sample
from tools.local.key import MASTER_SECRET

RECOMMENDATIONS = "recommendations/get-action-recommendations"


class Alarms(logging.Handler):
    """Collects what is logged as an error: an alarm counts these lines."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {vars(record).get('error', '')}")


@pytest.fixture
def alarms() -> Iterator[Alarms]:
    handler, lines = Alarms(), logging.getLogger(logger.name)
    lines.addHandler(handler)
    yield handler
    lines.removeHandler(handler)


@pytest.fixture
def strict(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """The functions, with data for the samples, on an AWS that refuses what the cloud refuses."""
    make_api_call: Callable[..., Any] = vars(BaseClient)["_make_api_call"]
    send = Endpoint.send

    def make_strict_call(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        refuse_what_aws_refuses(operation, arguments)
        return make_api_call(client, operation, arguments)

    def send_strictly(endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Any:
        if "x-amz-target" in headers:
            try:
                refuse_what_aws_refuses(headers["x-amz-target"].rpartition(".")[2], json.loads(body))
            except ClientError:
                return None
        return send(endpoint, method, path, headers, body)

    monkeypatch.setattr(BaseClient, "_make_api_call", make_strict_call)
    monkeypatch.setattr(Endpoint, "send", send_strictly)
    key_id = sample("manage/put-key")["pathParameters"]["key_id"]
    functions.store.put_access_key(issue_key(MASTER_SECRET, key_id, programs=(PROGRAM.incarnation,), scopes=(READ,))[0])
    for name in ("collect/post-events", "manage/post-assets"):
        assert functions.answer(name.split("/")[0], sample(name))["statusCode"] == 200
    functions.answer("rebase", sample("rebase/program"))
    return functions


def check(strict: Functions, alarms: Alarms, sent: Sent) -> int:
    """The status of the answer, which is in the API's own form."""
    answer = strict.answer(sent.function, json.loads(json.dumps(sent.event)))

    assert answer["statusCode"] < 500, answer
    assert not alarms.lines
    # To those who are no browser the root of the API answers in the API's form.
    if sent.function == "console" and sent.event["rawPath"] != "/":
        assert answer["statusCode"] < 400 or answer["headers"]["content-type"].startswith("text/html")
    elif answer["statusCode"] >= 400:
        assert answer["headers"]["content-type"].startswith("application/")
        body = json.loads(answer["body"])
        if sent.is_personalize:
            assert body.keys() == {"__type", "message"}
            assert answer["headers"]["x-amzn-ErrorType"] == body["__type"]
        else:
            assert list(body) == ["detail"]
    return int(answer["statusCode"])


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(hostile_requests())
def test_any_request_is_answered_or_refused(strict: Functions, alarms: Alarms, sent: Sent) -> None:
    check(strict, alarms, sent)


def put_actions(properties: str) -> Sent:
    body = {
        "datasetArn": "arn:aws:personalize:us-east-1:000000000000:dataset/demo/ACTIONS",
        "actions": [{"actionId": "a", "properties": properties}],
    }
    return changed("collect/put-actions", body=json.dumps(body), isBase64Encoded=False)


def put_interaction(**members: Any) -> Sent:
    row = {"actionId": "a", "userId": "u", "sessionId": "s", "timestamp": 1.7e9, "eventType": "TAKEN", **members}
    body = {"trackingId": "demo", "actionInteractions": [row]}
    return changed("collect/put-action-interactions", body=json.dumps(body), isBase64Encoded=False)


def signed_by(key_id: str, campaign: str = "demo") -> Sent:
    body = {"campaignArn": f"arn:aws:personalize:us-east-1:000000000000:campaign/{campaign}", "userId": "u"}
    headers = {"authorization": authorization(key_id)}
    return changed(RECOMMENDATIONS, headers=headers, body=json.dumps(body), isBase64Encoded=False)


def kinds() -> dict[str, tuple[Sent, int]]:
    """Each was a 5xx or rang an alarm, at once or with a later read. Signed now: signatures are good for minutes."""
    return {
        "a key id that is too long to be read": (signed_by("x" * 1025), 403),
        "a key id that is another's sort key": (signed_by("P", campaign="key"), 403),
        "a program called as the keys are": (
            changed("actions/get-actions", headers={"program-id": "key", "actionhub-key": "P.secret"}),
            403,
        ),
        "an empty part of a path": (changed("actions/get-actions", rawPath="/users//actions"), 404),
        "an odd content type at an odd path": (
            changed("collect/post-events", rawPath="/events;a=b", headers={"content-type": "x"}),
            404,
        ),
        "a token that is none": (changed("manage/export-user", rawQueryString="next_token=SDA="), 422),
        "a token that is too long": (changed("manage/get-keys", rawQueryString=f"next_token={'A' * 3000}"), 422),
        "a key for a program without a name": (
            changed("manage/post-keys", body='{"programs":[""],"scopes":["read"]}'),
            404,
        ),
        "half a surrogate pair in properties": (put_actions('{"a":"\\ud800"}'), 400),
        "half a surrogate pair in a name of properties": (put_actions('{"\\ud800":"a"}'), 400),
        "an interaction of the year 9999": (put_interaction(timestamp=253_402_300_799), 400),
        "base64 that ends too early": (changed("collect/post-events", body="e", isBase64Encoded=True), 400),
        "half a surrogate pair in a path that is redirected": (
            changed("manage/get-user-labels", rawPath=f"/users/{HALF_A_PAIR}/labels/"),
            307,
        ),
    }


@pytest.mark.parametrize("kind", kinds())
def test_a_kind_that_failed_once_is_refused(strict: Functions, alarms: Alarms, kind: str) -> None:
    sent, status = kinds()[kind]

    assert check(strict, alarms, sent) == status


def test_a_user_with_more_names_than_an_item_holds_is_stored_and_read(strict: Functions, alarms: Alarms) -> None:
    random = Random(5)

    def name(characters: int) -> str:
        return "".join(chr(0x4E00 + random.randrange(20_000)) for _ in range(characters))

    rows = [
        {"user_id": "ada", "event_timestamp": 1.7e9 + n, "event_type": name(128), "asset_id": name(64), "labels": []}
        for n in range(1000)
    ]

    assert check(strict, alarms, changed("collect/post-events", body=json.dumps({"events": rows}))) == 200
    assert check(strict, alarms, changed("actions/get-actions")) == 200
