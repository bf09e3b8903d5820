"""The store under test, on every DynamoDB engine in use."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import pytest
from botocore.config import Config
from botocore.session import get_session

from nextbest.aws.table import Table
from nextbest.domain.programs import Program
from nextbest.store.dynamo import DynamoStore
from tools.local.engines import CREDENTIALS, DYNOXIDE, REGION
from tools.local.processes import HOST, Processes, free_port, wait_for_port

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

PROGRAM = Program("coffee", "Coffee shop", half_life_days=30)
ENGINES = ("dynoxide", "ministack")


@pytest.fixture(scope="session")
def start_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts an engine at its first use; the URL it listens on."""
    processes = Processes()
    folder = tmp_path_factory.mktemp("engines")
    urls: dict[str, str] = {}

    def start(engine: str) -> str:
        if engine not in urls:
            port = free_port()
            log = folder / f"{engine}.log"
            command, variables = _command(engine, port)
            environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
            child = processes.start(command, log=log, environment=environment, folder=folder)
            wait_for_port(child, port, log=log, seconds=30)
            urls[engine] = f"http://{HOST}:{port}"
        return urls[engine]

    yield start
    processes.close()


def _command(engine: str, port: int) -> tuple[list[str], dict[str, str]]:
    if engine == "dynoxide":
        return [str(DYNOXIDE), "serve", "--host", HOST, "--port", str(port)], {}
    return [sys.executable, "-m", "ministack"], {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": HOST,
        "SERVICES": "dynamodb,s3",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
    }


def dynamodb(endpoint_url: str) -> DynamoDBClient:
    client = get_session().create_client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=endpoint_url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    return cast("DynamoDBClient", client)


def s3(endpoint_url: str) -> S3Client:
    client = get_session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint_url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )
    return cast("S3Client", client)


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


@pytest.fixture(params=ENGINES)
def table(request: pytest.FixtureRequest, start_engine: Callable[[str], str]) -> Table:
    return create_table(dynamodb(start_engine(request.param)), f"test-{uuid.uuid4().hex}")


@pytest.fixture
def store(table: Table) -> DynamoStore:
    made = DynamoStore(table)
    made.create_program(PROGRAM)
    return made
