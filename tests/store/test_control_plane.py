"""Operations of the control plane on a store: what is told again by Describe, what is refused, what lists are of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, cast

import pytest

from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation
from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import InvalidInput, NotFound
from nextbest.personalize.control.dispatch import MODEL, OPERATIONS
from nextbest.personalize.control.resources import ControlCall, ControlPlane
from nextbest.personalize.datasets.item_event_types import ITEM_EVENTS
from nextbest.personalize.protocol.arns import Arns
from nextbest.personalize.protocol.errors import Refused
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.store.base import DEPLOYMENT
from nextbest.store.bulk import BulkStore
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

NOW = 1_790_000_000.0
RULES = ImportRules("artifacts", program_folders_bucket="imports")
OPERATOR = AccessKey("NBKOPERATOR", "", (), (ADMIN,))
STRANGER = AccessKey("NBKSTRANGER", "", (Incarnation("tea"),), (ADMIN,))
RECIPE = "arn:aws:personalize:::recipe/aws-next-best-action"
AWS_USER = "arn:aws:personalize:::recipe/aws-user-personalization-v2"
KMS_KEY = "arn:aws:kms:us-east-1:000000000000:key/k"
ROLE = "arn:aws:iam::000000000000:role/Personalize"
SCHEMA = {
    "type": "record", "name": "Actions", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [{"name": "ACTION_ID", "type": "string"}, {"name": "TIER", "type": "string", "categorical": True}],
}  # fmt: skip


def arn(resource: str) -> str:
    return f"arn:aws:personalize:us-east-1:000000000000:{resource}"


GROUP = arn(f"dataset-group/{PROGRAM.program_id}")


class Control:
    """The control plane as one caller sees it, without HTTP."""

    def __init__(
        self,
        store: DynamoStore,
        key: AccessKey = OPERATOR,
        artifacts: MemoryArtifacts | None = None,
        start: Callable[..., None] = lambda *_: None,
    ) -> None:
        self.store = store
        self._key = key
        files = artifacts or MemoryArtifacts()
        self._deployment = ControlPlane(store, Arns(), start, start, start, Random(7), files, RULES)

    def __call__(self, operation: str, **members: Any) -> Mapping[str, Any]:
        checked = input_shape(MODEL, operation).check(members)
        return OPERATIONS[operation](ControlCall(self._deployment, self._key, checked, NOW)) or {}

    def finish(self, kind: str, name: str) -> None:
        """End what the rebase function would have done."""
        resource = self.store.resource(PROGRAM.incarnation, kind, name)
        assert resource is not None
        self.store.put_resource(PROGRAM.incarnation, kind, name, {**resource, "status": ACTIVE})


@pytest.fixture
def control(store: DynamoStore) -> Control:
    return Control(store)


def solution(control: Control, **members: Any) -> str:
    arguments = {"name": "s", "datasetGroupArn": GROUP, "recipeArn": RECIPE, **members}
    return str(control("CreateSolution", **arguments)["solutionArn"])


def trained_version(control: Control, solution_arn: str, **members: Any) -> str:
    version = str(control("CreateSolutionVersion", solutionArn=solution_arn, **members)["solutionVersionArn"])
    control.finish("solution-version", version.partition(":solution/")[2])
    return version


def test_a_solution_tells_all_that_was_set(control: Control) -> None:
    config = {
        "featureTransformationParameters": {"action_optimization_period": "14"},
        "autoTrainingConfig": {"schedulingExpression": "rate(7 days)"},
    }
    flags = {
        "performAutoTraining": False,
        "performIncrementalUpdate": False,
        "performHPO": False,
        "performAutoML": False,
    }
    created = solution(control, eventType="taken", solutionConfig=config, **flags)

    described = control("DescribeSolution", solutionArn=created)["solution"]
    assert described["solutionConfig"] == config
    assert {name: described[name] for name in (*flags, "eventType")} == {**flags, "eventType": "taken"}

    version = trained_version(control, created, name="first", trainingMode="FULL")
    told = control("DescribeSolutionVersion", solutionVersionArn=version)["solutionVersion"]
    assert (told["name"], told["trainingMode"], told["solutionConfig"]) == ("first", "FULL", config)

    update = {"autoTrainingConfig": {"schedulingExpression": "rate(2 days)"}}
    control("UpdateSolution", solutionArn=created, performAutoTraining=True, solutionUpdateConfig=update)
    described = control("DescribeSolution", solutionArn=created)["solution"]
    assert described["performAutoTraining"] is True
    assert described["solutionConfig"] == config | update
    assert described["latestSolutionUpdate"]["solutionUpdateConfig"] == update


def test_a_campaign_tells_all_that_was_set(control: Control) -> None:
    version = trained_version(control, solution(control))
    config = {
        "itemExplorationConfig": {"explorationWeight": "0.2"},
        "enableMetadataWithRecommendations": False,
        "syncWithLatestSolutionVersion": False,
    }
    created = control(
        "CreateCampaign", name="c", solutionVersionArn=version, minProvisionedTPS=3, campaignConfig=config
    )["campaignArn"]

    described = control("DescribeCampaign", campaignArn=created)["campaign"]
    assert (described["minProvisionedTPS"], described["campaignConfig"]) == (3, config)

    control("UpdateCampaign", campaignArn=created, minProvisionedTPS=4, campaignConfig={})
    described = control("DescribeCampaign", campaignArn=created)["campaign"]
    assert (described["minProvisionedTPS"], described["campaignConfig"]) == (4, {})
    with pytest.raises(InvalidInput, match="rankingInfluence is not supported"):
        control("UpdateCampaign", campaignArn=created, campaignConfig={"rankingInfluence": {"POPULARITY": 0.5}})
    metadata = {"enableMetadataWithRecommendations": True}
    with pytest.raises(InvalidInput, match=r"campaignConfig\.enableMetadataWithRecommendations is not supported"):
        control("UpdateCampaign", campaignArn=created, campaignConfig=metadata)
    with pytest.raises(InvalidInput, match=r"campaignConfig\.enableMetadataWithRecommendations is not supported"):
        control("CreateCampaign", name="d", solutionVersionArn=version, campaignConfig=metadata)


def test_a_dataset_group_and_an_import_tell_all_that_was_set(control: Control) -> None:
    group = control("CreateDatasetGroup", name="g", roleArn=ROLE)["datasetGroupArn"]
    described = control("DescribeDatasetGroup", datasetGroupArn=group)["datasetGroup"]
    assert described["roleArn"] == ROLE

    schema = control("CreateSchema", name="a", schema=json.dumps(SCHEMA))["schemaArn"]
    dataset = control("CreateDataset", name="a", schemaArn=schema, datasetGroupArn=group, datasetType="Actions")
    job = control(
        "CreateDatasetImportJob",
        jobName="j",
        dataSource={"dataLocation": "s3://imports/g/key"},
        roleArn=ROLE,
        **dataset,
    )
    described = control("DescribeDatasetImportJob", **job)["datasetImportJob"]
    assert (described["roleArn"], described["publishAttributionMetricsToS3"]) == (ROLE, False)
    with pytest.raises(InvalidInput, match="publishAttributionMetricsToS3 is not supported"):
        control(
            "CreateDatasetImportJob",
            jobName="k",
            dataSource={"dataLocation": "s3://imports/g/key"},
            publishAttributionMetricsToS3=True,
            **dataset,
        )


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ({"performHPO": True}, "performHPO is not supported by the recipe"),
        ({"performAutoML": True}, "performAutoML is not supported by the recipe"),
        ({"performIncrementalUpdate": True}, "performIncrementalUpdate is not supported by the recipe"),
        ({"eventType": "click"}, "'eventType' is 'click'; it must be one of Taken, Not Taken, Viewed"),
        ({"eventType": "Viewed"}, "The eventType is 'Viewed'; a solution predicts which actions are Taken"),
        ({"recipeArn": AWS_USER}, "The recipe aws-user-personalization-v2 is not supported: this service recommends"),
        *(
            (
                {"solutionConfig": {"autoTrainingConfig": {"schedulingExpression": f"rate({days} days)"}}},
                r"schedulingExpression is 'rate\(\d+ days\)'; it must be from rate\(1 day\) to rate\(30 days\)",
            )
            for days in (0, 31)
        ),
        ({"solutionConfig": {"hpoConfig": {}}}, "solutionConfig.hpoConfig is not supported by the recipe"),
        ({"solutionConfig": {"autoMLConfig": {}}}, "solutionConfig.autoMLConfig is not supported by the recipe"),
        ({"solutionConfig": {"algorithmHyperParameters": {"a": "1"}}}, "Provide a hyperparameter that is used"),
    ],
)
def test_a_solution_for_other_recipes_is_refused_whole(control: Control, members: dict[str, Any], refused: str) -> None:
    with pytest.raises(InvalidInput, match=refused):
        solution(control, **members)

    with pytest.raises(NotFound):
        control("DescribeSolution", solutionArn=arn("solution/s"))


@pytest.mark.parametrize(
    ("operation", "members", "refused"),
    [
        ("CreateDatasetGroup", {"name": "g", "domain": "ECOMMERCE"}, "The domain ECOMMERCE is not supported"),
        ("CreateDatasetGroup", {"name": "g", "domain": "VIDEO_ON_DEMAND"}, "The domain VIDEO_ON_DEMAND is not supp"),
        ("CreateDatasetGroup", {"name": "g", "kmsKeyArn": KMS_KEY}, "kmsKeyArn is not supported: the operator"),
        ("CreateSchema", {"name": "a", "schema": json.dumps(SCHEMA), "domain": "ECOMMERCE"}, "The domain ECOMMERCE is"),
        ("UpdateSolution", {"solutionArn": arn("solution/s"), "performIncrementalUpdate": True}, "is not supported by"),
        (
            "UpdateSolution",
            {
                "solutionArn": arn("solution/s"),
                "solutionUpdateConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(90 days)"}},
            },
            r"solutionUpdateConfig\.autoTrainingConfig\.schedulingExpression is 'rate\(90 days\)'",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused_at_once(
    control: Control, operation: str, members: dict[str, Any], refused: str
) -> None:
    solution(control)

    with pytest.raises(InvalidInput, match=refused):
        control(operation, **members)

    assert [row["name"] for row in control("ListDatasetGroups")["datasetGroups"]] == [PROGRAM.program_id]
    assert not any(row["name"] == "a" for row in control("ListSchemas")["schemas"])
    described = control("DescribeSolution", solutionArn=arn("solution/s"))["solution"]
    assert "latestSolutionUpdate" not in described


NARROWED = {
    "ListBatchInferenceJobs": ("batchInferenceJobs", "solutionVersionArn", "solution/none/0a1b2c3d"),
    "ListBatchSegmentJobs": ("batchSegmentJobs", "solutionVersionArn", "solution/none/0a1b2c3d"),
    "ListCampaigns": ("campaigns", "solutionArn", "solution/none"),
    "ListDataDeletionJobs": ("dataDeletionJobs", "datasetGroupArn", "dataset-group/none"),
    "ListDatasetExportJobs": ("datasetExportJobs", "datasetArn", "dataset/none/ACTIONS"),
    "ListDatasetImportJobs": ("datasetImportJobs", "datasetArn", "dataset/none/ACTIONS"),
    "ListDatasets": ("datasets", "datasetGroupArn", "dataset-group/none"),
    "ListEventTrackers": ("eventTrackers", "datasetGroupArn", "dataset-group/none"),
    "ListFilters": ("Filters", "datasetGroupArn", "dataset-group/none"),
    "ListMetricAttributionMetrics": ("metrics", "metricAttributionArn", "metric-attribution/none"),
    "ListMetricAttributions": ("metricAttributions", "datasetGroupArn", "dataset-group/none"),
    "ListRecommenders": ("recommenders", "datasetGroupArn", "dataset-group/none"),
    "ListSolutions": ("solutions", "datasetGroupArn", "dataset-group/none"),
}


OF_A_PROGRAM = {"ListCampaigns": 1, "ListDatasets": 5, "ListEventTrackers": 1, "ListSolutions": 1}
"""How many resources a program has that nobody created."""


@pytest.mark.parametrize("operation", NARROWED)
def test_a_list_of_what_does_not_exist_is_refused(control: Control, operation: str) -> None:
    key, member, resource = NARROWED[operation]

    assert len(control(operation)[key]) == OF_A_PROGRAM.get(operation, 0)
    with pytest.raises(InvalidInput, match=r"^Resource Arn \S+ does not exist\.$") as refused:
        control(operation, **{member: arn(resource)})
    assert refused.value.field == member
    with pytest.raises(InvalidInput, match=f"The {member} must be the ARN of a [a-z-]+, not of a recipe"):
        control(operation, **{member: RECIPE})
    with pytest.raises(Refused, match="The token is not valid for this list"):
        control(operation, nextToken="none")


def test_the_one_list_that_models_it_raises_not_found(control: Control) -> None:
    with pytest.raises(NotFound):
        control("ListSolutionVersions", solutionArn=arn("solution/none"))


@pytest.mark.parametrize("operation", [name for name, row in NARROWED.items() if row[1] == "datasetGroupArn"])
def test_a_list_of_what_exists_is_given_to_those_alone_who_may_see_it(control: Control, operation: str) -> None:
    resources = control(operation, datasetGroupArn=GROUP)[NARROWED[operation][0]]
    assert len(resources) == OF_A_PROGRAM.get(operation, 0)
    with pytest.raises(InvalidInput, match="does not exist"):
        Control(control.store, STRANGER)(operation, datasetGroupArn=GROUP)


def token(content: str) -> str:
    return base64.urlsafe_b64encode(content.encode()).decode()


HOSTILE_TOKENS = {
    "nested brackets": token("[" * 100_000),
    "nested objects": token('{"a":' * 100_000),
    "digits": token("9" * 10_000),
    "not a number": token('["recipes", "", NaN, Infinity]'),
    "an object": token('{"recipes": 1, "": 2, "a": 3, "b": 4}'),
    "text": token('"abcd"'),
    "no list of names": token('["recipes", "", 1, 2]'),
    "no text": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    "surrogate": token('["recipes", "", "\\ud800"]'),
    "beyond the alphabet": "é" * 8,
    "of three": token('["recipes", "", ""]'),
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE_TOKENS)
def test_a_token_that_means_harm_is_refused_as_any_other(name: str) -> None:
    # A list that reads nothing, so that there is no store
    deployment = ControlPlane(
        cast(BulkStore, None),
        Arns(),
        lambda *_: None,
        lambda *_: None,
        lambda *_: None,
        Random(7),
        MemoryArtifacts(),
        RULES,
    )
    call = ControlCall(deployment, OPERATOR, {"nextToken": HOSTILE_TOKENS[name]}, NOW)

    with pytest.raises(Refused, match="The token is not valid for this list"):
        OPERATIONS["ListRecipes"](call)


@pytest.mark.parametrize("operation", ["ListTagsForResource", "TagResource", "UntagResource"])
def test_tags_of_what_has_none_are_not_found(control: Control, operation: str) -> None:
    members: dict[str, Any] = {"tags": [{"tagKey": "a", "tagValue": "b"}], "tagKeys": ["a"]}
    name = PROGRAM.program_id
    control.store.put_resource(PROGRAM.incarnation, *ITEM_EVENTS, {"event_types": ["click"]})
    control.store.create_resource(DEPLOYMENT, "tracking-id", name, {"program_id": name})
    for resource in (
        *(f"{kind}/{name}" for kind in ("tracking-id", "joined-session", "campaign", "recommender", "recipe")),
        *("item-event-types/all", f"dataset/{name}", f"dataset/{name}/", "dataset//ACTIONS", f"dataset/{name}/NONE"),
        *("solution/s/$LATEST", "solution//", "campaign//", "campaign/#R", "campaign/%23", "campaign/" + "😀" * 180),
        *("dataset/" + "😀" * 180, "dataset-group/" + "#" * 180, "solution-version/a/b", "filter/..", f"key/{name}"),
    ):
        with pytest.raises(NotFound, match="does not exist"):
            control(operation, resourceArn=arn(resource), **members)
    for no_arn in (
        "arn:aws:personalize:::campaign/",
        "arn:aws:personalize:us-east-1:0:campaign",
        "arn:aws:personalize:::a b/c",
    ):
        with pytest.raises(InvalidInput):
            control(operation, resourceArn=no_arn, **members)
    with pytest.raises(InvalidInput, match="Schemas cannot be tagged"):
        control(operation, resourceArn=arn("schema/s"), **members)
