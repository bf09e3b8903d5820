"""schemathesis: requests made from our OpenAPI document never end in a 500, nor in an answer it does not describe.

The document that the stack serves is the committed one (``test_actionhub.py``). For a longer run by hand:
``schemathesis run http://127.0.0.1:3000/openapi.json -H 'actionhub-key: ...' -H 'program-id: ...'``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.stacks import RunningStack

pytestmark = pytest.mark.stack

OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# The coverage phase alone takes half a minute, so it is for runs by hand.
CONFIGURATION = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
schema = schemathesis.openapi.from_path(OPENAPI, config=CONFIGURATION)


@pytest.fixture(scope="module")
def headers(operator: httpx.Client) -> dict[str, str]:
    """Of a program that nothing else uses, with a key that opens it alone: some generated calls are valid."""
    made = operator.post("/programs", json={"program_name": "schema"}).json()
    return {"program-id": made["program_id"], "actionhub-key": made["api_key"]}


@schema.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case: schemathesis.Case[Any], stack: RunningStack, headers: dict[str, str]) -> None:
    case.call_and_validate(base_url=stack.url, headers=headers, checks=CHECKS)
