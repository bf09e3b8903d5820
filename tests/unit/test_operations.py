"""The doctor on a deployment in AWS, played by moto."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import boto3
import pytest

from nextbest.domain.access_keys import split_key
from nextbest.logic.health import Finding
from nextbest.personalize.protocol.signature import SignatureRefused
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.store.dynamo import DynamoStore
from nextbest.store.master_secret import PUBLIC_MASTER_SECRET
from nextbest.web.request import Request
from tools.cli.commands.deployment import _issue_key
from tools.cli.deployment import Deployment, OperationFailed, Stack
from tools.cli.doctor import examine

NOW = 1_790_000_000.0
NOBODY = "http://127.0.0.1:9"  # the discard port


def deployment(session: boto3.Session, *, protected: bool) -> Deployment:
    session.client("dynamodb").create_table(
        TableName="events",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=protected,
    )
    s3 = session.client("s3")
    s3.create_bucket(Bucket="artifacts")
    if protected:
        session.client("dynamodb").update_continuous_backups(
            TableName="events", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
        store_secret(session, "a secret of one's own, longer than 32 characters")
        s3.put_bucket_policy(Bucket="artifacts", Policy=policy(over_tls_only("s3:*")))
    s3.put_public_access_block(
        Bucket="artifacts",
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": protected,
            "IgnorePublicAcls": protected,
            "BlockPublicPolicy": protected,
            "RestrictPublicBuckets": protected,
        },
    )
    make: Any = session.client
    sqs = make("sqs")
    urls = {
        name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("Queue", "DeadLetters", "FailedInvocations")
    }
    if protected:
        dead_letters = sqs.get_queue_attributes(QueueUrl=urls["DeadLetters"], AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": dead_letters["Attributes"]["QueueArn"], "maxReceiveCount": 5}
        from_the_bus = {
            **{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}},
            **{"Action": "sqs:SendMessage", "Resource": "*"},
        }
        for name, more in (
            ("Queue", {"RedrivePolicy": json.dumps(redrive), "Policy": policy(over_tls_only("sqs:*"))}),
            ("DeadLetters", {"Policy": policy(over_tls_only("sqs:*"))}),
            ("FailedInvocations", {"Policy": policy(over_tls_only("sqs:*"), from_the_bus)}),
        ):
            sqs.set_queue_attributes(QueueUrl=urls[name], Attributes=more)
    return Deployment(
        url=NOBODY,
        table_name="events",
        bucket="artifacts",
        queue_url=urls["Queue"],
        dead_letters_url=urls["DeadLetters"],
        failed_invocations_url=urls["FailedInvocations"],
        master_secret_parameter="/nextbest/stack/master-secret",
        stack=Stack("nextbest-prod", "UPDATE_COMPLETE", {}, ()),
        session=session,
        endpoints={},
    )


def policy(*statements: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def over_tls_only(action: str) -> dict[str, object]:
    return {
        **{"Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*"},
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def failures(deployment: Deployment) -> list[Finding]:
    return [finding for finding in examine(deployment, now=NOW) if not finding.is_ok]


def test_only_the_silent_api_of_a_protected_deployment_fails(session: boto3.Session) -> None:
    assert [finding.subject for finding in failures(deployment(session, protected=True))] == ["API"]


def test_everything_unprotected_and_dead_letters_are_named(session: boto3.Session) -> None:
    found = deployment(session, protected=False)
    session.client("sqs").send_message(QueueUrl=found.dead_letters_url, MessageBody="{}")

    named = [f"{finding.subject}: {finding.state}" for finding in failures(found)]

    assert named[1:] == [
        "table: deletion protection: False",
        "table: point-in-time recovery: DISABLED",
        "bucket: artifacts, versioning off",
        "bucket: public access blocked: False",
        "bucket: reached over TLS only: False",
        "dead letters: 1",
        "master secret: there is no master secret",
        "queue: reached over TLS only: False",
        "dead letters: reached over TLS only: False",
        "failed invocations: reached over TLS only: False",
        "queue: what keeps failing goes to the dead letters: False",
        "failed invocations: EventBridge may send: False",
    ]


def test_the_other_checks_go_on_without_a_table(session: boto3.Session) -> None:
    found = deployment(session, protected=False)
    session.client("dynamodb").delete_table(TableName="events")

    named = [finding.subject for finding in examine(found, now=NOW)]

    assert "AWS" in named
    assert "dead letters" in named


def test_a_master_secret_that_is_missing_or_public_is_named(session: boto3.Session) -> None:
    found = deployment(session, protected=False)
    (missing,) = [finding for finding in failures(found) if finding.subject == "master secret"]
    assert missing.state == "there is no master secret"
    assert "aws ssm put-parameter --type SecureString --name /nextbest/stack/master-secret" in missing.fix

    store_secret(session, PUBLIC_MASTER_SECRET)
    (public,) = [finding for finding in failures(found) if finding.subject == "master secret"]
    assert public.state == "the master secret is the public one of local stacks"

    store_secret(session, "a secret of one's own, longer than 32 characters")
    assert not [finding for finding in failures(found) if finding.subject == "master secret"]


def test_a_master_secret_that_is_not_encrypted_is_named(session: boto3.Session) -> None:
    found = deployment(session, protected=False)
    session.client("ssm").put_parameter(Name="/nextbest/stack/master-secret", Value="open to all", Type="String")

    (named,) = [finding for finding in failures(found) if finding.subject == "master secret"]
    assert named.state == "the master secret is not encrypted"
    assert named.fix.endswith(" --overwrite")


def test_no_key_of_a_deployment_is_made_from_the_public_master_secret(session: boto3.Session) -> None:
    found = deployment(session, protected=True)
    store_secret(session, PUBLIC_MASTER_SECRET)

    with pytest.raises(OperationFailed, match="public one of local stacks"):
        _issue_key(found, argparse.Namespace())
    assert session.client("dynamodb").scan(TableName="events")["Items"] == []


class _Api(BaseHTTPRequestHandler):
    """An API that checks the signature of any call, and reads keys where ``issue-key`` writes them."""

    store: ClassVar[DynamoStore]
    master_secret: ClassVar[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request("POST", self.path, headers=headers, body=body)
        caller = SignedCaller.of(request, lambda: self.master_secret)
        status, content = 200, b'{"datasetGroups": []}'
        try:
            caller.prove(self.store.access_key(caller.key_id), now=time.time())
        except SignatureRefused as refused:
            status, content = 403, b'{"__type": "%s"}' % refused.code.encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Nothing: the test looks at the answers."""


