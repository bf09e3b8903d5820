"""From a validated request to a handler: who calls, about which program, and what there is to act on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeVar, cast

from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.types import EventHandlerInstance

from nextbest.actionhub.documentation import responses, right_needed
from nextbest.actionhub.errors import PROGRAM_NOT_FOUND, ErrorDetail, InvalidRequest
from nextbest.actionhub.manage import Deployment
from nextbest.actionhub.protocol import KEY_HEADER
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.programs import Incarnation
from nextbest.logic.authorization import SecretCredentials
from nextbest.store.base import ProgramState
from nextbest.web.request import Request

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class KeyCall:
    """A call about no one program, by somebody who holds ``key``. ``now`` is in seconds since 1970."""

    deployment: Deployment
    key: AccessKey
    now: float


@dataclass(frozen=True, slots=True)
class ProgramCall(KeyCall):
    """A call about a program that ``key`` opens."""

    state: ProgramState

    @property
    def incarnation(self) -> Incarnation:
        return self.state.program.incarnation

    @property
    def catalogue(self) -> Catalogue:
        return self.deployment.catalogues.catalogue_of(self.state)


class ResourceRouter(Router):
    """The routes of one resource; ``tag`` groups them in the document."""

    def __init__(self, tag: str) -> None:
        cast(Callable[[], None], super().__init__)()  # it has no types
        self._tag = tag

    @property
    def call(self) -> ProgramCall:
        """The call that is being answered, by a route of a program."""
        call: ProgramCall = self.context["call"]
        return call

    @property
    def key_call(self) -> KeyCall:
        """The call that is being answered, by any route."""
        call: KeyCall = self.context["call"]
        return call

    def endpoint(
        self,
        method: str,
        path: str,
        scope: str,
        summary: str,
        *,
        of_program: bool = True,
        manages_keys: bool = False,
        is_extension: bool = False,
        not_found: str | None = PROGRAM_NOT_FOUND,
        conflict: str | None = None,
        see_other: str | None = None,
        media_types: tuple[str, ...] = ("application/json",),
    ) -> Callable[[Handler], Handler]:
        """Register a handler for callers whose key has ``scope``; its parameter ``body`` is the request's body.

        Without ``of_program`` any key is let in, and the handler decides what it may do; with ``manages_keys`` only
        callers who prove the current secret are. An extension refuses what it does not take, where the contract's
        routes ignore it, as FastAPI does. ``not_found``, ``conflict`` and ``see_other`` describe the 404, the 409 and
        the 303, None: there is none.
        """
        middlewares: list[Callable[..., HttpResponse[Any]]] = [_authorizing(scope) if of_program else _authenticate]
        if manages_keys:
            middlewares = [_authenticate_manager]
        if is_extension:
            middlewares.append(_refuse_unknown)

        def register(handler: Handler) -> Handler:
            described = responses(
                has_body="body" in signature(handler).parameters,
                not_found=not_found,
                conflict=conflict,
                see_other=see_other,
                media_types=media_types,
            )
            route = self.route(
                path.replace("{", "<").replace("}", ">"),
                method,
                summary=summary,
                description=right_needed(scope),
                responses=described,
                tags=[self._tag],
                operation_id=handler.__name__,
                middlewares=middlewares,
            )
            return route(handler)

        return register


def _authorizing(scope: str) -> Callable[[EventHandlerInstance, NextMiddleware], HttpResponse[Any]]:
    def authorize(app: EventHandlerInstance, handler: NextMiddleware) -> HttpResponse[Any]:
        deployment, request, now = (app.context[name] for name in ("deployment", "request", "now"))
        credentials = SecretCredentials.read(request.headers.get(KEY_HEADER))
        key, state = deployment.gate.authorize(credentials, request.headers["program-id"], scope, now=now)
        app.context["call"] = ProgramCall(deployment, key, now, state)
        return handler(app)

    return authorize


def _authenticate(app: EventHandlerInstance, handler: NextMiddleware) -> HttpResponse[Any]:
    deployment, request, now = (app.context[name] for name in ("deployment", "request", "now"))
    key = deployment.gate.authenticate(SecretCredentials.read(request.headers.get(KEY_HEADER)), now=now)
    app.context["call"] = KeyCall(deployment, key, now)
    return handler(app)


def _authenticate_manager(app: EventHandlerInstance, handler: NextMiddleware) -> HttpResponse[Any]:
    deployment, request, now = (app.context[name] for name in ("deployment", "request", "now"))
    credentials = SecretCredentials.read(request.headers.get(KEY_HEADER))
    key = deployment.gate.authenticate_manager(credentials, now=now)
    app.context["call"] = KeyCall(deployment, key, now)
    return handler(app)


def _refuse_unknown(app: EventHandlerInstance, handler: NextMiddleware) -> HttpResponse[Any]:
    """Refuse parameters that the route does not take, or that were sent twice, and a body where it takes none.

    A misspelt option of a call that changes something must not pass for its default.
    """
    request: Request = app.context["request"]
    dependant = app.context["_route"].dependant
    known = {field.alias for field in dependant.query_params}
    names = [name for name, _ in request.query]
    errors: list[ErrorDetail] = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "Extra inputs are not permitted", "input": value}
        for name, value in request.query
        if name not in known
    ]
    errors += [
        {"type": "value_error", "loc": ("query", name), "msg": "The parameter was sent more than once", "input": None}
        for name in sorted(known)
        if names.count(name) > 1
    ]
    if request.body and not dependant.body_params:
        errors.append({"type": "extra_forbidden", "loc": ("body",), "msg": "This call takes no body", "input": None})
    if errors:
        raise InvalidRequest(errors)
    return handler(app)
