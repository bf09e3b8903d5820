"""A whole AWS on this machine: ministack, with CloudFormation, and with the roles of functions in force.

What it lacks of what a deployment relies on is done here, each with the reason. docs/operations.md says what that
leaves for the first deployment in an account.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from compileall import compile_dir
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any
from unittest.mock import patch

import boto3
from samcli.yamlhelper import yaml_dump, yaml_parse

from tests.deployment.certificate import write_certificate
from tests.infrastructure.cloudformation import REGION, ROOT, TEMPLATE, Document
from tools.local.engines import ACCOUNT_ID
from tools.local.private_network import unguessable_address
from tools.local.processes import Processes, free_port, wait_for_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_START_SECONDS = 60.0
_DOMAIN = "localhost"
# The function, or the alias of one, that a route calls.
_CALLED = re.compile(r"/functions/\$\{(\w+)(?:\.Arn)?\}/invocations$")


@dataclass(frozen=True, slots=True)
class Emulator:
    """Where ministack listens. ``variables`` let SDKs and SAM CLI find it."""

    host: str
    port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts the emulator, and nobody else."""
        return ssl.create_default_context(cafile=str(self.certificate))

    @property
    def variables(self) -> dict[str, str]:
        return {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.url,
            **{"AWS_CA_BUNDLE": str(self.certificate), "SSL_CERT_FILE": str(self.certificate)},
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def api_url(self, api_id: str) -> str:
        """Where an API of API Gateway is."""
        return f"https://{api_id}.execute-api.{_DOMAIN}:{self.port}"

    def sam_deploy(self, template: Path, *parameters: str) -> None:
        """The command of docs/operations.md, on a built template. AssertionError, with its output, if it fails."""
        command = [
            *(str(Path(sys.executable).with_name("sam")), "deploy", "--config-file", str(ROOT / "samconfig.toml")),
            *("--config-env", "prod", "--template", str(template), "--no-confirm-changeset"),
            *("--parameter-overrides", f"EndpointUrl={self.url}", *parameters),
        ]
        variables = {**os.environ, **self.variables, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"}
        result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


@contextmanager
def running_emulator(folder: Path) -> Iterator[Emulator]:
    """Start it, empty, on a free port; its log is in ``folder``."""
    host = unguessable_address()
    # Policies of the stack refuse requests without TLS.
    certificate, key = write_certificate(folder, address=host, name=f"*.execute-api.{_DOMAIN}")
    emulator = Emulator(host, free_port(host), certificate)
    processes, log = Processes(), folder / "ministack.log"
    variables = {
        **{"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder)},
        **CREDENTIALS,
        # Functions inherit these.
        **{"AWS_CA_BUNDLE": str(certificate), "SSL_CERT_FILE": str(certificate)},
        "AUTH": "true",  # requests are authorized: what a function's role does not allow is refused
        "GATEWAY_PORT": str(emulator.port),
        "LOG_LEVEL": "WARNING",
        # Turn off its MQTT broker, its SFTP server, and the removal of containers.
        **{"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "DOCKER_HOST": f"unix://{folder / 'no-docker'}"},
    }
    command = [
        *(sys.executable, "-m", "hypercorn", "ministack.app:app", "--workers", "0", "--graceful-timeout", "1"),
        *("--bind", f"{emulator.host}:{emulator.port}", "--keep-alive", "75"),
        *("--certfile", str(certificate), "--keyfile", str(key)),
    ]
    try:
        process = processes.start(command, log=log, environment=variables, folder=folder)
        wait_for_port(process, emulator.port, log=log, seconds=_START_SECONDS, host=emulator.host)
        with _names_of_apis(emulator.host):
            yield emulator
    finally:
        processes.close()


@contextmanager
def _names_of_apis(host: str) -> Iterator[None]:
    """Let this process find the hosts of APIs, which no name server knows, at the emulator's address."""
    look_up = socket.getaddrinfo

    def find(name: Any, *arguments: Any, **options: Any) -> Any:
        ours = isinstance(name, str) and name.endswith(f".execute-api.{_DOMAIN}")
        return look_up(host if ours else name, *arguments, **options)

    with patch.object(socket, "getaddrinfo", find):
        yield


def write_build(folder: Path) -> Path:
    """What ``sam build`` makes, but for the packages of the layer: the emulator has them. Returns the template."""
    document = yaml_parse(TEMPLATE.read_text())
    for name, resource in document["Resources"].items():
        properties = resource["Properties"]
        _allow_batches(properties)
        resource.get("Metadata", {}).pop("BuildMethod", None)
        if "CodeUri" in properties:
            (folder / name).mkdir(parents=True)
            shutil.copy(ROOT / properties["CodeUri"] / "app.py", folder / name)
            properties["CodeUri"] = name
        if "ContentUri" in properties:
            library = folder / name / "python" / "nextbest"
            shutil.copytree(
                ROOT / properties["ContentUri"] / "nextbest", library, ignore=shutil.ignore_patterns("__pycache__")
            )
            compile_dir(library, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
            properties["ContentUri"] = name
    template = folder / "template.yaml"
    template.write_text(yaml_dump(document))
    return template


def _allow_batches(properties: Document) -> None:
    """On AWS, PartiQL takes permissions of its own; the emulator wants one that is named as the operation."""
    for policy in properties.get("Policies", []):
        statements = policy["PolicyDocument"]["Statement"]
        if any("dynamodb:PartiQLInsert" in statement["Action"] for statement in statements):
            statements.append({"Effect": "Allow", "Action": "dynamodb:BatchExecuteStatement", "Resource": "*"})


def connect_routes(session: boto3.Session, stack_name: str, body: Mapping[str, Any]) -> None:
    """Make the routes that the OpenAPI document of the template names.

    The emulator makes the API and leaves its ``Body`` out. Names in the document are resolved as CloudFormation does.
    """
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    ids = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }
    gateway: Any = session.client("apigatewayv2")
    api_id = ids["Api"]
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            (target,) = _CALLED.findall(uri)
            name = ids[target]  # of a function, or the ARN of an alias
            arn = name if name.startswith("arn:") else f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
            integration = gateway.create_integration(
                ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
            )
            verb = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
            key = "$default" if path == "/$default" else f"{verb} {path}"
            gateway.create_route(ApiId=api_id, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}")
