"""No function of a deployment starts with the master secret that this repository prints for local stacks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nextbest.store.environment import LOCAL_VARIABLE, PUBLIC_MASTER_SECRET
from tests.infrastructure.cloudformation import ROOT
from tools.local.key import MASTER_SECRET

KNOWING = ("collect", "manage", "recommendations")
OWN = "a secret of one's own, longer than 32 characters"


def start(function: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Import the function's module as Lambda does when it starts an environment."""
    environment = {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "layers" / "nextbest"), str(ROOT / "functions" / function))),
        "AWS_REGION": "us-east-1",
        "TABLE_NAME": "table",
        "ARTIFACT_BUCKET": "bucket",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/queue",
        "REBASE_FUNCTION_NAME": "rebase",
        "PROGRAM_REQUESTS_PER_SECOND": "0",
        "STAGE": "prod",
        "LOG_LEVEL": "INFO",
        "METRICS_NAMESPACE": "Nextbest/prod",
        **variables,
    }
    command = [sys.executable, "-c", "import app"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_local_stacks_use_the_public_secret() -> None:
    assert MASTER_SECRET == PUBLIC_MASTER_SECRET


@pytest.mark.parametrize("function", KNOWING)
def test_function_refuses_to_start_with_the_public_secret(function: str) -> None:
    result = start(function, MASTER_SECRET=PUBLIC_MASTER_SECRET)

    assert result.returncode != 0
    assert "MasterSecret is the public secret of local stacks" in result.stderr


@pytest.mark.parametrize("variable", [LOCAL_VARIABLE, "AWS_SAM_LOCAL"])
@pytest.mark.parametrize("function", KNOWING)
def test_function_starts_with_the_public_secret_on_a_developers_machine(function: str, variable: str) -> None:
    result = start(function, MASTER_SECRET=PUBLIC_MASTER_SECRET, **{variable: "true"})

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("function", KNOWING)
def test_function_starts_with_a_secret_of_its_own(function: str) -> None:
    result = start(function, MASTER_SECRET=OWN)

    assert result.returncode == 0, result.stderr


def test_no_variable_of_a_deployment_lets_the_public_secret_pass() -> None:
    template = (ROOT / "template.yaml").read_text()

    assert LOCAL_VARIABLE not in template
    assert "AWS_SAM_LOCAL" not in template
