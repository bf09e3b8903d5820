"""Solutions: the recipe and the horizon of trainings (docs/contracts/personalize.md, sections 7.1 and 8.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import InUse, InvalidInput
from nextbest.logic.training_plan import check_training_interval
from nextbest.personalize.control.dataset_groups import group_named, list_of_group
from nextbest.personalize.control.implicit import IMPLICIT, is_dataset_group
from nextbest.personalize.control.recipes import optimization_period_days, require_recipe
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates
from nextbest.personalize.control.solution_versions import (
    latest_version,
    unfinished_version,
    version_summary,
    versions_of,
)
from nextbest.personalize.datasets.event_types import action_event_type
from nextbest.personalize.datasets.sources import TAKEN
from nextbest.personalize.protocol.arns import CAMPAIGN, DATASET_GROUP, RECIPE, RECIPE_NAME, SOLUTION, VERSION, owner_of

OF_OTHER_RECIPES = (
    *("hpoConfig", "autoMLConfig", "optimizationObjective", "trainingDataConfig"),
    *("eventsConfig", "eventValueThreshold"),
)
"""Members of ``solutionConfig`` that tune recipes for items; AWS documents none of them for actions."""


def create_solution(call: ControlCall) -> Mapping[str, Any]:
    program = group_named(call, call.request["datasetGroupArn"])
    if "recipeArn" not in call.request:
        raise InvalidInput("recipeArn must be given: this service has no AutoML", field="recipeArn")
    require_recipe(call.request["recipeArn"])
    refuse_other_recipes(call.request)
    config = call.request.get("solutionConfig", {})
    if config.get("algorithmHyperParameters"):
        optimization_period_days(call, config["algorithmHyperParameters"])  # raises: the algorithm takes none
    members = {
        "config": config,
        "period_days": optimization_period_days(call, config.get("featureTransformationParameters", {})),
        "flags": {
            "performHPO": False,
            "performAutoML": False,
            "performIncrementalUpdate": False,
        },
        "auto_training": call.request.get("performAutoTraining", True),
        "event_type": call.request.get("eventType"),
    }
    call.create(SOLUTION, call.request["name"], program.incarnation, members)
    return {"solutionArn": call.arn(SOLUTION, call.request["name"])}


def refuse_other_recipes(request: Mapping[str, Any]) -> None:
    """Raise InvalidInput for what no training of this recipe would heed: settings of others, other event types, and
    schedules that AWS does not have."""
    flags = ("performHPO", "performAutoML", "performIncrementalUpdate")
    members = [flag for flag in flags if request.get(flag)]
    for config in ("solutionConfig", "solutionUpdateConfig"):
        settings = request.get(config, {})
        members += [f"{config}.{name}" for name in OF_OTHER_RECIPES if name in settings]
        check_training_interval(settings, field=f"{config}.autoTrainingConfig.schedulingExpression")
    if "eventType" in request and action_event_type(request["eventType"], path="eventType") != TAKEN:
        problem = f"The eventType is '{request['eventType']}'; a solution predicts which actions are Taken"
        raise InvalidInput(problem, field="eventType")
    if members:
        raise InvalidInput(f"{members[0]} is not supported by the recipe {RECIPE_NAME}", field=members[0])


def describe_solution(call: ControlCall) -> Mapping[str, Any]:
    solution = call.find(SOLUTION, "solutionArn")
    described = {
        **_summary(call, solution),
        "datasetGroupArn": call.arn(DATASET_GROUP, solution["program_id"]),
        **solution["flags"],
        "performAutoTraining": solution["auto_training"],
        "solutionConfig": solution["config"],
    }
    if solution["event_type"] is not None:
        described["eventType"] = solution["event_type"]
    latest = latest_version(call, solution)
    if latest is not None:
        described["latestSolutionVersion"] = version_summary(call, latest)
    if "update" in solution:
        described["latestSolutionUpdate"] = solution["update"]
    return {"solution": described}


def list_solutions(call: ControlCall) -> Mapping[str, Any]:
    return list_of_group(call, SOLUTION, "solutions", _summary)


def update_solution(call: ControlCall) -> Mapping[str, Any]:
    solution = call.find(SOLUTION, "solutionArn")
    refuse_other_recipes(call.request)
    changes = {
        key: call.request[key]
        for key in ("performAutoTraining", "performIncrementalUpdate", "solutionUpdateConfig")
        if key in call.request
    }
    if not changes:
        raise InvalidInput("Nothing to update was given")
    moment = round(call.now, 3)
    update = {**changes, "status": ACTIVE, "creationDateTime": moment, "lastUpdatedDateTime": moment}
    call.change(
        SOLUTION,
        solution,
        update=update,
        auto_training=changes.get("performAutoTraining", solution["auto_training"]),
        flags={**solution["flags"], "performIncrementalUpdate": False},
        config={**solution["config"], **changes.get("solutionUpdateConfig", {})},
    )
    return {"solutionArn": call.arn(SOLUTION, solution["name"])}


def delete_solution(call: ControlCall) -> None:
    """Campaigns go first. The versions go with the solution; the program's model stays in service."""
    solution = call.find(SOLUTION, "solutionArn")
    owner, name = owner_of(solution), solution["name"]
    # A dataset group without a solution has one for as long as it has versions that rebases made.
    program = call.program(solution["program_id"], arn=call.request["solutionArn"]).program
    made_by_rebases = solution.get(IMPLICIT) and is_dataset_group(call.store, program)
    if not made_by_rebases:
        call.require_stored(SOLUTION, solution)
    campaign = next(call.resources(CAMPAIGN, of=owner, solution=name), None)
    if campaign is not None:
        raise InUse(f"The solution cannot be deleted before {call.arn(CAMPAIGN, campaign['name'])}")
    busy = unfinished_version(call, owner, solution=name)
    if busy is not None:
        raise InUse(f"The solution cannot be deleted while {busy} is trained")
    for version in list(versions_of(call, solution)):
        call.delete(VERSION, version)
    if not made_by_rebases:
        call.delete(SOLUTION, solution)


def _summary(call: ControlCall, solution: Resource) -> dict[str, Any]:
    return {
        "name": solution["name"],
        "solutionArn": call.arn(SOLUTION, solution["name"]),
        "recipeArn": call.arn(RECIPE, RECIPE_NAME),
        "status": ACTIVE,
        **dates(solution),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateSolution": create_solution,
    "DescribeSolution": describe_solution,
    "ListSolutions": list_solutions,
    "UpdateSolution": update_solution,
    "DeleteSolution": delete_solution,
}
