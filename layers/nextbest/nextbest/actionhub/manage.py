"""The endpoints of the ``manage`` function: everything of this dialect that is neither hot nor bulk."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from nextbest.actionhub.calls import Deployment
from nextbest.actionhub.endpoints import serve
from nextbest.actionhub.errors import answer, render
from nextbest.actionhub.protocol import KEY_HEADER, ActionHubEndpoints
from nextbest.actionhub.routes import DOCUMENT_PATH, PAGES, Found, MethodNotAllowed, Redirected, match
from nextbest.errors import NextbestError, NotFound
from nextbest.web.request import Request
from nextbest.web.response import Response


class ManageEndpoints(ActionHubEndpoints):
    """Finds the route as Starlette would, and serves it."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment.gate)
        self._deployment = deployment

    def serve(self, request: Request, *, now: float) -> Response:
        """Answer a request. Raises NextbestError."""
        if request.method == "GET" and request.path in PAGES:
            return page(request.path)
        match match(request):
            case Found(route, path_parameters):
                located = replace(request, path_parameters=path_parameters)
                parsed = route.parse(located, now=now)
                content = serve(self._deployment, route, parsed, request.headers.get(KEY_HEADER), now=now)
                if isinstance(content, bytes):
                    return Response(200, content, {"content-type": "text/plain; charset=utf-8"})
                return Response(200, render(content))
            case MethodNotAllowed(allow):
                return Response(405, render({"detail": "Method Not Allowed"}), {"allow": ", ".join(allow)})
            case Redirected(location):
                return Response(307, b"", {"location": location})
            case _:
                return Response(404, render({"detail": "Not Found"}))

    def refuse(self, error: NextbestError, request: Request, now: float, /) -> Response:
        found = match(request)
        if isinstance(error, NotFound) and isinstance(found, Found):
            return Response(*answer(error, not_found=found.route.not_found))
        return super().refuse(error, request, now)


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
