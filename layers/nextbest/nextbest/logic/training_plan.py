"""Which solution a training is of, and which ones the schedule trains (docs/contracts/personalize.md, section 8.3).

Every training of a program makes a solution version, whatever started it. One that names no solution (PUT
/program/rebase, or the schedule of a program without solutions) is of the solution in service, the one trained last.
A program that has no solution trains its own, which is named like the program.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import COMPLETE, is_lost
from nextbest.domain.resource_statuses import ACTIVE, BUSY
from nextbest.errors import InvalidInput
from nextbest.store.base import CAMPAIGN, SOLUTION, VERSION, ConfigurationStore, ProgramState

Resource = Mapping[str, Any]

FULL = "FULL"
AUTOMATIC = "AUTOMATIC"
MANUAL = "MANUAL"
INTERVAL_DAYS = range(1, 31)
MAX_VERSIONS = 100
"""Of those of one solution that rebases made: older ones are no longer listed, unless a campaign names them."""

SETTLED_SECONDS = 3600.0
"""How long after a rebase began every writer has ended who had read the program before; a Lambda function runs for a
quarter of that at most."""

_RATE = re.compile(r"rate\((\d+) days?\)")
_TOLERANCE_SECONDS = 3600.0
"""The schedule starts within a window of 15 minutes, and a training may wait for others."""


def own_solution(program: Program) -> dict[str, Any]:
    """The solution that a program has without anybody creating it. It is not stored."""
    return {
        "name": program.program_id,
        "program_id": program.program_id,
        "incarnation": program.incarnation,
        "config": {},
        "period_days": program.horizon_days,
        "flags": {"performHPO": False, "performAutoML": False, "performIncrementalUpdate": False},
        "auto_training": True,
        "event_type": None,
    }


def new_version(solution: Resource, name: str, *, training_type: str, now: float, **members: Any) -> dict[str, Any]:
    """The stored resource of a version of ``solution``; ``members`` are its status and what only some versions have."""
    return {
        "name": name,
        "program_id": solution["program_id"],
        "incarnation": solution["incarnation"],
        "created": now,
        "updated": now,
        "tags": {},
        "solution": solution["name"],
        "version_name": None,
        "mode": FULL,
        "training_type": training_type,
        "config": solution["config"],
        "flags": solution["flags"],
        "event_type": solution["event_type"],
        **members,
    }


def solution_in_service(store: ConfigurationStore, program: Program) -> Resource:
    """The solution of the program's latest version; else the newest one; else the program's own."""
    solutions, versions = _read(store, program)
    return _in_service(program, solutions, versions)


def scheduled_solutions(store: ConfigurationStore, program: Program, *, now: float) -> list[Resource]:
    """The solutions that a run of the schedule trains, the one in service last: its model then serves on.

    These are the solutions with performAutoTraining whose schedulingExpression, if they have one, has gone by since
    their last version. A program without solutions trains its own.
    """
    solutions, versions = _read(store, program)
    if not solutions:
        return [own_solution(program)]
    serving = _in_service(program, solutions, versions)["name"]
    due = [solution for solution in solutions if solution["auto_training"] and _is_due(solution, versions, now)]
    return sorted(due, key=lambda solution: (solution["name"] == serving, solution["created"]))


def is_learned(store: ConfigurationStore, state: ProgramState, due: Iterable[Resource]) -> bool:
    """Whether training the solutions ``due`` again would learn nothing new.

    Each was trained since nothing changed any more: no event was stored or removed, no import counted, no setting was
    changed. And the last rebase did all that it had to do.
    """
    program, catalogue_revision = state.program, state.catalogue.revision if state.catalogue else 0
    if not program.unchanged_since or state.model is None or state.catalogue_revision != catalogue_revision:
        return False
    status = store.status(program.incarnation)
    if status is None or status.status_id != COMPLETE:
        return False
    settled = program.unchanged_since + SETTLED_SECONDS
    versions = store.list_resources([program.incarnation], VERSION)
    trained = {each["solution"] for each in versions if each["status"] == ACTIVE and _created(each) >= settled}
    return all(solution["name"] in trained for solution in due)


def training_period_days(store: ConfigurationStore, program: Program) -> float:
    """How many days lie between trainings of a program that the schedule starts: 0 where each of its runs is to train,
    infinite where none is."""
    solutions = list(store.list_resources([program.incarnation], SOLUTION))
    automatic = [solution for solution in solutions if solution["auto_training"]]
    if not solutions:
        return 0.0
    return min((float(_interval_days(solution["config"]) or 0) for solution in automatic), default=math.inf)


def outdated_versions(store: ConfigurationStore, program: Program, solution: str) -> list[str]:
    """The names of versions of a solution that rebases made, beyond the newest ``MAX_VERSIONS``."""
    _, versions = _read(store, program)
    made = [version for version in versions if version["solution"] == solution and version.get("by_rebase")]
    if len(made) <= MAX_VERSIONS:
        return []
    used = {campaign["version"] for campaign in store.list_resources([program.incarnation], CAMPAIGN)}
    newest_first = sorted(made, key=_created, reverse=True)
    return [version["name"] for version in newest_first[MAX_VERSIONS:] if version["name"] not in used]


def check_training_interval(config: Mapping[str, Any], *, field: str) -> None:
    """Raise InvalidInput where a schedulingExpression is none that AWS has."""
    days = _interval_days(config)
    if days is not None and days not in INTERVAL_DAYS:
        raise InvalidInput(
            f"{field} is '{config['autoTrainingConfig']['schedulingExpression']}'; it must be from rate(1 day) to "
            f"rate({INTERVAL_DAYS[-1]} days)",
            field=field,
        )


def _interval_days(config: Mapping[str, Any]) -> int | None:
    """How many days lie between automatic trainings; None where every run of the schedule is to train."""
    match = _RATE.fullmatch(config.get("autoTrainingConfig", {}).get("schedulingExpression", ""))
    return int(match[1]) if match is not None else None


def _is_due(solution: Resource, versions: Iterable[Resource], now: float) -> bool:
    days = _interval_days(solution["config"])
    if days is None:
        return True
    latest = max((_created(version) for version in versions if _counts(version, solution["name"], now)), default=None)
    return latest is None or now - latest >= days * DAY_SECONDS - _TOLERANCE_SECONDS


def _counts(version: Resource, solution: str, now: float) -> bool:
    """Whether a version of the solution was trained or is being trained."""
    if version["solution"] != solution:
        return False
    return version["status"] == ACTIVE or (
        version["status"] in BUSY and not is_lost(now - version["updated"], waiting=True)
    )


def _in_service(program: Program, solutions: Sequence[Resource], versions: Iterable[Resource]) -> Resource:
    by_name = {solution["name"]: solution for solution in solutions}
    trained = [version for version in versions if version["solution"] in by_name]
    if trained:
        return by_name[max(trained, key=_created)["solution"]]
    return max(solutions, key=_created, default=None) or own_solution(program)


def _read(store: ConfigurationStore, program: Program) -> tuple[list[Resource], list[Resource]]:
    owners = [program.incarnation]
    return list(store.list_resources(owners, SOLUTION)), list(store.list_resources(owners, VERSION))


def _created(resource: Resource) -> float:
    return float(resource["created"])
