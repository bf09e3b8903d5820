"""API Gateway on this machine: SAM CLI's own routes and responses, around our execution environments.

What SAM CLI gets wrong about HTTP APIs is corrected here: the event (``proxy_event``), unknown routes (404, not 403),
final slashes, HEAD, failing functions (500, not 502) and oversized requests (413). What it gets right is left: like API
Gateway, it decodes a path before it looks for the route, so an id with a slash takes the default route. This uses
members of SAM CLI that are not public, hence its exact pin in requirements/local.in and the comparison with SAM's own
sample event in the tests.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.local.apigw.exceptions import LambdaResponseParseException
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.path_converter import PathConverter
from samcli.local.apigw.route import Route
from waitress.server import create_server
from werkzeug.exceptions import InternalServerError

from tools.local.environments import Invocation
from tools.local.processes import HOST
from tools.local.proxy_event import HttpRequest, proxy_event

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOG = logging.getLogger(__name__)
_BYTES_PER_MEGABYTE = 1024 * 1024
# A request to an HTTP API may have 10 MB, an event of Lambda 6 MB.
_REQUEST_LIMIT_BYTES = 10 * _BYTES_PER_MEGABYTE
_EVENT_LIMIT_BYTES = 6 * _BYTES_PER_MEGABYTE

# Requests to a server at the same time; more wait.
MANY_THREADS, FEW_THREADS = 32, 8

Invoke = Callable[[str, bytes], Invocation]


class _NoDebugger:
    """In place of SAM CLI's function runner, of which its service calls this one method when it is created."""

    @staticmethod
    def is_debugging() -> bool:
        return False


class Gateway(LocalApigwService):  # type: ignore[misc]  # SAM CLI is not typed
    """The routes of a template as one WSGI application, ``app``.

    ``invoke`` runs a function, named by its logical id, on an event.
    """

    def __init__(self, template: Path, *, port: int, invoke: Invoke) -> None:
        stacks, _ = SamLocalStackProvider.get_stacks(template_file=str(template))
        super().__init__(ApiProvider(stacks).api, _NoDebugger(), port=port, host=HOST)
        self._invoke = invoke
        self.create()

    @property
    def app(self) -> Flask:
        app: Flask = self._app
        return app

    def create(self) -> None:
        super().create()
        for rule in self.app.url_map.iter_rules():
            # HTTP APIs distinguish a path from the same path with a final slash, SAM CLI does not.
            rule.strict_slashes = True
            # To Flask a route of GET is one of HEAD as well; an HTTP API sends HEAD to the default route.
            if rule.methods is not None and self._route_key("HEAD", rule.rule) not in self._dict_of_routes:
                rule.methods.discard("HEAD")
        # For the same reason SAM CLI leaves HEAD out of the default route where there is a route "GET /".
        default = next((route for route in self.api.routes if route.path == "$default"), None)
        if default is not None and self._route_key("HEAD", "/") not in self._dict_of_routes:
            self._add_catch_all_path(["HEAD"], "/", default)
        self.app.config["MAX_CONTENT_LENGTH"] = _REQUEST_LIMIT_BYTES

    def _construct_error_handling(self) -> None:
        for status, message in (
            (404, "Not Found"),
            (405, "Not Found"),
            (413, "Request Entity Too Large"),
            (500, "Internal Server Error"),
        ):
            # An HTTP API's route is method and path together: a wrong method is an unknown route.
            self.app.register_error_handler(status, _error_response(404 if status == 405 else status, message))

    def _generate_lambda_event(self, request: Request, route: Route, method: str, endpoint: str) -> dict[str, Any]:
        path = PathConverter.convert_path_to_api_gateway(endpoint)
        return proxy_event(
            HttpRequest(
                method=method,
                path=request.path,
                query=request.query_string.decode("latin-1"),
                headers=tuple(request.headers.items()),
                body=request.get_data(cache=False),
                source_ip=request.remote_addr or HOST,
                port=self.port,
                protocol=request.environ["SERVER_PROTOCOL"],
            ),
            route_key=self._v2_route_key(method, path, route.is_default_route),
            path_parameters=request.view_args or {},
            stage=self.api.stage_name or "$default",
            now=time.time(),
        )

    def _invoke_lambda_function(self, function: str, event: dict[str, Any], tenant_id: str | None = None) -> bytes:
        del tenant_id  # our functions are not multi-tenant in Lambda's sense
        payload = json.dumps(event).encode()
        if len(payload) > _EVENT_LIMIT_BYTES:
            self.app.aborter(413)
        invocation = self._invoke(function, payload)
        if invocation.error_type is not None:
            _LOG.error("%s failed: %s", function, invocation.payload.decode(errors="replace"))
            self.app.aborter(500)
        return invocation.payload

    @staticmethod
    def _parse_v2_payload_format_lambda_output(output: bytes, binary_types: Any, request: Request) -> Any:
        try:
            return LocalApigwService._parse_v2_payload_format_lambda_output(output, binary_types, request)
        except LambdaResponseParseException as error:
            raise InternalServerError from error


class Server:
    """An HTTP/1.1 server on sockets that listen, with keep-alive, no Nagle delay and many connections at once."""

    def __init__(self, *listeners: socket.socket, threads: int = MANY_THREADS) -> None:
        self.urls = tuple("http://{}:{}".format(*listener.getsockname()) for listener in listeners)
        self._application: WSGIApplication = Flask("starting")
        self._closed = False
        self._server = create_server(
            self._delegate,
            map={},  # otherwise all servers of a process share one event loop
            sockets=list(listeners),
            threads=threads,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )

    def run(self, application: WSGIApplication) -> None:
        """Respond to requests in the background from now on."""
        self._application = application
        threading.Thread(target=self._serve, name=f"server of {self.urls[0]}", daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._server.close()

    def _serve(self) -> None:
        try:
            self._server.run()
        except OSError:
            # It may be waiting on the sockets that were closed.
            if not self._closed:
                raise

    def _delegate(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._application(environment, start_response)


def _error_response(status: int, message: str) -> Callable[[Exception], Response]:
    def respond(error: Exception) -> Response:
        if (cause := getattr(error, "original_exception", None)) is not None:
            _LOG.error("the gateway failed", exc_info=cause)
        return Response(json.dumps({"message": message}), status, content_type="application/json")

    return respond
