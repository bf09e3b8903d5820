"""The frame between the gateway and a dialect: failures of services, and responses that are too large."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from nextbest.actionhub.errors import answer
from nextbest.errors import NextbestError
from nextbest.web.frame import MAX_RESPONSE_BYTES, respond
from nextbest.web.request import Request
from nextbest.web.response import Response


class Scripted:
    """Endpoints of one answer. Implements ``web.frame.Endpoints``."""

    def __init__(self, answer_with: Callable[[], Response]) -> None:
        self._answer_with = answer_with

    def serve(self, _request: Request, *, now: float) -> Response:
        assert now == 1.0
        return self._answer_with()

    def refuse(self, error: NextbestError, _request: Request, _now: float, /) -> Response:
        return Response(*answer(error))


def answered(answer_with: Callable[[], Response]) -> tuple[int, str]:
    result = respond(Request("GET", "/x"), None, Scripted(answer_with), clock=lambda: 1.0)
    return result["statusCode"], result["body"]


def failing(error: Exception) -> Callable[[], Response]:
    def fail() -> Response:
        raise error

    return fail


def refused_by_aws(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "GetItem")


@pytest.mark.parametrize(
    "error",
    [
        refused_by_aws("ThrottlingException"),
        refused_by_aws("InternalServerError"),
        EndpointConnectionError(endpoint_url="https://dynamodb"),
    ],
)
def test_an_outage_is_a_503(error: Exception) -> None:
    assert answered(failing(error))[0] == 503


@pytest.mark.parametrize("code", ["ValidationException", "SerializationException"])
def test_a_call_that_aws_refuses_for_good_is_a_defect_and_no_outage(code: str) -> None:
    with pytest.raises(ClientError, match=code):
        answered(failing(refused_by_aws(code)))


@pytest.mark.parametrize(
    ("text", "count", "status"),
    [
        ("x", MAX_RESPONSE_BYTES - 10, 200),
        ("x", MAX_RESPONSE_BYTES + 1, 429),
        # Lambda's response is JSON, in which quotation marks and line breaks take two bytes.
        ('"', MAX_RESPONSE_BYTES // 2 - 10, 200),
        ('"', MAX_RESPONSE_BYTES // 2 + 10, 429),
        ("\n", MAX_RESPONSE_BYTES // 2 + 10, 429),
        ("é", MAX_RESPONSE_BYTES // 2 - 10, 200),
    ],
)
def test_a_response_that_lambda_could_not_return_is_refused(text: str, count: int, status: int) -> None:
    actual, body = answered(lambda: Response(200, (text * count).encode()))

    assert actual == status
    if status == 429:
        assert "larger than the 6 MB" in json.loads(body)["detail"]
