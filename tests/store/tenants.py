"""Two tenants of one deployment: what they have, what their calls end with, and what these read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from nextbest.aws.table import Table
from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import InvalidInput, NextbestError
from nextbest.personalize.control.dispatch import OPERATIONS
from nextbest.personalize.control.resources import ControlCall, ControlPlane
from nextbest.personalize.protocol.arns import IMPORT_JOB, VERSION, Arns
from nextbest.store.cache import CatalogueCache
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_790_000_000.0
ARNS = Arns()
RECIPE = "arn:aws:personalize:::recipe/aws-next-best-action"
USERS = {
    "type": "record", "name": "Users", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [{"name": "USER_ID", "type": "string"}, {"name": "TIER", "type": "string", "categorical": True}],
}  # fmt: skip
EXPRESSION = 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("*")'


def key_of(*program_ids: str, key_id: str = "NBKTENANT") -> AccessKey:
    """A key of some programs, or of none: an operator's."""
    return AccessKey(key_id, "", tuple(map(Incarnation, program_ids)), (ADMIN,))


def control(store: DynamoStore, key: AccessKey, operation: str, seed: int = 9, **members: Any) -> Mapping[str, Any]:
    """The response to one call of the control plane, whose ids are the same for the same ``seed``."""
    random, files, rules = Random(seed), MemoryArtifacts(), ImportRules("artifacts", program_folders_bucket="imports")
    deployment = ControlPlane(store, ARNS, lambda *_: None, lambda *_: None, lambda *_: None, random, files, rules)
    return OPERATIONS[operation](ControlCall(deployment, key, members, NOW)) or {}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A program with one resource of every kind, and the ARNs that contain random ids."""

    program_id: str
    version: str
    tracker: str
    tracking_id: str


def fill(store: DynamoStore, program_id: str, seed: int) -> Tenant:
    """Create a program with one resource of every kind: tenants give them the same names."""
    store.create_program(Program(program_id))
    key = key_of(program_id)

    def create(operation: str, **members: Any) -> Mapping[str, Any]:
        return control(store, key, operation, seed, **members)

    group = ARNS.of("dataset-group", program_id)
    schema = create("CreateSchema", name="users", schema=json.dumps(USERS))["schemaArn"]
    dataset = create("CreateDataset", name="d", schemaArn=schema, datasetGroupArn=group, datasetType="Users")
    location = f"s3://imports/{program_id}/users.csv"
    create("CreateDatasetImportJob", jobName="j", dataSource={"dataLocation": location}, **dataset)
    tracker = create("CreateEventTracker", name="t", datasetGroupArn=group)
    solution = create("CreateSolution", name="s", datasetGroupArn=group, recipeArn=RECIPE)["solutionArn"]
    version = create("CreateSolutionVersion", solutionArn=solution)["solutionVersionArn"]
    finish(store, program_id, VERSION, version.partition(":solution/")[2], metrics={})
    finish(store, program_id, IMPORT_JOB, "j")
    create("CreateCampaign", name="c", solutionVersionArn=version)
    create("CreateFilter", name="f", datasetGroupArn=group, filterExpression=EXPRESSION)
    return Tenant(program_id, version, tracker["eventTrackerArn"], tracker["trackingId"])


def finish(store: DynamoStore, program_id: str, kind: str, name: str, **members: Any) -> None:
    """End a training or an import, as the rebase function would."""
    resource = store.resource(Incarnation(program_id), kind, name)
    assert resource is not None
    store.put_resource(Incarnation(program_id), kind, name, {**resource, "status": ACTIVE, **members})


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls that reached DynamoDB: the operation, and the keys or the partition that it names."""

    made: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def partitions(self) -> set[str]:
        return {key.partition(" ")[0] for _, keys in self.made for key in keys}

    def comparable(self) -> list[tuple[str, tuple[str, ...]]]:
        """In one order, because some calls are made at once."""
        return sorted(self.made)


@contextmanager
def recorded(client: DynamoDBClient) -> Iterator[Calls]:
    calls = Calls()

    def record(params: Mapping[str, Any], model: Any, **_: Any) -> None:
        calls.made.append((model.name, tuple(sorted(_keys_in(params)))))

    client.meta.events.register("provide-client-params.dynamodb", record)
    try:
        yield calls
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb", record)


def _keys_in(params: object) -> Iterator[str]:
    """``<pk> <sk>`` of every key and item in the parameters of a call, and ``<pk> <prefix>`` of a query."""
    if isinstance(params, Mapping):
        if "pk" in params and "sk" in params:
            yield f"{params['pk']['S']} {params['sk']['S']}"
        elif ":pk" in params:
            yield f"{params[':pk']['S']} {params.get(':prefix', {'S': ''})['S']}"
        else:
            for value in params.values():
                yield from _keys_in(value)
    elif isinstance(params, Sequence) and not isinstance(params, str | bytes):
        for value in params:
            yield from _keys_in(value)


class World:
    """A deployment with tenant B, who has a resource of every kind or none, and with or without tenant A."""

    def __init__(self, table: Table, *, with_other: bool, filled: bool) -> None:
        self.table = table
        self.store = DynamoStore(table)
        self.catalogues = CatalogueCache(self.store, MemoryArtifacts())
        self.other = fill(self.store, "aa", seed=1) if with_other else None
        self.own = fill(self.store, "bb", seed=2) if filled else None
        if not filled:
            self.store.create_program(Program("bb"))
        self._items = self._scan()

    def _scan(self) -> list[dict[str, Any]]:
        items: list[Any] = self.table.client.scan(TableName=self.table.name, ConsistentRead=True)["Items"]
        return items

    def call(self, key: AccessKey, operation: str, members: Mapping[str, Any]) -> tuple[object, ...]:
        """How a call of the control plane ends and what it reads and writes; the world is then as it was before."""
        return self.outcome(lambda: control(self.store, key, operation, **members))

    def outcome(self, call: Callable[[], object]) -> tuple[object, ...]:
        """How a call ends and what it reads and writes; the world is then as it was before."""
        with recorded(self.table.client) as calls:
            try:
                outcome: tuple[object, ...] = ("ok", json.dumps(call(), default=repr))
            except NextbestError as error:
                field_name = error.field if isinstance(error, InvalidInput) else None
                outcome = (type(error).__name__, error.message, field_name)
        if any(name not in ("GetItem", "BatchGetItem", "Query", "Scan") for name, _ in calls.made):
            self._restore()
        return (*outcome, calls.comparable())

    def _restore(self) -> None:
        client, name = self.table.client, self.table.name
        for item in self._scan():
            if item not in self._items:
                client.delete_item(TableName=name, Key={"pk": item["pk"], "sk": item["sk"]})
        present = self._scan()
        for item in self._items:
            if item not in present:
                client.put_item(TableName=name, Item=item)
