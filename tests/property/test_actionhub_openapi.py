"""The generated OpenAPI document against the one that FastAPI generates for the same signatures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nextbest.actionhub.api import document
from tests.property.actionhub_reference import app

OURS: dict[str, Any] = json.loads(document())
THEIRS = app.openapi()
OPERATIONS = [(method, path) for path, item in THEIRS["paths"].items() for method in item]


def bare(schema: Any, root: dict[str, Any]) -> Any:
    """A schema with its references resolved, and without what only explains it."""
    if isinstance(schema, list):
        return [bare(item, root) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return bare(root["components"]["schemas"][schema["$ref"].rpartition("/")[2]], root)
    return {
        key: {name: bare(item, root) for name, item in value.items()} if key == "properties" else bare(value, root)
        for key, value in schema.items()
        if key not in {"title", "description", "examples"} and (key, value) != ("default", None)
    }


def test_both_documents_have_the_same_operations() -> None:
    ours = {(method, path) for path, item in OURS["paths"].items() for method in item}
    assert ours == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_parameters_and_body_of_an_operation_are_fastapis(method: str, path: str) -> None:
    ours, theirs = OURS["paths"][path][method], THEIRS["paths"][path][method]
    assert parameters(ours, OURS) == parameters(theirs, THEIRS)
    assert body(ours, OURS) == body(theirs, THEIRS)


def parameters(operation: dict[str, Any], root: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (parameter["in"], parameter["name"]): (parameter["required"], bare(parameter["schema"], root))
        for parameter in operation.get("parameters", [])
    }


def body(operation: dict[str, Any], root: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]
    return operation["requestBody"].get("required", False), {
        kind: bare(item["schema"], root) for kind, item in content.items()
    }


def test_the_error_schema_is_fastapis() -> None:
    def properties(root: dict[str, Any]) -> Any:
        return bare(root["components"]["schemas"]["HTTPValidationError"], root)["properties"]

    ours, theirs = properties(OURS), properties(THEIRS)
    assert ours["detail"]["items"]["properties"].keys() == theirs["detail"]["items"]["properties"].keys()
    assert ours["detail"]["items"]["required"] == theirs["detail"]["items"]["required"]
