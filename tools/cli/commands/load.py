"""``load``: files of events into a program."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command, add_event_files, add_program, add_state, check_program, row_rules

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "load", "load files of events into a program")
    add_event_files(command)
    add_program(command, "the program; created if it does not exist")
    command.add_argument("--batch", type=int, default=1000, help="rows in one request (default: %(default)s)")
    command.add_argument("--workers", type=int, default=2, help="requests at a time (default: %(default)s)")
    command.add_argument("--rejects", type=Path, metavar="FILE", help="write every rejected row, with line and reason")
    command.add_argument("--restart", action="store_true", help="start with the first row, whatever was done before")
    command.add_argument("--back-fill", action="store_true", help="send process_user_actions=false")
    add_state(command)
    command.set_defaults(run=_load)


def _load(options: argparse.Namespace) -> int:
    from tools.cli.load import run
    from tools.cli.load_batches import LARGEST_BATCH

    if not 1 <= options.batch <= LARGEST_BATCH:
        options.fail(f"--batch is {options.batch}; 1 to {LARGEST_BATCH} is allowed")
    if options.workers < 1:
        options.fail(f"--workers is {options.workers}; at least 1 is needed")
    check_program(options)
    return run(options, row_rules(options, time.time()))
