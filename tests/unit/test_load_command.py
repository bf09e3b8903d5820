"""What a load says of its files and rows, with which status it ends, and how it keeps within the server's limits."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load_server_double import HEADER, Double, command, running_double, write
from tools.cli.__main__ import main
from tools.cli.load_client import LARGEST_BODY_BYTES


@pytest.fixture
def double() -> Iterator[Double]:
    with running_double() as double:
        yield double


def test_a_batch_that_is_too_large_in_bytes_is_sent_in_parts(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given 1,000 rows with 45 Japanese labels each, 2.3 MB of UTF-8, then they arrive, and not as escapes."""
    labels = "|".join(f"札幌ラーメン横丁二階店内飲食限定{index:02}" for index in range(45))
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "".join(f"user,order,latte,{row},{labels}\n" for row in range(1_000)), encoding="utf-8")
    assert main(command(double, path)) == 0
    assert capsys.readouterr().out.startswith("1,000 rows: accepted 1,000, duplicate 0, rejected 0")
    assert len(double.contract.posts[0][0]["labels"]) == 45
    assert max(len(body) for body in double.contract.bodies) <= LARGEST_BODY_BYTES
    assert "札幌".encode() in double.contract.bodies[0]
    assert len(double.contract.posts) == 2


def test_a_batch_that_the_server_finds_too_large_is_halved_until_it_fits(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double.contract.largest_body = 400
    path = tmp_path / "events.csv"
    small = "".join(f"u,buy,a,{row},\n" for row in range(20))
    path.write_text(f"{HEADER}{small}u,buy,a,20,{'|'.join(map(str, range(99)))}\n")
    assert main(command(double, path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("21 rows: accepted 20, duplicate 0, rejected 1")
    assert lines[1] == "  rejected 1: larger than the server takes (413) (line 22)"
    assert len(double.contract.events) == 20


def test_every_rejected_row_is_in_the_file_of_rejects(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rejects = tmp_path / "it's.csv", tmp_path / "rejects.csv"
    wrong = "".join(f"u{row},buy,,{row},\n" for row in range(25))
    path.write_text(HEADER + "u,buy,a,1,\n" + wrong + 'u,buy,"a\nb",1,\nu,buy,unknown,1,\nu,buy,b,1,\n')
    assert main(command(double, path, "--rejects", str(rejects))) == 1
    with rejects.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "line", "reason"]
    assert sorted((int(line), reason) for _, line, reason in rows) == [
        *((line, "asset_id is empty") for line in range(3, 28)),
        (28, "asset_id holds a line break or another control character"),
        (30, "asset_id: Value is not allowed"),
    ]
    assert {name for name, _, _ in rows} == {str(path)}
    output = capsys.readouterr().out
    assert "rejected 25: asset_id is empty (line 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ...)" in output
    assert "--rejects FILE" not in output


def test_rejects_of_an_interrupted_load_are_kept(double: Double, tmp_path: Path) -> None:
    path, rejects = tmp_path / "events.csv", tmp_path / "rejects.csv"
    path.write_text(HEADER + "u,buy,,1,\n" + "".join(f"u,buy,a,{row},\n" for row in range(30)) + "u,buy,a,soon,\n")
    double.contract.instead = [200, 400]
    arguments = command(double, path, "--batch", "10", "--workers", "1", "--rejects", str(rejects))
    assert main(arguments) == 2
    assert main(arguments) == 1
    assert {line.split(",")[1] for line in rejects.read_text().splitlines()} == {"line", "2", "33"}
    assert main(arguments) == 1
    assert len(rejects.read_text().splitlines()) == 3


@pytest.mark.parametrize("name", ["events.csv", "notes.txt", "missing/rejects.csv", "."])
def test_no_other_file_is_overwritten_with_rejects(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, notes = write(tmp_path, 3), tmp_path / "notes.txt"
    notes.write_text("not to be lost\n")
    before = path.read_text()
    assert main(command(double, path, "--rejects", str(tmp_path / name))) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (path.read_text(), notes.read_text()) == (before, "not to be lost\n")
    assert double.contract.posts == []


@pytest.mark.parametrize(
    ("rows", "options", "status"),
    [
        ("u,buy,a,1,\n", (), 0),
        ("u,buy,a,1,\nu,buy,,2,\n", (), 1),
        ("u,buy,a,1,\nu,buy,,2,\n", ("--allow-rejects",), 0),
        ("u,buy,,2,\n", (), 1),
        ("u,buy,,2,\n", ("--allow-rejects",), 1),
        ("NULL,buy,a,2,\n", (), 1),
        ("NULL,buy,a,2,\n", ("--literal-nulls",), 0),
        ("", (), 2),
    ],
)
def test_the_status_tells_whether_rows_were_rejected(
    double: Double, tmp_path: Path, rows: str, options: tuple[str, ...], status: int
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + rows)
    assert main(command(double, path, *options)) == status


def test_columns_with_other_names_are_mapped(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.csv"
    path.write_text("when,what,product,who\n2019-10-01 00:00:00 UTC,view,1000,u0\n")
    assert main(command(double, path)) == 2
    assert "missing column user_id, event_type, asset_id, timestamp; found when, what" in capsys.readouterr().err
    mapping = ("--columns", "when=timestamp,what=event_type", "--columns", "product=asset_id,who=user_id")
    assert main(command(double, path, *mapping)) == 0
    assert double.contract.events == {("u0", "2019-10-01T00:00:00Z", "view", "1000")}


@pytest.mark.parametrize(
    "name", ["a b.csv", 'it\'s "q".csv', "$(touch x) `y` $z.csv", "ev*.csv", "ev[1].csv", "ev?.csv"]
)
def test_the_name_of_a_file_is_that_file(double: Double, tmp_path: Path, name: str) -> None:
    (tmp_path / "ev1.csv").write_text(HEADER + "other,buy,a,1,\n")
    path = write(tmp_path, 3).rename(tmp_path / name)
    assert main(command(double, path)) == 0
    assert len(double.contract.events) == 3
    assert not Path("x").exists()


def test_a_pattern_is_all_files_that_it_matches(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, content in enumerate(("u,buy,a,1,\nu,buy,,2,\n", "u,buy,b,1,\n")):
        (tmp_path / f"day-{day}.csv").write_text(HEADER + content)
    assert main(command(double, tmp_path / "day-*.csv")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'day-0.csv'}: 2 rows: accepted 1, duplicate 0, rejected 1")
    assert lines[2].startswith(f"{tmp_path / 'day-1.csv'}: 1 rows: accepted 1, duplicate 0, rejected 0")
    assert main(command(double, tmp_path / "week-*.csv")) == 2
    assert "none that this pattern matches" in capsys.readouterr().err


def test_nothing_is_sent_if_one_of_several_files_is_damaged(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, damaged, latin = write(tmp_path, 3), tmp_path / "damaged.csv.gz", tmp_path / "latin.csv"
    damaged.write_bytes(gzip.compress(whole.read_bytes())[:-4])
    latin.write_bytes(HEADER.encode() + "ü,buy,a,1,\n".encode("latin-1"))
    assert main(["load", str(damaged), str(latin), *command(double, whole)[1:]]) == 2
    problems = capsys.readouterr().err.splitlines()
    assert problems[0].startswith(f"load: cannot read {damaged}: ")
    assert problems[1] == f"load: cannot read {latin}: line 2 is not UTF-8 text; convert it to UTF-8"
    assert len(problems) == 2
    assert double.contract.posts == []
