"""What a filter may name: the datasets of a program, their fields, and the types of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from nextbest.domain.assets import Asset
from nextbest.filters.grammar import Dataset, Field

LABELS = "LABELS"
ASSET_NAME = "ASSET_NAME"
ACTION_ID = "ACTION_ID"
EVENT_TYPE = "EVENT_TYPE"


class FieldType(StrEnum):
    """How a filter can test a field. ``ANY`` is for undeclared fields, which take the type of their values."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    FREE_TEXT = "free text"
    ANY = "any"


_OF_EVERY_ASSET = {ACTION_ID: FieldType.STRING, ASSET_NAME: FieldType.STRING, LABELS: FieldType.STRING}

Fields = Mapping[str, FieldType]


@dataclass(frozen=True, slots=True)
class Schema:
    """The datasets of a program, each with its fields (upper-case names) and their types.

    A dataset that is absent does not exist. One that maps to None exists without declared fields: any may be named, and
    one without values is null everywhere. ACTION_ID, ASSET_NAME and LABELS of Actions always exist, since every asset
    has them.
    """

    datasets: Mapping[Dataset, Fields | None]

    @classmethod
    def declared(cls, datasets: Mapping[Dataset, Fields]) -> Schema:
        """The datasets a client declared, their field names in any case."""
        return cls({key: {name.upper(): kind for name, kind in fields.items()} for key, fields in datasets.items()})

    @classmethod
    def undeclared(cls) -> Schema:
        """Every dataset exists and any field may be named: for a program without schemas."""
        return cls(dict.fromkeys(Dataset))

    @classmethod
    def observed(cls, assets: Iterable[Asset]) -> Schema:
        """Actions have the fields that occur among ``assets``; the other datasets are as in ``undeclared``.

        Stricter than ``undeclared``: a misspelt field is refused when the filter is made.
        """
        names = {name.upper() for asset in assets for name in asset.fields}
        return cls({**cls.undeclared().datasets, Dataset.ACTIONS: dict.fromkeys(names, FieldType.ANY)})

    @classmethod
    def implicit(cls, assets: Iterable[Asset]) -> Schema:
        """The schema of a program without datasets: ``observed``, or ``undeclared`` where no asset has fields yet."""
        with_fields = [asset for asset in assets if asset.fields.keys() - {ACTION_ID}]
        return cls.observed(with_fields) if with_fields else cls.undeclared()

    def has(self, dataset: Dataset) -> bool:
        """Whether the program has this dataset."""
        return dataset.stored in self.datasets

    def type_of(self, field: Field) -> FieldType | None:
        """The type of a field of an existing dataset, its name in any case; None where there is no such field."""
        dataset, name = field.dataset.stored, field.name.upper()
        fields = self.datasets[dataset]
        if fields is not None and name in fields:
            return fields[name]
        if dataset is Dataset.ACTIONS and name in _OF_EVERY_ASSET:
            return _OF_EVERY_ASSET[name]
        return FieldType.ANY if fields is None else None
