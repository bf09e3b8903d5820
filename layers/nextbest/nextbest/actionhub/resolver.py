"""Powertools' HTTP resolver, which here finds routes and reads requests as FastAPI does.

ActionHub's clients were written against FastAPI. Where Powertools differs, this follows FastAPI: a path parameter may
hold any character but a slash; the last value of a repeated query parameter counts; a body without a content type is
not JSON; null and lists are bodies too; 405 and the redirect of a final slash are Starlette's. The methods overridden
are hooks that Powertools' own resolvers override, or private ones, which ``tests/property`` would show to have moved.

User ids may hold slashes, of which the gateway has decoded ``%2F`` before it hands on the path. So where no route of
FastAPI's fits, a user id may span segments. DELETE takes all of the path for the id at once: a redirect of
``/users/a/`` would delete the user ``a`` in place of ``a/``.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from email.message import Message
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.api_gateway import ResponseBuilder, Router
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.middlewares.openapi_validation import (
    OpenAPIRequestValidationMiddleware,
    OpenAPIResponseValidationMiddleware,
)
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.types import EventHandlerInstance
from aws_lambda_powertools.utilities.typing import LambdaContext

from nextbest.actionhub.documentation import HTTPValidationError
from nextbest.actionhub.errors import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    BodyTooLarge,
    ErrorDetail,
    InvalidRequest,
    UnreadableBody,
    render,
)
from nextbest.actionhub.parsing import MAX_BODY_BYTES
from nextbest.errors import NotFound
from nextbest.web.request import Request
from nextbest.web.response import Response

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.openapi.models import OpenAPI

# Powertools takes a body of None for a missing one; this stands for the null that was sent.
_NULL = ...
_MARGIN_LEVELS = 50
_READ = 204


class ActionHubResolver(APIGatewayHttpResolver):
    """Answers requests by the routes of ``routers``."""

    def __init__(self, routers: Iterable[Router]) -> None:
        super().__init__(enable_validation=True, serializer=lambda content: render(content).decode())
        self._request_validation_middleware = _RequestValidation()
        # A response that breaks its own model is a defect of ours, not a 422 of the caller's.
        self._response_validation_middleware = OpenAPIResponseValidationMiddleware(has_response_validation_error=True)
        self.exception_handler(RequestValidationError)(_refuse_values)
        self.exception_handler(Exception)(_reraise)
        for router in routers:
            self.include_router(router)

    def answer(self, request: Request, **context: object) -> Response:
        """Answer a request; middlewares and handlers find ``context`` in the resolver's. Raises NextbestError."""
        self.context = {"request": request, **context}
        event = {
            "version": "2.0",
            "rawPath": request.path,
            "queryStringParameters": dict(request.query),
            "headers": dict(request.headers),
            # Methods are case-sensitive, but Powertools takes "get" for GET.
            "requestContext": {
                "stage": "$default",
                "http": {"method": request.method if request.method.isupper() else f"{request.method} "},
            },
        }
        result = self.resolve(event, LambdaContext())
        body = b64decode(result["body"]) if result["isBase64Encoded"] else result["body"].encode()
        return Response(result["statusCode"], body, {name.lower(): value for name, value in result["headers"].items()})

    @staticmethod
    def _compile_regex(rule: str, base_regex: str = "^{}$") -> re.Pattern[str]:
        """Starlette's own pattern, a parameter is anything without a slash; but user ids may hold slashes."""
        pattern = re.sub(r"<user_id>", r"(?P<user_id>(?s:.+))", re.escape(rule))
        return re.compile(base_regex.format(re.sub(r"(?<!P)<(\w+)>", r"(?P<\1>[^/]+)", pattern)))

    def _handle_not_found(self, method: str, path: str) -> ResponseBuilder[Any]:
        """405 for a path of other methods, 307 to the path that differs by its final slash, 404 otherwise."""
        status, content, headers = 404, {"detail": NOT_FOUND}, {}
        if allow := self._methods_of(path):
            status, content, headers = 405, {"detail": METHOD_NOT_ALLOWED}, {"Allow": ", ".join(allow)}
        elif path != "/" and self._methods_of(other := path.rstrip("/") if path.endswith("/") else f"{path}/"):
            request: Request = self.context["request"]
            query = urlencode(request.query, errors="replace")
            path = quote(request.path_prefix + other, safe="/:@!$&'()*+,;=~", errors="replace")
            location = f"{path}?{query}" if query else path
            status, content, headers = 307, {}, {"Location": location}
        body = render(content).decode() if content else ""
        return ResponseBuilder(HttpResponse(status, "application/json", body, headers))

    def _methods_of(self, path: str) -> list[str]:
        """The methods of a path; user ids in it have no slash where that is possible."""
        routes = [
            (route.method, match)
            for route in (*self._static_routes, *self._dynamic_routes)
            if (match := route.rule.match(path)) is not None
        ]
        return [method for method, match in routes if "/" not in match.groupdict().get("user_id", "")]

    def get_openapi_schema(self, **settings: Any) -> OpenAPI:
        """The OpenAPI document, with the 422 that we send: Powertools' lacks ``msg``, ``input`` and ``ctx``."""
        from aws_lambda_powertools.event_handler.openapi.models import Schema
        from pydantic.json_schema import models_json_schema

        document = super().get_openapi_schema(**settings)
        template = "#/components/schemas/{model}"
        _, errors = models_json_schema([(HTTPValidationError, "validation")], ref_template=template)
        schemas = document.components.schemas if document.components is not None else None
        if schemas is not None:
            schemas.update({name: Schema.model_validate(schema) for name, schema in errors["$defs"].items()})
            schemas.pop("ResponseValidationError", None)
        return document


