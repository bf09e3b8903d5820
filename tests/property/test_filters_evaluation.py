"""Evaluation over random catalogues equals a naive reading of the contract, row by row.

The generator makes filters as plain tuples, writes them as text, and the oracle evaluates the tuples with the words of
docs/contracts/personalize.md, sections 3.4 to 3.6 and 11: no parser, no columns, no masks.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.domain.assets import Asset, FieldValue
from nextbest.errors import InvalidInput
from nextbest.filters import Dataset, FieldType, FilterColumns, Interactions, Schema, bind, evaluate, parse

STRINGS = ["gold", "Gold", "silver", "north", "a b", 'say "hi"', "*"]
NUMBERS = [-2, 0, 1, 1.5, 3]
EVENT_TYPES = ["Taken", "TAKEN", "not taken", "NOT_TAKEN", "Viewed"]
PLACEHOLDERS = ["A", "B"]
COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
STRING_FIELDS = ["TIER", "REGION"]
NUMBER_FIELDS = ["VALUE", "SIZE"]
FIELD_TYPES = dict.fromkeys(STRING_FIELDS, FieldType.STRING) | dict.fromkeys(NUMBER_FIELDS, FieldType.NUMBER)
SCHEMA = Schema.declared(
    {
        Dataset.ACTIONS: FIELD_TYPES,
        Dataset.USERS: FIELD_TYPES,
        Dataset.ACTION_INTERACTIONS: {"EVENT_TYPE": FieldType.STRING},
    }
)

Constant = str | int | float
CONSTANTS: dict[str, list[Constant]] = {
    "EVENT_TYPE": [*EVENT_TYPES, "*"],
    "TIER": [*STRINGS],
    "REGION": [*STRINGS],
    "VALUE": [*NUMBERS],
    "SIZE": [*NUMBERS],
}


class Condition(NamedTuple):
    """``values`` are constants, or the name of one placeholder."""

    dataset: str
    name: str
    word: str
    values: tuple[Constant, ...] | str


class Part(NamedTuple):
    """``rows`` is a disjunction of conjunctions."""

    verb: str
    rows: tuple[tuple[Condition, ...], ...]
    user: tuple[Condition, ...]


# Writing text


def quoted(value: Constant) -> str:
    return '"' + value.replace('"', '\\"') + '"' if isinstance(value, str) else str(value)


def condition_text(condition: Condition) -> str:
    values = condition.values
    right = f"${values}" if isinstance(values, str) else ", ".join(map(quoted, values))
    if condition.word.endswith("IN"):
        right = f"({right})"
    return f"{condition.dataset}.{condition.name} {condition.word} {right}"


def part_text(part: Part) -> str:
    rows = " OR ".join(" AND ".join(map(condition_text, conjunction)) for conjunction in part.rows)
    user = f" IF {' AND '.join(map(condition_text, part.user))}" if part.user else ""
    return f"{part.verb} ActionID WHERE {rows}{user}"


# The oracle


def parts_of(value: FieldValue) -> set[str]:
    return set() if value is None else set(str(value).split("|"))


def same_event_type(event_type: str) -> str:
    return event_type.lower().replace(" ", "_").replace("-", "_")


def holds(condition: Condition, value: FieldValue, given_values: Mapping[str, tuple[Constant, ...]]) -> bool:
    """Whether a field with ``value`` meets a condition."""
    right = given_values[condition.values] if isinstance(condition.values, str) else condition.values
    if condition.name in NUMBER_FIELDS:
        if condition.word.endswith("IN"):
            return (value in right) is (condition.word == "IN")
        if value is None:
            return False
        return bool(COMPARE[condition.word](value, right[0]))
    left = parts_of(value)
    if condition.name == "EVENT_TYPE":
        left = {same_event_type(text) for text in left}
        if "*" in right and condition.word.endswith("IN"):
            return bool(left) is (condition.word == "IN")
        right = tuple(same_event_type(str(text)) for text in right)
    among = any(text in left for text in right)
    if condition.word == "NOT IN":
        return not among
    if condition.word == "!=":
        return bool(left) and not among
    return among


def missing(part: Part, given_values: Mapping[str, tuple[Constant, ...]]) -> bool:
    conditions = [condition for conjunction in part.rows for condition in conjunction] + list(part.user)
    names = {condition.values for condition in conditions if isinstance(condition.values, str)}
    return not names <= set(given_values)


def oracle(
    parts: tuple[Part, ...],
    given_values: Mapping[str, tuple[Constant, ...]],
    assets: list[Asset],
    taken: set[tuple[str, str]],
    user: Mapping[str, FieldValue] | None,
) -> list[str] | None:
    """Ids of the assets that pass; None where an INCLUDE part lacks a value."""
    if any(part.verb == "INCLUDE" and missing(part, given_values) for part in parts):
        return None
    active = [
        part
        for part in parts
        if not missing(part, given_values)
        and (not part.user or (user is not None and all(holds(c, user.get(c.name), given_values) for c in part.user)))
    ]

    def matches(part: Part, asset: Asset) -> bool:
        def value(condition: Condition) -> FieldValue:
            if condition.name == "EVENT_TYPE":
                return "|".join(event_type for event_type, asset_id in taken if asset_id == asset.asset_id) or None
            return asset.fields.get(condition.name)

        return any(all(holds(c, value(c), given_values) for c in conjunction) for conjunction in part.rows)

    includes = [part for part in active if part.verb == "INCLUDE"]
    excludes = [part for part in active if part.verb == "EXCLUDE"]
    return [
        asset.asset_id
        for asset in assets
        if (not includes or any(matches(part, asset) for part in includes))
        and not any(matches(part, asset) for part in excludes)
    ]


# Strategies

strings = st.sampled_from(STRINGS)
numbers = st.sampled_from(NUMBERS)
multi_values = st.lists(strings, min_size=1, max_size=3).map("|".join)
rows_of_fields = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(STRING_FIELDS, st.none() | multi_values) | dict.fromkeys(NUMBER_FIELDS, st.none() | numbers),
)


@st.composite
def conditions(draw: st.DrawFn, dataset: str) -> Condition:
    fields = ["EVENT_TYPE"] if dataset == "Action_Interactions" else list(FIELD_TYPES)
    name = draw(st.sampled_from(fields))
    constants = CONSTANTS[name]
    ordered = list(COMPARE) if name in NUMBER_FIELDS else ["=", "!="]
    word = draw(st.sampled_from(["IN", "NOT IN", *ordered]))
    if word != "NOT IN" and name in NUMBER_FIELDS and draw(st.booleans()):
        return Condition(dataset, name, word, draw(st.sampled_from(PLACEHOLDERS)))
    several = st.lists(st.sampled_from(constants), min_size=1, max_size=3 if "IN" in word else 1)
    return Condition(dataset, name, word, tuple(draw(several)))


@st.composite
def parts(draw: st.DrawFn) -> Part:
    dataset = draw(st.sampled_from(["Actions", "Action_Interactions"]))
    conjunctions = st.lists(conditions(dataset), min_size=1, max_size=3).map(tuple)
    rows = draw(st.lists(conjunctions, min_size=1, max_size=3).map(tuple))
    user = draw(st.lists(conditions("CurrentUser"), max_size=2).map(tuple))
    return Part(draw(st.sampled_from(["INCLUDE", "EXCLUDE"])), rows, user)


catalogues = st.lists(rows_of_fields, max_size=8).map(
    lambda rows: [Asset(f"asset {number}", fields=fields) for number, fields in enumerate(rows)]
)
filters = st.lists(parts(), min_size=1, max_size=4).map(tuple)
placeholder_values = st.dictionaries(st.sampled_from(PLACEHOLDERS), numbers.map(lambda number: (number,)))
interactions = st.sets(st.tuples(st.sampled_from(EVENT_TYPES), st.sampled_from([f"asset {n}" for n in range(9)])))
users = st.none() | rows_of_fields


def answer(
    chain: tuple[Part, ...],
    given_values: Mapping[str, tuple[Constant, ...]],
    assets: list[Asset],
    taken: set[tuple[str, str]],
    user: Mapping[str, FieldValue] | None,
) -> list[str] | None:
    """What the library says, in the oracle's shape."""
    bound = bind(parse(" | ".join(map(part_text, chain))), SCHEMA)
    actions = sorted(taken)
    seen = Interactions.newest(actions, np.arange(len(actions)))
    wire = {name: ",".join(map(quoted, values)) for name, values in given_values.items()}
    try:
        mask = evaluate(bound, wire, FilterColumns(assets), interactions=seen, user=user)
    except InvalidInput:
        return None
    return [asset.asset_id for asset, passes in zip(assets, mask.tolist(), strict=True) if passes]


