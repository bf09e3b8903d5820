"""The version is written once, in the library; everything else takes it from there."""

from __future__ import annotations

import json
import tomllib

import pytest

import nextbest
from tests.infrastructure.cloudformation import ROOT
from tools.cli.__main__ import main


def test_project_takes_its_version_from_the_library() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert package["project"]["dynamic"] == ["version"]
    assert package["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "nextbest.__version__"}
    assert (ROOT / package["tool"]["setuptools"]["package-dir"][""] / "nextbest" / "__init__.py").exists()


def test_openapi_document_has_the_version_of_the_library() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())

    assert committed["info"]["version"] == nextbest.__version__


def test_command_line_prints_the_version_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nextbest {nextbest.__version__}\n"
