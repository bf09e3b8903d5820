"""A program that was created through ActionHub: described and listed like a dataset group, with dates that are true."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.assets import Asset, FieldValue
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import InUse, InvalidInput, NotFound
from nextbest.logic.programs import create_program
from nextbest.personalize.control.dispatch import MODEL, OPERATIONS
from nextbest.personalize.control.resources import ControlCall, ControlPlane
from nextbest.personalize.datasets.schema import DATASET_TYPES, parse_schema
from nextbest.personalize.protocol.arns import Arns
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.store.base import ModelPointer
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import create_table, dynamodb
from tests.store.test_control_plane import SCHEMA, arn

CREATED = 1_780_000_000.5
TRAINED = 1_780_500_000.0
NOW = 1_790_000_000.0
SHOP = "shop"
GROUP = arn(f"dataset-group/{SHOP}")
DATES = {"creationDateTime": CREATED, "lastUpdatedDateTime": CREATED}
AFTER_TRAINING = {"creationDateTime": CREATED, "lastUpdatedDateTime": TRAINED}


class Control:
    """The control plane as the holder of the program's key sees it."""

    def __init__(self, store: DynamoStore, incarnation: Incarnation) -> None:
        self.store = store
        self.incarnation = incarnation
        self._keys = {
            "own": AccessKey("NBKOWN", "", (incarnation,), (ADMIN,)),
            "operator": AccessKey("NBKOPERATOR", "", (), (ADMIN,)),
            "stranger": AccessKey("NBKSTRANGER", "", (Incarnation("tea"),), (ADMIN,)),
        }

    def __call__(self, operation: str, caller: str = "own", **members: Any) -> Mapping[str, Any]:
        plane = ControlPlane(
            self.store,
            Arns(),
            lambda *_: None,
            lambda *_: None,
            lambda *_: None,
            Random(3),
            MemoryArtifacts(),
            ImportRules("a", "imports"),
        )
        checked = input_shape(MODEL, operation).check(members)
        return OPERATIONS[operation](ControlCall(plane, self._keys[caller], checked, NOW)) or {}

    def train(self) -> None:
        self.store.point_to_model(self.incarnation, ModelPointer(f"{round(TRAINED * 1000):013d}-0a1b2c", "key"))


@pytest.fixture
def control(start_engine: Callable[[str], str]) -> Control:
    """A program as POST /programs makes it; which engine it is on makes no difference here."""
    store = DynamoStore(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))
    create_program(store, Program(SHOP), master_secret="m" * 32, random=Random(1), now=CREATED)
    state = store.program_state(SHOP)
    assert state is not None
    return Control(store, state.program.incarnation)


@pytest.mark.parametrize("caller", ["own", "operator"])
def test_everything_is_listed_and_described(control: Control, caller: str) -> None:
    control.train()
    listed = {
        kind: control(f"List{kind}", caller, datasetGroupArn=GROUP)
        for kind in ("Datasets", "EventTrackers", "Solutions")
    }  # fmt: skip
    (group,) = control("ListDatasetGroups", caller)["datasetGroups"]
    described = control("DescribeDatasetGroup", caller, datasetGroupArn=GROUP)["datasetGroup"]
    assert group == described == {"name": SHOP, "datasetGroupArn": GROUP, "status": "ACTIVE", **AFTER_TRAINING}

    (campaign,) = control("ListCampaigns", caller)["campaigns"]
    assert campaign == {
        "name": SHOP, "campaignArn": arn(f"campaign/{SHOP}"), "status": "ACTIVE", **AFTER_TRAINING,
    }  # fmt: skip
    described = control("DescribeCampaign", caller, campaignArn=campaign["campaignArn"])["campaign"]
    assert described == campaign | {
        "solutionVersionArn": arn(f"solution/{SHOP}/$LATEST"),
        "minProvisionedTPS": 1,
        "campaignConfig": {"syncWithLatestSolutionVersion": True},
    }
    (solution,) = listed["Solutions"]["solutions"]
    described = control("DescribeSolution", caller, solutionArn=solution["solutionArn"])["solution"]
    assert described["datasetGroupArn"] == GROUP
    assert described.items() >= solution.items()
    assert control("ListCampaigns", caller, solutionArn=solution["solutionArn"])["campaigns"] == [campaign]
    assert control("ListSolutionVersions", caller, solutionArn=solution["solutionArn"])["solutionVersions"] == []

    (tracker,) = listed["EventTrackers"]["eventTrackers"]
    described = control("DescribeEventTracker", caller, eventTrackerArn=tracker["eventTrackerArn"])["eventTracker"]
    assert (described["trackingId"], described["datasetGroupArn"]) == (SHOP, GROUP)

    datasets = listed["Datasets"]["datasets"]
    assert {row["datasetType"] for row in datasets} == set(DATASET_TYPES)
    schemas = {row["schemaArn"] for row in control("ListSchemas", caller)["schemas"]}
    for row in datasets:
        assert row["datasetArn"] == arn(f"dataset/{SHOP}/{row['datasetType']}")
        dataset = control("DescribeDataset", caller, datasetArn=row["datasetArn"])["dataset"]
        assert dataset["datasetGroupArn"] == GROUP
        assert dataset.get("trackingId") == (SHOP if row["datasetType"] == "ACTION_INTERACTIONS" else None)
        schema = control("DescribeSchema", caller, schemaArn=dataset["schemaArn"])["schema"]
        assert dataset["schemaArn"] in schemas
        assert json.loads(schema["schema"])["name"].upper() == row["datasetType"].replace("_", "")


