"""A load against a server that keeps the contract: counts, refusals, trouble, interruption and going on."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from nextbest.event_files.rows import RowRules
from tools.cli.__main__ import main
from tools.cli.load import load
from tools.cli.load_client import ATTEMPTS, FIRST_CONTACT_ATTEMPTS, Server
from tools.cli.load_errors import Interrupted, ServerRefuses

KEY = "demo.secret"
RULES = RowRules(now=1e9)
HEADER = "user_id,event_type,asset_id,timestamp,labels\n"


@dataclass
class Contract:
    """What the server double knows and does: programs, events, and the answers it gives instead, in order."""

    programs: set[str] = field(default_factory=lambda: {"shop"})
    events: set[tuple[str, ...]] = field(default_factory=set)
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    instead: list[int] = field(default_factory=list)
    largest_body: int = 4 * 1024 * 1024
    bodies: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if headers.get("actionhub-key") != KEY:
            return 403, {"detail": "Could not validate API KEY"}
        if (method, path) == ("POST", "/programs"):
            self.programs.add(body["program_id"])
            return 200, {"api_key": "new.secret", "program_id": body["program_id"]}
        if headers.get("program-id") not in self.programs:
            return 404, {"detail": "Program not found"}
        if (method, path) == ("GET", "/program"):
            return 200, {"program_id": headers["program-id"], "program_name": "Shop"}
        if (method, path) == ("POST", "/events"):
            return self._post(body["events"])
        return 404, {"detail": "Not Found"}

    def _post(self, events: list[dict[str, Any]]) -> tuple[int, Any]:
        with self.lock:
            self.posts.append(events)
            if self.instead and (status := self.instead.pop(0)) != 200:
                return status, {"message": "Service Unavailable"}
            wrong = [index for index, event in enumerate(events) if event["asset_id"].startswith("unknown")]
            if wrong:
                return 422, {
                    "detail": [
                        {"loc": ["body", "events", index, "asset_id"], "msg": "Value is not allowed", "type": "value"}
                        for index in wrong
                    ]
                }
            names = ("user_id", "event_timestamp", "event_type", "asset_id")
            identities = [tuple(str(event[name]) for name in names) for event in events]
            fresh = len(set(identities) - self.events)
            self.events.update(identities)
            known = len(identities) - fresh
            result = f"accepted {fresh} events, {known} duplicates"
            return 200, {"result": result, "accepted": fresh, "duplicates": known}


@dataclass
class Double:
    """The running server double."""

    contract: Contract
    url: str


@pytest.fixture
def double() -> Iterator[Double]:
    contract = Contract()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            size = int(self.headers.get("content-length", 0))
            raw = self.rfile.read(size)
            body = json.loads(raw) if raw else None
            url = urlsplit(self.path)
            contract.connections.add(self.client_address[1])
            if url.path == "/events":
                contract.bodies.append(raw)
                contract.queries.append(parse_qs(url.query))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if size > contract.largest_body:
                # As a proxy answers before the server is reached.
                status, content = 413, b"<h1>Content Too Large</h1>"
            else:
                status, answer = contract.answer(self.command, url.path, headers, body)
                content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815  # the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Double(contract, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def write(folder: Path, rows: int) -> Path:
    path = folder / "events.csv"
    path.write_text(HEADER + "".join(f"user-{row % 7},order,latte,{row},app|morning\n" for row in range(rows)))
    return path


def command(double: Double, path: Path, *more: str) -> list[str]:
    state = str(path.parent / "state")
    return ["load", str(path), "--program", "shop", "--url", double.url, "--key", KEY, "--state", state, *more]


def server_of(double: Double, pauses: list[float]) -> Server:
    return Server(double.url, "shop", KEY, urllib3.PoolManager(), random.Random(1), pauses.append)


def sidecars(folder: Path) -> list[Path]:
    return list((folder / "state" / "load").glob("*.json"))


def test_every_row_of_a_file_arrives_as_the_contract_says(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(double, write(tmp_path, 25), "--batch", "10")) == 0
    assert sorted(len(post) for post in double.contract.posts) == [5, 10, 10]
    assert ("user-3", "1970-01-01T00:00:03Z", "order", "latte") in double.contract.events
    assert double.contract.posts[0][0]["labels"] == ["app", "morning"]
    assert double.contract.queries[0] == {"process_user_actions": ["true"]}
    assert capsys.readouterr().out.startswith("25 rows: accepted 25, duplicate 0, rejected 0")
    assert sidecars(tmp_path) == []


def test_a_file_loaded_again_is_all_duplicates(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 25)
    main(command(double, path))
    capsys.readouterr()
    assert main(command(double, path)) == 0
    assert capsys.readouterr().out.startswith("25 rows: accepted 0, duplicate 25, rejected 0")


def test_connections_are_kept_alive_over_many_batches(double: Double, tmp_path: Path) -> None:
    main(command(double, write(tmp_path, 40), "--batch", "2", "--workers", "2"))
    assert len(double.contract.posts) == 20
    assert len(double.contract.connections) <= 2


def test_the_server_is_told_of_a_back_fill(double: Double, tmp_path: Path) -> None:
    main(command(double, write(tmp_path, 1), "--back-fill"))
    assert double.contract.queries == [{"process_user_actions": ["false"]}]


def test_rows_that_the_server_refuses_are_named_and_the_rest_arrives(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.csv"
    rows = ["ada,order,latte,1,", "ada,order,unknown tea,2,", "ada,order,tea,never,", "bob,order,unknown cake,4,"]
    path.write_text(HEADER + "\n".join([*rows, "bob,order,scone,5,"]) + "\n")
    assert main(command(double, path)) == 1
    assert [len(post) for post in double.contract.posts] == [4, 2]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  rejected 2: asset_id: Value is not allowed (line 3, 5)",
        "  rejected 1: timestamp is neither seconds since 1970 nor ISO 8601 (such as 2024-02-21T10:15:00Z) (line 4)",
        "  --rejects FILE writes all rejected rows, with line and reason, to a file",
    ]
    assert {identity[3] for identity in double.contract.events} == {"latte", "scone"}


def test_a_new_program_is_created_first(double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    double.contract.programs.clear()
    assert main(command(double, write(tmp_path, 3))) == 0
    assert double.contract.programs == {"shop"}
    assert capsys.readouterr().out.startswith("created program shop\n3 rows: accepted 3")


def test_nothing_is_sent_with_a_wrong_key(double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 3)
    assert main([*command(double, path), "--key", "wrong"]) == 2
    assert "Could not validate API KEY" in capsys.readouterr().err
    assert double.contract.posts == []


def test_passing_trouble_is_retried_later_and_later(double: Double, tmp_path: Path) -> None:
    double.contract.instead = [503, 429, 500, 200]
    pauses: list[float] = []
    counts = load(
        write(tmp_path, 5),
        server_of(double, pauses),
        RULES,
        progress_file=tmp_path / "progress.json",
        stop=threading.Event(),
    )
    assert (counts.accepted, counts.duplicates, counts.rejected) == (5, 0, 0)
    assert len(pauses) == 3
    for pause, longest in zip(pauses, (0.25, 0.5, 1.0), strict=True):
        assert longest / 2 <= pause <= longest


def test_loading_gives_up_on_lasting_trouble_and_keeps_what_was_done(double: Double, tmp_path: Path) -> None:
    path, progress_file = write(tmp_path, 30), tmp_path / "progress.json"
    double.contract.instead = [200] + [503] * ATTEMPTS
    with pytest.raises(ServerRefuses, match=f"kept answering 503.*gave up after {ATTEMPTS}"):
        load(
            path,
            server_of(double, []),
            RULES,
            progress_file=progress_file,
            stop=threading.Event(),
            batch_size=10,
            workers=1,
        )
    # The batch after the failed one may have been on its way already; then it is noted as well.
    assert len(double.contract.events) in (10, 20)
    counts = load(path, server_of(double, []), RULES, progress_file=progress_file, stop=threading.Event(), batch_size=7)
    assert (counts.accepted, counts.duplicates) == (30, 0)
    assert not progress_file.exists()


def test_an_interrupted_load_goes_on_and_counts_the_whole_file(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, 60)

    def interrupt(*_: object, **__: object) -> None:
        if len(double.contract.events) >= 20:
            raise KeyboardInterrupt

    monkeypatch.setattr("tools.cli.load.tqdm.update", interrupt)
    assert main(command(double, path, "--batch", "10", "--workers", "2")) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert len(sidecars(tmp_path)) == 1
    sent_before = sum(len(post) for post in double.contract.posts)
    assert 20 <= sent_before < 60
    monkeypatch.undo()
    assert main(command(double, path, "--batch", "10")) == 0
    assert sum(len(post) for post in double.contract.posts) == 60
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"going on after {sent_before} rows done earlier"
    assert lines[1].startswith("60 rows: accepted 60, duplicate 0, rejected 0")


def test_a_restart_sends_the_first_row_again(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 30)
    double.contract.instead = [200, 400]
    assert main(command(double, path, "--batch", "10", "--workers", "1")) == 2
    assert "refused 10 rows between line 4 and line 26: 400" in capsys.readouterr().err
    known = len(double.contract.events)
    assert known >= 10
    assert main(command(double, path, "--restart")) == 0
    assert capsys.readouterr().out.startswith(f"30 rows: accepted {30 - known}, duplicate {known}, rejected 0")


def test_a_stop_during_a_pause_ends_the_loading_at_once(double: Double, tmp_path: Path) -> None:
    def interrupted(_: float) -> None:
        raise Interrupted

    double.contract.instead = [503]
    server = Server(double.url, "shop", KEY, urllib3.PoolManager(), random.Random(1), interrupted)
    with pytest.raises(Interrupted):
        load(write(tmp_path, 3), server, RULES, progress_file=tmp_path / "progress.json", stop=threading.Event())
    assert len(double.contract.posts) == 1


def test_calling_no_server_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    pauses: list[float] = []
    server = Server(f"http://127.0.0.1:{port}", "shop", KEY, urllib3.PoolManager(), random.Random(1), pauses.append)
    with pytest.raises(ServerRefuses, match=r"\(\[Errno 111\] Connection refused\)\. Is it running\? `make start`"):
        server.open_program()
    assert len(pauses) == FIRST_CONTACT_ATTEMPTS - 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"result": "accepted 3 events"}, "lacks the counts"),
        ({"accepted": True, "duplicates": "0"}, "lacks the counts"),
        (["?"], "lacks the counts"),
    ],
)
def test_no_counts_are_made_up_from_an_answer_outside_the_contract(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object, why: str
) -> None:
    monkeypatch.setattr(double.contract, "_post", lambda _: (200, answer), raising=True)
    with pytest.raises(ServerRefuses, match=why):
        load(
            write(tmp_path, 3),
            server_of(double, []),
            RULES,
            progress_file=tmp_path / "progress.json",
            stop=threading.Event(),
        )


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "has no rows"), (HEADER, "has no rows"), ("user_id,when\nada,1\n", "missing column event_type, asset_id")],
)
def test_loading_an_unusable_file_says_why(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, why: str
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(content)
    double.contract.programs.clear()
    assert main(command(double, path)) == 2
    assert why in capsys.readouterr().err
    assert double.contract.programs == set()


def test_a_folder_is_told_from_a_file(double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(double, tmp_path)) == 2
    assert capsys.readouterr().err == f"load: {tmp_path} is a folder; name the files in it\n"


def test_a_refused_program_is_told_in_the_servers_words(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"type": "string_pattern_mismatch", "loc": ["body", "program_id"], "msg": "String should match pattern"}
    refusals = {"GET": (404, {"detail": "Program not found"}), "POST": (422, {"detail": [wrong]})}
    monkeypatch.setattr(double.contract, "answer", lambda method, *_: refusals[method])
    assert main(command(double, write(tmp_path, 1), "--program", "my shop")) == 2
    expected = "load: cannot open or create program my shop: 422 program_id: String should match pattern\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "wrong", [("--batch", "1001"), ("--workers", "0"), ("--key", ""), ("--url", "nonsense"), ("--columns", "user")]
)
def test_a_wrong_option_is_refused(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command(double, tmp_path / "events.csv"), *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
