"""Every sample event through its function, on real engines, with each call to AWS noted.

So the samples are true, and the roles of the template suffice: a permission that a function needs and does not have
would show only after a deployment.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Protocol

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.credentials import Credentials

from nextbest.aws.direct_reads import Endpoint
from nextbest.aws.table import Table
from nextbest.domain.programs import Program
from nextbest.store.dynamo import DynamoStore
from tests.infrastructure.cloudformation import ROOT
from tests.infrastructure.permissions import ALLOWED, permissions_of
from tests.infrastructure.test_events import names_of_kind, sample
from tests.lambda_context import LambdaContext
from tools.local.engines import REGION, start_engines
from tools.local.key import MASTER_SECRET, operator_key
from tools.local.processes import Processes
from tools.local.resources import dynamodb_client, s3_client, sqs_client

TABLE = "samples"
BUCKET = "samples"
QUEUE = "samples"

Change = Callable[[Any], Any]


class Run(Protocol):
    """Runs one sample, changed where a change is given: the answer, and the permissions that its calls to AWS took."""

    def __call__(self, name: str, change: Change = ...) -> tuple[Any, set[str]]: ...


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs samples through their functions, on engines of this module."""
    state = tmp_path_factory.mktemp("engines")
    (state / "logs").mkdir()
    processes = Processes()
    engines = start_engines(processes, state=state, logs=state / "logs")
    dynamodb_client(engines).create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    )
    s3_client(engines).create_bucket(Bucket=BUCKET)
    s3_client(engines).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    sqs_client(engines).create_queue(QueueName=QUEUE)
    store = DynamoStore(Table(dynamodb_client(engines), TABLE))
    store.create_program(Program("demo"))
    store.put_access_key(operator_key()[0])
    operations: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engines.variables().items():
            patch.setenv(name, value)
        patch.setenv("TABLE_NAME", TABLE)
        patch.setenv("ARTIFACT_BUCKET", BUCKET)
        patch.setenv("QUEUE_URL", engines.queue_url(QUEUE))
        patch.setenv("REBASE_FUNCTION_NAME", "rebase")
        patch.setenv("MASTER_SECRET", MASTER_SECRET)
        patch.setenv("PROGRAM_REQUESTS_PER_SECOND", "0")
        patch.setenv("LOG_LEVEL", "ERROR")
        patch.setattr(BaseClient, "_make_api_call", noting(operations))
        patch.setattr(Endpoint, "send", noting_direct(operations))

        def run_sample(name: str, change: Change = lambda event: event) -> tuple[Any, set[str]]:
            app = load(name.split("/")[0])
            operations.clear()
            answer = app.handler(signed_now(change(sample(name))), LambdaContext())
            return answer, {permission for operation in operations for permission in permissions_of(operation)}

        run_sample("collect/post-events")
        run_sample("manage/post-assets")
        yield run_sample
    processes.close()


def signed_now(event: Any) -> Any:
    """The event, its signature of an AWS SDK made anew where it has one: those in the files are long out of date."""
    headers = event.get("headers", {})
    if "authorization" not in headers:
        return event
    body = event["body"]
    request = AWSRequest(
        method=event["requestContext"]["http"]["method"],
        url=f"https://{headers['host']}{event['rawPath']}",
        data=base64.b64decode(body) if event["isBase64Encoded"] else body.encode(),
        headers={name: headers[name] for name in ("content-type", "x-amz-target") if name in headers},
    )
    key_id, _, secret = operator_key()[1].partition(".")
    SigV4Auth(Credentials(key_id, secret), "personalize", REGION).add_auth(request)
    return {**event, "headers": headers | {name.lower(): value for name, value in request.headers.items()}}


