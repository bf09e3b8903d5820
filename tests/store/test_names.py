"""Names are a tenant's own: what a program has changes nothing of what another program's key is answered, or reads."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import AccessKey
from nextbest.errors import AlreadyExists, InUse, InvalidInput, NextbestError, NotFound, QuotaExceeded
from nextbest.personalize.control import unsupported
from nextbest.personalize.control.dispatch import MODEL, OPERATIONS
from nextbest.personalize.control.resources import MOST_RESOURCES
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.personalize.events.records import put_actions, put_items, put_users
from nextbest.personalize.protocol.arns import CAMPAIGN, FILTER, SCHEMA, SOLUTION
from nextbest.personalize.protocol.errors import Protocol, wire_error
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.store.dynamo import DynamoStore
from nextbest.store.salts import DECISION_KEY
from tests.store.conftest import create_table, dynamodb
from tests.store.tenants import (
    ARNS,
    EXPRESSION,
    NOW,
    RECIPE,
    USERS,
    Tenant,
    World,
    control,
    fill,
    key_of,
    recorded,
)

TENANT, BOTH, OPERATOR = key_of("bb"), key_of("aa", "bb"), key_of()
Worlds = dict[tuple[bool, bool], World]


@pytest.fixture(scope="module")
def worlds(start_engine: Callable[[str], str]) -> Worlds:
    """Worlds with and without tenant A, in which tenant B has everything or nothing."""
    url = start_engine("dynoxide")
    return {
        (with_other, filled): World(
            create_table(dynamodb(url), f"test-{uuid.uuid4().hex}"), with_other=with_other, filled=filled
        )
        for with_other, filled in itertools.product((False, True), repeat=2)
    }


def values_of(worlds: Worlds) -> dict[str, Sequence[Any]]:
    """What members of requests may be: names that A or B have or that nobody has, by member."""
    other, own = worlds[True, True].other, worlds[True, True].own
    assert isinstance(other, Tenant)
    assert isinstance(own, Tenant)
    arns: dict[str, list[str]] = {
        "campaignArn": [ARNS.of("campaign", name) for name in ("c", "aa", "bb")],
        "datasetArn": [ARNS.of("dataset", f"{name}/USERS") for name in ("aa", "bb", "cc")],
        "datasetGroupArn": [ARNS.of("dataset-group", name) for name in ("aa", "bb", "cc")],
        "datasetImportJobArn": [ARNS.of("dataset-import-job", "j")],
        "eventTrackerArn": [other.tracker, own.tracker],
        "filterArn": [ARNS.of("filter", name) for name in ("f", "none")],
        "schemaArn": [ARNS.of("schema", name) for name in ("users", "none")],
        "solutionArn": [ARNS.of("solution", name) for name in ("s", "none")],
        "solutionVersionArn": [other.version, own.version, ARNS.of("solution", "s/$LATEST")],
    }
    return {
        **arns,
        "resourceArn": [arn for group in arns.values() for arn in group],
        "recipeArn": [RECIPE],
        "algorithmArn": [RECIPE.replace("recipe", "algorithm")],
        "featureTransformationArn": [RECIPE.replace("recipe", "feature-transformation")],
        "metricAttributionArn": [ARNS.of("metric-attribution", "m")],
        "jobName": ["j", "new"],
        "schema": [json.dumps(USERS)],
        "datasetType": ["Users", "Action_Interactions"],
        "dataSource": [{"dataLocation": f"s3://imports/{program_id}/users.csv"} for program_id in ("bb", "aa")],
        "filterExpression": [EXPRESSION],
        "tags": [[{"tagKey": "a", "tagValue": "b"}]],
        "tagKeys": [["a"]],
    }


NAMES = {
    "CreateSchema": ("users", "new"),
    "CreateDatasetGroup": ("aa", "bb", "cc"),
    "CreateDataset": ("d",),
    "CreateEventTracker": ("t",),
    "CreateSolution": ("s", "new"),
    "CreateCampaign": ("c", "aa", "bb", "new"),
    "CreateFilter": ("f", "new"),
}
OPTIONAL: dict[str, dict[str, Any]] = {
    "CreateSolution": {"recipeArn": RECIPE},
    "UpdateCampaign": {"minProvisionedTPS": 2},
    "UpdateSolution": {"performAutoTraining": False},
}


def requests_of(operation: str, worlds: Worlds) -> Iterator[dict[str, Any]]:
    """Every combination of the names that an operation takes; without the optional ones too."""
    if operation in unsupported.OPERATIONS and not operation.startswith("List"):
        yield {}  # refused whatever it says
        return
    values = {**values_of(worlds), "name": NAMES.get(operation, ())}
    shape = input_shape(MODEL, operation)
    narrowing = [
        name for name in shape.members if name.endswith("Arn") and name in values and name not in shape.required
    ]
    for names in (shape.required, (*shape.required, *narrowing)):
        for combination in itertools.product(*(values[name] for name in names)):
            yield {**OPTIONAL.get(operation, {}), **dict(zip(names, combination, strict=True))}


@pytest.mark.parametrize("filled", [False, True], ids=["of one who has nothing", "of one who has the same names"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_call_tells_whether_another_tenant_exists(worlds: Worlds, operation: str, filled: bool) -> None:
    requests = list(requests_of(operation, worlds))
    assert requests

    for members in requests:
        alone = worlds[False, filled].call(TENANT, operation, members)
        beside = worlds[True, filled].call(TENANT, operation, members)

        assert beside == alone, members


PUTS: dict[str, Callable[[World, str], object]] = {
    "events": lambda world, name: put_events(
        world.store,
        TENANT,
        {
            "trackingId": name,
            "sessionId": "s",
            "userId": "u",
            "eventList": [{"eventType": "watch", "itemId": "i", "sentAt": NOW}],
        },
        now=NOW,
    ),
    "action interactions": lambda world, name: put_action_interactions(
        world.store,
        TENANT,
        {
            "trackingId": name,
            "actionInteractions": [{"actionId": "a", "sessionId": "s", "timestamp": NOW, "eventType": "Taken"}],
        },
        now=NOW,
    ),
    "actions": lambda world, name: put_actions(
        world.store, world.catalogues, TENANT, {"datasetArn": name, "actions": [{"actionId": "a"}]}
    ),
    "items": lambda world, name: put_items(
        world.store, world.catalogues, TENANT, {"datasetArn": name, "items": [{"itemId": "i"}]}
    ),
    "users": lambda world, name: put_users(
        world.store, TENANT, {"datasetArn": name, "users": [{"userId": "u", "properties": '{"TIER": "gold"}'}]}
    ),
}


@pytest.mark.parametrize("filled", [False, True], ids=["of one who has nothing", "of one who has the same names"])
@pytest.mark.parametrize("put", PUTS)
def test_no_put_tells_whether_another_tenant_exists(worlds: Worlds, put: str, filled: bool) -> None:
    other, own = worlds[True, True].other, worlds[True, True].own
    assert other is not None
    assert own is not None
    if put in ("events", "action interactions"):
        names = [other.tracking_id, own.tracking_id, "aa", "bb", "cc", str(uuid.UUID(int=7))]
    else:
        names = [ARNS.of("dataset", f"{program}/{put.upper()}") for program in ("aa", "bb", "cc")]

    def outcome(name: str, *, with_other: bool = True) -> tuple[object, ...]:
        world = worlds[with_other, filled]
        return world.outcome(lambda: PUTS[put](world, name))

    for name in names:
        assert outcome(name) == outcome(name, with_other=False), name
    # A foreign name costs and gets the same as one that nobody has
    assert [outcome(name)[0] for name in (names[0], names[-1])] == [outcome(names[-1])[0]] * 2


LISTS = [operation for operation in OPERATIONS if operation.startswith("List") and operation != "ListTagsForResource"]


@pytest.mark.parametrize("operation", LISTS)
def test_a_list_reads_the_caller_s_own_alone(worlds: Worlds, operation: str) -> None:
    world = worlds[True, True]
    for members in requests_of(operation, worlds):
        with recorded(world.table.client) as calls, suppress(NextbestError):
            control(world.store, TENANT, operation, **members)
        assert calls.partitions() <= {"bb", "bb#R"}, members


@pytest.mark.parametrize("operation", LISTS)
def test_a_list_for_an_operator_reads_each_program_once(worlds: Worlds, operation: str) -> None:
    world = worlds[True, True]
    with recorded(world.table.client) as calls:
        control(world.store, OPERATOR, operation)

    assert calls.partitions() <= {"programs", "#R", "aa", "aa#R", "bb", "bb#R"}
    queries = [keys for name, keys in calls.made if name == "Query"]
    assert len(queries) == len(set(queries))


def created(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of the resources that somebody created: those that programs implicitly have are named after them."""
    return [row["name"] for row in rows if row["name"].partition("/")[0] not in ("aa", "bb")]


