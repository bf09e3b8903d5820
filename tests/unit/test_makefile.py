"""The Makefile: what is typed reaches the commands as it is, and no shell and no make interprets it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.cloudformation import ROOT

HOSTILE = [
    "a b.csv",
    'it\'s "q".csv',
    "price $5.csv",
    "$HOME ${HOME} $$.csv",
    "$(touch pwned).csv",
    "$(shell touch pwned).csv",
    "`touch pwned`.csv",
    "a;touch pwned;.csv",
    "a&b|c>d.csv",
    "*.csv",
    "a[1]?.csv",
    "-x.csv",
    "back\\slash.csv",
    "(a,b).csv",
    "naïve café.csv",
]
STAND_IN = """#!/bin/sh
[ "$1" = key ] && echo local.secret && exit
exec python3 -c 'import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("NEXTBEST_KEY")]))' "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile and, in place of the command line, a script that prints what it is given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    command = tmp_path / "nextbest"
    command.write_text(STAND_IN)
    command.chmod(0o755)
    return tmp_path


def make(
    folder: Path, target: str, *variables: str, environment: dict[str, str] | None = None
) -> tuple[list[str], str]:
    """The arguments and the key that the command line gets."""
    result = subprocess.run(
        ["make", "--silent", target, *variables],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    arguments, key = json.loads(result.stdout.splitlines()[-1])
    assert not (folder / "pwned").exists()
    return arguments, key


@pytest.mark.parametrize("name", HOSTILE)
def test_the_name_of_a_file_is_passed_as_it_is(folder: Path, name: str) -> None:
    expected = ["--program", name, "--url", "http://127.0.0.1:3001", "--state", ".state"]
    from_arguments = make(folder, "load", f"FILE={name}", f"PROGRAM={name}", f"REJECTS={name}", "PORT=3001")
    assert from_arguments == (["load", *expected, "--rejects", name, "--", name], "local.secret")

    from_environment = make(folder, "load", "PORT=3001", environment={"FILE": name, "PROGRAM": name, "KEY": "my.key"})
    assert from_environment == (["load", *expected, "--", name], "my.key")


@pytest.mark.parametrize("name", HOSTILE)
def test_other_targets_pass_names_as_they_are(folder: Path, name: str) -> None:
    arguments, _ = make(folder, "evaluate", f"FILE={name}", f"PLOTS={name}")
    assert arguments == ["evaluate", "--targets", "window", "--plots", name, "--", name]
    assert make(folder, "rebase", f"PROGRAM={name}", "PORT=3001") == (
        ["rebase", "--program", name, "--url", "http://127.0.0.1:3001"],
        "local.secret",
    )
    arguments, _ = make(folder, "campaign", f"PROGRAM={name}", f"EVENT_TYPE={name}", f"ASSET={name}", "MIN_WEIGHT=.2")
    assert arguments[1:3] == ["--program", name]
    assert arguments[5:] == ["--min-weight", ".2", "--", name, name]
    assert make(folder, "doctor", f"STATE={name}")[0] == ["doctor", "--state", name]


def test_switches_of_a_load(folder: Path) -> None:
    switches = ["COLUMN_NAMES=user=user_id,order time=timestamp", "ALLOW_REJECTS=1", "LITERAL_NULLS=1", "KEY=my.key"]
    arguments, key = make(folder, "load", "FILE=a.csv", "PROGRAM=p", "URL=https://example.com", *switches)
    assert arguments[3:5] == ["--url", "https://example.com"]
    columns = ["--columns", "user=user_id,order time=timestamp"]
    assert arguments[7:] == [*columns, "--allow-rejects", "--literal-nulls", "--", "a.csv"]
    assert key == "my.key"


def test_the_width_of_a_terminal_is_no_mapping_of_columns(folder: Path) -> None:
    arguments, _ = make(folder, "load", "FILE=a.csv", "PROGRAM=p", environment={"COLUMNS": "120"})
    assert "--columns" not in arguments