@pytest.fixture
def api(session: boto3.Session) -> Iterator[Deployment]:
    """A deployment whose API has the master secret of its parameter."""
    found = deployment(session, protected=True)
    _Api.store, _Api.master_secret = found.store(), found.master_secret()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield replace(found, url=f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_key_is_issued_that_the_api_accepts(api: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    assert _issue_key(api, argparse.Namespace()) == 0

    key_id, secret = split_key(capsys.readouterr().out.strip())
    stored = api.store().access_key(key_id)
    assert stored is not None
    assert stored.accepts(secret, now=NOW)
    assert stored.opens_every_program


def test_no_key_is_issued_that_the_api_would_refuse(api: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    _Api.master_secret = "another secret, of another deployment"

    with pytest.raises(OperationFailed, match=r"InvalidSignature.*not that of the parameter /nextbest/stack/"):
        _issue_key(api, argparse.Namespace())

    assert capsys.readouterr().out == ""
    assert list(api.store().access_keys()) == []


def test_no_key_is_issued_where_the_api_does_not_answer(api: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OperationFailed, match="does not answer"):
        _issue_key(replace(api, url=NOBODY), argparse.Namespace())

    assert capsys.readouterr().out == ""
    assert list(api.store().access_keys()) == []


def store_secret(session: boto3.Session, secret: str) -> None:
    session.client("ssm").put_parameter(
        Name="/nextbest/stack/master-secret", Value=secret, Type="SecureString", Overwrite=True
    )
