"""Commands for a deployment: the local stack, or with ``--stack NAME`` a CloudFormation stack."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from tools.cli.commands.options import add_command, add_state

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands
    from tools.cli.deployment import Deployment

    Run = Callable[[Deployment, argparse.Namespace], int]


def add_commands(commands: Commands) -> None:
    """Add the commands of this file."""

    def add(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        command = add_command(commands, name, text)
        command.add_argument("--stack", help="name of a CloudFormation stack (default: the local stack)")
        add_state(command)
        command.set_defaults(run=lambda options: _run_on_deployment(run, options))
        return command

    add("doctor", _doctor, "check a deployment, and say how to fix what is wrong")
    letters = add("dead-letters", _dead_letters, "messages that could not be ingested")
    letters.add_argument("action", choices=("list", "redrive"), help="redrive: send all of them to the queue again")
    command = add_command(commands, "import-resources", "make a stack of the table and bucket that a deleted one left")
    command.add_argument("--stack", required=True, help="name of the CloudFormation stack to make")
    command.add_argument("--table", required=True, help="name of the table")
    command.add_argument("--bucket", required=True, help="name of the bucket")
    command.set_defaults(run=_import_resources)
    command = add_command(commands, "upload-spark", "store what Spark jobs run in the bucket of a CloudFormation stack")
    command.add_argument("--stack", required=True, help="name of the CloudFormation stack")
    command.set_defaults(run=lambda options: _run_on_deployment(_upload_spark, options))
    add("issue-key", _issue_key, "issue a key that opens every program; needs the master secret")
    for name, run, text in (
        ("export-user", _export_user, "print all data of a user, as JSON"),
        ("delete-user", _delete_user, "delete all data of a user, and print what was deleted"),
    ):
        command = add(name, run, text)
        command.add_argument("program", help="id of the program")
        command.add_argument("user", help="id of the user")


def _run_on_deployment(run: Run, options: argparse.Namespace) -> int:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from nextbest.errors import NextbestError
    from tools.cli.deployment import OperationFailed, local_deployment, stack_deployment

    try:
        if options.stack is not None:
            return run(stack_deployment(options.stack, boto3.Session()), options)
        return run(local_deployment(options.state), options)
    except (OperationFailed, NextbestError, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1


def _import_resources(options: argparse.Namespace) -> int:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from tools.cli.deployment import OperationFailed
    from tools.cli.resource_import import import_resources

    try:
        import_resources(boto3.Session(), options.stack, table=options.table, bucket=options.bucket)
    except (OperationFailed, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.stack} has {options.table} and {options.bucket}: deploy, and it gets all else.")
    return 0


def _doctor(deployment: Deployment, _options: argparse.Namespace) -> int:
    from tools.cli.doctor import examine

    findings = list(examine(deployment, now=time.time()))
    for finding in findings:
        print(f"{'ok  ' if finding.is_ok else 'FAIL'}  {finding.subject}: {finding.state}")
        if not finding.is_ok:
            print(f"      fix: {finding.fix}")
    return 0 if all(finding.is_ok for finding in findings) else 1


def _dead_letters(deployment: Deployment, options: argparse.Namespace) -> int:
    from nextbest.logic.dead_letters import list_dead_letters, redrive

    if options.action == "list":
        letters = list_dead_letters(deployment.dead_letters())
        for letter in letters:
            print(json.dumps(letter.summary()))
        print(f"{len(letters)} dead letters", file=sys.stderr)
    else:
        print(
            f"{redrive(deployment.dead_letters(), deployment.queue())} messages sent to the queue again",
            file=sys.stderr,
        )
    return 0


def _upload_spark(deployment: Deployment, _options: argparse.Namespace) -> int:
    from tools.cli.spark_archive import upload_archive

    for key in upload_archive(deployment.client("s3"), deployment.bucket):
        print(f"Stored s3://{deployment.bucket}/{key}")
    return 0


def _issue_key(deployment: Deployment, _options: argparse.Namespace) -> int:
    from tools.cli.operator_key import issue_operator_key

    print(issue_operator_key(deployment, random=SystemRandom()))
    return 0


def _export_user(deployment: Deployment, options: argparse.Namespace) -> int:
    from nextbest.logic.programs import present_incarnation
    from nextbest.logic.users import export_user, exported_event

    store, artifacts = deployment.store(), deployment.artifacts()
    incarnation = present_incarnation(store, options.program)
    part = export_user(store, artifacts, incarnation, options.user)
    first, events = part, list(map(exported_event, part.events))
    while part.next_position is not None:
        part = export_user(store, artifacts, incarnation, options.user, after=part.next_position)
        events += list(map(exported_event, part.events))
    _print_json({"attributes": first.attributes, "memberships": first.memberships, "events": events})
    return 0


def _delete_user(deployment: Deployment, options: argparse.Namespace) -> int:
    from nextbest.logic.programs import present_incarnation
    from nextbest.logic.users import delete_user

    store = deployment.store()
    incarnation = present_incarnation(store, options.program)
    removed = delete_user(store, deployment.artifacts(), incarnation, options.user, now=time.time())
    counts = {**asdict(removed.erased), "sessions": len(removed.erased.sessions)}
    _print_json({**counts, "memberships": removed.memberships})
    return 0


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))
