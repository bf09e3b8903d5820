"""``load``: files of events into a program."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command, add_event_files, add_state, row_rules

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "load", "load files of events into a program")
    add_event_files(command)
    command.add_argument("--program", required=True, help="the program; created if it does not exist")
    command.add_argument("--url", default="http://127.0.0.1:3000", help="the server (default: %(default)s)")
    command.add_argument("--key", default=os.environ.get("NEXTBEST_KEY"), help="actionhub-key (default: $NEXTBEST_KEY)")
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
    if not options.url.startswith(("http://", "https://")):
        options.fail(f"--url is {options.url}; http://host:port or https://host is needed")
    if not options.key:
        options.fail("a key is needed: --key, or NEXTBEST_KEY in the environment (`make start` prints the demo key)")
    return run(options, row_rules(options, time.time()))
