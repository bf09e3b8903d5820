"""The secret from before a rotation, through every function: it reads and writes, but manages no keys."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from nextbest.domain.access_keys import READ, issue_key, key_text, rotate_key
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.test_samples import REBASES_BEFORE, STATUSES
from tests.infrastructure.test_events import names_of_kind, sample
from tools.local.key import MASTER_SECRET, operator_key
from tools.local.samples import sign_again

MANAGING = {"manage/delete-key", "manage/get-keys", "manage/post-keys", "manage/post-programs", "manage/put-key"}
"""Samples of the calls that take the current secret."""

SUPERSEDED = "superseded when its key was rotated"


@dataclass(slots=True)
class Clients:
    """Those who hold the operator's key: ``old`` is its text from before the last rotation, ``new`` the current one."""

    functions: Functions
    old: str
    new: str

    def rotate(self, *, overlap_seconds: float = 3600.0) -> None:
        """Rotate the key, as another environment would: nothing that is warm here learns of it."""
        store = self.functions.store
        key = store.access_key(operator_key()[0].key_id)
        assert key is not None
        rotated = rotate_key(MASTER_SECRET, key, now=time.time(), overlap_seconds=overlap_seconds)
        store.put_access_key(rotated)
        self.old, self.new = self.new, key_text(MASTER_SECRET, rotated)

    def send(self, secret: str, name: str, **changes: Any) -> tuple[int, str]:
        """The status and body that answer a sample, sent with ``secret`` and with these members changed."""
        event = sample(name) | changes
        if "actionhub-key" in event["headers"]:
            event["headers"] = event["headers"] | {"actionhub-key": secret}
        answer = self.functions.answer(name.split("/")[0], sign_again(event, secret))
        return answer["statusCode"], answer["body"]

    def control(self, secret: str, operation: str, **members: str) -> tuple[int, str]:
        """The same for an operation of the control plane."""
        name = "manage/personalize-control-plane"
        headers = sample(name)["headers"] | {"x-amz-target": f"AmazonPersonalize.{operation}"}
        return self.send(secret, name, headers=headers, body=json.dumps(members), isBase64Encoded=False)


@pytest.fixture
def clients(functions: Functions) -> Clients:
    """A key that was not rotated yet, and data for the samples."""
    key_id = sample("manage/put-key")["pathParameters"]["key_id"]
    key, _ = issue_key(MASTER_SECRET, key_id, programs=(PROGRAM.incarnation,), scopes=(READ,))
    functions.store.put_access_key(key)
    text = operator_key()[1]
    clients = Clients(functions, text, text)
    clients.send(text, "collect/post-events")
    clients.send(text, "manage/post-assets")
    return clients


@pytest.mark.parametrize("name", names_of_kind("HttpApi"))
def test_the_old_secret_does_everything_but_manage_keys(clients: Clients, name: str) -> None:
    for _ in range(REBASES_BEFORE.get(name, 0)):
        clients.functions.answer("rebase", sample("rebase/program"))
    clients.rotate()

    status, body = clients.send(clients.old, name)

    if name in MANAGING:
        assert (status, list(json.loads(body))) == (403, ["detail"])
        assert SUPERSEDED in body
        assert clients.send(clients.new, name)[0] == 200
    else:
        assert status == STATUSES.get(name, 200), body


def test_a_thief_cannot_lock_the_owner_out(clients: Clients) -> None:
    own = f"/keys/{operator_key()[0].key_id}"
    path = {"rawPath": own, "rawQueryString": "overlap_seconds=0", "body": ""}
    # Given environments that are warm with the key from before its rotation
    assert clients.send(clients.new, "manage/get-program")[0] == 200
    assert clients.send(clients.new, "manage/get-keys")[0] == 200
    clients.rotate()

    # When the thief of the old secret rotates again, then they are refused at once
    assert clients.send(clients.old, "manage/put-key", **path)[0] == 403
    assert clients.send(clients.new, "manage/put-key", **path)[0] == 200


def test_programs_are_created_and_deleted_with_the_current_secret(clients: Clients) -> None:
    clients.rotate()
    arn = "arn:aws:personalize:us-east-1:000000000000:dataset-group/tea"

    created = clients.control(clients.old, "CreateDatasetGroup", name="tea")
    assert (created[0], json.loads(created[1])["__type"]) == (400, "AccessDeniedException")
    assert SUPERSEDED in created[1]
    assert clients.control(clients.new, "CreateDatasetGroup", name="tea")[0] == 200

    deleted = clients.control(clients.old, "DeleteDatasetGroup", datasetGroupArn=arn)
    assert (deleted[0], json.loads(deleted[1])["__type"]) == (400, "AccessDeniedException")
    assert clients.control(clients.old, "DescribeDatasetGroup", datasetGroupArn=arn)[0] == 200
    assert clients.control(clients.new, "DeleteDatasetGroup", datasetGroupArn=arn)[0] == 200


@pytest.mark.parametrize("name", ["manage/post-keys", "manage/post-programs"])
def test_what_was_created_is_not_handed_out_again_to_the_old_secret(clients: Clients, name: str) -> None:
    headers = sample(name)["headers"] | {"idempotency-key": "one"}
    created = clients.send(clients.new, name, headers=headers)
    assert created[0] == 200
    clients.rotate()

    status, body = clients.send(clients.old, name, headers=headers)
    assert status == 403
    assert json.loads(created[1])["api_key"].partition(".")[2] not in body
    # Whoever holds the current secret still gets the answer of before
    assert clients.send(clients.new, name, headers=headers) == created


def test_a_created_key_that_was_revoked_stays_revoked_when_its_creation_is_repeated(clients: Clients) -> None:
    headers = sample("manage/post-keys")["headers"] | {"idempotency-key": "one"}
    created = clients.send(clients.new, "manage/post-keys", headers=headers)
    key_id, _, _ = (text := json.loads(created[1])["api_key"]).partition(".")
    assert clients.send(text, "manage/get-program")[0] == 200
    assert clients.send(clients.new, "manage/delete-key", rawPath=f"/keys/{key_id}")[0] == 200

    assert clients.send(clients.new, "manage/post-keys", headers=headers) == created

    key = clients.functions.store.access_key(key_id)
    assert key is not None
    assert key.revoked
    assert len(list(clients.functions.store.access_keys())) == 3
