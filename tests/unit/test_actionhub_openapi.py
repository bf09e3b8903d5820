"""The OpenAPI document, and Swagger UI, which shows it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from nextbest.actionhub.api import actionhub_api, describe
from nextbest.web.request import Request
from nextbest.web.response import Response

ROOT = Path(__file__).resolve().parents[2]


def page(path: str) -> Response:
    api = actionhub_api()
    describe(api)
    return api.answer(Request("GET", path))


DOCUMENT: dict[str, Any] = json.loads(page("/openapi.json").body)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_the_document_generated_twice_is_the_same_json() -> None:
    assert page("/openapi.json") == page("/openapi.json")


def test_every_reference_of_the_document_leads_to_a_schema_and_every_schema_is_used() -> None:
    names = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert names == set(DOCUMENT["components"]["schemas"])


def test_the_document_has_the_contracts_schema_and_the_key() -> None:
    answer = DOCUMENT["paths"]["/users/{user_id}/actions"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/UserNextActionList"}
    assert DOCUMENT["components"]["securitySchemes"] == {
        "actionhub-key": {"type": "apiKey", "in": "header", "name": "actionhub-key"}
    }


def test_the_page_runs_its_own_scripts_and_loads_nothing_from_elsewhere() -> None:
    response = page("/docs")
    html = response.body.decode()

    directives = dict(entry.strip().split(" ", 1) for entry in response.headers["content-security-policy"].split(";"))
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert directives["default-src"] == "'none'"
    sources = {source for name, value in directives.items() if name != "script-src" for source in value.split()}
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    assert directives["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    # Beside its scripts and styles, which are in it, the page refers to nothing.
    bare = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?:src|href|action)\s*=|url\(|@import|https?://", bare)
    assert "validatorUrl: null" in scripts[-1]


def test_the_page_shows_the_document() -> None:
    html = page("/docs").body.decode()
    shown = html[html.index("spec: {") + len("spec: ") :]
    spec, _ = json.JSONDecoder().raw_decode(shown.replace("<\\/", "</"))

    assert spec == DOCUMENT


def test_the_committed_document_is_what_is_generated() -> None:
    """When this fails on purpose: ``python -m nextbest.actionhub.api > docs/openapi.json``, and read the diff."""
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert committed == DOCUMENT
