"""What the commands share: how one is added, and options with the same name, meaning and default in each."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextbest.event_files.rows import RowRules

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EVENT_FILES = (
    "CSV, TSV, JSON Lines or Parquet with user_id, event_type, asset_id, timestamp, labels, value; or a pattern"
)

DEFAULT_URL = "http://127.0.0.1:3000"
"""Where `make start` serves the API."""

ROOT = Path(__file__).resolve().parents[3]


def add_command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command; ``text`` says what it does, in the list of commands and in its own help."""
    command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    command.set_defaults(fail=command.error)
    return command


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add ``--state``, the folder of a local stack."""
    parser.add_argument(
        "--state", type=Path, default=ROOT / ".state", help="state folder of the local stack (default: .state)"
    )


def add_event_files(parser: argparse.ArgumentParser) -> None:
    """Add the files of events to read, and the options that say how they are read."""
    parser.add_argument("files", nargs="+", metavar="file", help=EVENT_FILES)
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="COLUMN=MEMBER,...",
        help="what columns with other names hold: user=user_id,time=timestamp",
    )
    parser.add_argument("--literal-nulls", action="store_true", help="take NULL, NaN and the like as ids")
    parser.add_argument("--allow-rejects", action="store_true", help="end with status 0 though rows were rejected")


def row_rules(options: argparse.Namespace, now: float) -> RowRules:
    """How rows are read, by the options of ``add_event_files``; ``now`` is in seconds since 1970."""
    from nextbest.errors import InvalidInput
    from nextbest.event_files.columns import ColumnNames
    from nextbest.event_files.rows import RowRules

    try:
        columns = ColumnNames.parse(options.columns)
    except InvalidInput as error:
        options.fail(f"--columns: {error}")
    return RowRules(now=now, columns=columns, literal_nulls=options.literal_nulls)


def add_program(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--program``, which ``text`` describes, and where and with which key its API is called."""
    parser.add_argument("--program", required=True, help=text)
    url = os.environ.get("NEXTBEST_URL", DEFAULT_URL)
    parser.add_argument("--url", default=url, help="the server (default: $NEXTBEST_URL, else the local stack's)")
    parser.add_argument("--key", default=os.environ.get("NEXTBEST_KEY"), help="actionhub-key (default: $NEXTBEST_KEY)")


def check_program(options: argparse.Namespace) -> None:
    """End with the command's usage where the options of ``add_program`` cannot be used."""
    if not options.url.startswith(("http://", "https://")):
        options.fail(f"--url is {options.url}; http://host:port or https://host is needed")
    if not options.key:
        options.fail("a key is needed: --key, or NEXTBEST_KEY in the environment (`make start` prints the demo key)")
