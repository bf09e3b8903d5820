"""The script of docs/contracts/personalize.md, section 8.4, against the running stack.

It is as written for AWS, but for ``endpoint_url`` and where its files are.

The data: everybody who took "welcome" took "join-club" a day later; "get-app" is rare; "new-offer" is new.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.personalize_clients import SCHEMAS, Personalize, arn, error_of
from tests.contract.stacks import RunningStack
from tools.local.key import IMPORT_BUCKET

DAY = 86_400
NOW = int(time.time())
RECIPE = "arn:aws:personalize:::recipe/aws-next-best-action"
SECONDS_TO_WAIT = 120.0


@pytest.fixture(scope="module")
def clients(stack: RunningStack) -> Iterator[Personalize]:
    made = Personalize.at(stack.url, stack.key)
    yield made
    made.close()


def put_files(stack: RunningStack, program_id: str) -> None:
    """The script's CSV files, where its program may import from."""
    for key, text in csv_files().items():
        stack.s3.put_object(Bucket=IMPORT_BUCKET, Key=f"{program_id}/{key}", Body=text.encode())


def csv_files() -> dict[str, str]:
    chance = random.Random(7)
    clicks = [f"u{chance.randrange(60)},item-{chance.randrange(9)},click,{NOW - 90 * DAY + n}" for n in range(1000)]
    taken = []
    for user in range(60):
        start = NOW - (10 + user % 50) * DAY
        taken += [f"u{user},welcome,Taken,{start}", f"u{user},join-club,TAKEN,{start + DAY}"]
        taken += [f"u{user},survey,Not taken,{start + DAY}"] if user % 3 else []
        taken += [f"u{user},get-app,Taken,{start + 2 * DAY}"] if user % 10 == 0 else []
    users = [f"u{user},{'Gold' if user % 2 else 'Silver'},{20 + user % 40}" for user in range(60)]
    expired = NOW - DAY
    actions = [
        f"welcome,1,Basic,{NOW - 200 * DAY},,",
        f"join-club,5,Basic|Premium,{NOW - 200 * DAY},,",
        f"get-app,10,Premium,{NOW - 200 * DAY},,",
        f"old-offer,10,Basic,{NOW - 300 * DAY},{expired},",
        f'new-offer,3,"Basic",{NOW - DAY},,20',
    ]
    header = "ACTION_ID,VALUE,TIER,CREATION_TIMESTAMP,ACTION_EXPIRATION_TIMESTAMP,REPEAT_FREQUENCY"
    return {
        "clicks.csv": "\n".join(["USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP", *clicks]),
        "items/a.csv": "\n".join(["ITEM_ID,GENRE,CREATION_TIMESTAMP", *(f"item-{n},Tea,{NOW}" for n in range(5))]),
        "items/b.csv": "\n".join(["ITEM_ID,GENRE,CREATION_TIMESTAMP", *(f"item-{n},Tea,{NOW}" for n in range(5, 9))]),
        "users.csv": "\n".join(["USER_ID,MEMBERSHIP,AGE", *users]),
        "actions.csv": "\n".join([header, *actions]),
        "taken.csv": "\n".join(["USER_ID,ACTION_ID,EVENT_TYPE,TIMESTAMP", *taken]),
    }


FILES = {
    "Interactions": "clicks.csv",
    "Items": "items/",
    "Users": "users.csv",
    "Actions": "actions.csv",
    "Action_Interactions": "taken.csv",
}


def wait_for(describe: Callable[..., dict[str, Any]], key: str, **arguments: str) -> dict[str, Any]:
    """Poll as scripts do, by equality with ACTIVE and CREATE FAILED; the statuses seen are told on failure."""
    seen = []
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while time.monotonic() < deadline:
        described: dict[str, Any] = describe(**arguments)[key]
        seen.append(described["status"])
        if described["status"] == "ACTIVE":
            return described
        assert described["status"] in ("CREATE PENDING", "CREATE IN_PROGRESS"), described
        time.sleep(0.3)
    raise AssertionError(f"not ACTIVE in {SECONDS_TO_WAIT:.0f} s: {seen[-3:]}")


def create_schemas(control: Any, prefix: str) -> dict[str, str]:
    arns = {}
    for dataset_type, schema in SCHEMAS.items():
        name = f"{prefix}-{dataset_type}"
        try:
            arns[dataset_type] = control.create_schema(name=name, schema=json.dumps(schema))["schemaArn"]
        except control.exceptions.ResourceAlreadyExistsException:
            pages = control.get_paginator("list_schemas").paginate(PaginationConfig={"PageSize": 50})
            found = [row for page in pages for row in page["schemas"] if row["name"] == name]
            arns[dataset_type] = found[0]["schemaArn"]
    return arns