def test_lists_are_of_the_programs_that_the_key_opens(worlds: Worlds) -> None:
    store = worlds[True, True].store

    for operation, key, name in (
        ("ListSolutions", "solutions", "s"),
        ("ListCampaigns", "campaigns", "c"),
        ("ListFilters", "Filters", "f"),
    ):
        for caller, number in ((TENANT, 1), (BOTH, 2), (OPERATOR, 2)):
            assert created(control(store, caller, operation)[key]) == [name] * number, operation
    groups = [row["name"] for row in control(store, BOTH, "ListDatasetGroups")["datasetGroups"]]
    assert groups == ["aa", "bb"]


def test_pages_of_a_list_hold_every_resource_once_where_programs_use_the_same_names(worlds: Worlds) -> None:
    store = worlds[True, True].store
    first = control(store, OPERATOR, "ListFilters", maxResults=1)
    second = control(store, OPERATOR, "ListFilters", maxResults=1, nextToken=first["nextToken"])

    groups = [page["Filters"][0]["datasetGroupArn"] for page in (first, second)]
    assert groups == [ARNS.of("dataset-group", "aa"), ARNS.of("dataset-group", "bb")]
    assert second["nextToken"] is None


@pytest.mark.parametrize("key", [BOTH, OPERATOR], ids=["both programs'", "operator's"])
@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("DescribeCampaign", {"campaignArn": ARNS.of("campaign", "c")}),
        ("DescribeFilter", {"filterArn": ARNS.of("filter", "f")}),
        ("DeleteSolution", {"solutionArn": ARNS.of("solution", "s")}),
        ("DescribeSolutionVersion", {"solutionVersionArn": ARNS.of("solution", "s/$LATEST")}),
        ("TagResource", {"resourceArn": ARNS.of("filter", "f"), "tags": [{"tagKey": "a", "tagValue": "b"}]}),
    ],
)
def test_a_name_that_could_be_any_of_several_is_refused(
    worlds: Worlds, key: AccessKey, operation: str, members: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match="Several of the dataset groups that the access key opens have a resource"):
        control(worlds[True, True].store, key, operation, **members)


