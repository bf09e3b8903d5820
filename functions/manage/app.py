"""Everything that is neither hot nor bulk: the rest of the ActionHub API, and Personalize's control plane."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import cache, partial
from random import SystemRandom
from typing import Any

from nextbest.actionhub.calls import Deployment
from nextbest.actionhub.endpoints import serve
from nextbest.actionhub.errors import answer, render
from nextbest.actionhub.guard import key_before_values
from nextbest.actionhub.routes import DOCUMENT_PATH, PAGES, Found, MethodNotAllowed, Redirected, Route, match
from nextbest.aws.clients import lambda_client
from nextbest.aws.functions import AsynchronousFunction
from nextbest.errors import NextbestError
from nextbest.logic.segments import SegmentCache
from nextbest.personalize.control import dispatch as control
from nextbest.personalize.control.resources import ControlPlane
from nextbest.personalize.protocol.arns import Arns
from nextbest.personalize.protocol.errors import Protocol
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.personalize.protocol.wire import failure
from nextbest.store.cache import AccessKeyCache, CatalogueCache
from nextbest.store.environment import open_artifacts, open_store
from nextbest.web.frame import Response, respond
from nextbest.web.request import Request, from_payload_v2

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)
REBASE = AsynchronousFunction(lambda_client(), os.environ["REBASE_FUNCTION_NAME"])
PERSONALIZE = "/personalize"
DEPLOYMENT = Deployment(
    store=STORE,
    artifacts=ARTIFACTS,
    catalogues=CatalogueCache(STORE, ARTIFACTS),
    segments=SegmentCache(STORE, ARTIFACTS),
    access_keys=AccessKeyCache(),
    start_rebase=lambda program_id: REBASE.start({"program_id": program_id}),
    start_segments=lambda program_id: REBASE.start({"program_id": program_id, "only": "segments"}),
    pause=time.sleep,
    master_secret=os.environ["MASTER_SECRET"],
    random=SystemRandom(),
)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    # By path, not by route: SDKs send the control plane to /personalize/, which a gateway takes for another path.
    if from_payload_v2(event).path.startswith(PERSONALIZE):
        arns = Arns(os.environ["AWS_REGION"], event["requestContext"]["accountId"])
        return respond(event, context, partial(control_plane, arns), refuse_control, clock=time.time)
    return respond(event, context, dispatch, lambda error, _request_id: refuse(error, None), clock=time.time)


def dispatch(request: Request, now: float, _request_id: str) -> Response:
    """Find the route as Starlette would, and serve it."""
    if request.method == "GET" and request.path in PAGES:
        return page(request.path)
    match match(request):
        case Found(route, path_parameters):
            return serve_route(route, request, path_parameters, now)
        case MethodNotAllowed(allow):
            return Response(405, render({"detail": "Method Not Allowed"}), {"allow": ", ".join(allow)})
        case Redirected(location):
            return Response(307, b"", {"location": location})
        case _:
            return Response(404, render({"detail": "Not Found"}))


@cache
def page(path: str) -> Response:
    """The OpenAPI document, or the page made of it: the same for everyone, so without a key."""
    # Imported late: nothing else needs the generator.
    from nextbest.actionhub.docs_page import docs_page
    from nextbest.actionhub.openapi import VERSION, document

    content = document(version=VERSION)
    if path == DOCUMENT_PATH:
        return Response(200, render(content))
    return Response(200, docs_page(content).encode(), {"content-type": "text/html; charset=utf-8"})


def serve_route(route: Route, request: Request, path_parameters: dict[str, str], now: float) -> Response:
    """Read the input, serve, and tell errors in the words that the route's contract has for them."""
    try:
        located = replace(request, path_parameters=path_parameters)
        with key_before_values(STORE, DEPLOYMENT.access_keys, request, now=now):
            asked = route.parse(located, now=now)
        content = serve(DEPLOYMENT, route, asked, request.headers.get("actionhub-key"), now=now)
    except NextbestError as error:
        return refuse(error, route.not_found)
    if isinstance(content, bytes):
        return Response(200, content, {"content-type": "text/plain; charset=utf-8"})
    return Response(200, render(content))


def refuse(error: NextbestError, not_found: str | None) -> Response:
    """The contract's words for an error."""
    return Response(*answer(error, not_found=not_found))


def control_plane(arns: Arns, request: Request, now: float, request_id: str) -> Response:
    """One operation of Personalize's control plane."""
    caller = SignedCaller.of(request, DEPLOYMENT.master_secret, now=now)
    deployment = ControlPlane(
        STORE,
        arns,
        lambda program_id, version: REBASE.start({"program_id": program_id, "solution_version": version}),
        lambda job: REBASE.start({"import_job": job}),
        DEPLOYMENT.random,
    )
    found = control.answer(deployment, request, caller, now=now, request_id=request_id)
    return Response(found.status, found.body, found.headers, found.fields)


def refuse_control(error: NextbestError, request_id: str) -> Response:
    """The words of Personalize's contract for an error."""
    told = failure(error, protocol=Protocol.CONTROL, request_id=request_id)
    return Response(told.status, told.body, told.headers, told.fields)
