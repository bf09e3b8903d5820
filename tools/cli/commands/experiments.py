"""The command ``experiments``: list, create, change, plan, start, stop, promote, report and delete those of a program.

Each is a call of its API.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tools.cli.commands.options import DEFAULT_URL, add_command, add_program, add_state, check_program
from tools.cli.commands.waiting import await_result

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
    _add_members(create)
    change = add_command(calls, "change", "change a draft; once it runs its name, and its share to a larger one")
    add_program(change, "the program")
    change.add_argument("id", help="the experiment")
    change.add_argument("--name", help="what it is about")
    _add_members(change)
    for name, text in (
        ("plan", "compute how many users the least effect of a draft takes"),
        ("start", "run a draft from now on"),
        ("stop", "end an experiment"),
        ("promote", "make what a challenger changes the program's own"),
        ("report", "compute what an experiment shows: the lift, with its interval"),
        ("delete", "delete an experiment that does not run"),
    ):
        call = add_command(calls, name, text)
        add_program(call, "the program")
        call.add_argument("id", help="the experiment")
    demo = add_command(calls, "demo", "play four weeks of a holdout with a known effect on the local stack")
    add_state(demo)
    command.set_defaults(run=_run)
    demo.set_defaults(run=_demo)


def _add_members(call: argparse.ArgumentParser) -> None:
    call.add_argument("--share", type=float, help="share of users: 0.1")
    call.add_argument("--horizon-days", type=int, metavar="DAYS", help="outcomes count for so long")
    call.add_argument("--holdout", choices=("popular", "nothing"), help="what users get who are held out")
    call.add_argument("--challenger", metavar="JSON", help='what a challenger changes: {"action_weight_floor": 0.1}')
    call.add_argument("--headline", choices=("rate", "value"), help="what the verdict is about")
    call.add_argument("--least-effect", type=float, help="smallest effect worth knowing: 0.05 for 5 %% more or less")


def _run(options: argparse.Namespace) -> int:
    import urllib3

    from tools.cli.load_client import Server, refusal
    from tools.cli.load_errors import LoadError

    check_program(options)
    method, path, body = _request(options)
    prefix = f"experiments: program {options.program}"
    server = Server(
        options.url.rstrip("/"), options.program, options.key, urllib3.PoolManager(), random.Random(0), time.sleep
    )
    try:
        if options.call == "report":
            return await_result(
                server, path, path, made_at=lambda report: float(report["now"]), lines=_report_lines, prefix=prefix
            )
        if options.call == "plan":
            place = path.removesuffix("/plan")
            return await_result(server, path, place, made_at=_made_at, lines=_plan_lines, prefix=prefix)
        status, answer = server.call(method, path, json.dumps(body).encode() if body is not None else None)
    except LoadError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"{prefix}: {refusal(status, answer)}", file=sys.stderr)
        return 1
    if options.call == "delete":
        print(answer["result"])
        return 0
    for experiment in answer["experiments"] if options.call == "list" else [answer]:
        print(_line(experiment))
    return 0


def _demo(options: argparse.Namespace) -> int:
    """Play the demo experiment, and print the truth and what to run next."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    from nextbest.errors import NextbestError
    from nextbest.observability import logger
    from tools.cli.deployment import OperationFailed, local_deployment
    from tools.local.demo import DemoFailed
    from tools.local.demo_experiment import EXPERIMENT_ID, PROGRAM_ID, play_demo_experiment

    level = logger.log_level
    logger.setLevel("WARNING")
    try:
        deployment = local_deployment(options.state)
        truth = play_demo_experiment(deployment, now=time.time(), report=_print_progress)
    except (OperationFailed, DemoFailed, NextbestError, ClientError, BotoCoreError, HTTPError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    finally:
        logger.setLevel(level)
    print(
        f"planted truth: {truth.with_model:.1%} buy with the model, {truth.with_popular_list:.1%} with the popular "
        f"list, {(truth.with_model - truth.with_popular_list) * 100:+.1f} points\n"
        f"of {truth.users} readers whose horizon is over",
        flush=True,
    )
    url = f" --url {deployment.url}" if deployment.url != DEFAULT_URL else ""
    report = f'./nextbest experiments report {EXPERIMENT_ID} --program {PROGRAM_ID} --key "$(./nextbest key)"{url}'
    print(f"\nWhat the experiment says, which knows nothing of that:\n\n  {report}\n", file=sys.stderr)
    return 0


def _print_progress(message: str) -> None:
    print(f"  {message}", file=sys.stderr)


def _made_at(experiment: Mapping[str, Any]) -> float:
    plan = experiment["plan"]
    return 0.0 if plan is None else datetime.fromisoformat(plan["ts_made"]).timestamp()


def _plan_lines(experiment: Mapping[str, Any]) -> list[str]:
    plan = experiment["plan"]
    active = f"{plan['active_users']:,} users were active"
    if plan["users"] is None:
        return [f"no plan: {plan['reason']}", active]
    sizes = f"an outcome of {plan['mean']:.4g} a user, deviating by {plan['deviation']:.4g}"
    return [
        f"{plan['users']:,} users show an effect of {plan['effect']:.4g} with a chance of 80 %",
        f"{active} before, with {sizes}",
    ]


def _report_lines(report: Mapping[str, Any]) -> list[str]:
    """The verdict, then each variant by the measure of the headline."""
    users = f"{report['users']:,} users entered, of {report['complete_users']:,} the horizon is over"
    if report.get("plan"):
        users += f", and {report['plan']['users']:,} were planned"
    lines = [report["verdict"], users]
    for measure in report["measures"]:
        if measure["measure"] == report["headline"]:
            lines += [_variant_line(variant, measure["measure"]) for variant in measure["variants"]]
    return lines


def _variant_line(variant: dict[str, Any], measure: str) -> str:
    mean, interval = variant["mean"]["value"], variant["mean"]["always_valid"]
    if mean is None or interval is None:
        return f"{variant['name']}: {measure} not known yet, {variant['users']:,} users"
    low, high = interval
    return f"{variant['name']}: {measure} {mean:.4g} ({low:.4g} to {high:.4g}), {variant['users']:,} users"


def _request(options: argparse.Namespace) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of the call."""
    if options.call == "list":
        return "GET", "/experiments", None
    if options.call == "create":
        return "POST", "/experiments", _draft(options)
    path = f"/experiments/{quote(options.id, safe='')}"
    if options.call == "change":
        members = _members(options)
        if not members:
            options.fail("give something to change: --name, --share, --least-effect or another of the options")
        return "PUT", path, members
    if options.call == "delete":
        return "DELETE", path, None
    return "PUT", f"{path}/{options.call}", None


def _draft(options: argparse.Namespace) -> dict[str, Any]:
    """The body that creates an experiment."""
    if options.share is None:
        options.fail("give the share of users: --share 0.1")
    if (options.holdout is None) == (options.challenger is None):
        options.fail("give one of --holdout and --challenger")
    body = {**_members(options), "kind": "challenger" if options.holdout is None else "holdout"}
    return body if options.id is None else {**body, "experiment_id": options.id}


def _members(options: argparse.Namespace) -> dict[str, Any]:
    """Members of an experiment that were given."""
    given = {
        "name": options.name,
        "share": options.share,
        "horizon_days": options.horizon_days,
        "holdout_list": options.holdout,
        "headline": options.headline,
        "least_effect": options.least_effect,
    }
    members = {name: value for name, value in given.items() if value is not None}
    if options.challenger is not None:
        try:
            members["challenger"] = json.loads(options.challenger)
        except ValueError as error:
            options.fail(f"--challenger is no JSON: {error}")
    return members


def _line(experiment: dict[str, Any]) -> str:
    what = experiment.get("holdout_list") or json.dumps(experiment.get("challenger"))
    columns = ("experiment_id", "state", "kind")
    texts = [*(str(experiment[name]) for name in columns), f"{experiment['share']:g}", what, experiment["name"]]
    return "  ".join(texts)
