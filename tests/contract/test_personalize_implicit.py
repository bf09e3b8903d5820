"""A program that was created through ActionHub, as stock clients of Personalize see it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Program
from tests.contract.personalize_clients import Personalize, arn, error_of
from tests.waiting import wait_until

DAY = 86_400
NOW = int(time.time())


def rows(control: Any, operation: str, key: str, **arguments: str) -> list[dict[str, Any]]:
    pages = control.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 2})
    return [row for page in pages for row in page[key]]


def test_a_program_is_described_and_listed_and_its_rebase_is_a_solution_version(
    clients: Personalize, program: Program
) -> None:
    # Given a program with events, rebased through ActionHub
    control, name = clients.control, program.program_id
    for user in range(8):
        clients.take(name, f"user-{user}", "join-club", "get-app", at=NOW - (user + 2) * DAY)
    assert program.http.put("/program/rebase").status_code == 200
    latest = arn("solution", f"{name}/$LATEST")

    def trained() -> bool:
        versions = rows(control, "list_solution_versions", "solutionVersions", solutionArn=arn("solution", name))
        return [row["status"] for row in versions] == ["ACTIVE"]

    wait_until(trained, seconds=120)

    # Then the version is what the campaign uses, and everything around it is there
    version = control.describe_solution_version(solutionVersionArn=latest)["solutionVersion"]
    assert version["trainingType"] == "MANUAL"
    metrics = control.get_solution_metrics(solutionVersionArn=latest)
    assert metrics["solutionVersionArn"] == version["solutionVersionArn"]
    group = arn("dataset-group", name)
    described = control.describe_dataset_group(datasetGroupArn=group)["datasetGroup"]
    # Its program was created after this file was read, and the stack has the clock of the tests
    assert NOW - 1 <= described["creationDateTime"].timestamp() <= time.time() + 1
    assert described["creationDateTime"] < described["lastUpdatedDateTime"] <= version["lastUpdatedDateTime"]
    (campaign,) = rows(control, "list_campaigns", "campaigns", solutionArn=arn("solution", name))
    assert control.describe_campaign(campaignArn=campaign["campaignArn"])["campaign"]["solutionVersionArn"] == latest
    (tracker,) = rows(control, "list_event_trackers", "eventTrackers", datasetGroupArn=group)
    tracking_id = control.describe_event_tracker(**{"eventTrackerArn": tracker["eventTrackerArn"]})["eventTracker"][
        "trackingId"
    ]
    datasets = rows(control, "list_datasets", "datasets", datasetGroupArn=group)
    schemas = {row["schemaArn"] for row in rows(control, "list_schemas", "schemas")}
    assert {
        control.describe_dataset(datasetArn=row["datasetArn"])["dataset"]["schemaArn"] for row in datasets
    } == schemas
    assert len(datasets) == 5
    assert set(clients.recommend(name, "user-1")) == {"join-club", "get-app"}

    # And the tracker takes events as clients of the first version of the API put them, which are about items
    event = {"eventType": "TAKEN", "sentAt": NOW, "properties": json.dumps({"itemId": "sku-1", "eventValue": 2.5})}
    clients.events.put_events(trackingId=tracking_id, userId="user-1", sessionId="s", eventList=[event])
    exported = program.http.get("/users/user-1/export").json()["events"]
    (put,) = (row for row in exported if row["asset_id"] == "sku-1")
    assert (put["event_type"], put["event_value"]) == ("ITEM_TAKEN", 2.5)
    assert set(clients.recommend(name, "user-1")) == {"join-club", "get-app"}

    # And an Actions dataset says from then on what is recommended
    clients.put_action(name, "get-app", tier="Gold")
    assert set(clients.recommend(name, "user-1")) == set(clients.recommend(name, "stranger")) == {"get-app"}


def test_what_cannot_be_is_refused_at_once_and_says_why(clients: Personalize, program: Program) -> None:
    control, group = clients.control, arn("dataset-group", program.program_id)
    recipe = "arn:aws:personalize:::recipe/aws-user-personalization-v2"
    with pytest.raises(control.exceptions.InvalidInputException) as refused:
        control.create_solution(name="s", datasetGroupArn=group, recipeArn=recipe)
    assert "this service recommends actions, with aws-next-best-action alone" in refused.value.response["message"]
    with pytest.raises(control.exceptions.InvalidInputException, match="The domain ECOMMERCE is not supported"):
        control.create_schema(name="s", schema="{}", domain="ECOMMERCE")
    with pytest.raises(control.exceptions.InvalidInputException, match="Domain dataset groups, which this service"):
        control.create_recommender(name="r", datasetGroupArn=group, recipeArn=recipe)
    with pytest.raises(control.exceptions.ResourceInUseException, match="comes with the dataset group"):
        control.delete_campaign(campaignArn=arn("campaign", program.program_id))


def test_a_presigned_url_is_refused_by_name(clients: Personalize, program: Program) -> None:
    url = clients.runtime.generate_presigned_url("get_action_recommendations", HttpMethod="POST")

    answer = program.http.post(url)

    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert "presigned URLs are not supported" in answer.json()["message"]


def test_an_operator_creates_no_domain_group(clients: Personalize) -> None:
    with pytest.raises(ClientError) as refused:
        clients.control.create_dataset_group(name="shop", domain="ECOMMERCE")
    assert error_of(refused.value) == ("InvalidInputException", 400)
