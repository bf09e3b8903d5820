"""The gateway of the local stack, over the wire: what functions are sent, and what clients get."""

from __future__ import annotations

import base64
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.stacks import RunningStack

pytestmark = pytest.mark.stack


def event_of(answer: httpx.Response) -> dict[str, Any]:
    """The event that the echo function was sent."""
    assert answer.status_code == 200, answer.text
    event: dict[str, Any] = answer.json()["event"]
    return event


def test_a_function_sees_path_parameters_decoded(echo_stack: RunningStack) -> None:
    event = event_of(httpx.get(f"{echo_stack.url}/items/caf%C3%A9%20%3F?tag=a&tag=b&empty="))

    assert event["routeKey"] == "GET /items/{item_id}"
    assert event["rawPath"] == "/items/café ?"
    assert event["pathParameters"] == {"item_id": "café ?"}
    assert event["rawQueryString"] == "tag=a&tag=b&empty="
    assert event["queryStringParameters"] == {"tag": "a,b", "empty": ""}
    assert "body" not in event


def test_a_greedy_route_has_the_rest_of_the_path_as_one_parameter(echo_stack: RunningStack) -> None:
    event = event_of(httpx.get(f"{echo_stack.url}/files/a/b/c"))

    assert event["routeKey"] == "GET /files/{proxy+}"
    assert event["pathParameters"] == {"proxy": "a/b/c"}


def test_two_requests_have_ids_and_times_of_their_own(echo_stack: RunningStack) -> None:
    before = time.time() * 1000
    first, second = (event_of(httpx.get(f"{echo_stack.url}/items/1"))["requestContext"] for _ in range(2))

    assert first["requestId"] != second["requestId"]
    assert before - 1 <= first["timeEpoch"] <= second["timeEpoch"] <= time.time() * 1000 + 1


def test_a_json_body_arrives_as_text(echo_stack: RunningStack) -> None:
    event = event_of(httpx.post(f"{echo_stack.url}/items", json={"name": "café"}))

    assert event["body"] == '{"name":"café"}'
    assert event["isBase64Encoded"] is False


def test_bytes_arrive_in_base64(echo_stack: RunningStack) -> None:
    sent = bytes(range(256))
    event = event_of(httpx.post(f"{echo_stack.url}/items", content=sent))

    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == sent


def test_cookies_both_ways_have_their_own_places(echo_stack: RunningStack) -> None:
    answer = httpx.get(f"{echo_stack.url}/items/1", headers={"Cookie": "a=1; b=2", "X-Mine": "yes"})

    event = event_of(answer)
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-mine"] == "yes"
    assert answer.headers["set-cookie"] == "session=1"


def test_an_unknown_route_is_answered_with_404_as_by_an_http_api(echo_stack: RunningStack) -> None:
    for answer in (httpx.get(f"{echo_stack.url}/nowhere"), httpx.delete(f"{echo_stack.url}/items/1")):
        assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})


def test_a_failing_function_is_answered_with_500_and_logs_the_reason(echo_stack: RunningStack) -> None:
    answer = httpx.get(f"{echo_stack.url}/items/1?fail")

    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})
    assert "ValueError: a failure was asked for" in echo_stack.log("echo")


def test_a_function_that_exits_is_answered_with_500_and_the_next_call_works(echo_stack: RunningStack) -> None:
    assert httpx.get(f"{echo_stack.url}/items/1?exit").status_code == 500
    assert httpx.get(f"{echo_stack.url}/items/1").status_code == 200


def test_a_function_beyond_its_timeout_is_answered_with_500(echo_stack: RunningStack) -> None:
    answer = httpx.get(f"{echo_stack.url}/items/1?sleep=20", timeout=15)

    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


@pytest.mark.parametrize("megabytes", [7, 11])  # over Lambda's limit of an event, over the gateway's of a request
def test_too_large_a_body_is_answered_with_413(echo_stack: RunningStack, megabytes: int) -> None:
    body = b'"' + b"x" * (megabytes * 1024 * 1024) + b'"'
    answer = httpx.post(f"{echo_stack.url}/items", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})


def test_a_connection_stays_open(echo_stack: RunningStack) -> None:
    connection = http.client.HTTPConnection(urlsplit(echo_stack.url).netloc)
    ports = []
    for _ in range(2):
        connection.request("GET", "/items/1")
        response = connection.getresponse()
        response.read()
        assert response.version == 11
        ports.append(connection.sock.getsockname()[1])
    connection.close()

    assert ports[0] == ports[1]


def test_slow_requests_at_once_have_an_environment_each(echo_stack: RunningStack) -> None:
    def process(_: int) -> int:
        answer = httpx.get(f"{echo_stack.url}/items/1?sleep=0.5", timeout=30)
        number: int = answer.json()["process"]
        return number

    with ThreadPoolExecutor(2) as clients:
        assert len(set(clients.map(process, range(2)))) == 2


def test_twenty_clients_at_once_are_all_answered(echo_stack: RunningStack) -> None:
    def status(number: int) -> tuple[int, str]:
        answer = httpx.get(f"{echo_stack.url}/items/{number}", timeout=60)
        return answer.status_code, event_of(answer)["pathParameters"]["item_id"]

    with ThreadPoolExecutor(20) as clients:
        assert list(clients.map(status, range(200))) == [(200, str(number)) for number in range(200)]


def test_the_variables_of_a_function_name_what_exists(echo_stack: RunningStack) -> None:
    variables = httpx.get(f"{echo_stack.url}/items/1").json()["variables"]

    assert variables["TABLE_NAME"] in echo_stack.dynamodb.list_tables()["TableNames"]
    assert variables["ARTIFACT_BUCKET"] in [bucket["Name"] for bucket in echo_stack.s3.list_buckets()["Buckets"]]
    assert echo_stack.sqs.get_queue_attributes(QueueUrl=variables["QUEUE_URL"])["ResponseMetadata"]
