"""AWS clients, made once per process and tuned for short calls.

botocore alone is enough (boto3's resource layer costs import time and gives Decimals). Parameter validation is off:
what we send is typed here and tested, and it costs a tenth of every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session, get_session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CONFIG = Config(
    parameter_validation=False,
    tcp_keepalive=True,
    connect_timeout=2,
    read_timeout=10,
    max_pool_connections=16,
    retries={"mode": "standard", "max_attempts": 4},
)
S3_CONFIG = CONFIG.merge(Config(s3={"addressing_style": "path"}, read_timeout=30))

SERVICE_FAILURES = (ClientError, BotoCoreError)
"""What a call to AWS raises when it was refused after all retries, or found nobody."""

_session: Session | None = None


def _shared_session() -> Session:
    global _session  # noqa: PLW0603 - one session per process: loading its data files twice costs 30 ms
    if _session is None:
        _session = get_session()
    return _session


def dynamodb_client() -> DynamoDBClient:
    """A DynamoDB client; region, credentials and endpoint come from the environment."""
    return cast("DynamoDBClient", _shared_session().create_client("dynamodb", config=CONFIG))


def s3_client() -> S3Client:
    """An S3 client."""
    return cast("S3Client", _shared_session().create_client("s3", config=S3_CONFIG))


def sqs_client() -> SQSClient:
    """An SQS client."""
    return cast("SQSClient", _shared_session().create_client("sqs", config=CONFIG))


def lambda_client() -> LambdaClient:
    """A Lambda client."""
    return cast("LambdaClient", _shared_session().create_client("lambda", config=CONFIG))
