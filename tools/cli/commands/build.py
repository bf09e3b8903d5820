"""``build`` and ``build-spark``: what a deployment takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "build", "run `sam build` for one architecture, and allow the deployment no other")
    command.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64", help="(default: %(default)s)")
    command.set_defaults(run=lambda options: _build(options.architecture))
    command = add_command(commands, "build-spark", "make the archive that Spark jobs run; see docs/operations.md")
    command.add_argument(
        "--python", type=Path, help="folder of a Python 3.11 for Linux on arm64 (default: one from uv)"
    )
    command.set_defaults(run=lambda options: _build_spark(options.python))


def _build(architecture: str) -> int:
    os.environ["SAM_CLI_TELEMETRY"] = "0"
    from tools.local.build import DEPLOYMENT_FOLDER, BuildFailed, build

    try:
        build(architecture, DEPLOYMENT_FOLDER)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Built for {architecture}: `sam deploy` sets the parameter Architecture to it, and takes no other value.")
    return 0


def _build_spark(python: Path | None) -> int:
    from tools.cli.deployment import OperationFailed
    from tools.cli.spark_archive import build_archive

    try:
        archive = build_archive(python=python)
    except OperationFailed as error:
        print(error, file=sys.stderr)
        return 1
    megabytes = archive.stat().st_size / 1e6
    print(f"Built {archive} ({megabytes:.0f} MB): ./nextbest upload-spark --stack NAME stores it for the jobs.")
    return 0
