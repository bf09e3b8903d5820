"""What the data rests on: encrypted, private, recoverable, and not gone with the stack."""

from __future__ import annotations

import pytest

from tests.infrastructure.cloudformation import Document, as_list, of_type, statements, the_only

TABLE = "AWS::DynamoDB::Table"
BUCKET = "AWS::S3::Bucket"
QUEUE = "AWS::SQS::Queue"


@pytest.mark.parametrize("kind", [TABLE, BUCKET])
def test_data_outlives_the_stack(template: Document, kind: str) -> None:
    resource = the_only(template, kind)

    assert resource["DeletionPolicy"] == "Retain"
    assert resource["UpdateReplacePolicy"] == "Retain"


def test_table_is_on_demand_with_the_keys_of_the_store(template: Document) -> None:
    table = the_only(template, TABLE)["Properties"]

    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert table["AttributeDefinitions"] == [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ]


def test_table_is_encrypted_recoverable_and_cannot_be_deleted(template: Document) -> None:
    table = the_only(template, TABLE)["Properties"]

    # Without a specification, AWS encrypts with a key of its own.
    managed, otherwise = table["SSESpecification"]["Fn::If"][1:]
    assert managed == {"SSEEnabled": True}
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


def test_bucket_is_encrypted_versioned_and_private(template: Document) -> None:
    bucket = the_only(template, BUCKET)["Properties"]

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_bucket_forgets_old_versions_and_broken_uploads_but_nothing_current(template: Document) -> None:
    rules = the_only(template, BUCKET)["Properties"]["LifecycleConfiguration"]["Rules"]

    assert all(rule["Status"] == "Enabled" for rule in rules)
    assert any("NoncurrentVersionExpiration" in rule for rule in rules)
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    # The model that serves may be of any age. Files that were dropped are stored or rejected by then; decisions name
    # users by hashes alone, but filter values are as clients sent them.
    expiring = {"ExpirationInDays", "ExpirationDate", "Transitions"}
    assert {rule["Prefix"] for rule in rules if expiring & rule.keys()} == {
        *("inbox/", "rejected/", "decisions/", "exports/")
    }
    assert not any("Prefix" in rule for rule in rules if not expiring & rule.keys())


def test_queues_are_reached_over_tls_only(template: Document) -> None:
    refused = [
        resource["Fn::GetAtt"][0]
        for name, statement in statements(template)
        if template["Resources"][name]["Type"] == "AWS::SQS::QueuePolicy" and statement["Effect"] == "Deny"
        for resource in as_list(statement["Resource"])
        if statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and (statement["Principal"], statement["Action"]) == ("*", "sqs:*")
    ]

    assert sorted(refused) == sorted(of_type(template, QUEUE))


def test_bucket_is_reached_over_tls_only(template: Document) -> None:
    (statement,) = [statement for name, statement in statements(template) if name == "ArtifactsPolicy"]

    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Action"] == "s3:*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2  # the bucket, and what is in it


def test_every_queue_is_encrypted_and_keeps_messages_as_long_as_possible(template: Document) -> None:
    queues = of_type(template, QUEUE)

    assert queues.keys() == {"Queue", "DeadLetters", "FailedInvocations"}
    for queue in queues.values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 60 * 60


def test_a_message_that_keeps_failing_lands_among_the_dead_letters(template: Document) -> None:
    redrive = template["Resources"]["Queue"]["Properties"]["RedrivePolicy"]

    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}, "maxReceiveCount": 5}
    assert "RedrivePolicy" not in template["Resources"]["DeadLetters"]["Properties"]
