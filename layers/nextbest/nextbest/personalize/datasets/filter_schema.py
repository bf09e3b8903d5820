"""What the filters of a program may name."""

from __future__ import annotations

from collections.abc import Iterable

from nextbest.domain.assets import Asset
from nextbest.domain.programs import Program
from nextbest.filters import Dataset, Schema
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, ACTIONS, INTERACTIONS, ITEMS, USERS, DatasetSchema
from nextbest.personalize.protocol.arns import DATASET, DATASET_GROUP
from nextbest.store.base import ResourceStore

_DATASETS = {
    ACTIONS: Dataset.ACTIONS,
    ACTION_INTERACTIONS: Dataset.ACTION_INTERACTIONS,
    ITEMS: Dataset.ITEMS,
    INTERACTIONS: Dataset.INTERACTIONS,
    USERS: Dataset.USERS,
}


def filter_schema(store: ResourceStore, program: Program, assets: Iterable[Asset]) -> Schema:
    """What a filter of the program, which has these ``assets``, may name: the datasets that were created.

    A program that was not created as a dataset group implicitly has every dataset; its actions have the fields that
    occur among its assets, or any where there are none yet.
    """
    declared = {
        _DATASETS[dataset["dataset_type"]]: {
            field.name: field.filter_type for field in DatasetSchema.from_json(dataset["fields"]).fields
        }
        for dataset in store.list_resources([program.incarnation], DATASET)
    }
    if store.resource(program.incarnation, DATASET_GROUP, program.program_id) is not None:
        return Schema.declared(declared)
    implicit = Schema.implicit(assets)
    return Schema({**implicit.datasets, **Schema.declared(declared).datasets})