def test_before_the_first_training_the_dates_are_those_of_the_creation(control: Control) -> None:
    described = control("DescribeDatasetGroup", datasetGroupArn=GROUP)["datasetGroup"]

    assert described.items() >= DATES.items()


def test_the_schema_of_the_actions_has_the_fields_that_occur(control: Control) -> None:
    fields: dict[str, FieldValue] = {
        "VALUE": 5,
        "TIER": "Gold",
        "WEIGHT": 1.5,
        "CREATION_TIMESTAMP": 1,
        "NOTHING": None,
        "_BULK": 1,
    }
    item = Asset("sku-1", fields={"ITEM_ID": "sku-1", "GENRE": "Tea"})
    control.store.put_assets(control.incarnation, [Asset("join-club", fields=fields), item])

    text = control("DescribeSchema", schemaArn=arn(f"schema/{SHOP}/ACTIONS"))["schema"]["schema"]

    types = {field["name"]: field["type"] for field in json.loads(text)["fields"]}
    assert types == {
        "ACTION_ID": "string",
        "CREATION_TIMESTAMP": ["null", "long"],
        "TIER": ["null", "string"],
        "VALUE": ["null", "long"],
        "WEIGHT": ["null", "double"],
    }


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("DeleteCampaign", {"campaignArn": arn(f"campaign/{SHOP}")}),
        ("DeleteEventTracker", {"eventTrackerArn": arn(f"event-tracker/{SHOP}")}),
        ("DeleteSolution", {"solutionArn": arn(f"solution/{SHOP}")}),
        ("UpdateSolution", {"solutionArn": arn(f"solution/{SHOP}"), "performAutoTraining": False}),
        *(("DeleteDataset", {"datasetArn": arn(f"dataset/{SHOP}/{kind}")}) for kind in DATASET_TYPES),
        ("UpdateDataset", {"datasetArn": arn(f"dataset/{SHOP}/USERS"), "schemaArn": arn("schema/none")}),
        ("UpdateCampaign", {"campaignArn": arn(f"campaign/{SHOP}"), "minProvisionedTPS": 2}),
    ],
)
def test_what_comes_with_a_program_goes_with_it_and_no_sooner(
    control: Control, operation: str, members: dict[str, Any]
) -> None:
    with pytest.raises(InUse, match=r"comes with the dataset group .*: it cannot be changed, and is deleted with it"):
        control(operation, **members)


def test_an_import_needs_a_schema_of_somebody_s(control: Control) -> None:
    location = {"dataLocation": f"s3://imports/{SHOP}/users.csv"}
    dataset = arn(f"dataset/{SHOP}/USERS")

    assert control("ListDatasetImportJobs", datasetArn=dataset)["datasetImportJobs"] == []
    with pytest.raises(InvalidInput, match="has no schema to import by: create the dataset first"):
        control("CreateDatasetImportJob", jobName="j", datasetArn=dataset, dataSource=location)


def test_what_is_created_takes_the_place_of_what_came_with_the_program(control: Control) -> None:
    schema = control("CreateSchema", name="actions", schema=json.dumps(SCHEMA))["schemaArn"]
    control("CreateDataset", name="mine", schemaArn=schema, datasetGroupArn=GROUP, datasetType="Actions")
    control("CreateEventTracker", name="mine", datasetGroupArn=GROUP)

    names = {row["datasetType"]: row["name"] for row in control("ListDatasets", datasetGroupArn=GROUP)["datasets"]}
    assert names == {**dict.fromkeys(DATASET_TYPES, SHOP), "ACTIONS": "mine"}
    with pytest.raises(NotFound):
        control("DescribeSchema", schemaArn=arn(f"schema/{SHOP}/ACTIONS"))
    assert [row["name"] for row in control("ListEventTrackers", datasetGroupArn=GROUP)["eventTrackers"]] == ["mine"]


def test_a_stranger_finds_nothing_and_a_dataset_group_comes_with_nothing(control: Control) -> None:
    control("CreateDatasetGroup", "operator", name="made")
    for operation, members in {
        "DescribeCampaign": {"campaignArn": arn("campaign/{}")},
        "DescribeSolution": {"solutionArn": arn("solution/{}")},
        "DescribeEventTracker": {"eventTrackerArn": arn("event-tracker/{}")},
        "DescribeDataset": {"datasetArn": arn("dataset/{}/ACTIONS")},
        "DescribeSchema": {"schemaArn": arn("schema/{}/ACTIONS")},
    }.items():
        for caller, program_id in (("stranger", SHOP), ("operator", "made"), ("operator", "none")):
            with pytest.raises(NotFound):
                control(operation, caller, **{key: value.format(program_id) for key, value in members.items()})
    assert control("ListSchemas", "stranger")["schemas"] == control("ListCampaigns", "stranger")["campaigns"] == []


def test_the_described_schemas_are_ones_that_can_be_created(control: Control) -> None:
    control.store.put_assets(control.incarnation, [Asset("join-club", fields={"VALUE": 5, "TIER": "Gold"})])

    for dataset_type in ("ACTIONS", "INTERACTIONS", "ACTION_INTERACTIONS"):
        text = control("DescribeSchema", schemaArn=arn(f"schema/{SHOP}/{dataset_type}"))["schema"]["schema"]
        assert parse_schema(text)[0] == dataset_type