def run_script(clients: Personalize, prefix: str, attempt: int) -> str:
    """Steps 1 to 13; the second attempt finds everything there already. The name of the campaign."""
    control = clients.control
    assert RECIPE in [row["recipeArn"] for row in control.list_recipes()["recipes"]]
    schemas = create_schemas(control, prefix)
    try:
        group = control.create_dataset_group(name=prefix)["datasetGroupArn"]
    except control.exceptions.ResourceAlreadyExistsException as error:
        assert attempt == 2
        assert error.response["message"]
        group = arn("dataset-group", prefix)
    wait_for(control.describe_dataset_group, "datasetGroup", datasetGroupArn=group)
    datasets = {}
    for dataset_type, schema in schemas.items():
        try:
            datasets[dataset_type] = control.create_dataset(
                name=f"{prefix}-{dataset_type}", schemaArn=schema, datasetGroupArn=group, datasetType=dataset_type
            )["datasetArn"]
        except control.exceptions.ResourceAlreadyExistsException:
            datasets[dataset_type] = f"{group.replace('dataset-group', 'dataset')}/{dataset_type.upper()}"
        described = wait_for(control.describe_dataset, "dataset", datasetArn=datasets[dataset_type])
        assert described["datasetType"] == dataset_type.upper()
    for dataset_type, dataset in datasets.items():
        job = control.create_dataset_import_job(
            jobName=f"{prefix}-{dataset_type}-{attempt}",
            datasetArn=dataset,
            dataSource={"dataLocation": f"s3://{IMPORT_BUCKET}/{prefix}/{FILES[dataset_type]}"},
            roleArn="arn:aws:iam::000000000000:role/PersonalizeRole",
        )["datasetImportJobArn"]
        wait_for(control.describe_dataset_import_job, "datasetImportJob", datasetImportJobArn=job)
    try:
        solution = control.create_solution(
            name=prefix,
            datasetGroupArn=group,
            recipeArn=RECIPE,
            solutionConfig={"featureTransformationParameters": {"action_optimization_period": "14"}},
        )["solutionArn"]
    except control.exceptions.ResourceAlreadyExistsException:
        solution = arn("solution", prefix)
    wait_for(control.describe_solution, "solution", solutionArn=solution)
    version = control.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    trained = wait_for(control.describe_solution_version, "solutionVersion", solutionVersionArn=version)
    assert trained["trainingHours"] >= 0
    metrics = control.get_solution_metrics(solutionVersionArn=version)["metrics"]
    assert 0 <= metrics["normalized_discounted_cumulative_gain_at_10"] <= 1
    try:
        campaign = control.create_campaign(name=prefix, solutionVersionArn=version, minProvisionedTPS=1)["campaignArn"]
    except control.exceptions.ResourceAlreadyExistsException:
        campaign = arn("campaign", prefix)
    wait_for(control.describe_campaign, "campaign", campaignArn=campaign)
    expression = "INCLUDE ActionID WHERE Actions.TIER IN ($TIER)"
    try:
        filter_arn = control.create_filter(name=prefix, datasetGroupArn=group, filterExpression=expression)["filterArn"]
    except control.exceptions.ResourceAlreadyExistsException:
        filter_arn = arn("filter", prefix)
    wait_for(control.describe_filter, "filter", filterArn=filter_arn)
    return prefix


def explore(control: Any, campaign: str, *, weight: str) -> None:
    config = {"itemExplorationConfig": {"explorationWeight": weight}}
    control.update_campaign(campaignArn=arn("campaign", campaign), campaignConfig=config)
    wait_for(control.describe_campaign, "campaign", campaignArn=arn("campaign", campaign))