@pytest.fixture
def table(start_engine: Callable[[str], str]) -> Table:
    """An empty table: which engine it is on makes no difference here."""
    return create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")


@pytest.fixture
def tenants(table: Table) -> DynamoStore:
    """Two programs that have a resource of every kind under the same names."""
    store = DynamoStore(table)
    fill(store, "aa", seed=1)
    fill(store, "bb", seed=2)
    return store


def test_a_name_that_is_a_program_s_too_is_of_that_program(tenants: DynamoStore) -> None:
    def group_of_filter(key: AccessKey) -> str:
        described = control(tenants, key, "DescribeFilter", filterArn=ARNS.of("filter", "aa"))
        return str(described["filter"]["datasetGroupArn"])

    create_filter(tenants, key_of("bb"), "aa", "bb")
    assert group_of_filter(BOTH) == group_of_filter(OPERATOR) == ARNS.of("dataset-group", "bb")

    create_filter(tenants, key_of("aa"), "aa", "aa")
    assert group_of_filter(BOTH) == group_of_filter(OPERATOR) == ARNS.of("dataset-group", "aa")
    assert group_of_filter(key_of("bb")) == ARNS.of("dataset-group", "bb")


def test_what_else_a_request_names_says_which_of_several_is_meant(tenants: DynamoStore) -> None:
    latest = ARNS.of("solution", "s/$LATEST")
    campaign = control(tenants, key_of("bb"), "CreateCampaign", name="b", solutionVersionArn=latest)["campaignArn"]

    control(tenants, BOTH, "UpdateCampaign", campaignArn=campaign, solutionVersionArn=latest)

    with pytest.raises(InvalidInput, match="Several of the dataset groups"):
        control(tenants, BOTH, "CreateCampaign", name="new", solutionVersionArn=latest)


