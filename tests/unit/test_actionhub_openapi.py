"""The OpenAPI document and the page made of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from nextbest.actionhub.docs_page import docs_page
from nextbest.actionhub.openapi import VERSION, document
from nextbest.actionhub.routes import ROUTES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = document(version="1.2.3")
PAGE = docs_page(DOCUMENT)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Outline(HTMLParser):
    """The anchors and links of a page, and whether every element that was opened is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src"}:
                self.targets.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline() -> Outline:
    parser = Outline()
    parser.feed(PAGE)
    parser.close()
    return parser


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_given_the_document_when_generated_twice_then_it_is_the_same_json() -> None:
    assert json.dumps(document(version="1.2.3")) == json.dumps(DOCUMENT)


def test_given_the_document_when_read_then_it_has_every_route_under_its_own_name() -> None:
    operations = {
        (method.upper(), path): operation["operationId"]
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    }
    assert operations == {(route.method, route.template): route.name for route in ROUTES}
    assert len(set(operations.values())) == len(ROUTES)


def test_given_the_document_when_its_references_are_followed_then_each_leads_to_a_schema_and_each_schema_is_used() -> (
    None
):
    names = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert names == set(DOCUMENT["components"]["schemas"])


def test_given_the_document_when_read_then_the_contracts_schema_and_the_key_are_there() -> None:
    answer = DOCUMENT["paths"]["/users/{user_id}/actions"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/UserNextActionList"}
    assert DOCUMENT["components"]["securitySchemes"] == {
        "actionhub-key": {"type": "apiKey", "in": "header", "name": "actionhub-key"}
    }


def test_given_the_page_when_parsed_then_it_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    parser = outline()
    assert parser.open == []
    assert {target for target in parser.targets if not target.startswith("#")} == {"/openapi.json"}
    assert not parser.tags & {"script", "img", "link", "iframe"}


def test_given_the_page_when_its_links_are_followed_then_each_has_its_anchor_once() -> None:
    parser = outline()
    assert len(parser.ids) == len(set(parser.ids))
    assert {target[1:] for target in parser.targets if target.startswith("#")} <= set(parser.ids)


def test_given_the_page_when_read_then_every_operation_and_model_is_on_it() -> None:
    ids = set(outline().ids)
    assert {route.name for route in ROUTES} <= ids
    assert set(DOCUMENT["components"]["schemas"]) <= ids


def test_given_text_that_looks_like_markup_when_the_page_is_made_then_it_is_escaped() -> None:
    changed = json.loads(json.dumps(DOCUMENT).replace("The user's history", "<b>&"))
    assert "&lt;b&gt;&amp;" in docs_page(changed)
    assert "<b>&" not in docs_page(changed)


def test_given_the_committed_document_when_generated_anew_then_nothing_has_drifted() -> None:
    """When this fails on purpose: ``python -m nextbest.actionhub.openapi > docs/openapi.json``, and read the diff."""
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert committed == document(version=VERSION)
