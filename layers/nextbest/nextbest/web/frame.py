"""Between API Gateway and a dialect: the frame that every HTTP function shares. Only ``functions/`` imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.errors import NextbestError, Unavailable
from nextbest.observability import embedded, log
from nextbest.web.deadline import in_time
from nextbest.web.request import Request, from_payload_v2

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. ``fields`` go into the log line, never into the answer.

    With the field ``program``, which only those answers have whose caller proved to know it, the line records metrics;
    ``actions`` (how many were recommended) and ``model`` (its version) add to them.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


Serve = Callable[[Request, float, str], Response]
"""Answers a request at ``now`` (seconds since 1970) under a request id; raises NextbestError for what it refuses."""

Refuse = Callable[[NextbestError, str], Response]
"""Tells a caller of an error, in the dialect's words; the second argument is the request id."""


def respond(
    event: Event, context: object, serve: Serve, refuse: Refuse, *, clock: Callable[[], float]
) -> dict[str, Any]:
    """Answer one gateway event in the time that Lambda's ``context`` leaves: parse, serve, log one line.

    The library's own errors become the dialect's; AWS calls that failed for good become Unavailable. Anything else is a
    defect of ours: it is left to Lambda, which reports it as an error of the function.
    """
    began = clock()
    request_id = str(event["requestContext"]["requestId"])
    request = from_payload_v2(event)
    try:
        with in_time(context):
            response = serve(request, began, request_id)
    except NextbestError as error:
        response = refuse(error, request_id)
    except SERVICE_FAILURES as error:
        log("error", "a service did not answer", request_id=request_id, error=str(error))
        unavailable = Unavailable("A service that this request needs did not answer; please try again")
        response = refuse(unavailable, request_id)
    duration_ms = round((clock() - began) * 1000, 2)
    log(
        "info",
        "request",
        request_id=request_id,
        route=event.get("routeKey"),
        status=response.status,
        duration_ms=duration_ms,
        **{name: value for name, value in response.fields.items() if name != "program"},
        **_metrics(response.fields, duration_ms, began),
    )
    return {
        "statusCode": response.status,
        "headers": {"content-type": "application/json", **response.headers, "x-request-id": request_id},
        "body": response.body.decode(),
    }


def _metrics(fields: Mapping[str, Any], duration_ms: float, now: float) -> dict[str, Any]:
    """Metrics of a program's request, as members of its log line."""
    if "program" not in fields:
        return {}
    values: dict[str, tuple[float, str]] = {"Requests": (1, "Count"), "Latency": (duration_ms, "Milliseconds")}
    if "actions" in fields:
        values["EmptyAnswers"] = (float(fields["actions"] == 0), "Count")
    # A version begins with the milliseconds at which its rebase began.
    began_ms = str(fields.get("model", "")).partition("-")[0]
    if began_ms.isdecimal():
        values["ModelAge"] = (max(0.0, now - int(began_ms) / 1000), "Seconds")
    return embedded(values, now=now, program=str(fields["program"]))
