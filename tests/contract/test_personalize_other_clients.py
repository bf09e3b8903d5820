"""Personalize through clients other than boto3: the AWS command line, and the JavaScript SDK v3."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Program
from tests.contract.personalize_clients import arn
from tests.contract.stacks import RunningStack
from tools.local.install import certificates, npm

ROOT = Path(__file__).resolve().parent.parent.parent
JAVASCRIPT = Path(__file__).with_name("javascript")
DAY = 86_400
NPM_SECONDS = 180

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aws(stack: RunningStack, program: Program, tmp_path: Path) -> Cli:
    """Runs ``aws <service> <operation> ...`` against the stack with the program's key."""
    key_id, _, secret = program.key.partition(".")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-m", "awscli", "--endpoint-url", f"{stack.url}/personalize"]
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def told(completed: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert completed.returncode == 0, completed.stderr
    answer: dict[str, Any] = json.loads(completed.stdout or "{}")
    return answer


def interactions(user_id: str, *actions: str) -> str:
    yesterday = int(time.time()) - DAY
    return json.dumps(
        [
            {"actionId": action, "userId": user_id, "sessionId": "s", "timestamp": yesterday - n, "eventType": "Taken"}
            for n, action in enumerate(actions)
        ]
    )


def test_the_command_line_puts_filters_and_recommends(aws: Cli, program: Program) -> None:
    name = program.program_id
    put = ("personalize-events", "put-action-interactions", "--tracking-id", name)
    told(aws(*put, "--action-interactions", interactions("jo", "join-club", "get-app")))
    group = arn("dataset-group", name)
    expression = "EXCLUDE ActionID WHERE Actions.ACTION_ID IN ($ACTIONS)"
    created = told(
        aws(
            *("personalize", "create-filter", "--name", f"{name}-cli", "--dataset-group-arn", group),
            *("--filter-expression", expression),
        )
    )
    described = told(aws("personalize", "describe-filter", "--filter-arn", created["filterArn"]))["filter"]
    assert described["status"] == "ACTIVE"
    assert described["filterExpression"] == expression
    listed = told(aws("personalize", "list-filters", "--dataset-group-arn", group, "--page-size", "1"))
    assert [entry["name"] for entry in listed["Filters"]] == [f"{name}-cli"]

    ask = [*("personalize-runtime", "get-action-recommendations"), *("--campaign-arn", arn("campaign", name))]
    ask += ["--user-id", "jo"]
    everything = told(aws(*ask))
    assert {entry["actionId"] for entry in everything["actionList"]} == {"join-club", "get-app"}
    assert everything["recommendationId"].startswith("RID-")
    values = json.dumps({"ACTIONS": '"get-app"'})
    filtered = told(aws(*ask, "--filter-arn", created["filterArn"], "--filter-values", values))
    assert [entry["actionId"] for entry in filtered["actionList"]] == ["join-club"]
    told(aws("personalize", "delete-filter", "--filter-arn", created["filterArn"]))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--campaign-arn", arn("campaign", "nobody-made-this")), "(ResourceNotFoundException)"),
        (("--campaign-arn", "not-an-arn"), "(InvalidInputException)"),
    ],
)
def test_the_command_line_shows_what_was_wrong(aws: Cli, arguments: tuple[str, ...], error: str) -> None:
    completed = aws("personalize-runtime", "get-action-recommendations", *arguments, "--user-id", "jo")

    assert completed.returncode != 0
    assert error in completed.stderr


@pytest.fixture(scope="session")
def javascript() -> tuple[str, Path]:
    """Node.js, and a folder with the script and the SDK's packages, fetched once for their pinned versions."""
    manifest = JAVASCRIPT / "package.json"
    folder = ROOT / ".cache" / "javascript" / hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    command = npm(folder)
    node = shutil.which("node") if len(command) == 1 else command[0]
    assert node is not None
    if not (folder / "done").exists():
        shutil.copy(manifest, folder)
        fetch = [*command, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        ran = subprocess.run(
            fetch,
            cwd=folder,
            env={**certificates(), **os.environ},
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"npm cannot fetch the JavaScript SDK: {ran.stderr[-2000:]}"
        (folder / "done").touch()
    shutil.copy(JAVASCRIPT / "script.mjs", folder)
    return node, folder


def test_the_javascript_sdk_runs_unchanged(stack: RunningStack, program: Program, javascript: tuple[str, Path]) -> None:
    node, folder = javascript
    key_id, _, secret = program.key.partition(".")
    name = program.program_id
    environment: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(folder), "NODE_NO_WARNINGS": "1"}
    ran = subprocess.run(
        [node, "script.mjs", f"{stack.url}/personalize", key_id, secret, name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)

    assert set(found["actions"]) == {"join-club", "get-app"}
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert all(0 <= score <= 1 for score in found["scores"])
    assert found["recommendationId"].startswith("RID-")
    assert found["filtered"] == ["join-club"]
    assert found["filters"] == [f"{name}-js"]
    assert found["typed"]
    assert found["status"] == 404
    assert found["message"]
    assert found["forged"] == "InvalidSignatureException"
