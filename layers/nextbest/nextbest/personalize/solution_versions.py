"""Solution versions: each is one rebase of the program (personalize-actions §8.3).

A version is PENDING until its rebase begins, IN_PROGRESS while it runs, and then ACTIVE or FAILED with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nextbest.access import ADMIN
from nextbest.errors import InUse, InvalidInput, NextbestError
from nextbest.personalize.arns import DATASET_GROUP, RECIPE, SOLUTION, name_in, stored_kind
from nextbest.personalize.operations import (
    ACTIVE,
    ARN,
    CREATE_FAILED,
    CREATE_IN_PROGRESS,
    CREATE_PENDING,
    NAME,
    PAGE,
    STOPPED,
    STOPPING,
    TAGS,
    UNFINISHED,
    Call,
    Operation,
    Resource,
    as_of,
    dates,
    page,
)
from nextbest.personalize.permissions import missing, require
from nextbest.personalize.recipes import NAME as RECIPE_NAME
from nextbest.personalize.shapes import Members, Text
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, ConfigurationStore, ModelPointer

VERSION = "solution-version"
LATEST = "$LATEST"

_HOUR_SECONDS = 3600.0


def create_solution_version(call: Call) -> Mapping[str, Any]:
    solution = call.find(SOLUTION, "solutionArn")
    mode = call.asked.get("trainingMode", "FULL")
    if mode == "UPDATE":
        raise InvalidInput("trainingMode UPDATE is for User-Personalization only; use FULL", field="trainingMode")
    program_id = solution["program_id"]
    busy = unfinished_version(call, program_id=program_id)
    if busy is not None:
        raise InUse(f"The dataset group is being trained already: {busy}")
    state = call.program(program_id, arn=call.asked["solutionArn"])
    name = f"{solution['name']}/{call.deployment.random.getrandbits(32):08x}"
    members = {
        "solution": solution["name"],
        "version_name": call.asked.get("name"),
        "mode": mode,
        "config": solution["config"],
        "flags": solution["flags"],
        "event_type": solution["event_type"],
        "status": CREATE_PENDING,
    }
    call.create(VERSION, name, program_id, members)
    # The days ahead that probabilities are for are the program's, and this training is the first to learn for them.
    call.store.update_program(replace(state.program, horizon_days=solution["period_days"]))
    call.deployment.start_rebase(program_id, name)
    return {"solutionVersionArn": call.arn(SOLUTION, name)}


def describe_solution_version(call: Call) -> Mapping[str, Any]:
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


def list_solution_versions(call: Call) -> Mapping[str, Any]:
    solution = call.find(SOLUTION, "solutionArn")["name"] if "solutionArn" in call.asked else ""
    found = versions_of(call, solution) if solution else call.resources(VERSION)
    return page(call, found, "solutionVersions", lambda row: version_summary(call, row), scope=solution)


def stop_solution_version_creation(call: Call) -> None:
    """Stop a version. A training that has begun runs to its end, since a model is whole or not at all."""
    version = find_version(call, "solutionVersionArn")
    if version["status"] not in UNFINISHED:
        raise InUse(f"The solution version is in the state {version['status']} and cannot be stopped")
    pending = version["status"] == CREATE_PENDING
    call.change(VERSION, version, status=STOPPED if pending else STOPPING)


def get_solution_metrics(call: Call) -> Mapping[str, Any]:
    version = find_version(call, "solutionVersionArn")
    if version["status"] != ACTIVE:
        raise InUse(f"The solution version is in the state {version['status']}; it has no metrics yet")
    arn = call.arn(SOLUTION, version["name"])
    return {"solutionVersionArn": arn, "metrics": version["metrics"]}


def find_version(call: Call, member: str) -> Resource:
    """The solution version whose ARN was given as ``member``, ``$LATEST`` included. A bare solution is none."""
    arn = call.asked[member]
    name = name_in(arn, SOLUTION, field=member)
    solution, slash, version = name.partition("/")
    found = latest_version(call, solution) if version == LATEST else None
    if slash and version != LATEST:
        found = call.store.resource(stored_kind(VERSION), name)
    if found is None:
        raise missing(arn)
    require(call.key, found["program_id"], ADMIN, unseen=missing(arn))
    return as_of(found, call.now)


def versions_of(call: Call, solution: str) -> Iterator[Resource]:
    """The versions of a solution that the caller may see."""
    return call.resources(VERSION, solution=solution)


def latest_version(call: Call, solution: str) -> Resource | None:
    """The newest version of a solution that was trained; where there is none, the newest at all."""
    versions = sorted(versions_of(call, solution), key=lambda row: float(row["created"]))
    return next((row for row in reversed(versions) if row["status"] == ACTIVE), versions[-1] if versions else None)


def unfinished_version(call: Call, **wanted: str) -> str | None:
    """The ARN of a version that waits or is trained."""
    unfinished = (*UNFINISHED, STOPPING)
    busy = next((row for row in call.resources(VERSION, **wanted) if row["status"] in unfinished), None)
    return call.arn(SOLUTION, busy["name"]) if busy is not None else None


def version_summary(call: Call, version: Resource) -> dict[str, Any]:
    failure = {"failureReason": version["failure"]} if "failure" in version else {}
    return {
        "solutionVersionArn": call.arn(SOLUTION, version["name"]),
        "status": version["status"],
        "trainingMode": version["mode"],
        "trainingType": "MANUAL",
        **failure,
        **dates(version),
    }


def run_version(
    store: ConfigurationStore,
    artifacts: ArtifactStore,
    name: str,
    rebase: Callable[[], ModelPointer],
    *,
    clock: Callable[[], float],
) -> ModelPointer | None:
    """Train the version ``name`` by ``rebase`` and record how it went; None for a version that is not to be trained.

    A version that was stopped or deleted while it waited is left alone, and so is one that an earlier attempt ended.
    What the library refuses is recorded, not raised; whatever else goes wrong is recorded and raised.
    """
    version = store.resource(stored_kind(VERSION), name)
    if version is None or version["status"] not in UNFINISHED:
        return None
    began = clock()
    _record(store, name, clock(), status=CREATE_IN_PROGRESS)
    failure = "The training was interrupted"
    try:
        pointer = rebase()
        metrics = metrics_of(Model.from_bytes(artifacts.get(pointer.key)).report)
        failure = ""
    except NextbestError as error:
        failure = error.message
        return None
    finally:
        if failure:
            _record(store, name, clock(), status=CREATE_FAILED, failure=failure)
    hours = (clock() - began) / _HOUR_SECONDS
    _record(store, name, clock(), status=ACTIVE, hours=hours, metrics=metrics, model=pointer.version)
    return pointer


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in a model's report under the keys of §7.7; none where there was nobody to judge on."""
    held_out: Mapping[str, float] = report.get("modes", {}).get("repeats", {}).get("held_out", {})
    return {name.replace("ndcg", "normalized_discounted_cumulative_gain"): value for name, value in held_out.items()}


def _record(store: ConfigurationStore, name: str, now: float, **members: Any) -> None:
    """Change a version, unless it was deleted meanwhile; one that is being stopped ends as STOPPED."""
    version = store.resource(stored_kind(VERSION), name)
    if version is None:
        return
    if version["status"] == STOPPING:
        members["status"] = STOPPED
    store.put_resource(stored_kind(VERSION), name, {**version, **members, "updated": now})


OPERATIONS = {
    "CreateSolutionVersion": Operation(
        Members(
            {
                "solutionArn!": ARN,
                "name": NAME,
                "trainingMode": Text(one_of=("FULL", "UPDATE", "AUTOTRAIN")),
                "tags": TAGS,
            }
        ),
        create_solution_version,
    ),
    "DescribeSolutionVersion": Operation(Members({"solutionVersionArn!": ARN}), describe_solution_version),
    "ListSolutionVersions": Operation(Members({"solutionArn": ARN, **PAGE}), list_solution_versions),
    "StopSolutionVersionCreation": Operation(Members({"solutionVersionArn!": ARN}), stop_solution_version_creation),
    "GetSolutionMetrics": Operation(Members({"solutionVersionArn!": ARN}), get_solution_metrics),
}
