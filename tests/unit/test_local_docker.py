"""The functions in Docker: SAM CLI's command lines, where its engines listen, and what is said where Docker is not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from samcli.yamlhelper import parse_yaml_file

from tests.infrastructure.cloudformation import ROOT, TEMPLATE
from tools.cli.__main__ import main
from tools.local.build import ARCHITECTURES, pin_architecture, sources_digest
from tools.local.docker import DockerMissing, bridge_address, check_machine, remove_containers
from tools.local.docker_stack import sam_command


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


def test_sam_is_run_unpatched_where_no_page_finds_it_and_gets_the_options_last() -> None:
    command = sam_command(
        "start-api", "127.9.8.7", 4001, variables_file=Path("/state/variables.json"), options=["--debug"]
    )

    assert Path(command[0]).name == "sam"
    assert command[1:4] == ["local", "start-api", "--template"]
    options = dict(zip(command[3:-1:2], command[4:-1:2], strict=True))
    assert Path(options.pop("--config-file")) == ROOT / "samconfig.toml"
    assert Path(options.pop("--template")) == ROOT / ".aws-sam" / "local" / "template.yaml"
    assert options == {
        **{"--host": "127.9.8.7", "--port": "4001", "--env-vars": "/state/variables.json"},
        **{"--container-host": "127.9.8.7", "--container-host-interface": "127.9.8.7"},
    }
    assert command[-1] == "--debug"


def test_sam_keeps_no_containers_that_a_stop_would_leave_behind() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]

    assert settings["local_start_api"]["parameters"] == {"warm_containers": "LAZY"}
    assert settings["local_start_lambda"]["parameters"] == {"warm_containers": "LAZY"}


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
    assert bridge_address("make start-docker") == address


@pytest.mark.usefixtures("programs")
def test_one_line_says_that_there_is_no_docker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start-docker"]) == 1
    said = "`make start-docker` needs Docker, which is not installed; `make start` does not.\n"
    assert capsys.readouterr().err == said


def test_docker_that_does_not_run_is_told_in_its_own_words(programs: Path) -> None:
    put_command(programs, "docker", status=1, complains="Cannot connect to the Docker daemon\n")
    with pytest.raises(DockerMissing, match=r"needs Docker: Cannot connect to the Docker daemon;"):
        check_machine("make start-docker")


def test_docker_without_the_python_of_the_runtime_is_named(programs: Path) -> None:
    put_command(programs, "docker", says='{"Subnet": "172.17.0.0/16"}\n')
    with pytest.raises(DockerMissing, match=r"needs python3\.13 on the PATH"):
        check_machine("make start-docker")
    put_command(programs, "python3.13", status=127)  # as pyenv's stand-in, where no such version is chosen
    with pytest.raises(DockerMissing, match=r"needs python3\.13 on the PATH"):
        check_machine("make start-docker")
    put_command(programs, "python3.13")
    check_machine("make start-docker")


def test_only_containers_with_the_session_token_of_this_start_are_removed(programs: Path) -> None:
    (programs / "docker").write_text(
        f"""#!/bin/sh
        case "$1 $4" in
          "ps --filter") echo ours; echo theirs;;
          "inspect ours") echo '["AWS_SESSION_TOKEN=token-1"]';;
          "inspect theirs") echo '["AWS_SESSION_TOKEN=token-2"]';;
        esac
        echo "$@" >> '{programs / "calls"}'
        """
    )
    (programs / "docker").chmod(0o755)

    assert remove_containers("token-1") == 1
    assert (programs / "calls").read_text().splitlines()[-1] == "rm --force ours"


def test_a_build_is_made_again_when_a_source_or_the_architecture_changes(tmp_path: Path) -> None:
    for name in ("template.yaml", "samconfig.toml"):
        (tmp_path / name).write_text("")
    for folder in ("layers/nextbest", "functions/actions"):
        (tmp_path / folder).mkdir(parents=True)
    source = tmp_path / "functions" / "actions" / "app.py"
    source.write_text("handler = None")
    first = sources_digest(tmp_path, "x86_64")

    (tmp_path / "functions" / "actions" / "__pycache__").mkdir()
    (tmp_path / "functions" / "actions" / "__pycache__" / "app.pyc").write_text("compiled")
    assert sources_digest(tmp_path, "x86_64") == first
    assert sources_digest(tmp_path, "arm64") != first
    source.rename(source.with_name("moved.py"))
    assert sources_digest(tmp_path, "x86_64") != first


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_built_template_can_be_deployed_for_the_architecture_of_its_wheels_alone(
    tmp_path: Path, architecture: str
) -> None:
    source = parse_yaml_file(str(TEMPLATE))
    built = tmp_path / "template.yaml"
    built.write_text(TEMPLATE.read_text())

    pin_architecture(built, architecture)

    pinned = parse_yaml_file(str(built))
    parameter = pinned["Parameters"]["Architecture"]
    assert (parameter["Default"], parameter["AllowedValues"]) == (architecture, [architecture])
    source["Parameters"]["Architecture"] = parameter
    assert pinned == source


def test_plain_sam_build_takes_the_architecture_that_the_template_has_by_default() -> None:
    parameter = parse_yaml_file(str(TEMPLATE))["Parameters"]["Architecture"]
    default = parameter["Default"]

    assert default == ARCHITECTURES[0] == "arm64"
    assert parameter["AllowedValues"] == [default]
    for folder in ("layers/nextbest", "functions/rebase"):
        assert f"\nNEXTBEST_ARCHITECTURE ?= {default}\n" in (ROOT / folder / "Makefile").read_text()
