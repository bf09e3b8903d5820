"""``install``. ``./nextbest`` itself runs it on a bare Python, before there is anything to import."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command
from tools.local.install import add_arguments, ensure_installed

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "install", "install into .venv what is not there yet")
    add_arguments(command)
    command.set_defaults(run=_install)


def _install(options: argparse.Namespace) -> int:
    return ensure_installed(options.requirements)
