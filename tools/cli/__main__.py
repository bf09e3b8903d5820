"""The command line of Nextbest, ``./nextbest``: what the targets of the Makefile call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import nextbest
from tools.cli.commands import (
    build,
    decisions,
    deployment,
    experiments,
    install,
    invoke,
    load,
    measurements,
    program,
    stack,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = build_parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="./nextbest",
        description="Run Nextbest on this machine, load data, look after a deployment, and measure.",
        epilog="./nextbest COMMAND --help lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"nextbest {nextbest.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for group in (install, stack, invoke, load, program, experiments, decisions, build, deployment, measurements):
        group.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
