"""Campaigns: what recommendations are requested from (docs/contracts/personalize.md, section 8.3).

A campaign uses the program's current model, which is that of the latest training: a new version is in service as soon
as it is trained, whether or not the campaign has ``syncWithLatestSolutionVersion``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.programs import Incarnation
from nextbest.domain.resource_statuses import ACTIVE, BUSY
from nextbest.errors import AlreadyExists, InUse, InvalidInput
from nextbest.personalize.control.implicit import LATEST
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, narrowed_to, page
from nextbest.personalize.control.solution_versions import find_version
from nextbest.personalize.protocol.arns import CAMPAIGN, RECIPE_NAME, SOLUTION, owner_of
from nextbest.personalize.runtime.campaign_settings import CampaignSettings


def create_campaign(call: ControlCall) -> Mapping[str, Any]:
    name = call.request["name"]
    config = call.request.get("campaignConfig", {})
    version = _version(call, config)
    if name != version["program_id"] and call.present(name) is not None:
        # Each program implicitly has a campaign of its own name, which the caller could not tell from this one.
        raise AlreadyExists(f"Another resource with Arn {call.arn(CAMPAIGN, name)} already exists.")
    members = {
        "solution": version["solution"],
        "version": _version_name(call, version),
        "transactions_per_second": call.request.get("minProvisionedTPS", 1),
        "config": config,
        "status": ACTIVE,
    }
    call.create(CAMPAIGN, name, owner_of(version), members)
    return {"campaignArn": call.arn(CAMPAIGN, name)}


def _version(call: ControlCall, config: Mapping[str, Any], *, within: Incarnation | None = None) -> Resource:
    """The version for a campaign, of the program ``within`` where several have it.

    Raises InvalidInput for one that failed, InUse while it is being trained.
    """
    _check_config(config)
    arn = call.request["solutionVersionArn"]
    version = find_version(call, "solutionVersionArn", within=within)
    if config.get("syncWithLatestSolutionVersion") and not arn.endswith(f"/{LATEST}"):
        problem = f"With syncWithLatestSolutionVersion the solutionVersionArn must end in /{LATEST}"
        raise InvalidInput(problem, field="solutionVersionArn")
    if version["status"] in BUSY:
        raise InUse(f"The solution version is in the state {version['status']}; wait until it is ACTIVE")
    if version["status"] != ACTIVE:
        problem = f"The solution version is in the state {version['status']}; a campaign needs an ACTIVE one"
        raise InvalidInput(problem, field="solutionVersionArn")
    return version


def _check_config(config: Mapping[str, Any]) -> None:
    CampaignSettings.read(config)
    if config.get("enableMetadataWithRecommendations"):
        field = "campaignConfig.enableMetadataWithRecommendations"
        raise InvalidInput(f"{field} is not supported by the recipe {RECIPE_NAME}", field=field)


def _version_name(call: ControlCall, version: Resource) -> str:
    latest = call.request["solutionVersionArn"].endswith(f"/{LATEST}")
    return f"{version['solution']}/{LATEST}" if latest else str(version["name"])


def describe_campaign(call: ControlCall) -> Mapping[str, Any]:
    campaign = call.find(CAMPAIGN, "campaignArn")
    described = {**_summary(call, campaign), **_settings(call, campaign)}
    if "update" in campaign:
        described["latestCampaignUpdate"] = {
            **_settings(call, campaign),
            "status": ACTIVE,
            "creationDateTime": round(campaign["update"], 3),
            "lastUpdatedDateTime": round(campaign["update"], 3),
        }
    return {"campaign": described}


def list_campaigns(call: ControlCall) -> Mapping[str, Any]:
    solution = narrowed_to(call, SOLUTION, "solutionArn")
    matches = (
        call.listed(CAMPAIGN, of=owner_of(solution), solution=solution["name"])
        if solution is not None
        else call.listed(CAMPAIGN)
    )
    scope = solution["name"] if solution is not None else ""
    return page(call, matches, "campaigns", lambda row: _summary(call, row), scope=scope)


def update_campaign(call: ControlCall) -> Mapping[str, Any]:
    campaign = call.find(CAMPAIGN, "campaignArn")
    changes: dict[str, Any] = {}
    config = call.request.get("campaignConfig", campaign["config"])
    if "solutionVersionArn" in call.request:
        version = _version(call, config, within=owner_of(campaign))
        if owner_of(version) != owner_of(campaign):
            problem = "The solution version belongs to another dataset group than the campaign"
            raise InvalidInput(problem, field="solutionVersionArn")
        changes |= {"solution": version["solution"], "version": _version_name(call, version)}
    else:
        _check_config(config)
    if "minProvisionedTPS" in call.request:
        changes["transactions_per_second"] = call.request["minProvisionedTPS"]
    call.change(CAMPAIGN, campaign, **changes, config=config, update=call.now)
    return {"campaignArn": call.arn(CAMPAIGN, campaign["name"])}


def delete_campaign(call: ControlCall) -> None:
    call.delete(CAMPAIGN, call.find(CAMPAIGN, "campaignArn"))


def _summary(call: ControlCall, campaign: Resource) -> dict[str, Any]:
    return {
        "name": campaign["name"],
        "campaignArn": call.arn(CAMPAIGN, campaign["name"]),
        "status": campaign["status"],
        **dates(campaign),
    }


def _settings(call: ControlCall, campaign: Resource) -> dict[str, Any]:
    return {
        "solutionVersionArn": call.arn(SOLUTION, campaign["version"]),
        "minProvisionedTPS": campaign["transactions_per_second"],
        "campaignConfig": campaign["config"],
    }


OPERATIONS: dict[str, Operation] = {
    "CreateCampaign": create_campaign,
    "DescribeCampaign": describe_campaign,
    "ListCampaigns": list_campaigns,
    "UpdateCampaign": update_campaign,
    "DeleteCampaign": delete_campaign,
}
