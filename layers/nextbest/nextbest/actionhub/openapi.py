"""The OpenAPI 3.1 document, generated from the route table, the inputs and the schemas.

python -m nextbest.actionhub.openapi > docs/openapi.json
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import nextbest
from nextbest.actionhub import answer_schemas, schemas
from nextbest.actionhub.errors import BAD_KEY, PROGRAM_NOT_FOUND
from nextbest.actionhub.parameters import Body
from nextbest.actionhub.routes import ROUTES, STRING_ANSWER, TEXT_ANSWER, Route
from nextbest.actionhub.validation import Parameter, parameters_of

VERSION = nextbest.__version__

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_TAGS = {
    "users": "What users did, and what they should do next.",
    "events": "Events in.",
    "assets": "The things acted on.",
    "labels": "Labels and their weights.",
    "programs": "Tenants: one program, one goal.",
    "segments": "Groups of users, for campaigns.",
    "keys": "Access keys: an extension of the ActionHub API.",
}
_CONFLICTS = {
    "post_programs": "There is a program of this id",
    "post_assets": "Too many change the assets at once",
    "rotate_key": "The key is revoked",
    "revoke_key": "The key is the one that the call was made with",
}
_RIGHTS = {"read": "read", "write": "write", "admin": "administer"}
_DESCRIPTION = """\
Send events, ask for actions. Two calls are enough to begin: `POST /events` and `GET /users/{user_id}/actions`.

Every call names a program in the header `program-id` and carries a key in the header `actionhub-key`."""


def document(*, version: str) -> Json:
    """The OpenAPI document of this version of the service, as JSON objects."""
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Nextbest: ActionHub API", "version": version, "description": _DESCRIPTION},
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"actionhub-key": {"type": "apiKey", "in": "header", "name": "actionhub-key"}},
        },
        "security": [{"actionhub-key": []}],
    }


def _schemas() -> Json:
    """Every model that an operation names, and the models that those name."""
    bodies = {
        parameter.marker.schema
        for route in ROUTES
        for parameter in parameters_of(route.input_type)
        if isinstance(parameter.marker, Body)
    }
    answers = {route.answer for route in ROUTES} - {STRING_ANSWER, TEXT_ANSWER}
    models: list[type[BaseModel]] = [getattr(schemas, name) for name in sorted(bodies)]
    models += [getattr(answer_schemas, name) for name in sorted(answers)]
    models += [answer_schemas.Refusal, answer_schemas.HTTPValidationError]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    return dict(sorted(definitions["$defs"].items()))


def _operation(route: Route) -> Json:
    parameters = parameters_of(route.input_type)
    operation: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": f"Needs a key with the right to {_RIGHTS[route.scope]}.",
        "parameters": [_parameter(parameter) for parameter in parameters if not isinstance(parameter.marker, Body)],
    }
    bodies = [parameter.marker.schema for parameter in parameters if isinstance(parameter.marker, Body)]
    if bodies:
        operation["requestBody"] = {"required": True, "content": _json(_reference(bodies[0]))}
    operation["responses"] = _responses(route, has_body=bool(bodies))
    return operation


def _parameter(parameter: Parameter) -> Json:
    schema = parameter.adapter.json_schema()
    if not parameter.required and parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": "" if isinstance(parameter.marker, Body) else parameter.marker.description,
        "schema": schema,
    }


def _responses(route: Route, *, has_body: bool) -> Json:
    responses: Json = {"200": {"description": "Done", "content": _answer(route.answer)}}
    if has_body:
        responses["400"] = _refusal("The body cannot be decoded")
    responses["403"] = _refusal(BAD_KEY)
    if route.name in _CONFLICTS:
        responses["409"] = _refusal(_CONFLICTS[route.name])
    if route.name not in {"post_programs", "get_keys"}:
        responses["404"] = _refusal(route.not_found or PROGRAM_NOT_FOUND)
    if has_body:
        responses["413"] = _refusal("The body is larger than 4 MiB")
    responses["422"] = {"description": "What is wrong, and where", "content": _json(_reference("HTTPValidationError"))}
    responses["429"] = _refusal("A limit was reached; try again later")
    responses["503"] = _refusal("Cannot answer now; try again later")
    return responses


def _answer(name: str) -> Json:
    if name == TEXT_ANSWER:
        return {TEXT_ANSWER: {"schema": {"type": "string"}}}
    return _json({"type": "string"} if name == STRING_ANSWER else _reference(name))


def _refusal(description: str) -> Json:
    return {"description": description, "content": _json(_reference("Refusal"))}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _reference(name: str) -> Json:
    return {"$ref": _REFERENCE.format(model=name)}


if __name__ == "__main__":
    print(json.dumps(document(version=VERSION), indent=2, ensure_ascii=False))
