"""A web page in the developer's browser against the running stack: it reads nothing and changes nothing.

What a page can do, it does here: requests without reading the answer (no-cors), preflights, and requests that count as
its own site's because its name now points at this machine (DNS rebinding). It knows every port that there is.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.contract.stacks import RunningStack
from tools.local.private_network import DOORS

pytestmark = pytest.mark.stack

EVIL = "evil.example"
PAGE = {"Origin": f"https://{EVIL}"}
REBOUND = {"Host": EVIL}
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/x/aws4_request, SignedHeaders=host, "
    "Signature=0",
    "X-Amz-Date": "20260101T000000Z",
    "X-Amz-Security-Token": "local",
}
TEXT = {"Content-Type": "text/plain"}
LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that would read or change something if it were answered."""

    service: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path} {self.headers.get('X-Amz-Target', '')}"


def dynamodb(operation: str, body: str) -> Attempt:
    target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    return Attempt("dynamodb", "POST", "/", {**target, **SIGNED}, body)


ATTEMPTS = [
    Attempt("dynamodb", "GET", "/"),
    dynamodb("ListTables", "{}"),
    dynamodb("Scan", '{"TableName": "Table"}'),
    dynamodb("DeleteTable", '{"TableName": "Table"}'),
    Attempt("dynamodb", "POST", "/", TEXT, '{"TableName": "Table"}'),
    Attempt("s3", "GET", "/"),
    Attempt("s3", "GET", "/bucket-local", SIGNED),
    Attempt("s3", "PUT", "/bucket-local/evil", SIGNED, "evil"),
    Attempt("s3", "POST", "/bucket-local?delete", TEXT, "<Delete><Object><Key>model/1</Key></Object></Delete>"),
    Attempt("s3", "DELETE", "/bucket-local/model/1"),
    Attempt("sqs", "GET", "/?Action=ListQueues"),
    Attempt("sqs", "POST", "/000000000000/Queue", TEXT, "Action=SendMessage&MessageBody=evil"),
    Attempt("sqs", "GET", "/000000000000/Queue?Action=PurgeQueue"),
    Attempt("ssm", "POST", "/", {"X-Amz-Target": "AmazonSSM.DescribeParameters", **SIGNED}, "{}"),
    Attempt("lambda", "POST", "/2015-03-31/functions/EchoFunction/invocations", TEXT, '{"key": "evil"}'),
    Attempt("lambda", "POST", "/2015-03-31/functions/EchoFunction/invocations", {**TEXT, **SIGNED}, '{"key": "evil"}'),
]


def listening_outside(stack: RunningStack) -> set[tuple[str, int]]:
    """Addresses on this machine's own network that processes of the stack listen on."""
    sockets = set()
    for process in (stack.process.pid, *(child.pid for child in psutil.Process(stack.process.pid).children(True))):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            target = str(descriptor.readlink()) if descriptor.is_symlink() else ""  # else it was closed meanwhile
            sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == LISTENING and inode in sockets:
            address, port = local.split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def test_only_the_gateway_and_the_doors_listen_where_a_browser_looks(echo_stack: RunningStack) -> None:
    assert httpx.get(f"{echo_stack.url}/items/1").status_code == 200
    known = [echo_stack.url, *echo_stack.endpoints.values()]
    expected = {(parts.hostname, parts.port) for parts in map(urlsplit, known)}

    listening = listening_outside(echo_stack)
    assert listening >= expected
    beside = listening - expected

    # Where the system allows no network of its own, the others listen on addresses that are drawn at each start.
    hidden = "no network of its own" in echo_stack.output()
    assert not beside or hidden
    assert not {address for address, _ in beside} & {"127.0.0.1", "0.0.0.0"}


def test_state_folder_and_what_opens_the_doors_are_the_owners_alone(echo_stack: RunningStack) -> None:
    assert echo_stack.state.stat().st_mode & 0o777 == 0o700
    assert (echo_stack.state / "stack.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sent_by", [PAGE, REBOUND, {}], ids=["page", "rebinding", "no-cors"])
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_engines_refuse_a_page(echo_stack: RunningStack, attempt: Attempt, sent_by: dict[str, str]) -> None:
    before = contents(echo_stack)

    response = httpx.request(
        attempt.method,
        echo_stack.endpoints[attempt.service] + attempt.path,
        headers={**attempt.headers, **sent_by},
        content=attempt.body,
    )

    assert response.status_code == 403
    assert granted(response) == {}
    assert contents(echo_stack) == before


@pytest.mark.parametrize("service", DOORS)
def test_preflight_grants_nothing(echo_stack: RunningStack, service: str) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-amz-target,authorization"}

    response = httpx.options(echo_stack.endpoints[service], headers={**PAGE, **wanted})

    assert response.status_code == 403
    assert granted(response) == {}


@pytest.mark.parametrize("service", DOORS)
def test_page_that_had_the_token_is_refused_too(echo_stack: RunningStack, service: str) -> None:
    for changed in (PAGE, REBOUND):
        headers = {**SIGNED, "X-Amz-Security-Token": echo_stack.session_token, **changed}

        assert httpx.get(echo_stack.endpoints[service], headers=headers).status_code == 403


@pytest.mark.parametrize("host", [EVIL, f"{EVIL}:3000", "127.0.0.1.evil.example", "localhost.evil.example:80"])
def test_gateway_refuses_other_names(echo_stack: RunningStack, host: str) -> None:
    response = httpx.get(f"{echo_stack.url}/items/1", headers={"Host": host})

    assert response.status_code == 403
    assert "NEXTBEST_ALLOWED_HOSTS" in response.json()["message"]
    assert granted(response) == {}


def test_gateway_serves_the_names_of_loopback(echo_stack: RunningStack) -> None:
    port = urlsplit(echo_stack.url).port

    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "LOCALHOST"):
        assert httpx.get(f"{echo_stack.url}/items/1", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/users/ada/actions", "/events", "/personalize/action-recommendations", "/docs"])
def test_gateway_lets_no_page_read_or_send_a_key(stack: RunningStack, path: str) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "actionhub-key,program-id"}

    preflight = httpx.options(f"{stack.url}{path}", headers={**PAGE, **wanted})
    read = httpx.get(f"{stack.url}{path}", headers=PAGE)
    sent = httpx.post(f"{stack.url}{path}", headers={**PAGE, **TEXT}, content='{"events": []}')

    for response in (preflight, read, sent):
        assert granted(response) == {}
    assert preflight.status_code >= 400
    assert sent.status_code >= 400


def contents(stack: RunningStack) -> tuple[object, ...]:
    """Everything that is stored: tables with their items, buckets with their objects, queues with their depths."""
    tables = stack.dynamodb.list_tables()["TableNames"]
    buckets = [bucket["Name"] for bucket in stack.s3.list_buckets()["Buckets"]]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return (
        {table: stack.dynamodb.scan(TableName=table)["Items"] for table in tables},
        {
            bucket: [entry["Key"] for entry in stack.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
            for bucket in buckets
        },
        {
            name: stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]  # type: ignore[arg-type]
            for name, url in stack.queues.items()
        },
    )


def granted(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.lower().startswith("access-control")}
