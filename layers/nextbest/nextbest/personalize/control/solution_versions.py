"""Solution versions: each is one rebase of the program (docs/contracts/personalize.md, section 8.3).

A version is PENDING until its rebase begins, IN_PROGRESS while it runs, and then ACTIVE or FAILED with the reason.
Rebases that were not started here are versions too (``jobs/training.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nextbest.domain.programs import Incarnation
from nextbest.domain.resource_statuses import (
    ACTIVE,
    BUSY,
    CREATE_PENDING,
    STOPPED,
    STOPPING,
    UNFINISHED,
)
from nextbest.errors import InUse, InvalidInput
from nextbest.logic.spark_runs import job_run_of
from nextbest.logic.training_plan import FULL, MANUAL, new_version
from nextbest.personalize.control.implicit import LATEST
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, page, tags_of
from nextbest.personalize.protocol.arns import (
    DATASET_GROUP,
    RECIPE,
    RECIPE_NAME,
    SOLUTION,
    VERSION,
    missing,
    name_in,
    owner_of,
)

UPDATE = "UPDATE"


def create_solution_version(call: ControlCall) -> Mapping[str, Any]:
    solution = call.find(SOLUTION, "solutionArn")
    mode = call.request.get("trainingMode", FULL)
    if mode == UPDATE:
        raise InvalidInput("trainingMode UPDATE is for User-Personalization only; use FULL", field="trainingMode")
    busy = unfinished_version(call, owner_of(solution))
    if busy is not None:
        raise InUse(f"The dataset group is being trained already: {busy}")
    state = call.program(solution["program_id"], arn=call.request["solutionArn"])
    name = f"{solution['name']}/{call.deployment.random.getrandbits(32):08x}"
    members = {"version_name": call.request.get("name"), "mode": mode, "status": CREATE_PENDING}
    fields = new_version(solution, name, training_type=MANUAL, now=call.now, **members)
    fields["tags"] = tags_of(call.request.get("tags", []))
    version = call.create(VERSION, name, state.program.incarnation, fields)
    # The horizon of probabilities is the program's, and this training is the first to use the solution's.
    horizon_days = solution["period_days"]
    call.store.change_program(state.program.incarnation, lambda program: replace(program, horizon_days=horizon_days))
    with call.kept_if_started(VERSION, version):
        call.deployment.start_rebase(state.program.incarnation, name)
    return {"solutionVersionArn": call.arn(SOLUTION, name)}


def describe_solution_version(call: ControlCall) -> Mapping[str, Any]:
    version = find_version(call, "solutionVersionArn")
    described = {
        **version_summary(call, version),
        "solutionArn": call.arn(SOLUTION, version["solution"]),
        "datasetGroupArn": call.arn(DATASET_GROUP, version["program_id"]),
        "recipeArn": call.arn(RECIPE, RECIPE_NAME),
        **version["flags"],
        "solutionConfig": version["config"],
    }
    if version["version_name"] is not None:
        described["name"] = version["version_name"]
    if version["event_type"] is not None:
        described["eventType"] = version["event_type"]
    if "hours" in version:
        described["trainingHours"] = version["hours"]
    return {"solutionVersion": described}


def list_solution_versions(call: ControlCall) -> Mapping[str, Any]:
    solution = call.find(SOLUTION, "solutionArn") if "solutionArn" in call.request else None
    matches = versions_of(call, solution) if solution is not None else call.resources(VERSION)
    scope = solution["name"] if solution is not None else ""
    return page(call, matches, "solutionVersions", lambda row: version_summary(call, row), scope=scope)


def stop_solution_version_creation(call: ControlCall) -> None:
    """Stop a version. A training that has begun runs to its end, unless a Spark job does it, which is cancelled; the
    version ends as stopped either way."""
    version = find_version(call, "solutionVersionArn")
    if version["status"] not in UNFINISHED:
        raise InUse(f"The solution version is in the state {version['status']} and cannot be stopped")
    pending = version["status"] == CREATE_PENDING
    call.change(VERSION, version, status=STOPPED if pending else STOPPING)
    # Of trainings that are at work there is one, whatever it is called.
    job_run = job_run_of(call.store, owner_of(version), version=version["name"] if pending else None)
    if job_run is not None:
        call.deployment.cancel_job_run(job_run)


def get_solution_metrics(call: ControlCall) -> Mapping[str, Any]:
    version = find_version(call, "solutionVersionArn")
    if version["status"] != ACTIVE:
        raise InUse(f"The solution version is in the state {version['status']}; it has no metrics yet")
    arn = call.arn(SOLUTION, version["name"])
    return {"solutionVersionArn": arn, "metrics": version["metrics"]}


def find_version(call: ControlCall, member: str, *, within: Incarnation | None = None) -> Resource:
    """The solution version whose ARN is ``member``, which may end in ``$LATEST``. A solution's ARN is not enough.

    ``within`` is the program to look in first. Raises InvalidInput, NotFound, Forbidden.
    """
    arn = call.request[member]
    name = name_in(arn, SOLUTION, field=member)
    solution, slash, version = name.partition("/")
    if not slash:
        raise missing(arn)
    if version != LATEST:
        return call.find_named(VERSION, name, arn, within=within)
    latest = latest_version(call, call.find_named(SOLUTION, solution, arn, within=within))
    if latest is None:
        raise missing(arn)
    return latest


def versions_of(call: ControlCall, solution: Resource) -> Iterator[Resource]:
    """The versions of a solution."""
    return call.resources(VERSION, of=owner_of(solution), solution=solution["name"])


def latest_version(call: ControlCall, solution: Resource) -> Resource | None:
    """The newest version of a solution that was trained; where there is none, the newest at all."""
    versions = sorted(versions_of(call, solution), key=lambda row: float(row["created"]))
    return next((row for row in reversed(versions) if row["status"] == ACTIVE), versions[-1] if versions else None)


def unfinished_version(call: ControlCall, owner: Incarnation, **criteria: str) -> str | None:
    """The ARN of a version of a program that a client created and that is waiting or being trained.

    Rebases that nobody created a version for block nothing: they can run beside others.
    """
    rows = call.resources(VERSION, of=owner, **criteria)
    busy = next((row for row in rows if row["status"] in BUSY and not row.get("by_rebase")), None)
    return call.arn(SOLUTION, busy["name"]) if busy is not None else None


def version_summary(call: ControlCall, version: Resource) -> dict[str, Any]:
    failure = {"failureReason": version["failure"]} if "failure" in version else {}
    return {
        "solutionVersionArn": call.arn(SOLUTION, version["name"]),
        "status": version["status"],
        "trainingMode": version["mode"],
        "trainingType": version.get("training_type", MANUAL),
        **failure,
        **dates(version),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateSolutionVersion": create_solution_version,
    "DescribeSolutionVersion": describe_solution_version,
    "ListSolutionVersions": list_solution_versions,
    "StopSolutionVersionCreation": stop_solution_version_creation,
    "GetSolutionMetrics": get_solution_metrics,
}