def test_a_key_of_several_programs_gives_no_name_twice(tenants: DynamoStore) -> None:
    create_filter(tenants, key_of("aa"), "only-a", "aa")

    with pytest.raises(AlreadyExists, match="Another resource with Arn"):
        create_filter(tenants, BOTH, "only-a", "bb")
    with pytest.raises(AlreadyExists, match="Another resource with Arn"):
        # The implicit campaign of the other program
        control(tenants, BOTH, "CreateCampaign", name="aa", solutionVersionArn=version_of(tenants, "bb"))
    create_filter(tenants, key_of("bb"), "only-a", "bb")


def test_a_schema_belongs_to_every_program_of_the_key_that_made_it(tenants: DynamoStore) -> None:
    arn = control(tenants, BOTH, "CreateSchema", name="both", schema=json.dumps(USERS))["schemaArn"]

    for key in (key_of("aa"), key_of("bb"), BOTH, key_of("bb", "cc")):
        assert control(tenants, key, "DescribeSchema", schemaArn=arn)["schema"]["name"] == "both"
        assert created(control(tenants, key, "ListSchemas")["schemas"]) == ["both", "users"]
        with pytest.raises(AlreadyExists):
            control(tenants, key, "CreateSchema", name="both", schema=json.dumps(USERS))
    control(tenants, BOTH, "DeleteSchema", schemaArn=arn)
    for key in (key_of("aa"), key_of("bb"), BOTH):
        with pytest.raises(NotFound):
            control(tenants, key, "DescribeSchema", schemaArn=arn)


def test_a_schema_in_use_cannot_be_deleted_by_any_of_its_owners_and_stops_nobody_else(tenants: DynamoStore) -> None:
    users = ARNS.of("schema", "users")
    for key in (BOTH, key_of("aa")):
        with pytest.raises(InUse, match="in use by the dataset"):
            control(tenants, key, "DeleteSchema", schemaArn=users)

    # An operator's own of the same name is another one
    control(tenants, OPERATOR, "CreateSchema", name="users", schema=json.dumps(USERS))
    control(tenants, OPERATOR, "DeleteSchema", schemaArn=users)
    delete_dataset(tenants, "aa")
    control(tenants, key_of("aa"), "DeleteSchema", schemaArn=users)
    assert control(tenants, key_of("bb"), "DescribeSchema", schemaArn=users)