@given(filters, placeholder_values, catalogues, interactions, users)
@settings(max_examples=250, deadline=None)
def test_any_filter_over_any_catalogue_equals_the_naive_reading(
    chain: tuple[Part, ...],
    given_values: Mapping[str, tuple[Constant, ...]],
    assets: list[Asset],
    taken: set[tuple[str, str]],
    user: Mapping[str, FieldValue] | None,
) -> None:
    expected = oracle(chain, given_values, assets, taken, user)

    assert answer(chain, given_values, assets, taken, user) == expected


@given(
    filters.flatmap(lambda chain: st.tuples(st.just(chain), st.permutations(chain))), catalogues, interactions, users
)
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_parts_of_a_chain_does_not_matter(
    chains: tuple[tuple[Part, ...], list[Part]],
    assets: list[Asset],
    taken: set[tuple[str, str]],
    user: Mapping[str, FieldValue] | None,
) -> None:
    chain, reordered = chains
    given_values = {"A": (1,), "B": (3,)}

    assert answer(tuple(reordered), given_values, assets, taken, user) == answer(
        chain, given_values, assets, taken, user
    )


@given(st.lists(strings, min_size=1, max_size=4), catalogues)
@settings(max_examples=60, deadline=None)
def test_strings_in_filter_values_stand_for_literals(several: list[str], assets: list[Asset]) -> None:
    columns = FilterColumns(assets)
    literal = bind(parse(f"INCLUDE ActionID WHERE Actions.TIER IN ({', '.join(map(quoted, several))})"), SCHEMA)
    parameter = bind(parse("INCLUDE ActionID WHERE Actions.TIER IN ($T)"), SCHEMA)
    values = {"T": " , ".join(map(quoted, several))}

    by_literal = evaluate(literal, {}, columns, interactions=Interactions(), user=None)
    by_parameter = evaluate(parameter, values, columns, interactions=Interactions(), user=None)

    assert by_literal.tolist() == by_parameter.tolist()
