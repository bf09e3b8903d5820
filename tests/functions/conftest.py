"""The functions in this process, in an AWS that moto stands in for: no ports, and a fresh one for every test."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from botocore.client import BaseClient

from nextbest.aws.direct_reads import Endpoint
from nextbest.domain.programs import Program
from nextbest.store.dynamo import DynamoStore
from nextbest.store.master_secret import LOCAL_VARIABLE
from tests.infrastructure.cloudformation import ROOT, TEMPLATE
from tests.infrastructure.permissions import permissions_of
from tests.lambda_context import LambdaContext
from tests.mocked_aws import mocked_aws
from tools.local.engines import REGION, Engines
from tools.local.key import PARAMETERS, operator_key
from tools.local.resources import create_resources, open_store
from tools.local.template import Application, read_application

AWS = Engines(
    dynamodb_url=f"https://dynamodb.{REGION}.amazonaws.com",
    s3_url=f"https://s3.{REGION}.amazonaws.com",
    sqs_url=f"https://sqs.{REGION}.amazonaws.com",
    ssm_url=f"https://ssm.{REGION}.amazonaws.com",
    processes={},
)
PROGRAM = Program("demo")
"""The program of the samples."""


@dataclass(slots=True)
class Functions:
    """All functions of the template, with its variables and on its table, bucket and queues.

    ``operations`` are the calls to AWS of the last event, by their names in the API; ``started`` what functions were
    invoked with meanwhile, which nobody runs but ``run_started``.
    """

    application: Application
    store: DynamoStore
    patch: pytest.MonkeyPatch
    operations: set[str]
    started: list[Any] = field(default_factory=list)
    modules: dict[str, ModuleType] = field(default_factory=dict)

    def answer(self, function: str, event: object) -> Any:
        """What the function returns for the event."""
        for name, value in self.application.function(function).variables.items():
            self.patch.setenv(name, value)
        self.patch.setenv("AWS_LAMBDA_FUNCTION_NAME", self.application.function(function).logical_id)
        self.patch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str(self.application.function(function).memory_megabytes))
        if function not in self.modules:
            self.modules[function] = load(function)
        self.operations.clear()
        return self.modules[function].handler(event, LambdaContext(function_name=function))

    def run_started(self) -> list[Any]:
        """What the function ``rebase`` returns for all that it was invoked with since the last time."""
        events, self.started[:] = list(self.started), []
        return [self.answer("rebase", event) for event in events]

    def permissions(self) -> set[str]:
        """The permissions that the calls of the last event took."""
        return {permission for operation in self.operations for permission in permissions_of(operation)}


def load(function: str) -> ModuleType:
    """The function's ``app``, imported for this caller alone: it reads the environment and opens the store."""
    path = ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(f"app_of_{function}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def application() -> Application:
    return read_application(TEMPLATE, parameters=PARAMETERS, queue_url=AWS.queue_url)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """The functions, a program without events, and the key of the samples."""
    operations: set[str] = set()
    with ExitStack() as stack:
        stack.enter_context(mocked_aws())
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, REGION)
        monkeypatch.setenv(LOCAL_VARIABLE, "true")  # with the public master secret, functions start nowhere else
        create_resources(application(), AWS)
        store = open_store(application(), AWS)
        store.create_program(PROGRAM)
        store.put_access_key(operator_key()[0])
        functions = Functions(application(), store, monkeypatch, operations)
        monkeypatch.setattr(BaseClient, "_make_api_call", _noting(functions))
        monkeypatch.setattr(Endpoint, "send", _noting_direct(operations))
        yield functions


def _noting(functions: Functions) -> Callable[..., Any]:
    """botocore's method that makes a call, noting the operation first; Lambda itself is not there to be called."""
    make_api_call: Callable[..., Any] = vars(BaseClient)["_make_api_call"]

    def noted(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        functions.operations.update(_parts_of(operation, arguments))
        if operation != "Invoke":
            return make_api_call(client, operation, arguments)
        functions.started.append(json.loads(arguments["Payload"]))
        return {"StatusCode": 202}

    return noted


def _parts_of(operation: str, arguments: Mapping[str, Any]) -> set[str]:
    """The operation, or those that a transaction consists of: it takes their permissions, and has none of its own."""
    if operation != "TransactWriteItems":
        return {operation}
    names = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
    return {names[part] for item in arguments["TransactItems"] for part in item}


def _noting_direct(operations: set[str]) -> Callable[..., Any]:
    """The same for the reads that go without botocore."""
    send = Endpoint.send

    def noted(endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Any:
        operations.add(headers.get("x-amz-target", "S3.GetObject").rpartition(".")[2])
        return send(endpoint, method, path, headers, body)

    return noted
