"""``./nextbest``: commands for whoever runs a deployment.

    ./nextbest doctor                                       is everything well, and what to do where it is not
    ./nextbest dead-letters list | redrive                  messages that could not be ingested
    ./nextbest issue-key                                    a key that opens every program; asks for the master secret
    ./nextbest export-user PROGRAM USER                     all that is held on a user, as JSON
    ./nextbest delete-user PROGRAM USER                     forget a user, and say what was removed

About the local stack, unless ``--stack NAME`` names a CloudFormation stack.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from random import SystemRandom
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from nextbest.actionhub.users import ExportedEvent
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.errors import NextbestError
from nextbest.logic.programs import new_key_id
from nextbest.logic.users import delete_user, export_user
from tools.cli.dead_letters import listed, redrive
from tools.cli.deployment import Deployment, OperationFailed, local_deployment, stack_deployment
from tools.cli.doctor import examine


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.stack is not None:
            deployment = stack_deployment(options.stack, boto3.Session())
        else:
            deployment = local_deployment(options.state)
        status: int = options.run(deployment, options)
    except (OperationFailed, NextbestError, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./nextbest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", help="name of the CloudFormation stack; without it, the local stack")
    parser.add_argument("--state", type=Path, default=Path(".state"), help="state folder of the local stack")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="is everything well").set_defaults(run=_doctor)
    letters = commands.add_parser("dead-letters", help="messages that could not be ingested")
    letters.add_argument("action", choices=("list", "redrive"))
    letters.set_defaults(run=_dead_letters)
    commands.add_parser("issue-key", help="make a key that opens every program").set_defaults(run=_issue_key)
    for name, run, text in (
        ("export-user", _export_user, "all that is held on a user"),
        ("delete-user", _delete_user, "forget a user"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("program")
        command.add_argument("user")
        command.set_defaults(run=run)
    return parser


def _doctor(deployment: Deployment, _options: argparse.Namespace) -> int:
    findings = list(examine(deployment, now=time.time()))
    for finding in findings:
        print(f"{'well' if finding.is_well else 'ILL '}  {finding.what}: {finding.found}")
        if not finding.is_well:
            print(f"      -> {finding.advice}")
    return 0 if all(finding.is_well for finding in findings) else 1


def _dead_letters(deployment: Deployment, options: argparse.Namespace) -> int:
    if options.action == "list":
        letters = listed(deployment)
        for letter in letters:
            print(json.dumps(letter.summary()))
        print(f"{len(letters)} dead letters", file=sys.stderr)
    else:
        print(f"{redrive(deployment)} messages sent to the queue again", file=sys.stderr)
    return 0


def _issue_key(deployment: Deployment, _options: argparse.Namespace) -> int:
    master_secret = os.environ.get("MASTER_SECRET") or getpass("master secret of the deployment: ")
    key, text = issue_key(master_secret, new_key_id(SystemRandom()), programs=(), scopes=SCOPES)
    deployment.store().put_access_key(key)
    print(text)
    return 0


def _export_user(deployment: Deployment, options: argparse.Namespace) -> int:
    store, artifacts = deployment.store(), deployment.artifacts()
    part = export_user(store, artifacts, options.program, options.user)
    first, events = part, [ExportedEvent.of(event).model_dump(mode="json") for event in part.events]
    while part.next_skip is not None:
        part = export_user(store, artifacts, options.program, options.user, skip=part.next_skip)
        events += [ExportedEvent.of(event).model_dump(mode="json") for event in part.events]
    _print({"attributes": first.attributes, "memberships": first.memberships, "events": events})
    return 0


def _delete_user(deployment: Deployment, options: argparse.Namespace) -> int:
    removed = delete_user(deployment.store(), deployment.artifacts(), options.program, options.user, now=time.time())
    _print({**asdict(removed.erased), "memberships": removed.memberships})
    return 0


def _print(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
