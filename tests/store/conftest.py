"""The store under test, on every DynamoDB engine in use, and on moto's.

dynoxide and ministack are what the local stack runs on. moto is what handlers are tested with in process
(``tests/functions``), so the store has to work on it too.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Hashable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.config import Config
from botocore.session import get_session

from nextbest.aws.table import Table
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.programs import Incarnation, Program
from nextbest.logic import event_log
from nextbest.scoring import Model
from nextbest.store.dynamo import DynamoStore
from nextbest.training import train
from tests.mocked_aws import mocked_aws
from tools.local.engines import CREDENTIALS, DYNOXIDE, REGION
from tools.local.processes import HOST, Processes, free_port, wait_for_port

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

PROGRAM = Program("coffee", "Coffee shop", half_life_days=30, incarnation=Incarnation("coffee@aaaaaaaaaa"))
ENGINES = ("dynoxide", "ministack", "moto")
NOT_ON_MOTO = {
    "test_settings_changed_after_a_rebase_count_at_once": "moto takes ten seconds for the many events of one user",
    "test_labels_are_refused_beyond_what_a_program_may_have": "moto counts what an update replaces as part of the item",
    "test_a_tail_that_has_no_room_is_folded_first": "moto counts what an update replaces as part of the item",
    "test_events_whose_history_is_contended_for_ever_are_stored_and_marked": "moto counts what an update replaces, too",
    "test_users_whose_history_lacks_events_are_found": "moto takes ten seconds for the many users",
}


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


def dynamodb(endpoint_url: str | None) -> DynamoDBClient:
    """A client of the engine at the URL; without one, of AWS, which moto stands in for."""
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
def table(request: pytest.FixtureRequest, start_engine: Callable[[str], str]) -> Iterator[Table]:
    """An empty table, in turn on every engine."""
    test = request.node.originalname
    if request.param == "moto" and test in NOT_ON_MOTO:
        pytest.skip(NOT_ON_MOTO[test])
    with mocked_aws() if request.param == "moto" else nullcontext():
        url = None if request.param == "moto" else start_engine(request.param)
        yield create_table(dynamodb(url), f"test-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def models() -> dict[Hashable, Model]:
    """What was learned so far, by what it was learned from."""
    return {}


@pytest.fixture(autouse=True)
def each_model_is_learned_once(
    models: dict[Hashable, Model], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebases of the same events at the same time share one model: what is tested here is the store around it.

    Not where ``learned_every_time`` is asked for.
    """

    def learn(events: EventColumns, **settings: Any) -> Model:
        key = (tuple(events), *settings.items())
        if key not in models:
            models[key] = train(events, **settings)
        return models[key]

    if "learned_every_time" not in request.fixturenames:
        monkeypatch.setattr(event_log, "train", learn)


@pytest.fixture
def learned_every_time() -> None:
    """For tests of the learning itself."""


@pytest.fixture
def store(table: Table) -> DynamoStore:
    made = DynamoStore(table)
    made.create_program(PROGRAM)
    return made
