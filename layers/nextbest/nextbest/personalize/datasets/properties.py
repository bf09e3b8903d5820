"""The ``properties`` of events, actions, users and items: JSON text with camelCase names.

Source: docs/contracts/personalize.md, section 5.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nextbest.domain.assets import CREATION, EXPIRY, REPEAT_FREQUENCY, VALUE, FieldValue
from nextbest.errors import InvalidInput
from nextbest.personalize.datasets.schema import ALIASES, DatasetSchema, SchemaField
from nextbest.personalize.protocol.shapes import has_utf8_form
from nextbest.personalize.protocol.wire import parse_json

RESERVED = ("userid", "sessionid", "eventtype", "timestamp", "recommendationid", "impression")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Even without a declared dataset these fields of an action are numbers (section 6.3).
_KNOWN = {
    name: SchemaField(name, kind, nullable=True)
    for name, kind in {CREATION: "long", VALUE: "double", EXPIRY: "long", REPEAT_FREQUENCY: "double"}.items()
}


def read_properties(text: str | None, *, path: str) -> dict[str, Any]:
    """The object in a properties string; nothing for None. Raises InvalidInput."""
    if text is None:
        return {}
    try:
        properties = parse_json(text)
    except ValueError as error:
        raise InvalidInput(f"'{path}' must be a string that holds a JSON object", field=path) from error
    if not isinstance(properties, dict):
        raise InvalidInput(f"'{path}' must be a string that holds a JSON object", field=path)
    # Only an escape can spell half of a surrogate pair: the text itself was checked.
    if "\\u" in text and not has_utf8_form(json.dumps(properties, ensure_ascii=False)):
        raise InvalidInput(f"'{path}' holds text that has no UTF-8 form", field=path)
    return properties


def take_members(properties: dict[str, Any], schema: DatasetSchema, *, path: str) -> dict[str, FieldValue]:
    """Take the fields of ``schema`` out of ``properties``, in any spelling; their values by the schema's own names.

    Those that are null are left out. Raises InvalidInput for values of the wrong type.
    """
    taken: dict[str, FieldValue] = {}
    for key in list(properties):
        field = schema.field(key)
        if field is not None:
            _, value = _read(key, properties.pop(key), schema, path=path)
            taken[field.name] = value
    return {name: value for name, value in taken.items() if value is not None}


def check_event_properties(properties: Mapping[str, Any], schema: DatasetSchema | None, *, path: str) -> None:
    """Raise InvalidInput for reserved keys, keys the schema lacks, and values of the wrong type."""
    for key, value in properties.items():
        if key.lower() in RESERVED:
            raise InvalidInput(f"'{path}' must not hold the reserved key {key}", field=path)
        _read(key, value, schema, path=path)


def fields_of(properties: Mapping[str, Any], schema: DatasetSchema | None, *, path: str) -> dict[str, FieldValue]:
    """Properties as fields under their upper-case names, typed by the schema; without a schema any key is allowed.

    Raises InvalidInput for keys the schema lacks, values of the wrong type, and fields that are missing and not
    nullable.
    """
    fields = dict(_read(key, value, schema, path=path) for key, value in properties.items())
    for field in schema.fields if schema is not None else ():
        if not field.nullable and field_name(field) not in fields:
            raise InvalidInput(f"'{path}' lacks {field.name}, which the schema requires", field=path)
    return fields


def _read(key: str, value: Any, schema: DatasetSchema | None, *, path: str) -> tuple[str, FieldValue]:
    field = schema.field(key) if schema is not None else undeclared_field(key, value)
    if field is None:
        raise InvalidInput(f"'{path}' holds the key {key}, which the dataset's schema does not have", field=path)
    try:
        return field_name(field), field.read(value)
    except InvalidInput as error:
        raise InvalidInput(f"'{path}': {error.message}", field=path) from error


def field_name(field: SchemaField) -> str:
    """The upper-case name under which a field is stored."""
    upper = field.name.upper()
    return ALIASES.get(upper, upper)


def undeclared_field(key: str, value: Any) -> SchemaField:
    """The field of a dataset without a schema: reserved names have their own types, others the type of their value."""
    name = _WORD.sub("_", key).upper()
    name = ALIASES.get(name, name)
    kind = "boolean" if isinstance(value, bool) else "double" if isinstance(value, int | float) else "string"
    return _KNOWN.get(name) or SchemaField(name, kind, nullable=True)