def noting(operations: set[str]) -> Callable[..., Any]:
    """botocore's method that makes a call, noting the operation first; Lambda itself is not there to be called."""
    make_api_call: Callable[..., Any] = vars(BaseClient)["_make_api_call"]

    def noted(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        operations.add(operation)
        return {"StatusCode": 202} if operation == "Invoke" else make_api_call(client, operation, arguments)

    return noted


def noting_direct(operations: set[str]) -> Callable[..., Any]:
    """The same for the reads that go without botocore."""
    send = Endpoint.send

    def noted(endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Any:
        operations.add(headers.get("x-amz-target", "S3.GetObject").rpartition(".")[2])
        return send(endpoint, method, path, headers, body)

    return noted


def load(function: str) -> ModuleType:
    """The function's ``app`` under a name of its own, imported once."""
    name = f"app_of_{function}"
    if name in sys.modules:
        return sys.modules[name]
    path = ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", names_of_kind("HttpApi"))
def test_http_sample_is_answered_with_what_the_role_allows(run: Run, name: str) -> None:
    answer, permissions = run(name)

    assert answer["statusCode"] < 500, answer
    if name == "manage/otherwise":
        assert answer["statusCode"] == 404
    assert permissions <= ALLOWED[name.split("/")[0]]


def test_the_user_of_the_samples_gets_recommendations(run: Run) -> None:
    run("collect/post-events")
    run("actions/get-actions")
    answer, permissions = run("actions/get-actions")

    assert answer["statusCode"] == 200, answer
    assert permissions == {"dynamodb:BatchGetItem"}  # warm: one kind of call, and it reads


def test_personalize_gives_recommendations_too(run: Run) -> None:
    run("collect/post-events")
    run("recommendations/get-action-recommendations")
    answer, permissions = run("recommendations/get-action-recommendations")

    assert answer["statusCode"] == 200, answer
    assert permissions == {"dynamodb:BatchGetItem"}


def behind(prefix: str, *, stage: str = "$default", domain: str = "api.example.com") -> Change:
    """Moves an event behind a path that precedes its route's, as a named stage or a custom domain's base path does."""

    def moved(event: Any) -> Any:
        headers = {**event["headers"], "host": domain}
        context = {**event["requestContext"], "stage": stage, "domainName": domain}
        return {**event, "rawPath": prefix + event["rawPath"], "headers": headers, "requestContext": context}

    return moved


def as_list_filters(event: Any) -> Any:
    """The control plane's sample as another operation, posted where SDKs post it."""
    headers = {**event["headers"], "x-amz-target": "AmazonPersonalize.ListFilters"}
    changes = {"routeKey": "$default", "rawPath": "/personalize/", "body": "{}", "isBase64Encoded": False}
    return {**event, **changes, "headers": headers}


@pytest.mark.parametrize(
    "change",
    [
        behind("/prod", stage="prod", domain="a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"),
        behind("/v1"),
        behind("/prod/next/best", stage="prod"),
    ],
    ids=["stage", "base path", "both"],
)
@pytest.mark.parametrize(
    "name",
    [
        "actions/get-actions",
        "collect/post-events",
        "collect/put-action-interactions",
        "manage/get-docs",
        "manage/get-program",
        "manage/get-user-events",
        "recommendations/get-action-recommendations",
    ],
)
def test_what_precedes_a_route_changes_no_answer(run: Run, name: str, change: Change) -> None:
    run("collect/post-events")
    answer, _ = run(name, change)

    assert answer["statusCode"] == 200, answer


@pytest.mark.parametrize("change", [behind("/prod", stage="prod"), behind("/v1")], ids=["stage", "base path"])
def test_the_control_plane_answers_wherever_sdks_post_it(run: Run, change: Change) -> None:
    for posted in (as_list_filters, lambda event: change(as_list_filters(event))):
        answer, _ = run("manage/personalize-control-plane", posted)

        assert answer["statusCode"] == 200, answer
        assert "Filters" in json.loads(answer["body"])


def test_queued_sample_is_stored(run: Run) -> None:
    answer, permissions = run("ingest/queued-events")

    assert answer == {"batchItemFailures": []}
    assert permissions <= ALLOWED["ingest"]


def test_bus_sample_is_stored(run: Run) -> None:
    answer, permissions = run("ingest/bus-events")

    assert answer == {}
    assert permissions <= ALLOWED["ingest"]


@pytest.mark.parametrize("name", ["rebase/program", "rebase/schedule"])
def test_rebase_samples_rebase(run: Run, name: str) -> None:
    answer, permissions = run(name)

    assert answer["model"] if name == "rebase/program" else answer["models"]["demo"]
    assert "s3:PutObject" in permissions
    assert permissions <= ALLOWED["rebase"]
