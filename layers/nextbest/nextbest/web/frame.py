"""The frame of every HTTP function, between API Gateway and a dialect."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from nextbest.aws.clients import SERVICE_FAILURES, is_final
from nextbest.errors import NextbestError, QuotaExceeded, Unavailable
from nextbest.observability import MetricUnit, logger, program_metrics
from nextbest.web.deadline import in_time
from nextbest.web.request import Request
from nextbest.web.response import Response

MAX_RESPONSE_BYTES = 6_000_000
"""Lambda returns 6 MiB at most, as JSON: with the headers, and with every quotation mark escaped."""


class Endpoints(Protocol):
    """The endpoints of one dialect. ``now`` is in seconds since 1970."""

    def serve(self, request: Request, *, now: float) -> Response:
        """The response to a request. Raises NextbestError for a request that is refused."""
        ...

    def refuse(self, error: NextbestError, request: Request, now: float, /) -> Response:
        """The response to a request for which ``serve`` raised: the one place where an error becomes a response."""
        ...


def respond(request: Request, context: object, endpoints: Endpoints, *, clock: Callable[[], float]) -> dict[str, Any]:
    """The response to ``request`` in the gateway's form, before the deadline of Lambda's ``context``; logs one line.

    The library's own errors become the dialect's; AWS calls that failed after all retries become Unavailable, and a
    response that Lambda could not return QuotaExceeded. Anything else is a defect, a call that AWS refuses for good
    too: it is left to Lambda, which reports it as an error of the function.
    """
    began = clock()
    logger.set_correlation_id(request.request_id)
    try:
        with in_time(context):
            try:
                response = endpoints.serve(request, now=began)
            except NextbestError as error:
                response = endpoints.refuse(error, request, began)
    except SERVICE_FAILURES as error:
        if is_final(error):
            raise
        logger.error("a service did not answer", error=str(error))
        unavailable = Unavailable("A service that this request needs did not answer; please try again")
        response = endpoints.refuse(unavailable, request, began)
    except Unavailable as error:  # time ran out
        response = endpoints.refuse(error, request, began)
    is_large = len(response.body) > MAX_RESPONSE_BYTES // 2
    if is_large and "content-encoding" not in response.headers and _escaped_bytes(response.body) > MAX_RESPONSE_BYTES:
        too_much = QuotaExceeded("The answer is larger than the 6 MB that one response may have; ask for less")
        response = endpoints.refuse(too_much, request, began)
    _log(request, response, began, round((clock() - began) * 1000, 2))
    result = {
        "statusCode": response.status,
        "headers": {"content-type": "application/json", **response.headers, "x-request-id": request.request_id},
    }
    if response.cookies:
        result["cookies"] = response.cookies
    if "content-encoding" in response.headers:
        return {**result, "body": base64.b64encode(response.body).decode(), "isBase64Encoded": True}
    return {**result, "body": response.body.decode()}


def _escaped_bytes(body: bytes) -> int:
    return len(json.dumps(body.decode(), ensure_ascii=False).encode())


def _log(request: Request, response: Response, began: float, duration_ms: float) -> None:
    """One line, which also records the metrics of a program's request."""
    fields = response.fields
    logger.info(
        "request",
        route=request.route,
        status=response.status,
        duration_ms=duration_ms,
        **{name: value for name, value in fields.items() if name != "program"},
        **_metrics(fields, duration_ms, began),
    )


def _metrics(fields: Mapping[str, Any], duration_ms: float, now: float) -> dict[str, Any]:
    if "program" not in fields:
        return {}
    values = {"Requests": (1.0, MetricUnit.Count), "Latency": (duration_ms, MetricUnit.Milliseconds)}
    if "actions" in fields:
        values["EmptyAnswers"] = (float(fields["actions"] == 0), MetricUnit.Count)
    # A version begins with the milliseconds at which its rebase began.
    began_ms = str(fields.get("model", "")).partition("-")[0]
    if began_ms.isdecimal():
        values["ModelAge"] = (max(0.0, now - int(began_ms) / 1000), MetricUnit.Seconds)
    return program_metrics(values, now=now, program=str(fields["program"]))
