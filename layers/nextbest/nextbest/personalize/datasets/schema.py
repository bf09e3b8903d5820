"""Avro schemas of Personalize datasets, and the values they allow.

Source: docs/contracts/personalize.md, sections 6.2 to 6.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nextbest.domain.assets import CREATION, EXPIRY, EXPIRY_ALIAS, REPEAT_FREQUENCY, VALUE, FieldValue
from nextbest.errors import InvalidInput
from nextbest.filters import FieldType
from nextbest.filters.values import to_number
from nextbest.personalize.protocol.wire import parse_json

ACTIONS = "ACTIONS"
ACTION_INTERACTIONS = "ACTION_INTERACTIONS"
USERS = "USERS"
INTERACTIONS = "INTERACTIONS"
ITEMS = "ITEMS"
DATASET_TYPES = (INTERACTIONS, ITEMS, USERS, ACTIONS, ACTION_INTERACTIONS)

EVENT_VALUE = "EVENT_VALUE"

# The guide spells the field in both ways; the long name is the canonical one (section 6.2).
ALIASES = {EXPIRY_ALIAS: EXPIRY}

MAX_VALUE_CHARACTERS = 1000
NUMBERS = ("int", "long", "float", "double")
_TYPES = (*NUMBERS, "string", "boolean", "null")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WHOLE = ("int", "long")


@dataclass(frozen=True, slots=True)
class SchemaField:
    """One field. ``type`` is one of Avro's primitive types other than null."""

    name: str
    type: str
    nullable: bool = False
    categorical: bool = False
    textual: bool = False

    @property
    def filter_type(self) -> FieldType:
        """The type of the field in filters."""
        if self.type in NUMBERS:
            return FieldType.NUMBER
        if self.type == "boolean":
            return FieldType.BOOLEAN
        return FieldType.FREE_TEXT if self.textual else FieldType.STRING

    def read(self, value: Any) -> FieldValue:
        """``value`` as this field stores it. Numbers may come as text, as in the guide's examples.

        Raises InvalidInput, which names the field.
        """
        if value is None or (value == "" and self.type != "string"):
            if not self.nullable:
                raise InvalidInput(f"{self.name} must not be null")
            return None
        if self.type in NUMBERS:
            return self._number(value)
        if self.type == "boolean":
            return self._boolean(value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidInput(f"{self.name} must be a string")
        text = str(value)
        # Every value of a list of categories may be that long (section 6.3).
        longest = max(map(len, text.split("|"))) if self.categorical else len(text)
        if longest > MAX_VALUE_CHARACTERS and not self.textual:
            raise InvalidInput(f"Length cannot be more than {MAX_VALUE_CHARACTERS} characters for {self.name}")
        return text

    def _number(self, value: Any) -> int | float:
        number = to_number(value.strip()) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidInput(f"{self.name} must be of type {self.type}")
        if abs(number) > 1e300:  # infinities too: 1e999 is valid JSON
            raise InvalidInput(f"{self.name} is out of range")
        if self.type in _WHOLE:
            if number != int(number):
                raise InvalidInput(f"{self.name} must be of type {self.type}")
            return int(number)
        return float(number)

    def _boolean(self, value: Any) -> str:
        text = str(value).lower()
        if text not in ("true", "false"):
            raise InvalidInput(f"{self.name} must be of type boolean")
        return text


@dataclass(frozen=True, slots=True)
class DatasetSchema:
    """The fields of a dataset, in the schema's order."""

    fields: tuple[SchemaField, ...]

    def field(self, key: str) -> SchemaField | None:
        """The field that a property ``key`` or a column names, whatever its case and underscores (section 5.2)."""
        spelling = normalised_name(key)
        return next((field for field in self.fields if normalised_name(field.name) == spelling), None)

    def without(self, names: Iterable[str]) -> DatasetSchema:
        """The schema without some fields, such as the id, which is not among the properties."""
        dropped = {normalised_name(name) for name in names}
        return DatasetSchema(tuple(field for field in self.fields if normalised_name(field.name) not in dropped))

    def to_json(self) -> list[list[Any]]:
        """As it is stored in a resource."""
        return [[field.name, field.type, field.nullable, field.categorical, field.textual] for field in self.fields]

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[Any]]) -> DatasetSchema:
        """Inverse of ``to_json``."""
        return cls(tuple(SchemaField(*row) for row in rows))


def value_field(schema: DatasetSchema) -> SchemaField | None:
    """The field that says what an interaction is worth: EVENT_VALUE, where it is a number.

    It is reserved for item interactions alone. For action interactions it is a metadata field like any other.
    """
    return next((field for field in schema.fields if field.name.upper() == EVENT_VALUE and field.type in NUMBERS), None)


def normalised_name(name: str) -> str:
    """One spelling for all spellings of a field: camelCase, UPPER_SNAKE and the short name of the expiry field."""
    upper = name.upper().replace("_", "")
    return "ACTIONEXPIRATIONTIMESTAMP" if upper == "EXPIRATIONTIMESTAMP" else upper


@dataclass(frozen=True, slots=True)
class DatasetType:
    """What section 6.2 requires of a dataset's schema. ``metadata``: the least and most number of custom fields."""

    schema_name: str
    required: Mapping[str, str]
    reserved: Mapping[str, tuple[str, ...]]
    metadata: tuple[int, int]

    @property
    def id_names(self) -> tuple[str, ...]:
        return tuple(self.required)


_LONG, _STRING, _FLOAT = ("int", "long"), ("string",), ("float", "double")
_INTERACTION_FIELDS = {"IMPRESSION": _STRING, "RECOMMENDATION_ID": _STRING}

