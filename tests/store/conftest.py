"""The store under test, on every DynamoDB engine in use."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest
from botocore.session import get_session
from moto import mock_aws

from nextbest.programs import Program
from nextbest.store.dynamo import DynamoStore
from nextbest.store.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PROGRAM = Program("coffee", "Coffee shop", half_life_days=30)


def dynamodb(endpoint_url: str | None = None) -> DynamoDBClient:
    client = get_session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=endpoint_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    return cast("DynamoDBClient", client)


def create_table(client: DynamoDBClient, name: str) -> Table:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return Table(client, name)


@pytest.fixture(params=["http://127.0.0.1:18001", "http://127.0.0.1:18002"])
def table(request: pytest.FixtureRequest) -> Table:
    return create_table(dynamodb(request.param), f"test-{uuid.uuid4().hex}")


@pytest.fixture
def store(table: Table) -> DynamoStore:
    made = DynamoStore(table)
    made.create_program(PROGRAM)
    return made
