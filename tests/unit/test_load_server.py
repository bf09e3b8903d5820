"""A load against a server that keeps the contract: counts, refusals, trouble, interruption and going on."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from nextbest.event_files.rows import RowRules
from tests.load_server_double import HEADER, KEY, Double, command, running_double, write
from tools.cli.__main__ import main
from tools.cli.load import load
from tools.cli.load_client import ATTEMPTS, FIRST_CONTACT_ATTEMPTS, Server
from tools.cli.load_errors import Interrupted, ServerRefuses

RULES = RowRules(now=1e9)


@pytest.fixture
def double() -> Iterator[Double]:
    with running_double() as double:
        yield double


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


def test_a_value_arrives_where_a_row_has_one(double: Double, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,event_type,asset_id,timestamp,value\nada,order,latte,1,-2.50\nbob,order,latte,2,\n")
    assert main(command(double, path)) == 0
    assert [post.get("value") for (*posts,) in double.contract.posts for post in posts] == [-2.5, None]
    assert "value" not in double.contract.posts[0][1]


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
    assert "the same command resumes from here" in capsys.readouterr().err
    assert len(sidecars(tmp_path)) == 1
    sent_before = sum(len(post) for post in double.contract.posts)
    assert 20 <= sent_before < 60
    monkeypatch.undo()
    assert main(command(double, path, "--batch", "10")) == 0
    assert sum(len(post) for post in double.contract.posts) == 60
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"resuming after {sent_before} rows done earlier"
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
