"""The command ``experiments``: list, create, start, stop and promote those of one program, through its API."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tools.cli.commands.options import add_command, add_program, check_program

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "experiments", "run holdouts and challengers in a program")
    calls = command.add_subparsers(dest="call", required=True, metavar="CALL", title="calls")
    add_program(add_command(calls, "list", "list all experiments"), "the program")
    create = add_command(calls, "create", "draft an experiment")
    add_program(create, "the program")
    create.add_argument("name", help="what it is about")
    create.add_argument("--id", help="its id (default: made of the name)")
    create.add_argument("--share", type=float, required=True, help="share of users: 0.1")
    create.add_argument("--holdout", choices=("popular", "nothing"), help="what users get who are held out")
    create.add_argument("--challenger", metavar="JSON", help='what a challenger changes: {"action_weight_floor": 0.1}')
    for name, text in (
        ("start", "run a draft from now on"),
        ("stop", "end an experiment"),
        ("promote", "make what a challenger changes the program's own"),
    ):
        call = add_command(calls, name, text)
        add_program(call, "the program")
        call.add_argument("id", help="the experiment")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import urllib3

    from tools.cli.load_client import Server, refusal
    from tools.cli.load_errors import LoadError

    check_program(options)
    method, path, body = _request(options)
    server = Server(
        options.url.rstrip("/"), options.program, options.key, urllib3.PoolManager(), random.Random(0), time.sleep
    )
    try:
        status, answer = server.call(method, path, json.dumps(body).encode() if body is not None else None)
    except LoadError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"experiments: program {options.program}: {refusal(status, answer)}", file=sys.stderr)
        return 1
    for experiment in answer["experiments"] if options.call == "list" else [answer]:
        print(_line(experiment))
    return 0


def _request(options: argparse.Namespace) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of the call."""
    if options.call == "list":
        return "GET", "/experiments", None
    if options.call != "create":
        return "PUT", f"/experiments/{quote(options.id, safe='')}/{options.call}", None
    if (options.holdout is None) == (options.challenger is None):
        options.fail("give one of --holdout and --challenger")
    body: dict[str, Any] = {"name": options.name, "share": options.share}
    if options.id is not None:
        body["experiment_id"] = options.id
    if options.holdout is not None:
        return "POST", "/experiments", {**body, "kind": "holdout", "holdout_list": options.holdout}
    try:
        challenger = json.loads(options.challenger)
    except ValueError as error:
        options.fail(f"--challenger is no JSON: {error}")
    return "POST", "/experiments", {**body, "kind": "challenger", "challenger": challenger}


def _line(experiment: dict[str, Any]) -> str:
    what = experiment.get("holdout_list") or json.dumps(experiment.get("challenger"))
    columns = ("experiment_id", "state", "kind")
    texts = [*(str(experiment[name]) for name in columns), f"{experiment['share']:g}", what, experiment["name"]]
    return "  ".join(texts)