TYPES: Mapping[str, DatasetType] = {
    ACTIONS: DatasetType(
        "Actions",
        {"ACTION_ID": "string"},
        {CREATION: _LONG, VALUE: _LONG, EXPIRY: _LONG, EXPIRY_ALIAS: _LONG, REPEAT_FREQUENCY: _LONG,
         "TYPE": _STRING},
        (0, 10),
    ),
    ACTION_INTERACTIONS: DatasetType(
        "ActionInteractions",
        {"USER_ID": "string", "ACTION_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"},
        _INTERACTION_FIELDS,
        (0, 5),
    ),
    USERS: DatasetType("Users", {"USER_ID": "string"}, {}, (1, 25)),
    INTERACTIONS: DatasetType(
        "Interactions",
        {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"},
        {"EVENT_TYPE": _STRING, EVENT_VALUE: _FLOAT, "EVENT_ATTRIBUTION_SOURCE": _STRING, **_INTERACTION_FIELDS},
        (0, 5),
    ),
    ITEMS: DatasetType("Items", {"ITEM_ID": "string"}, {CREATION: _LONG}, (1, 100)),
}  # fmt: skip


def parse_schema(text: str) -> tuple[str, DatasetSchema]:
    """The dataset type that a schema is for, and its fields. Raises InvalidInput, which says what is wrong."""
    try:
        tree = parse_json(text)
    except ValueError as error:
        raise _invalid(f"it is not valid JSON: {error}") from error
    if not isinstance(tree, dict) or tree.get("type") != "record":
        raise _invalid('it must be an Avro record: {"type": "record", "name": ..., "fields": [...]}')
    name, rows = tree.get("name"), tree.get("fields")
    dataset_type = dataset_type_named(name) if isinstance(name, str) else None
    if dataset_type is None:
        raise _invalid(f"its name must be one of {', '.join(sorted(entry.schema_name for entry in TYPES.values()))}")
    if not isinstance(rows, list) or not rows:
        raise _invalid('"fields" must be a list of at least one field')
    schema = DatasetSchema(tuple(_field(row) for row in rows))
    _check_names(schema)
    _check_type(schema, TYPES[dataset_type])
    return dataset_type, schema


def dataset_type_named(name: str) -> str | None:
    """The dataset type with this name, in any case, with or without underscores."""
    spelling = normalised_name(name)
    return next((entry for entry in DATASET_TYPES if normalised_name(entry) == spelling), None)


def _field(row: Any) -> SchemaField:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise _invalid("every field needs a name")
    name = row["name"]
    if _NAME.fullmatch(name) is None:
        raise _invalid(f"field {name!r}: names consist of letters, digits and underscores")
    kinds = row.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    unknown = [kind for kind in kinds if kind not in _TYPES]
    if unknown or not kinds:
        raise _invalid(f"field {name}: the type must be one of {', '.join(_TYPES)}, or one of them with null")
    values = [kind for kind in kinds if kind != "null"]
    if len(values) != 1 or len(kinds) > 2:
        raise _invalid(f"field {name}: a type is one primitive, or one primitive with null")
    return SchemaField(name, values[0], "null" in kinds, _attribute(row, "categorical"), _attribute(row, "textual"))


def _attribute(row: Mapping[str, Any], attribute: str) -> bool:
    value = row.get(attribute, False)
    if not isinstance(value, bool):
        raise _invalid(f"field {row['name']}: {attribute} must be true or false")
    return value


def _check_names(schema: DatasetSchema) -> None:
    seen: dict[str, str] = {}
    for field in schema.fields:
        earlier = seen.setdefault(normalised_name(field.name), field.name)
        if earlier != field.name or [entry.name for entry in schema.fields].count(field.name) > 1:
            raise _invalid(f"fields {earlier} and {field.name}: names must differ by more than underscores and case")


def _check_type(schema: DatasetSchema, expected: DatasetType) -> None:
    fields = {field.name.upper(): field for field in schema.fields}
    for name, kind in expected.required.items():
        field = fields.get(name)
        if field is None:
            raise _invalid(f"a schema named {expected.schema_name} needs the field {name}")
        if field.type != kind and not (kind == "long" and field.type == "int"):
            raise _invalid(f"field {name} must be of type {kind}")
        if field.nullable:
            raise _invalid(f"field {name} must not be nullable")
        if field.categorical or field.textual:
            raise _invalid(f"field {name} is reserved and cannot be categorical or textual")
    for name, kinds in expected.reserved.items():
        field = fields.get(name)
        if field is not None and field.type not in kinds:
            raise _invalid(f"field {name} is reserved and must be of type {kinds[-1]}")
        if field is not None and name != "TYPE" and (field.categorical or field.textual):
            raise _invalid(f"field {name} is reserved and cannot be categorical or textual")
    own = [name for name in fields if name not in expected.required and name not in expected.reserved]
    least, most = expected.metadata
    if expected.schema_name == "Actions" and len(fields) == len(expected.required):
        raise _invalid("a schema named Actions needs at least one field besides ACTION_ID")
    if not least <= len(own) <= most:
        raise _invalid(f"a schema named {expected.schema_name} has {least} to {most} metadata fields, not {len(own)}")
    textual = [field.name for field in schema.fields if field.textual]
    if len(textual) > (expected.schema_name == "Items"):
        raise _invalid("only a schema named Items can have a textual field, and only one")
    if any(fields[name].type != "string" for name in map(str.upper, textual)):
        raise _invalid("a textual field must be of type string")


def _invalid(problem: str) -> InvalidInput:
    return InvalidInput(f"The schema is not valid: {problem}", field="schema")
