"""What the commands share: how one is added, and options with the same name, meaning and default in each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

ROOT = Path(__file__).resolve().parents[3]


def add_command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command; ``text`` says what it does, in the list of commands and in its own help."""
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add ``--state``, the folder of a local stack."""
    parser.add_argument(
        "--state", type=Path, default=ROOT / ".state", help="state folder of the local stack (default: .state)"
    )