def clean_up(control: Any, prefix: str) -> None:
    """Step 14, in the documented order, every deletion seen to be done."""
    group = arn("dataset-group", prefix)

    def all_of(operation: str, key: str, **arguments: str) -> list[dict[str, Any]]:
        pages = control.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 1})
        return [row for page in pages for row in page[key]]

    def gone(describe: Callable[..., object], **arguments: str) -> bool:
        try:
            describe(**arguments)
        except control.exceptions.ResourceNotFoundException as error:
            return error_of(error)[0] == "ResourceNotFoundException"
        return False

    for solution in all_of("list_solutions", "solutions", datasetGroupArn=group):
        for campaign in all_of("list_campaigns", "campaigns", solutionArn=solution["solutionArn"]):
            control.delete_campaign(campaignArn=campaign["campaignArn"])
            assert gone(control.describe_campaign, campaignArn=campaign["campaignArn"])
        control.delete_solution(solutionArn=solution["solutionArn"])
        assert gone(control.describe_solution, solutionArn=solution["solutionArn"])
    for tracker in all_of("list_event_trackers", "eventTrackers", datasetGroupArn=group):
        control.delete_event_tracker(eventTrackerArn=tracker["eventTrackerArn"])
        assert gone(control.describe_event_tracker, eventTrackerArn=tracker["eventTrackerArn"])
    for entry in all_of("list_filters", "Filters", datasetGroupArn=group):
        control.delete_filter(filterArn=entry["filterArn"])
        assert gone(control.describe_filter, filterArn=entry["filterArn"])
    datasets = all_of("list_datasets", "datasets", datasetGroupArn=group)
    assert len(datasets) == 5
    for dataset in datasets:
        schema = control.describe_dataset(datasetArn=dataset["datasetArn"])["dataset"]["schemaArn"]
        with pytest.raises(control.exceptions.ResourceInUseException):
            control.delete_schema(schemaArn=schema)
        control.delete_dataset(datasetArn=dataset["datasetArn"])
        assert gone(control.describe_dataset, datasetArn=dataset["datasetArn"])
        control.delete_schema(schemaArn=schema)
        assert gone(control.describe_schema, schemaArn=schema)
    control.delete_dataset_group(datasetGroupArn=group)
    assert gone(control.describe_dataset_group, datasetGroupArn=group)


def test_a_script_written_for_personalize_runs_twice_and_cleans_up(clients: Personalize, stack: RunningStack) -> None:
    prefix = f"nba-{uuid.uuid4().hex[:8]}"
    put_files(stack, prefix)
    campaign = run_script(clients, prefix, attempt=1)
    assert run_script(clients, prefix, attempt=2) == campaign
    control, group = clients.control, arn("dataset-group", prefix)

    # Step 11 to 13: events by the dataset's own tracker, then recommendations.
    dataset = control.describe_dataset(datasetArn=arn("dataset", f"{prefix}/ACTION_INTERACTIONS"))["dataset"]
    tracking_id = dataset["trackingId"]
    clients.take(tracking_id, "newcomer", "welcome", at=NOW - 60)
    recommended = clients.recommend(campaign, "newcomer", numResults=10)
    scored = [action for action, score in recommended.items() if score > 0]
    assert "join-club" in scored
    assert scored.index("join-club") < scored.index("get-app")
    assert set(recommended) == {"welcome", "join-club", "get-app", "new-offer"}  # no items, nothing expired
    assert recommended["new-offer"] == 0.0
    explore(control, campaign, weight="0")
    assert set(clients.recommend(campaign, "newcomer", numResults=10)) == {"welcome", "join-club", "get-app"}
    explore(control, campaign, weight="1")
    assert "new-offer" in clients.recommend(campaign, "newcomer", numResults=10)
    premium = clients.recommend(
        campaign, "newcomer", filterArn=arn("filter", prefix), filterValues={"TIER": '"Premium"'}
    )
    assert set(premium) == {"join-club", "get-app"}
    clients.take(tracking_id, "newcomer", "new-offer", at=NOW - 30)
    assert "new-offer" not in clients.recommend(campaign, "newcomer", numResults=10)  # REPEAT_FREQUENCY

    tracker = control.create_event_tracker(name=prefix, datasetGroupArn=group)
    clients.events.put_events(
        trackingId=tracker["trackingId"],
        userId="newcomer",
        sessionId="s",
        eventList=[{"eventType": "click", "itemId": "item-1", "sentAt": NOW}],
    )

    # The order of the clean-up is kept up.
    with pytest.raises(control.exceptions.ResourceInUseException) as refused:
        control.delete_dataset(datasetArn=arn("dataset", f"{prefix}/ACTIONS"))
    assert error_of(refused.value) == ("ResourceInUseException", 400)
    with pytest.raises(control.exceptions.ResourceInUseException):
        control.delete_dataset_group(datasetGroupArn=group)
    with pytest.raises(control.exceptions.ResourceInUseException):
        control.delete_solution(solutionArn=arn("solution", prefix))
    clean_up(control, prefix)
    with pytest.raises(clients.runtime.exceptions.ResourceNotFoundException):
        clients.recommend(campaign, "newcomer")
