"""The plain `sam local start-api`: its command line, where its engines listen, and what is said where Docker is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.cli.__main__ import main
from tools.local.docker import DockerMissing, bridge_address, check_machine, sam_command


def put_command(folder: Path, name: str, *, says: str = "", status: int = 0, complains: str = "") -> None:
    """A program that says one thing and ends."""
    (folder / f"{name}.said").write_text(says)
    (folder / f"{name}.complaint").write_text(complains)
    program = folder / name
    program.write_text(f"#!/bin/sh\nwhile read -r line; do echo \"$line\"; done < '{folder / name}.said'\n"
                       f"while read -r line; do echo \"$line\" >&2; done < '{folder / name}.complaint'\n"
                       f"exit {status}\n")  # fmt: skip
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_sam_is_run_unpatched_and_gets_the_options_last() -> None:
    command = sam_command(
        Path("/built/template.yaml"), port=3001, variables_file=Path("/state/variables.json"), options=["--debug"]
    )
    assert Path(command[0]).name == "sam"
    assert command[1:9] == [
        *("local", "start-api", "--template", "/built/template.yaml"),
        *("--port", "3001", "--env-vars", "/state/variables.json"),
    ]
    assert command[9] == "--config-file"
    assert Path(command[10]).name == "samconfig.toml"
    assert Path(command[10]).exists()
    assert command[11:] == ["--debug"]


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}, "172.17.0.9"),
        ({"Subnet": "172.18.0.0/16"}, "172.18.0.1"),
    ],
)
def test_engines_listen_on_the_address_of_dockers_bridge(
    programs: Path, settings: dict[str, str], address: str
) -> None:
    put_command(programs, "docker", says=json.dumps(settings) + "\n")
    assert bridge_address() == address


@pytest.mark.usefixtures("programs")
def test_one_line_says_that_there_is_no_docker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start-docker"]) == 1
    said = "`make start-docker` needs Docker, which is not installed; `make start` does not.\n"
    assert capsys.readouterr().err == said


def test_docker_that_does_not_run_is_told_in_its_own_words(programs: Path) -> None:
    put_command(programs, "docker", status=1, complains="Cannot connect to the Docker daemon\n")
    with pytest.raises(DockerMissing, match=r"needs Docker: Cannot connect to the Docker daemon;"):
        check_machine()


def test_docker_without_the_python_of_the_runtime_is_named(programs: Path) -> None:
    put_command(programs, "docker", says='{"Subnet": "172.17.0.0/16"}\n')
    with pytest.raises(DockerMissing, match=r"needs python3\.13 on the PATH"):
        check_machine()
    put_command(programs, "python3.13", status=127)  # as pyenv's stand-in, where no such version is chosen
    with pytest.raises(DockerMissing, match=r"needs python3\.13 on the PATH"):
        check_machine()
    put_command(programs, "python3.13")
    check_machine()
