"""The Invoke call of the Lambda API: served, for functions that start another one with a stock AWS client, and made."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import urllib3
from flask import Flask, Response, request

from tools.local.environments import Environments, Invocation
from tools.local.processes import ProcessDied
from tools.local.template import Application, Function

_LOG = logging.getLogger(__name__)
_BACKGROUND_THREADS = 4


class LambdaApi:
    """``POST /2015-03-31/functions/{name}/invocations`` with the invocation types RequestResponse and Event.

    An Event invocation returns 202 immediately and runs in the background, once: AWS would try a failed one twice more,
    here it is only logged, so that it is noticed.
    """

    def __init__(self, application: Application, environments: Environments) -> None:
        self._application = application
        self._environments = environments
        self._background = ThreadPoolExecutor(_BACKGROUND_THREADS, thread_name_prefix="asynchronous-invocation")
        self.app = Flask(__name__)
        self.app.add_url_rule(
            "/2015-03-31/functions/<path:name>/invocations", view_func=self._respond, methods=["POST"]
        )

    def close(self) -> None:
        """Cancel what has not started; what is running ends with its environment."""
        self._background.shutdown(wait=False, cancel_futures=True)

    def _respond(self, name: str) -> Response:
        try:
            function = self._application.function(name)
        except KeyError:
            body = {"Message": f"Function not found: {name}", "Type": "User"}
            return _json(HTTPStatus.NOT_FOUND, body, {"x-amzn-ErrorType": "ResourceNotFoundException"})
        event = request.get_data() or b"{}"
        match request.headers.get("X-Amz-Invocation-Type", "RequestResponse"):
            case "Event":
                self._background.submit(self._run, function, event)
                return Response(status=HTTPStatus.ACCEPTED)
            case "RequestResponse":
                invocation = self._environments.invoke(function, event)
                headers = {"X-Amz-Executed-Version": "$LATEST"}
                if invocation.error_type is not None:
                    headers["X-Amz-Function-Error"] = "Unhandled"
                return Response(invocation.payload, HTTPStatus.OK, headers, content_type="application/json")
            case other:
                body = {"Message": f"Unknown invocation type {other}", "Type": "User"}
                return _json(HTTPStatus.BAD_REQUEST, body, {"x-amzn-ErrorType": "InvalidParameterValueException"})

    def _run(self, function: Function, event: bytes) -> None:
        invocation = self._environments.invoke(function, event)
        if invocation.error_type is not None:
            _LOG.error("%s failed in the background: %s", function.name, invocation.payload.decode(errors="replace"))


class InvokeClient:
    """Calls the Lambda API at ``url``, unsigned."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(retries=False)

    def invoke(self, function: Function, event: bytes) -> Invocation:
        """Run the function on one event. Raises ProcessDied if nothing answers."""
        url = f"{self._url}/2015-03-31/functions/{function.logical_id}/invocations"
        try:
            response = self._http.request("POST", url, body=event, headers={"content-type": "application/json"})
        except urllib3.exceptions.HTTPError as error:
            raise ProcessDied(f"{self._url} does not answer: {error}") from error
        failed = response.status != HTTPStatus.OK or "x-amz-function-error" in response.headers
        return Invocation(response.data, "Unhandled" if failed else None)


def _json(status: HTTPStatus, body: dict[str, str], headers: dict[str, str]) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")
