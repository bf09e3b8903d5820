"""The one recipe there is: aws-next-best-action (docs/contracts/personalize.md, section 7.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import InvalidInput
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, page
from nextbest.personalize.protocol.arns import ALGORITHM, FEATURE_TRANSFORMATION, RECIPE, RECIPE_NAME, missing, name_in

OPTIMIZATION_PERIOD = "action_optimization_period"
DEFAULT_PERIOD_DAYS = 14
PERIOD_DAYS = range(7, 29)

_CREATED = 1691712000.0  # 2023-08-11
_RECIPE: Resource = {"name": RECIPE_NAME, "created": _CREATED, "updated": _CREATED}


def describe_recipe(call: ControlCall) -> Mapping[str, Any]:
    _require(call, RECIPE, "recipeArn")
    return {
        "recipe": {
            **_summary(call, _RECIPE),
            "algorithmArn": call.arn(ALGORITHM, RECIPE_NAME),
            "featureTransformationArn": call.arn(FEATURE_TRANSFORMATION, RECIPE_NAME),
            "description": "Recommends the actions that a user is most likely to take next",
            "recipeType": "PERSONALIZED_ACTIONS",
        }
    }


def list_recipes(call: ControlCall) -> Mapping[str, Any]:
    # The recipe is for custom dataset groups; domains have recipes of their own, none of them here.
    recipes: Iterator[Resource] = iter(() if "domain" in call.request else (_RECIPE,))
    return page(call, recipes, "recipes", lambda row: _summary(call, row), scope=call.request.get("domain", ""))


def describe_algorithm(call: ControlCall) -> Mapping[str, Any]:
    _require(call, ALGORITHM, "algorithmArn")
    return {"algorithm": {"name": RECIPE_NAME, "algorithmArn": call.arn(ALGORITHM, RECIPE_NAME), **dates(_RECIPE)}}


def describe_feature_transformation(call: ControlCall) -> Mapping[str, Any]:
    _require(call, FEATURE_TRANSFORMATION, "featureTransformationArn")
    return {
        "featureTransformation": {
            "name": RECIPE_NAME,
            "featureTransformationArn": call.arn(FEATURE_TRANSFORMATION, RECIPE_NAME),
            "defaultParameters": {OPTIMIZATION_PERIOD: str(DEFAULT_PERIOD_DAYS)},
            "status": ACTIVE,
            **dates(_RECIPE),
        }
    }


def require_recipe(arn: str) -> None:
    """Raise InvalidInput for any other recipe."""
    name = name_in(arn, RECIPE, field="recipeArn")
    if name != RECIPE_NAME:
        problem = f"The recipe {name} is not supported: this service recommends actions, with {RECIPE_NAME} alone"
        raise InvalidInput(problem, field="recipeArn")


def refuse_domain(call: ControlCall) -> None:
    """Raise InvalidInput for a request that names a domain: it would be for recipes of items."""
    if "domain" in call.request:
        raise InvalidInput(
            f"The domain {call.request['domain']} is not supported: Domain dataset groups recommend items, and this "
            f"service recommends actions, with {RECIPE_NAME} alone; leave domain out",
            field="domain",
        )


def optimization_period_days(call: ControlCall, parameters: Mapping[str, str]) -> int:
    """How many days ahead a solution predicts. Raises InvalidInput for other parameters and other numbers."""
    if parameters.keys() - {OPTIMIZATION_PERIOD}:
        raise InvalidInput(
            f"Provide a hyperparameter that is used in the algorithm: {call.arn(ALGORITHM, RECIPE_NAME)}"
        )
    text = parameters.get(OPTIMIZATION_PERIOD, str(DEFAULT_PERIOD_DAYS))
    if not text.isdecimal() or int(text) not in PERIOD_DAYS:
        raise InvalidInput(
            f"{OPTIMIZATION_PERIOD} is '{text[:100]}'; it must be a whole number of days from {PERIOD_DAYS[0]} "
            f"to {PERIOD_DAYS[-1]}",
            field="solutionConfig.featureTransformationParameters",
        )
    return int(text)


def _require(call: ControlCall, kind: str, member: str) -> None:
    arn = call.request[member]
    if name_in(arn, kind, field=member) != RECIPE_NAME:
        raise missing(arn)


def _summary(call: ControlCall, recipe: Resource) -> dict[str, Any]:
    return {"name": recipe["name"], "recipeArn": call.arn(RECIPE, recipe["name"]), "status": ACTIVE, **dates(recipe)}


OPERATIONS: dict[str, Operation] = {
    "DescribeRecipe": describe_recipe,
    "ListRecipes": list_recipes,
    "DescribeAlgorithm": describe_algorithm,
    "DescribeFeatureTransformation": describe_feature_transformation,
}
