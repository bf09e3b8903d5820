"""AWS clients, made once per process and tuned for short calls.

botocore alone is enough (boto3's resource layer costs import time and gives Decimals). Parameter validation is off:
what we send is typed and tested, and validation costs a tenth of every call. botocore is imported where a client is
made, because hot reads need none (``direct_reads.py``) and its import is half of a cold start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")

SERVICE_FAILURES = (ClientError, BotoCoreError)
"""What a call to AWS raises when it was refused after all retries, or got no response."""

_FINAL_CODES = frozenset({"SerializationException", "ValidationError", "ValidationException"})


def is_final(error: Exception) -> bool:
    """Whether AWS refused the call itself, and would refuse it again: no outage, but a call that must not be made."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _FINAL_CODES


@cache
def shared_session() -> Session:
    """One session per process: loading its data files twice costs 30 ms."""
    from botocore.session import get_session

    return get_session()


def service_model(service: str) -> Mapping[str, Any]:
    """What botocore knows of a service: its operations and their shapes, as in ``service-2.json``."""
    model: Mapping[str, Any] = shared_session().get_service_data(service)
    return model


def lazily(make: Callable[[], T]) -> T:
    """A client that is made when it is first used."""
    return cast(T, _Lazy(make))


class _Lazy:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


def _client(service: str, **settings: Any) -> Any:
    """A client whose call ends after 12 s at the worst: three tries of 1 + 2 s and up to 1 and 2 s between.

    A healthy service answers in milliseconds, and a function may run for 10 to 60 s: a call that takes longer than two
    seconds is better retried, on another host.
    """
    from botocore.config import Config

    config = Config(
        parameter_validation=False,
        tcp_keepalive=True,
        connect_timeout=1,
        max_pool_connections=16,
        **{"read_timeout": 2, "retries": {"mode": "standard", "total_max_attempts": 3}, **settings},
    )
    return shared_session().create_client(service, config=config)


def dynamodb_client() -> DynamoDBClient:
    """A DynamoDB client; region, credentials and endpoint come from the environment."""
    return cast("DynamoDBClient", _client("dynamodb"))


def s3_client() -> S3Client:
    """An S3 client with one try fewer: in an outage of S3, reads wait for it before they use the last good model."""
    retries = {"mode": "standard", "total_max_attempts": 2}
    # Also URLs are signed by version 4: by default botocore signs them as S3 did before.
    settings = {"s3": {"addressing_style": "path"}, "signature_version": "s3v4"}
    return cast("S3Client", _client("s3", **settings, read_timeout=3, retries=retries))


def sqs_client() -> SQSClient:
    """An SQS client."""
    return cast("SQSClient", _client("sqs"))


class SsmClient(Protocol):
    """What we call of SSM."""

    def get_parameter(self, **request: Any) -> Mapping[str, Any]: ...


def ssm_client() -> SsmClient:
    """An SSM client."""
    return cast(SsmClient, _client("ssm"))


class CloudWatchClient(Protocol):
    """What we call of CloudWatch."""

    def get_metric_data(self, **request: Any) -> Mapping[str, Any]: ...


def cloudwatch_client() -> CloudWatchClient:
    """A CloudWatch client that tries once: what it reads is worth no wait."""
    return cast(CloudWatchClient, _client("cloudwatch", read_timeout=1, retries={"total_max_attempts": 1}))


class EmrServerlessClient(Protocol):
    """What we call of EMR Serverless."""

    def start_job_run(self, **request: Any) -> Mapping[str, Any]: ...

    def get_job_run(self, **request: Any) -> Mapping[str, Any]: ...

    def cancel_job_run(self, **request: Any) -> Mapping[str, Any]: ...


def emr_serverless_client() -> EmrServerlessClient:
    """An EMR Serverless client. Its calls may take some seconds, and nobody waits for them."""
    return cast(EmrServerlessClient, _client("emr-serverless", read_timeout=20))


def lambda_client() -> LambdaClient:
    """A Lambda client."""
    return cast("LambdaClient", _client("lambda"))
