"""What a cold start of a hot function may load: modules are counted, not seconds, which differ by machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.infrastructure.cloudformation import HOT_FUNCTIONS, ROOT

FORBIDDEN = {
    *("pydantic", "scipy", "matplotlib", "pandas", "boto3", "boto3.resources"),
    *("botocore.session", "botocore.client"),  # reads go direct: nextbest/aws/direct_reads.py
    *("botocore.auth", "botocore.awsrequest"),  # signatures are ours: nextbest/aws/sigv4.py
    *("nextbest.training", "nextbest.logic.rebase", "nextbest.logic.programs", "nextbest.logic.events"),
    *("nextbest.actionhub.hot_routes", "nextbest.actionhub.resolver", "aws_lambda_powertools.event_handler"),
}

# All modules, the standard library's included, 64 of them Powertools'. Raise them only for a reason; the last was that
# a long module of the store was divided into three.
BUDGETS = {"actions": 382, "recommendations": 407}

# A snapshot (SnapStart) is taken after the import: a connection made before it would be dead after every restore, and
# numbers drawn before it would be the same in every environment.
PROBE = """
import json, os, random, sys
sys.path.insert(0, sys.argv[1])
outside = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen"}
reached = []
sys.addaudithook(lambda event, arguments: reached.append(event) if event in outside else None)
state = random.getstate()
import app
print(json.dumps({"modules": sorted(sys.modules), "reached": reached, "drawn": random.getstate() != state}))
"""


def imported(function: str) -> dict[str, Any]:
    """What importing the function as Lambda does it, the layer on its path, loaded and did."""
    variables = {
        "PYTHONPATH": str(ROOT / "layers" / "nextbest"),
        "TABLE_NAME": "table",
        "ARTIFACT_BUCKET": "bucket",
        "PROGRAM_FOLDERS_BUCKET": "",
        "MASTER_SECRET_PARAMETER": "/nextbest/stack/master-secret",
        "PROGRAM_REQUESTS_PER_SECOND": "0",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }
    command = [sys.executable, "-c", PROBE, str(ROOT / "functions" / function)]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("function", HOT_FUNCTIONS)
def test_hot_functions_load_nothing_they_do_not_need(function: str) -> None:
    loaded = set(imported(function)["modules"])

    assert "nextbest.scoring" in loaded
    assert not FORBIDDEN & loaded
    assert len(loaded) <= BUDGETS[function]


@pytest.mark.parametrize("function", HOT_FUNCTIONS)
def test_a_snapshot_after_the_import_holds_nothing_that_goes_stale(function: str) -> None:
    found = imported(function)

    assert found["reached"] == []
    assert not found["drawn"]