def test_an_operator_s_schemas_are_no_tenant_s(tenants: DynamoStore) -> None:
    arn = control(tenants, OPERATOR, "CreateSchema", name="operator-s", schema=json.dumps(USERS))["schemaArn"]

    assert created(control(tenants, OPERATOR, "ListSchemas")["schemas"]) == ["operator-s"]
    with pytest.raises(NotFound):
        control(tenants, key_of("aa"), "DescribeSchema", schemaArn=arn)
    # ... though the operator may use them for a tenant's dataset, which then describes itself as ever
    group = ARNS.of("dataset-group", "aa")
    delete_dataset(tenants, "aa")
    dataset = control(tenants, OPERATOR, "CreateDataset", name="u", schemaArn=arn, datasetGroupArn=group,
                      datasetType="Users")["datasetArn"]  # fmt: skip
    assert control(tenants, key_of("aa"), "DescribeDataset", datasetArn=dataset)["dataset"]["schemaArn"] == arn
    with pytest.raises(InUse):
        control(tenants, OPERATOR, "DeleteSchema", schemaArn=arn)


def test_a_deleted_program_leaves_no_resource(tenants: DynamoStore, table: Table) -> None:
    def naming_aa() -> list[Any]:
        """Items that name the program; the random parts of ids and keys of others may have its letters by chance."""
        items = table.client.scan(TableName=table.name, ConsistentRead=True)["Items"]
        named = [{name: value for name, value in item.items() if name != DECISION_KEY} for item in items]
        return [item for item in named if re.search(r"\baa\b", json.dumps(item, default=repr))]

    key = key_of("aa")
    assert naming_aa()
    control(tenants, key, "DeleteCampaign", campaignArn=ARNS.of("campaign", "c"))
    control(tenants, key, "DeleteSolution", solutionArn=ARNS.of("solution", "s"))
    (tracker,) = control(tenants, key, "ListEventTrackers")["eventTrackers"]
    control(tenants, key, "DeleteEventTracker", eventTrackerArn=tracker["eventTrackerArn"])
    delete_dataset(tenants, "aa")
    control(tenants, key, "DeleteDatasetGroup", datasetGroupArn=ARNS.of("dataset-group", "aa"))

    assert not naming_aa()


@pytest.mark.parametrize("kind", [SCHEMA, SOLUTION, CAMPAIGN, FILTER])
def test_a_program_has_no_more_resources_of_a_kind_than_it_may(
    tenants: DynamoStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(MOST_RESOURCES, kind, 2)
    create: Callable[[str], object] = {
        SCHEMA: lambda name: control(tenants, key_of("bb"), "CreateSchema", name=name, schema=json.dumps(USERS)),
        SOLUTION: lambda name: control(
            tenants, key_of("bb"), "CreateSolution", name=name, datasetGroupArn=ARNS.of("dataset-group", "bb"),
            recipeArn=RECIPE,
        ),
        CAMPAIGN: lambda name: control(
            tenants, key_of("bb"), "CreateCampaign", name=name, solutionVersionArn=version_of(tenants, "bb")
        ),
        FILTER: lambda name: create_filter(tenants, key_of("bb"), name, "bb"),
    }[kind]  # fmt: skip
    create("second")

    with pytest.raises(
        QuotaExceeded, match=f"Cannot create a {kind}. A dataset group has at most 2 {kind}s"
    ) as refused:
        create("third")
    assert wire_error(refused.value, Protocol.CONTROL)[:2] == ("LimitExceededException", 400)
    with pytest.raises(AlreadyExists):
        create("second")


def create_filter(store: DynamoStore, key: AccessKey, name: str, program_id: str) -> None:
    group = ARNS.of("dataset-group", program_id)
    control(store, key, "CreateFilter", name=name, datasetGroupArn=group, filterExpression=EXPRESSION)


def delete_dataset(store: DynamoStore, program_id: str) -> None:
    control(store, key_of(program_id), "DeleteFilter", filterArn=ARNS.of("filter", "f"))
    control(store, key_of(program_id), "DeleteDataset", datasetArn=ARNS.of("dataset", f"{program_id}/USERS"))


def version_of(store: DynamoStore, program_id: str) -> str:
    (version,) = control(store, key_of(program_id), "ListSolutionVersions")["solutionVersions"]
    return str(version["solutionVersionArn"])
