"""The command ``decisions``: what the recorded decisions of a program say of its growth weights and of other models."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tools.cli.commands.options import add_command, add_program, check_program
from tools.cli.commands.waiting import await_result

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands

_PATH = "/program/decisions/report"
_ESTIMATORS = (("logged", "what was drawn"), ("snips", "SNIPS"), ("doubly_robust", "doubly robust"))


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(commands, "decisions", "judge growth weights and models by recorded decisions")
    calls = command.add_subparsers(dest="call", required=True, metavar="CALL", title="calls")
    report = add_command(calls, "report", "growth weights against what came true, by week")
    add_program(report, "the program")
    report.add_argument("--model", metavar="VERSION", help="what this model would have reached where others were drawn")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import urllib3

    from tools.cli.load_client import Server
    from tools.cli.load_errors import LoadError

    check_program(options)
    server = Server(
        options.url.rstrip("/"), options.program, options.key, urllib3.PoolManager(), random.Random(0), time.sleep
    )
    try:
        return await_result(
            server,
            _PATH,
            _PATH,
            body={} if options.model is None else {"model_version": options.model},
            made_at=lambda report: float(report["now"]),
            lines=_lines,
            prefix=f"decisions: program {options.program}",
        )
    except LoadError as error:
        print(f"decisions: {error}", file=sys.stderr)
        return 1


def _lines(report: Mapping[str, Any]) -> list[str]:
    head = f"{report['decisions']:,} decisions of {report['days']} days"
    if report["user_share"] < 1.0:
        head += f", of {report['user_share']:.2%} of the users"
    weeks = [_week(week) for week in report["weeks"]]
    if not weeks:
        weeks = [f"no decision's horizon of {report['horizon_days']} days is over yet"]
    candidate = report["candidate"]
    return [head, *weeks, *([] if candidate is None else _candidate(candidate))]


def _week(week: Mapping[str, Any]) -> str:
    day = datetime.fromtimestamp(week["monday"], UTC).date().isoformat()
    counts = (
        f"{week['recommendations']:,} recommendations, {week['expected']:.4g} expected, {week['observed']:,} came true"
    )
    if week["interval"] is None:
        return f"week of {day}: {counts}: {week['reason']}"
    low, high = week["interval"]
    return f"week of {day}: {counts}: {week['ratio']:.3g} times ({low:.3g} to {high:.3g})"


def _candidate(candidate: Mapping[str, Any]) -> list[str]:
    head = (
        f"model {candidate['model']}: {candidate['draws']:,} draws since it was trained, {candidate['known']:,} usable"
    )
    if candidate["reason"]:
        return [head, f"no value: {candidate['reason']}"]
    value = candidate["value"]
    return [head, *(_estimate(label, value[name]) for name, label in _ESTIMATORS)]


def _estimate(label: str, estimate: Mapping[str, Any]) -> str:
    if estimate["fixed"] is None:
        return f"{label}: not known: {estimate['reason']}"
    low, high = estimate["fixed"]
    return f"{label}: {estimate['value']:.4g} of the choices come true ({low:.4g} to {high:.4g})"
