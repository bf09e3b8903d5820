"""Commands for one program, through its API: ``rebase`` and ``campaign``."""

from __future__ import annotations

import argparse
import csv
import random
import signal
import sys
import time
from functools import partial
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
    command = add_command(commands, "campaign", "list the users likeliest to take an action as CSV, with the reasons")
    add_program(command, "the program")
    command.add_argument("event_type", help="what they are to do: upgrade")
    command.add_argument("asset", help="with what: team-plan")
    command.add_argument("--min-weight", type=float, default=0.1, help="least probability (default: %(default)s)")
    command.add_argument("--limit", type=int, default=1000, help="how many users at most (default: %(default)s)")
    command.add_argument("--repeats", action="store_true", help="also users who have taken the action before")
    command.set_defaults(run=_campaign)


def _rebase(options: argparse.Namespace) -> int:
    from tools.cli.load_errors import LoadError
    from tools.cli.program import RebaseFailed, json_of, rebase

    check_program(options)
    try:
        message = rebase(
            partial(json_of, _server(options)),
            pause=time.sleep,
            clock=time.monotonic,
            timeout_seconds=options.timeout_seconds,
            report=_print_progress,
        )
    except LoadError as error:
        print(f"rebase: {error}", file=sys.stderr)
        return 1
    except RebaseFailed as error:
        print(f"rebase: the rebase of program {options.program} {error}", file=sys.stderr)
        return 1
    print(message)
    return 0


def _campaign(options: argparse.Namespace) -> int:
    from tools.cli.load_errors import LoadError
    from tools.cli.program import campaign

    check_program(options)
    # Where the reader has enough, as `head` has, this ends quietly like any other command.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    rows = campaign(
        _server(options),
        options.event_type,
        options.asset,
        min_weight=options.min_weight,
        limit=options.limit,
        allow_repeats=options.repeats,
    )
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("user_id", "growth_weight", "reason"))
    count = 0
    try:
        for row in rows:
            writer.writerow((row.user_id, f"{row.growth_weight:.4f}", row.reason))
            count += 1
    except LoadError as error:
        print(f"campaign: {error}", file=sys.stderr)
        return 1
    print(f"{count} users", file=sys.stderr)
    return 0


def _server(options: argparse.Namespace) -> Server:
    import urllib3

    from tools.cli.load_client import Server

    return Server(
        options.url.rstrip("/"), options.program, options.key, urllib3.PoolManager(), random.Random(0), time.sleep
    )


def _print_progress(message: str) -> None:
    print(f"  {message}", file=sys.stderr)
