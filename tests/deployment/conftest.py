"""One deployment for all tests of this folder: they run in the order of the file, as a deployment's life goes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import Any

import boto3
import httpx
import pytest
from samcli.yamlhelper import yaml_dump, yaml_parse

from tests.deployment.emulator import Emulator, connect_routes, running_emulator, write_build
from tests.infrastructure.cloudformation import REGION, ROOT, Document, the_only, translate
from tools.cli.deployment import Deployment, stack_deployment
from tools.cli.operator_key import issue_operator_key

STACK = "nextbest-prod"
IMPORT_BUCKET = "exports-of-the-shop"
QUICKLY = {"Delay": 1, "MaxAttempts": 60}
_CHANGED = """
_handler = handler

def handler(event, context):
    response = _handler(event, context)
    return response | {{"headers": response["headers"] | {{"x-release": "{release}"}}}}
"""


@dataclass(frozen=True, slots=True)
class Deployed:
    """The stack in the emulator. ``template`` is what was built for it."""

    emulator: Emulator
    session: boto3.Session
    template: Path
    routes: Document

    def client(self, service: str) -> Any:
        """A client with the rights of an administrator."""
        make: Any = self.session.client
        return make(service)

    def deployment(self) -> Deployment:
        """As ``./nextbest --stack`` sees it, but for the host of its API, which no name server knows."""
        found = stack_deployment(STACK, self.session)
        assert found.stack is not None
        (api_id,) = found.stack.physical_ids("AWS::ApiGatewayV2::Api")
        return replace(found, url=self.emulator.api_url(api_id))

    def deploy(self, *parameters: str) -> None:
        """Deploy what was built, as docs/operations.md says."""
        imports = f"ImportBucketArns=arn:aws:s3:::{IMPORT_BUCKET}"
        self.emulator.sam_deploy(self.template, "Stage=prod", "AlarmEmail=you@example.com", imports, *parameters)
        self.connect()

    def update(self, edit: Callable[[Document], None]) -> None:
        """Update the stack with the template that it has, edited. Raises WaiterError if that fails."""
        client = self.client("cloudformation")
        template = yaml_parse(client.get_template(StackName=STACK, TemplateStage="Original")["TemplateBody"])
        edit(template)
        # Too long for the call itself.
        self.client("s3").put_object(Bucket=IMPORT_BUCKET, Key="template.yaml", Body=yaml_dump(template).encode())
        client.update_stack(
            StackName=STACK,
            TemplateURL=f"{self.emulator.url}/{IMPORT_BUCKET}/template.yaml",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": name, "UsePreviousValue": True} for name in template["Parameters"]],
        )
        client.get_waiter("stack_update_complete").wait(StackName=STACK, WaiterConfig=QUICKLY)

    def release(self, template: Document, number: str) -> None:
        """Let the template have another version of the function ``actions``, whose responses say its number."""
        properties = template["Resources"]["ActionsFunction"]["Properties"]
        bucket, _, key = properties["CodeUri"].removeprefix("s3://").partition("/")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            source = (ROOT / "functions" / "actions" / "app.py").read_text()
            archive.writestr("app.py", source + _CHANGED.format(release=number))
        self.client("s3").put_object(Bucket=bucket, Key=f"{key}-{number}", Body=content.getvalue())
        properties["CodeUri"] = f"s3://{bucket}/{key}-{number}"

    def connect(self) -> None:
        """Do what the emulator leaves out of a deployment, each time an API or an event source was made."""
        connect_routes(self.session, STACK, self.routes)
        table = self.deployment().table_name
        self.client("dynamodb").update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        client = self.client("lambda")
        for source in client.list_event_source_mappings()["EventSourceMappings"]:
            # A value that comes from a parameter stays a text there, and the poller fails to compare it.
            client.update_event_source_mapping(UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": 10})

    def live_version(self, function: str) -> str:
        """The version of a hot function that the gateway calls."""
        alias = self.client("lambda").get_alias(FunctionName=f"{STACK}-{function}", Name="live")
        version: str = alias["FunctionVersion"]
        return version


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as emulator, pytest.MonkeyPatch.context() as variables:
        for name, value in emulator.variables.items():
            variables.setenv(name, value)
        yield emulator


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The stack, made as docs/operations.md says."""
    session = boto3.Session(region_name=REGION)
    session.client("s3").create_bucket(Bucket=IMPORT_BUCKET)
    make: Any = session.client
    make("ssm").put_parameter(
        Name=f"/nextbest/{STACK}/master-secret", Value="a secret of this test alone", Type="SecureString"
    )
    built = write_build(tmp_path_factory.mktemp("build"))
    deployed = Deployed(emulator, session, built, the_only(translate(), "AWS::ApiGatewayV2::Api")["Properties"]["Body"])
    deployed.deploy()
    return deployed


@pytest.fixture(scope="module")
def operator_key(deployed: Deployed) -> str:
    """What `./nextbest issue-key --stack nextbest-prod` prints."""
    return issue_operator_key(deployed.deployment(), random=SystemRandom())


@pytest.fixture
def api(deployed: Deployed, operator_key: str) -> Iterator[httpx.Client]:
    """The API, for program ``coffee``."""
    headers = {"actionhub-key": operator_key, "program-id": "coffee"}
    with httpx.Client(
        base_url=deployed.deployment().url, headers=headers, timeout=60, verify=deployed.emulator.tls
    ) as client:
        yield client
