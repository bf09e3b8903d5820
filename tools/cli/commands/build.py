"""``build``: what a deployment takes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "build", "run `sam build` for one architecture, and allow the deployment no other")
    command.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64", help="(default: %(default)s)")
    command.set_defaults(run=lambda options: _build(options.architecture))


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
