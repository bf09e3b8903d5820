"""Requests to typed inputs through pydantic, with FastAPI's own errors for whatever is wrong.

FastAPI validates each parameter and the body with a pydantic ``TypeAdapter`` in Python mode and puts the parameter's
place in front of ``loc``; so does this, and the messages are pydantic's. Every error of a request is reported, in
FastAPI's order: path, query, header, body. What FastAPI answers with a 500 (an input that cannot be written as JSON) is
a 422 here.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import cache
from inspect import signature
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError

from nextbest.actionhub import schemas
from nextbest.actionhub.errors import BodyTooLarge, ErrorDetail, InvalidRequest, UnreadableBody, render
from nextbest.actionhub.inputs import MAX_BODY_BYTES
from nextbest.actionhub.parameters import Body, Header, Marker, Path, Query
from nextbest.web.request import Request

_PLACES: dict[type[Marker], str] = {Path: "path", Query: "query", Header: "header", Body: "body"}

_MARGIN_LEVELS = 50

Input = TypeVar("Input", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of an input: where it comes from, its public name, its type, and what stands in when it is missing."""

    field: str
    name: str
    place: str
    marker: Marker
    adapter: TypeAdapter[Any]
    required: bool
    default: Any


@cache
def parameters_of(input_type: type[Hashable]) -> tuple[Parameter, ...]:
    """The parameters of an input dataclass, in FastAPI's order: path, query, header, body."""
    parameters = []
    for name, item in signature(input_type, eval_str=True).parameters.items():
        annotation, marker = _annotation_and_marker(item.annotation)
        if isinstance(marker, Body):
            annotation = getattr(schemas, marker.schema)
        else:
            bounds = marker.bounds
            constraints = {
                bound: value
                for bound in ("ge", "le", "max_length", "allow_inf_nan")
                if (value := getattr(bounds, bound)) is not None
            }
            annotation = Annotated[annotation, Field(**constraints)] if constraints else annotation
        parameters.append(
            Parameter(
                field=name,
                name=name.replace("_", "-") if isinstance(marker, Header) else name,
                place=_PLACES[type(marker)],
                marker=marker,
                adapter=TypeAdapter(annotation),
                required=item.default is item.empty,
                default=None if item.default is item.empty else item.default,
            )
        )
    order = list(_PLACES.values())
    return tuple(sorted(parameters, key=lambda parameter: order.index(parameter.place)))


def parse(request: Request, input_type: type[Input], context: Mapping[str, Any] | None = None) -> Input:
    """The typed input of an endpoint.

    ``context`` is pydantic's validation context. Raises InvalidRequest with every error at once, UnreadableBody, and
    BodyTooLarge.
    """
    parameters = parameters_of(input_type)
    received: dict[str, Mapping[str, Any]] = {
        "path": request.path_parameters,
        "query": dict(request.query),
        "header": request.headers,
        "body": read_body(request) if any(parameter.place == "body" for parameter in parameters) else {},
    }
    values: dict[str, Any] = {}
    errors: list[ErrorDetail] = []
    for parameter in parameters:
        is_body = parameter.place == "body"
        loc = ("body",) if is_body else (parameter.place, parameter.name)
        values_here = received[parameter.place]
        key = "body" if is_body else parameter.name
        if key not in values_here:
            if parameter.required:
                errors.append({"type": "missing", "loc": loc, "msg": "Field required", "input": None})
            else:
                values[parameter.field] = parameter.default
            continue
        try:
            value = parameter.adapter.validate_python(values_here[key], from_attributes=True, context=context)
        except ValidationError as error:
            errors.extend(_details(error, loc))
        else:
            values[parameter.field] = value.to_domain() if is_body else value
    if errors:
        raise InvalidRequest(_encodable(errors))
    return input_type(**values)


def parse_body(body: object, schema: str, *, context: Mapping[str, Any]) -> Any:
    """The domain's values in a decoded body, an instance of the model ``schema``. Raises InvalidRequest."""
    try:
        return getattr(schemas, schema).model_validate(body, context=context).to_domain()
    except ValidationError as error:
        raise InvalidRequest(_encodable(_details(error, ("body",)))) from error


def read_body(request: Request) -> dict[str, Any]:
    """The body under the key ``body``, decoded where its content type is JSON, else its bytes. Empty: there is none.

    Raises InvalidRequest where JSON is broken, UnreadableBody where it cannot be decoded, and BodyTooLarge.
    """
    if len(request.body) > MAX_BODY_BYTES:
        raise BodyTooLarge
    if not request.body:
        return {}
    if not _is_json(request.headers.get("content-type", "")):
        return {"body": request.body}
    try:
        return {"body": json.loads(request.body)}
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            [
                {
                    "type": "json_invalid",
                    "loc": ("body", error.pos),
                    "msg": "JSON decode error",
                    "input": {},
                    "ctx": {"error": error.msg},
                }
            ]
        ) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # not UTF-8, -16 or -32; a number of thousands of digits; nested deeply
        raise UnreadableBody from error


def _is_json(content_type: str) -> bool:
    if not content_type:
        return False
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _annotation_and_marker(hint: Any) -> tuple[Any, Marker]:
    if get_origin(hint) is Annotated:
        annotation, *extras = get_args(hint)
        for extra in extras:
            if isinstance(extra, Path | Query | Header | Body):
                return annotation, extra
    raise TypeError(f"an input's field needs a marker of parameters.py: {hint!r}")


def _details(error: ValidationError, prefix: tuple[str, ...]) -> list[ErrorDetail]:
    return [{**item, "loc": prefix + item["loc"]} for item in error.errors(include_url=False)]


def _encodable(errors: list[ErrorDetail]) -> list[ErrorDetail]:
    """Bytes (a body that is not JSON) as text; refuse inputs that nest too deeply to be written back."""
    for error in errors:
        if isinstance(error["input"], bytes):
            error["input"] = error["input"].decode("utf-8", "replace")
    # The answer is written later and from another depth of calls, hence the margin.
    trial: object = errors
    for _ in range(_MARGIN_LEVELS):
        trial = [trial]
    try:
        render(trial)
    except RecursionError as error:
        raise UnreadableBody from error
    return errors
