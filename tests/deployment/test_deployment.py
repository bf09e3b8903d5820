"""A deployment from its first command to its end, as far as an emulator of AWS goes: in the order of this file."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import boto3
import httpx
import pytest
from botocore.exceptions import WaiterError

from tests.deployment.conftest import IMPORT_BUCKET, QUICKLY, STACK, Deployed
from tests.infrastructure.cloudformation import FUNCTIONS, HOT_FUNCTIONS, Document
from tests.waiting import wait_until
from tools.cli.__main__ import main
from tools.cli.doctor import examine

PATIENCE_SECONDS = 60.0
SWITCHED_ON = ("SnapStart=PublishedVersions", "Tracing=Active", "CreateDashboard=true")
"""Parameters that are off by default."""
NOW = datetime.now(UTC)


def event(user_id: str, minutes_ago: float, event_type: str, asset_id: str) -> dict[str, object]:
    moment = NOW - timedelta(minutes=minutes_ago)
    return {
        "user_id": user_id,
        "event_timestamp": moment.isoformat(),
        "event_type": event_type,
        "asset_id": asset_id,
        "labels": [],
    }


def names_of(response: httpx.Response) -> list[tuple[str, str]]:
    """The actions of a response."""
    return [(action["event_type"], action["asset_id"]) for action in response.json()["actions"]]


def test_the_command_of_the_documentation_makes_every_resource(deployed: Deployed) -> None:
    stack = deployed.deployment().stack

    assert stack is not None
    assert stack.status == "CREATE_COMPLETE"
    assert len(stack.physical_ids("AWS::Lambda::Function")) == len(FUNCTIONS)
    assert stack.physical_ids("AWS::Lambda::Version") and stack.physical_ids("AWS::Scheduler::Schedule")
    assert stack.parameters["Architecture"] == "arm64"
    assert deployed.client("lambda").get_function(FunctionName=f"{STACK}-manage")["Tags"]["application"] == "nextbest"


def test_a_program_learns_from_its_events(api: httpx.Client) -> None:
    assert api.post("/programs", json={"program_id": "coffee", "program_name": "Coffee"}).status_code == 200
    events = [
        event(f"user {number}", 60 * day + number, kind, "latte")
        for number in range(20)
        for day, kind in ((72, "view"), (71, "order"), (48, "view"), (47, "order"), (24, "view"))
    ]
    posted = api.post("/events", json={"events": events})
    assert posted.status_code == 200, posted.text
    assert posted.json()["accepted"] == len(events), posted.text

    assert api.put("/program/rebase").status_code == 200

    wait_until(lambda: "x-nextbest-model" in api.get("/users/user 1/actions").headers, seconds=PATIENCE_SECONDS)
    assert ("order", "latte") in names_of(api.get("/users/user 1/actions"))


def wait_for_events_of(user_id: str, api: httpx.Client) -> None:
    wait_until(lambda: api.get(f"/users/{user_id}/events").status_code == 200, seconds=PATIENCE_SECONDS)


def test_events_of_the_queue_and_of_the_bus_are_stored(deployed: Deployed, api: httpx.Client) -> None:
    queued = api.post("/events?queue_updates=true", json={"events": [event("of the queue", 5, "order", "mocha")]})
    assert queued.status_code == 200, queued.text
    detail = {"program_id": "coffee", "events": [event("of the bus", 5, "order", "mocha")]}
    deployed.client("events").put_events(
        Entries=[
            {"EventBusName": STACK, "Source": "nextbest.events", "DetailType": "events", "Detail": json.dumps(detail)}
        ]
    )

    for user in ("of the queue", "of the bus"):
        wait_for_events_of(user, api)


def test_a_file_in_the_inbox_is_stored(deployed: Deployed, api: httpx.Client) -> None:
    moment = (NOW - timedelta(hours=1)).isoformat()
    file = f"user_id,event_timestamp,event_type,asset_id\nof a file,{moment},order,mocha\n"

    deployed.client("s3").put_object(
        Bucket=deployed.deployment().bucket, Key="inbox/coffee/events.csv", Body=file.encode()
    )

    wait_for_events_of("of a file", api)


def test_the_clients_of_personalize_find_their_service(deployed: Deployed, operator_key: str) -> None:
    key_id, _, secret = operator_key.partition(".")
    client = boto3.client(
        "personalize",
        endpoint_url=f"{deployed.deployment().url}/personalize",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
    )

    assert [group["name"] for group in client.list_dataset_groups()["datasetGroups"]] == ["coffee"]


def test_the_console_signs_in(api: httpx.Client, operator_key: str) -> None:
    """Its package has what it imports, and its role what this takes. The emulator's gateway passes no cookies on, so
    what is behind the sign-in is not seen here."""
    assert "<h1>Sign in</h1>" in api.get("/console/sign-in").text
    assert api.post("/console/sign-in", data={"key": "no key", "next": ""}).status_code == 403

    entered = api.post("/console/sign-in", data={"key": operator_key, "next": ""})

    assert (entered.status_code, entered.headers["location"]) == (303, "/console")
    assert "Secure; SameSite=Strict" in entered.headers["set-cookie"]


def test_the_rights_of_the_roles_are_in_force(deployed: Deployed, api: httpx.Client) -> None:
    """Else all that is tested here would say nothing about them."""
    iam = deployed.client("iam")
    stack = deployed.deployment().stack
    assert stack is not None
    (role,) = [name for name in stack.physical_ids("AWS::IAM::Role") if "ManageRole" in name]
    policy = iam.get_role_policy(RoleName=role, PolicyName="manage")["PolicyDocument"]

    iam.delete_role_policy(RoleName=role, PolicyName="manage")
    try:
        assert api.get("/programs").status_code == 503
    finally:
        iam.put_role_policy(RoleName=role, PolicyName="manage", PolicyDocument=json.dumps(policy))
    assert api.get("/programs").status_code == 200


def test_the_doctor_finds_nothing_to_fix(deployed: Deployed) -> None:
    findings = list(examine(deployed.deployment(), now=time.time()))

    assert [finding.state for finding in findings if not finding.is_ok] == []
    assert f"import bucket {IMPORT_BUCKET}" in {finding.subject for finding in findings}


def test_an_update_replaces_what_answers(deployed: Deployed, api: httpx.Client) -> None:
    version = deployed.live_version("actions")
    assert "x-release" not in api.get("/users/user 1/actions").headers

    deployed.update(lambda template: deployed.release(template, "2"))

    assert int(deployed.live_version("actions")) > int(version)
    assert api.get("/users/user 1/actions").headers["x-release"] == "2"
    # The versions that were replaced are gone, and with them what they cost.
    versions = deployed.client("lambda").list_versions_by_function(FunctionName=f"{STACK}-actions")["Versions"]
    assert [entry["Version"] for entry in versions] == ["$LATEST", deployed.live_version("actions")]


def test_a_broken_update_is_rolled_back_and_the_doctor_says_why(deployed: Deployed, api: httpx.Client) -> None:
    """Given a resource that cannot be made, once the alias was moved, then the version before answers again."""

    def break_it(template: Document) -> None:
        deployed.release(template, "3")
        template["Resources"]["Impossible"] = {
            "Type": "AWS::Lambda::Function",
            "DependsOn": "ActionsFunctionAliaslive",
            "Properties": {
                **{"Handler": "app.handler", "Runtime": "python3.13", "Code": {"ZipFile": "handler = None"}},
                "Role": {"Fn::GetAtt": ["ActionsRole", "Arn"]},
                "Layers": [{"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:layer:none:1"}],
            },
        }

    with pytest.raises(WaiterError):
        deployed.update(break_it)

    deployment = deployed.deployment()
    assert deployment.stack is not None
    assert deployment.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert api.get("/users/user 1/actions").headers["x-release"] == "2"
    (failed,) = [finding for finding in examine(deployment, now=time.time()) if finding.subject == "stack"]
    assert f"{STACK} is UPDATE_ROLLBACK_COMPLETE: Impossible: " in failed.state
    assert failed.fix == "the version before is in use: remove the cause and deploy again"


def test_a_new_stack_takes_over_the_table_and_the_bucket_of_a_deleted_one(
    deployed: Deployed, api: httpx.Client
) -> None:
    before = api.get("/users/user 1/actions")
    deployment, cloudformation = deployed.deployment(), deployed.client("cloudformation")
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=QUICKLY)

    arguments = ["import-resources", "--stack", STACK, "--table", deployment.table_name, "--bucket"]
    assert main([*arguments, "of-nobody-at-all"]) == 1
    assert main([*arguments, deployment.bucket]) == 0
    deployed.deploy(*SWITCHED_ON)

    found = deployed.deployment()
    assert (found.table_name, found.bucket) == (deployment.table_name, deployment.bucket)
    # The same master secret, so the same keys.
    with httpx.Client(base_url=found.url, headers=api.headers, verify=deployed.emulator.tls, timeout=60) as client:
        after = client.get("/users/user 1/actions")
        # The doctor waits for ten seconds, and the first copy of a function takes longer where cores are busy.
        assert client.get("/openapi.json").status_code == 200
    assert after.headers["x-nextbest-model"] == before.headers["x-nextbest-model"]
    assert names_of(after) == names_of(before)


def test_what_is_switched_on_is_made_and_the_doctor_knows_its_price(deployed: Deployed) -> None:
    deployment = deployed.deployment()

    findings = list(examine(deployment, now=time.time()))

    assert [finding.state for finding in findings if not finding.is_ok] == []
    snapshots = {finding.subject for finding in findings if "1 snapshots, 6.83 USD a month" in finding.state}
    assert snapshots == {f"function {STACK}-{name}" for name in HOT_FUNCTIONS}
    assert deployment.stack is not None
    assert deployment.stack.physical_ids("AWS::CloudWatch::Dashboard") == (STACK,)
