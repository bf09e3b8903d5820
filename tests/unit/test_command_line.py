"""The command line: which commands there are, what starting it imports, and that make adds nothing of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    *(
        "install",
        "start",
        "start-docker",
        "invoke",
        "stop",
        "reset",
        "logs",
        "key",
        "variables",
        "load",
        "rebase",
        "campaign",
    ),
    *("build", "build-spark", "upload-spark", "doctor", "dead-letters", "issue-key", "export-user", "delete-user"),
    "import-resources",
    *(
        "evaluate",
        "experiments",
        "decisions",
        "bench",
        "bench-training",
        "bench-scale",
        "bench-segments",
        "bench-filters",
        "bench-inbox",
        "soak",
        "cost",
    ),
}
ONLY_FOR_SOME_COMMANDS = {
    "boto3",
    "botocore",
    "duckdb",
    "flask",
    "matplotlib",
    "numpy",
    "pydantic",
    "samcli",
    "tqdm",
    "urllib3",
}


def help_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^    ([a-z-]+)", help_of(capsys=capsys), re.MULTILINE)

    assert set(listed) == COMMANDS
    assert len(listed) == len(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(command, capsys=capsys)

    assert text.startswith(f"usage: ./nextbest {command}")
    assert "\n\noptions:\n" in text


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "１"])
def test_no_number_of_events_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["start", f"--spark-above-events={text}"])

    assert "is not a number of events; give 1 or more" in capsys.readouterr().err


def test_parsing_imports_nothing_that_only_some_commands_need() -> None:
    probe = "import sys, tools.cli.__main__ as cli; cli.build_parser(); print(*(name for name in sys.modules))"
    variables = {"PYTHONPATH": os.pathsep.join((str(ROOT / "layers" / "nextbest"), str(ROOT)))}

    imported = subprocess.check_output([sys.executable, "-c", probe], env=variables, text=True).split()

    assert "tools.cli.commands.stack" in imported
    assert ONLY_FOR_SOME_COMMANDS.isdisjoint(imported)


def test_make_runs_no_module_that_is_not_behind_the_command_line() -> None:
    recipes = (ROOT / "Makefile").read_text()

    assert set(re.findall(r"-m (\S+)", recipes)) == {"pytest"}
    assert set(re.findall(r"\./nextbest ([a-z-]+)", recipes)) <= COMMANDS


def test_script_runs_in_any_folder(tmp_path: Path) -> None:
    key = subprocess.check_output([ROOT / "nextbest", "key"], cwd=tmp_path, text=True)

    assert key.startswith("NBKLOCALSTACKDEMOKEY.")


def test_script_without_an_installation_says_how_to_install(tmp_path: Path) -> None:
    script = tmp_path / "nextbest"
    script.write_bytes((ROOT / "nextbest").read_bytes())
    script.chmod(0o755)

    result = subprocess.run([script, "start"], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr == "Nextbest is not installed yet: run ./nextbest install\n"
