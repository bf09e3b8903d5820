"""Calls without the SDK: the same answers as the SDK's, and the SDK's help where they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from nextbest.aws.direct_reads import DirectTable, DirectWrites, Endpoint
from nextbest.aws.sigv4 import AwsCredentials, signed_headers
from nextbest.aws.table import ItemKey, Table
from nextbest.errors import ArtifactError, CannotBeStored
from nextbest.store.artifacts import DirectArtifacts, S3Artifacts
from nextbest.store.base import ByteRange
from tests.store.conftest import s3
from tools.local.engines import REGION

CREDENTIALS = AwsCredentials("local", "local", "token")
NOW = 1_790_000_000.0
A, B, MISSING = ItemKey("p", "a"), ItemKey("p", "b"), ItemKey("p", "c")
BUCKET = "direct"
Open = Callable[[str, str], Endpoint]


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Service:
    """An HTTP server that answers every request with ``answer``: status, headers, body; and counts connections."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.connections = 0
        self.requests = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def do_POST(self) -> None:
                service.requests += 1
                self.rfile.read(int(self.headers.get("content-length", 0)))
                status, headers, body = service.answer
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint(clock: Clock) -> Open:
    """Opens endpoints: of a service, at a URL."""
    return lambda service, url: Endpoint(service, url, REGION, lambda: CREDENTIALS, clock)


def put_items(table: Table) -> None:
    table.put(A, {"text": {"S": "é€"}, "count": {"N": "12"}, "packed": {"B": bytes(range(256))}})
    table.put(B, {"members": {"BS": [b"\0", b"\xff\n"]}, "flag": {"BOOL": True}})


def test_items_are_those_of_the_sdk(table: Table, endpoint: Open) -> None:
    put_items(table)
    direct = DirectTable(table.client, table.name, endpoint("dynamodb", table.client.meta.endpoint_url))

    with patch.object(Table, "get_many", side_effect=AssertionError("the SDK was asked")):
        found = direct.get_many([A, B, MISSING])

    expected = table.get_many([A, B, MISSING])
    assert found.keys() == expected.keys() == {A, B}
    assert found[A] == expected[A]
    assert sorted(found[B]["members"]["BS"]) == sorted(expected[B]["members"]["BS"])
    assert found[B]["flag"] == expected[B]["flag"]
    assert direct.get(A) == expected[A]
    assert direct.get(MISSING) is None


def test_events_are_written_as_by_the_sdk(table: Table, endpoint: Open) -> None:
    direct = DirectWrites(table.client, table.name, endpoint("dynamodb", table.client.meta.endpoint_url))
    expression, values = "ADD members :members SET salt = if_not_exists(salt, :salt)", [b"\0", b"\xff\n"]

    with (
        patch.object(Table, "_execute", side_effect=AssertionError("the SDK was asked")),
        patch.object(Table, "update", side_effect=AssertionError("the SDK was asked")),
    ):
        assert direct.insert_new([(A, {"text": "é€"}), (B, {})]) == [True, True]
        assert direct.insert_new([(A, {"text": "other"}), (MISSING, {})]) == [False, True]
        for salt in (b"first", b"second"):
            item = direct.repeatable_update(
                A, expression, {":members": {"BS": values}, ":salt": {"B": salt}}, returns="ALL_NEW"
            )
        assert direct.repeatable_update(B, "SET half_life = :one", {":one": {"N": "1"}}, returns="NONE") == {}

    stored = table.get(A)
    assert stored is not None
    assert stored["text"] == item["text"] == {"S": "é€"}
    assert stored["salt"] == item["salt"] == {"B": b"first"}
    assert sorted(stored["members"]["BS"]) == sorted(item["members"]["BS"]) == sorted(values)


@pytest.mark.parametrize(
    "answer",
    [
        (400, {}, b'{"__type":"ProvisionedThroughputExceededException"}'),
        (500, {}, b"oops"),
        (200, {"x-amz-crc32": "1"}, b'{"Responses":[{}]}'),
        (200, {"content-length": "1000", "connection": "close"}, b'{"Respon'),
    ],
)
def test_a_write_that_does_not_go_well_is_left_to_the_sdk(
    table: Table, service: Service, endpoint: Open, answer: tuple[int, dict[str, str], bytes]
) -> None:
    service.answer = answer
    direct = DirectWrites(table.client, table.name, endpoint("dynamodb", service.url))

    assert direct.insert_new([(A, {"text": "é"})]) == [True]
    item = direct.repeatable_update(A, "ADD members :members", {":members": {"BS": [b"\0"]}}, returns="ALL_NEW")

    assert item == table.get(A)
    assert service.requests == 2


def test_what_can_never_be_stored_is_refused_as_by_the_sdk(table: Table, endpoint: Open) -> None:
    direct = DirectWrites(table.client, table.name, endpoint("dynamodb", table.client.meta.endpoint_url))

    with pytest.raises(CannotBeStored):
        direct.repeatable_update(A, "SET packed = :packed", {":packed": {"B": bytes(500_000)}}, returns="ALL_NEW")


