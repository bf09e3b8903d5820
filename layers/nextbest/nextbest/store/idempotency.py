"""Where Powertools' Idempotency keeps what creating calls answered: items of the one table, which DynamoDB removes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.store.keys import IDEMPOTENCY

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency import BasePersistenceLayer
    from mypy_boto3_dynamodb import DynamoDBClient


def idempotency_records(client: DynamoDBClient, table_name: str) -> BasePersistenceLayer:
    """The records in a table. Imports Powertools' layer and boto3, which few calls need."""
    from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

    return DynamoDBPersistenceLayer(
        table_name,
        key_attr="pk",
        sort_key_attr="sk",
        static_pk_value=IDEMPOTENCY,
        expiry_attr="ttl",
        boto3_client=client,
    )
