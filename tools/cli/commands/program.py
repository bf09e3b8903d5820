"""Commands for one program, through its API: ``rebase``."""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command, add_program, check_program

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands
    from tools.cli.load_client import Server


def add_commands(commands: Commands) -> None:
    """Add the commands of this file."""
    command = add_command(commands, "rebase", "learn a program's model from its events, and wait for the end")
    add_program(command, "the program")
    command.add_argument("--timeout-seconds", type=float, default=1200.0, help="longest wait (default: %(default)s)")
    command.set_defaults(run=_rebase)


def _rebase(options: argparse.Namespace) -> int:
    from tools.cli.load_errors import LoadError
    from tools.cli.program import rebase

    check_program(options)
    try:
        print(
            rebase(
                _server(options), timeout_seconds=options.timeout_seconds, clock=time.monotonic, report=_print_progress
            )
        )
    except LoadError as error:
        print(f"rebase: {error}", file=sys.stderr)
        return 1
    return 0


def _server(options: argparse.Namespace) -> Server:
    import urllib3

    from tools.cli.load_client import Server

    return Server(
        options.url.rstrip("/"), options.program, options.key, urllib3.PoolManager(), random.Random(0), time.sleep
    )


def _print_progress(message: str) -> None:
    print(f"  {message}", file=sys.stderr)