@pytest.mark.parametrize(
    "answer",
    [
        (400, {}, b'{"__type":"ProvisionedThroughputExceededException"}'),
        (500, {}, b"oops"),
        (200, {}, b'{"Responses":{},"UnprocessedKeys":{"t":{"Keys":[]}}}'),
        (200, {"x-amz-crc32": "no number"}, b'{"Responses":{}}'),
        (200, {"x-amz-crc32": "1"}, b'{"Responses":{}}'),
        (200, {"content-length": "1000", "connection": "close"}, b'{"Respon'),
    ],
)
def test_what_does_not_go_well_is_left_to_the_sdk(
    table: Table, service: Service, endpoint: Open, answer: tuple[int, dict[str, str], bytes]
) -> None:
    put_items(table)
    service.answer = answer
    direct = DirectTable(table.client, table.name, endpoint("dynamodb", service.url))

    assert direct.get_many([A]) == table.get_many([A])
    assert service.requests == 1


def test_nobody_listening_is_left_to_the_sdk(table: Table, service: Service, endpoint: Open) -> None:
    put_items(table)
    service.close()
    direct = DirectTable(table.client, table.name, endpoint("dynamodb", service.url))

    assert direct.get_many([A]) == table.get_many([A])


def test_connections_are_kept_but_not_for_long(service: Service, endpoint: Open, clock: Clock) -> None:
    kept = endpoint("s3", service.url)
    for _ in range(3):
        assert kept.send("GET", "/", {}) is not None
    assert service.connections == 1

    clock.now += 60
    assert kept.send("GET", "/", {}) is not None
    assert service.connections == 2


def test_artifacts_are_read_from_s3(start_engine: Callable[[str], str], endpoint: Open) -> None:
    url = start_engine("ministack")
    client = s3(url)
    client.create_bucket(Bucket=BUCKET)
    direct = DirectArtifacts(client, BUCKET, endpoint("s3", url))
    direct.put("models/a b/é.nbm", b"\0\1\2")

    with patch.object(S3Artifacts, "_get", side_effect=AssertionError("the SDK was asked")):
        assert direct.get("models/a b/é.nbm") == b"\0\1\2"
        ranges = [ByteRange("models/a b/é.nbm", begin, count) for begin, count in ((1, 2), (0, 1), (3, 0))]
        assert direct.get_ranges(ranges) == [b"\1\2", b"\0", b""]
    with pytest.raises(ArtifactError):
        direct.get("models/none")
    for begin, count in ((0, 4), (3, 1)):
        with pytest.raises(ArtifactError):
            direct.get_ranges([ByteRange("models/a b/é.nbm", begin, count)])


def test_a_file_of_any_size_is_written_in_pieces_and_downloaded_without_a_key(
    start_engine: Callable[[str], str], endpoint: Open
) -> None:
    url = start_engine("ministack")
    client = s3(url)
    client.create_bucket(Bucket="pieces")
    artifacts = DirectArtifacts(client, "pieces", endpoint("s3", url))
    content = bytes(range(256)) * 4096 * 9  # 9 MiB: two pieces

    pieces = (content[begin : begin + 100_000] for begin in range(0, len(content), 100_000))
    artifacts.put_stream("segments/1/a.csv", pieces, content_type="text/csv", filename="segment.csv")

    assert artifacts.get("segments/1/a.csv") == content
    with urlopen(artifacts.download_url("segments/1/a.csv", seconds=60)) as response:
        assert response.read() == content
        assert response.headers["content-type"] == "text/csv"
        assert response.headers["content-disposition"] == 'attachment; filename="segment.csv"'


def test_a_file_whose_writing_fails_is_not_there(start_engine: Callable[[str], str], endpoint: Open) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(9 << 20)
        raise ArtifactError("a part is missing")

    url = start_engine("ministack")
    client = s3(url)
    client.create_bucket(Bucket="broken")
    artifacts = DirectArtifacts(client, "broken", endpoint("s3", url))

    with pytest.raises(ArtifactError, match="a part is missing"):
        artifacts.put_stream("segments/1/a.csv", broken(), content_type="text/csv", filename="segment.csv")

    assert artifacts.names("") == []


def test_old_files_are_deleted_but_for_those_in_use(start_engine: Callable[[str], str], endpoint: Open) -> None:
    url = start_engine("ministack")
    client = s3(url)
    client.create_bucket(Bucket="old")
    artifacts = DirectArtifacts(client, "old", endpoint("s3", url))
    for key in ("s/1/a", "s/1/b", "s/2/a", "t/1/a"):
        artifacts.put(key, b"")

    assert artifacts.delete_all("s/", before="s/2/", keep={"s/1/b"}) == 1

    assert artifacts.names("") == ["s/1/b", "s/2/a", "t/1/a"]


@given(
    key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20),
    body=st.binary(max_size=64),
    token=st.sampled_from(["", "a-token"]),
    now=st.integers(0, 4_000_000_000),
)
@pytest.mark.parametrize(("service", "signer_type"), [("dynamodb", SigV4Auth), ("s3", S3SigV4Auth)])
def test_signatures_are_botocore_s(
    service: str, signer_type: type[SigV4Auth], key: str, body: bytes, token: str, now: int
) -> None:
    path = "/" if service == "dynamodb" else f"/bucket/{quote(key, safe='/~')}"
    headers = {"host": "example.com:8000", "content-type": "application/x-amz-json-1.0"}
    credentials = AwsCredentials("id", "secret", token)
    ours = signed_headers("POST", path, headers, body, credentials, region=REGION, service=service, now=now)

    theirs = AWSRequest("POST", f"http://example.com:8000{path}", headers, body)
    theirs.headers["x-amz-content-sha256"] = ours["x-amz-content-sha256"]
    signer = signer_type(BotocoreCredentials("id", "secret", token or None), service, REGION)
    with patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(now, UTC)):
        signer.add_auth(theirs)

    assert ours["authorization"] == theirs.headers["Authorization"]
