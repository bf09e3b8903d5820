"""Every member that the model has for an operation of the control plane is honoured, or refused; none is dropped.

``tests/store/test_control_plane.py`` proves what stands in DESCRIBED and REFUSED.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from nextbest.aws.clients import service_model
from nextbest.errors import InvalidInput
from nextbest.personalize.control import unsupported
from nextbest.personalize.control.dispatch import MODEL, OPERATIONS
from nextbest.personalize.control.solutions import refuse_other_recipes
from nextbest.personalize.protocol.model_shapes import PATTERNS, input_shape
from nextbest.personalize.protocol.shapes import Listing, Members, Shape, StringMap, Text

# Members that change what the service does or answers.
ACTING = {
    "CreateCampaign": "name solutionVersionArn campaignConfig.itemExplorationConfig "
    "campaignConfig.syncWithLatestSolutionVersion tags.tagKey tags.tagValue",
    "CreateDataset": "name schemaArn datasetGroupArn datasetType tags.tagKey tags.tagValue",
    "CreateDatasetGroup": "name tags.tagKey tags.tagValue",
    "CreateDatasetImportJob": "jobName datasetArn dataSource.dataLocation importMode tags.tagKey tags.tagValue",
    "CreateEventTracker": "name datasetGroupArn tags.tagKey tags.tagValue",
    "CreateFilter": "name datasetGroupArn filterExpression tags.tagKey tags.tagValue",
    "CreateSchema": "name schema",
    "CreateSolution": "name recipeArn datasetGroupArn performAutoTraining "
    "solutionConfig.featureTransformationParameters solutionConfig.autoTrainingConfig tags.tagKey tags.tagValue",
    "CreateSolutionVersion": "solutionArn trainingMode tags.tagKey tags.tagValue",
    "GetSolutionMetrics": "solutionVersionArn",
    "StopSolutionVersionCreation": "solutionVersionArn",
    "UpdateCampaign": "campaignArn solutionVersionArn campaignConfig.itemExplorationConfig "
    "campaignConfig.syncWithLatestSolutionVersion",
    "UpdateDataset": "datasetArn schemaArn",
    "UpdateSolution": "solutionArn performAutoTraining solutionUpdateConfig.autoTrainingConfig",
    "ListRecipes": "recipeProvider domain nextToken maxResults",
    "ListSchemas": "nextToken maxResults",
    "ListDatasetGroups": "nextToken maxResults",
    "ListTagsForResource": "resourceArn",
    "TagResource": "resourceArn tags.tagKey tags.tagValue",
    "UntagResource": "resourceArn tagKeys",
    **{
        f"List{noun}": f"{member} nextToken maxResults"
        for noun, member in {
            "BatchInferenceJobs": "solutionVersionArn",
            "BatchSegmentJobs": "solutionVersionArn",
            "Campaigns": "solutionArn",
            "DataDeletionJobs": "datasetGroupArn",
            "DatasetExportJobs": "datasetArn",
            "DatasetImportJobs": "datasetArn",
            "Datasets": "datasetGroupArn",
            "EventTrackers": "datasetGroupArn",
            "Filters": "datasetGroupArn",
            "MetricAttributionMetrics": "metricAttributionArn",
            "MetricAttributions": "datasetGroupArn",
            "Recommenders": "datasetGroupArn",
            "SolutionVersions": "solutionArn",
            "Solutions": "datasetGroupArn",
        }.items()
    },
    **{
        f"{verb}{noun}": f"{noun[0].lower()}{noun[1:]}Arn"
        for verb, nouns in {
            "Delete": "Campaign Dataset DatasetGroup EventTracker Filter Schema Solution",
            "Describe": "Algorithm Campaign Dataset DatasetGroup DatasetImportJob EventTracker FeatureTransformation "
            "Filter Recipe Schema Solution SolutionVersion",
        }.items()
        for noun in nouns.split()
    },
}
# Members that say what AWS should do on its side: stored, and described again.
DESCRIBED = {
    "CreateCampaign": "minProvisionedTPS",
    "UpdateCampaign": "minProvisionedTPS",
    "CreateDatasetGroup": "roleArn",
    "CreateDatasetImportJob": "roleArn",
    "CreateSolutionVersion": "name",
}
# Members that are refused where they would ask for something: with the value that is AWS's default they are taken.
REFUSED = {
    "CreateCampaign": "campaignConfig.rankingInfluence campaignConfig.enableMetadataWithRecommendations",
    "UpdateCampaign": "campaignConfig.rankingInfluence campaignConfig.enableMetadataWithRecommendations",
    "CreateDatasetGroup": "domain kmsKeyArn",
    "CreateSchema": "domain",
    "UpdateSolution": "performIncrementalUpdate solutionUpdateConfig.eventsConfig",
    "CreateDatasetImportJob": "publishAttributionMetricsToS3",
    "CreateSolution": "performHPO performAutoML performIncrementalUpdate eventType "
    "solutionConfig.algorithmHyperParameters solutionConfig.hpoConfig solutionConfig.autoMLConfig "
    "solutionConfig.optimizationObjective solutionConfig.trainingDataConfig solutionConfig.eventsConfig "
    "solutionConfig.eventValueThreshold",
}


def members_of(shape: Shape, path: str = "") -> Iterator[str]:
    """Paths of all members without members of their own."""
    match shape:
        case Members():
            for name, member in shape.members.items():
                yield from members_of(member, f"{path}.{name}".lstrip("."))
        case Listing():
            yield from members_of(shape.of, path)
        case _:
            yield path


def texts_in(shape: Shape) -> Iterator[Text]:
    match shape:
        case Members():
            for member in shape.members.values():
                yield from texts_in(member)
        case Listing():
            yield from texts_in(shape.of)
        case StringMap():
            yield from (shape.key, *texts_in(shape.of))
        case Text():
            yield shape


def test_the_operations_are_the_model_s() -> None:
    assert OPERATIONS.keys() == service_model(MODEL)["operations"].keys()


@pytest.mark.parametrize(
    "operation",
    [name for name in OPERATIONS if name not in unsupported.OPERATIONS or name.startswith("List")],
)
def test_every_member_is_honoured_or_refused(operation: str) -> None:
    tables = [table.get(operation, "").split() for table in (ACTING, DESCRIBED, REFUSED)]
    places = [place for table in tables for place in table]
    members = set(members_of(input_shape(MODEL, operation)))

    assert len(places) == len(set(places))
    for member in members:
        # What stands in a table stands there with all that is in it.
        assert sum(member == place or member.startswith(f"{place}.") for place in places) == 1, member
    for place in places:
        assert any(member == place or member.startswith(f"{place}.") for member in members), place


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_pattern_is_one_that_python_reads(operation: str) -> None:
    for text in texts_in(input_shape(MODEL, operation)):
        if text.pattern is not None:
            assert r"\p" not in text.pattern
            re.compile(text.pattern)


def test_every_override_replaces_a_pattern_of_the_model() -> None:
    patterns = {shape.get("pattern") for shape in service_model(MODEL)["shapes"].values()}

    assert PATTERNS.keys() <= patterns


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("hpoConfig", {"hpoObjective": {"type": "Maximize"}}),
        ("hpoConfig", {}),
        ("autoMLConfig", {"metricName": "coverage"}),
        ("optimizationObjective", {"itemAttribute": "PRICE", "objectiveSensitivity": "OFF"}),
        ("trainingDataConfig", {"excludedDatasetColumns": {"Items": ["GENRE"]}}),
        ("eventsConfig", {"eventParametersList": [{"eventType": "taken", "weight": 0.5}]}),
        ("eventValueThreshold", "1.5"),
    ],
)
def test_settings_of_other_recipes_are_refused_by_name(member: str, value: object) -> None:
    request = {
        "name": "s",
        "datasetGroupArn": "arn:aws:personalize:::dataset-group/g",
        "solutionConfig": {member: value},
    }

    with pytest.raises(InvalidInput) as refused:
        refuse_other_recipes(input_shape(MODEL, "CreateSolution").check(request))

    assert refused.value.message == f"solutionConfig.{member} is not supported by the recipe aws-next-best-action"
    assert refused.value.field == f"solutionConfig.{member}"


@pytest.mark.parametrize("member", ["hpoConfig", "autoMLConfig", "optimizationObjective", "trainingDataConfig"])
def test_types_are_checked_before_anything_is_refused(member: str) -> None:
    request = {"name": "s", "datasetGroupArn": "arn:aws:personalize:::dataset-group/g", "solutionConfig": {member: 5}}

    with pytest.raises(InvalidInput, match=f"Member 'solutionConfig.{member}' must be an object, not the number 5"):
        input_shape(MODEL, "CreateSolution").check(request)


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        (
            "CreateFilter",
            {"name": "-", "datasetGroupArn": "arn:aws:personalize:::dataset-group/g", "filterExpression": "x"},
            "1 validation error detected: Value '-' at 'name' failed to satisfy constraint: Member must satisfy "
            r"regular expression pattern: [a-zA-Z0-9][a-zA-Z0-9\-_]*",
        ),
        (
            "CreateSchema",
            {"name": "s"},
            "1 validation error detected: Value null at 'schema' failed to satisfy constraint: Member must not be null",
        ),
        (
            "ListFilters",
            {"maxResults": 101},
            "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have "
            "value less than or equal to 100",
        ),
        (
            "ListFilters",
            {"nextToken": "é"},
            "1 validation error detected: Value 'é' at 'nextToken' failed to satisfy constraint: Member must satisfy "
            r"regular expression pattern: [\x00-\x7F]*",
        ),
        (
            "CreateSolutionVersion",
            {"solutionArn": "arn:aws:personalize:::solution/s", "trainingMode": "HALF"},
            "1 validation error detected: Value 'HALF' at 'trainingMode' failed to satisfy constraint: Member must "
            "satisfy enum value set: [FULL, UPDATE, AUTOTRAIN]",
        ),
        (
            "CreateCampaign",
            {
                "name": "c",
                "solutionVersionArn": "arn:aws:personalize:::solution/s/1",
                "campaignConfig": {"rankingInfluence": {"FRESHNESS": 2}},
            },
            "1 validation error detected: Value '2' at 'campaignConfig.rankingInfluence.FRESHNESS' failed to satisfy "
            "constraint: Member must have value less than or equal to 1",
        ),
        (
            "TagResource",
            {"resourceArn": "arn:aws:personalize:::filter/f", "tags": [{"tagKey": "a!", "tagValue": ""}]},
            "1 validation error detected: Value 'a!' at 'tags.1.member.tagKey' failed to satisfy constraint: Member "
            r"must satisfy regular expression pattern: [\w\s.:/=+\-@]*",
        ),
    ],
)
def test_constraints_are_told_in_the_words_of_aws(operation: str, members: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        input_shape(MODEL, operation).check(members)

    assert refused.value.message == message