@cache
def _reader(router: Router) -> ActionHubResolver:
    resolver = ActionHubResolver([router])
    resolver.use([_read_only])
    return resolver


def _read_only(app: EventHandlerInstance, _handler: NextMiddleware) -> HttpResponse[str]:
    app.context["values"].update(app.context["_route_args"])
    return HttpResponse(_READ, body="")


def validated(router: Router, request: Request) -> dict[str, Any]:
    """The values of a request as its route declares them, by the handler's parameters; the handler is not called.

    Raises InvalidRequest, UnreadableBody, BodyTooLarge, and NotFound where the request is not of the route at all.
    """
    values: dict[str, Any] = {}
    if _reader(router).answer(request, values=values).status != _READ:
        raise NotFound(NOT_FOUND)
    return values


class _RequestValidation(OpenAPIRequestValidationMiddleware):
    def __init__(self) -> None:
        """It has no state, and Powertools' own has no types."""

    def _get_body(self, app: EventHandlerInstance) -> Any:
        """The body, once whoever sent it has proved to hold a key (``authenticate`` in the context)."""
        authenticate: Callable[[], object] | None = app.context.get("authenticate")
        if authenticate is not None:
            authenticate()
        return read_body(app.context["request"])


def read_body(request: Request) -> Any:
    """The body, decoded where its content type is JSON, else its bytes; None: there is none.

    A list comes as a tuple: Powertools would take the first entry of a list for the body. Raises InvalidRequest where
    JSON is broken, UnreadableBody where it cannot be decoded, and BodyTooLarge.
    """
    if len(request.body) > MAX_BODY_BYTES:
        raise BodyTooLarge
    if not request.body:
        return None
    if not _is_json(request.headers.get("content-type", "")):
        return request.body
    try:
        content = json.loads(request.body)
    except json.JSONDecodeError as error:
        detail = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise InvalidRequest([{**detail, "ctx": {"error": error.msg}}]) from error
    except (ValueError, RecursionError) as error:
        # Not UTF-8, -16 or -32; a number of thousands of digits; nested deeply.
        raise UnreadableBody from error
    if content is None:
        return _NULL
    return tuple(content) if isinstance(content, list) else content


def _is_json(content_type: str) -> bool:
    if not content_type:
        return False
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _refuse_values(error: RequestValidationError) -> HttpResponse[str]:
    raise InvalidRequest(encodable(error.errors())) from error


def _reraise(error: Exception) -> HttpResponse[str]:
    """Errors become responses in one place, ``web/frame.py``."""
    raise error


def encodable(errors: Iterable[Mapping[str, Any]]) -> list[ErrorDetail]:
    """Pydantic's errors as FastAPI sends them. Raises UnreadableBody for inputs nested too deeply to be sent back."""
    details = [{name: value for name, value in error.items() if name != "url"} for error in errors]
    for detail in details:
        if isinstance(detail["input"], bytes):  # a body that is not JSON
            detail["input"] = detail["input"].decode("utf-8", "replace")
        elif detail["input"] is _NULL:
            detail["input"] = None
    # They are written later and from another depth of calls, hence the margin.
    trial: object = details
    for _ in range(_MARGIN_LEVELS):
        trial = [trial]
    try:
        render(trial)
    except RecursionError as error:
        raise UnreadableBody from error
    return details
