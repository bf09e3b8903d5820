"""What a filter lets through: hand-made catalogues, answers read off the reference's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from nextbest.domain.assets import Asset, FieldValue
from nextbest.errors import InvalidInput
from nextbest.filters import Dataset, FieldType, FilterColumns, Interactions, Schema, bind, evaluate, parse

SCHEMA = Schema.declared(
    {
        Dataset.ACTIONS: {"VALUE": FieldType.NUMBER, "TIER": FieldType.STRING, "REGION": FieldType.STRING},
        Dataset.ACTION_INTERACTIONS: {"EVENT_TYPE": FieldType.STRING},
        Dataset.USERS: {"AGE": FieldType.NUMBER, "MEMBERSHIP": FieldType.STRING},
    }
)

CATALOGUE = [
    Asset("club", labels=("sport", "new"), fields={"VALUE": 10, "TIER": "gold", "REGION": "north|south"}),
    Asset("app", "The | app", fields={"VALUE": 5.0, "TIER": "silver|gold", "REGION": None}),
    Asset("card", labels=("new",), fields={"VALUE": "7", "TIER": "Gold", "REGION": "south"}),
    Asset("bare"),
]
ALL = ["club", "app", "card", "bare"]

NOBODY = Interactions()
TAKER = Interactions.newest([("Not Taken", "app"), ("TAKEN", "app"), ("taken", "club")], np.array([2, 1, 0]))


def passing(
    text: str,
    values: Mapping[str, str] | None = None,
    *,
    assets: Sequence[Asset] = CATALOGUE,
    schema: Schema = SCHEMA,
    interactions: Interactions = NOBODY,
    user: Mapping[str, FieldValue] | None = None,
) -> list[str]:
    columns = FilterColumns(assets)
    mask = evaluate(bind(parse(text), schema), values or {}, columns, interactions=interactions, user=user)
    return [asset.asset_id for asset, passes in zip(assets, mask.tolist(), strict=True) if passes]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('Actions.TIER IN ("gold")', ["club", "app"]),
        ('Actions.TIER IN ("silver", "Gold")', ["app", "card"]),
        ('Actions.TIER IN ("silver|gold")', []),
        ('Actions.TIER NOT IN ("gold")', ["card", "bare"]),
        ('Actions.REGION NOT IN ("north")', ["app", "card", "bare"]),
        ('Actions.REGION NOT IN ("nowhere")', ALL),
        ('Actions.TIER = "gold"', ["club", "app"]),
        ('Actions.TIER != "gold"', ["card"]),
        ('Actions.REGION != "nowhere"', ["club", "card"]),
        ("Actions.VALUE = 5", ["app"]),
        ("Actions.VALUE != 5", ["club", "card"]),
        ("Actions.VALUE < 7", ["app"]),
        ("Actions.VALUE <= 7.0", ["app", "card"]),
        ("Actions.VALUE > 7", ["club"]),
        ("Actions.VALUE >= 7", ["club", "card"]),
        ("Actions.VALUE IN (5, 10)", ["club", "app"]),
        ("Actions.VALUE NOT IN (5, 10)", ["card", "bare"]),
        ('Actions.TIER IN ("*")', []),
        ('Actions.ACTION_ID IN ("bare", "card")', ["card", "bare"]),
        ('Actions.LABELS IN ("new")', ["club", "card"]),
        ('Actions.ASSET_NAME = "The | app"', ["app"]),
        ('Actions.TIER IN ("Gold") OR Actions.TIER IN ("gold") AND Actions.VALUE > 5', ["club", "card"]),
        ('Actions.TIER IN ("gold") AND Actions.VALUE > 5 OR Actions.TIER IN ("Gold")', ["club", "card"]),
    ],
)
def test_include_and_exclude_of_a_condition_are_complements(condition: str, expected: list[str]) -> None:
    assert passing(f"INCLUDE ActionID WHERE {condition}") == expected
    assert passing(f"EXCLUDE ActionID WHERE {condition}") == [asset for asset in ALL if asset not in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INCLUDE {gold} | INCLUDE {cheap}", ["club", "app"]),
        ("INCLUDE {gold} | EXCLUDE {cheap}", ["club"]),
        ("EXCLUDE {cheap} | INCLUDE {gold}", ["club"]),
        ("EXCLUDE {gold} | EXCLUDE {cheap}", ["card", "bare"]),
        ("INCLUDE {gold} | INCLUDE {south} | EXCLUDE {cheap} | EXCLUDE {dear}", ["card"]),
    ],
)
def test_excludes_are_taken_from_the_union_of_includes(text: str, expected: list[str]) -> None:
    conditions = {
        "gold": 'ActionID WHERE Actions.TIER IN ("gold")',
        "cheap": "ActionID WHERE Actions.VALUE < 6",
        "dear": "ActionID WHERE Actions.VALUE > 9",
        "south": 'ActionID WHERE Actions.REGION IN ("south")',
    }
    assert passing(text.format(**conditions)) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('IN ("taken")', ["club", "app"]),
        ('IN ("NOT_TAKEN")', ["app"]),
        ('IN ("not-taken", "x")', ["app"]),
        ('IN ("*")', ["club", "app"]),
        ('NOT IN ("*")', ["card", "bare"]),
        ('NOT IN ("Not taken")', ["club", "card", "bare"]),
        ('IN ("Viewed")', []),
        ('= "TAKEN"', ["club", "app"]),
        ('!= "NOT_TAKEN"', ["club"]),
        ('IN ("TAKEN") AND Action_Interactions.EVENT_TYPE IN ("Not Taken")', ["app"]),
        ('IN ("TAKEN") AND Action_Interactions.EVENT_TYPE NOT IN ("Not Taken")', ["club"]),
    ],
)
def test_case_and_blanks_of_an_event_type_do_not_matter(condition: str, expected: list[str]) -> None:
    text = f"INCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE {condition}"

    assert passing(text, interactions=TAKER) == expected
    if "NOT IN" not in condition:
        assert passing(text, interactions=NOBODY) == []


def test_an_interaction_with_an_asset_outside_the_catalogue_matters_to_nobody() -> None:
    gone = Interactions.newest([("TAKEN", "gone")], np.array([0]))

    assert passing('EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("*")', interactions=gone) == ALL


GOLD_IF = 'INCLUDE ActionID WHERE Actions.TIER IN ("gold") IF '


@pytest.mark.parametrize(
    ("condition", "user", "holds"),
    [
        ("CurrentUser.AGE > 18", {"AGE": 30}, True),
        ("CurrentUser.AGE > 18", {"AGE": "30"}, True),
        ("CurrentUser.AGE > 18 AND CurrentUser.AGE < 30", {"AGE": 30}, False),
        ('CurrentUser.MEMBERSHIP = "plus"', {"MEMBERSHIP": "base|plus"}, True),
        ('CurrentUser.MEMBERSHIP IN ("Plus")', {"MEMBERSHIP": "plus"}, False),
        ('CurrentUser.MEMBERSHIP NOT IN ("plus")', {"MEMBERSHIP": None}, True),
        ('CurrentUser.MEMBERSHIP NOT IN ("plus")', {}, True),
        ('CurrentUser.MEMBERSHIP != "plus"', {}, False),
        ('CurrentUser.MEMBERSHIP NOT IN ("plus")', None, False),
        ("CurrentUser.AGE != 1", None, False),
    ],
)
def test_a_part_whose_if_does_not_hold_restricts_nothing(
    condition: str, user: Mapping[str, FieldValue] | None, holds: bool
) -> None:
    assert passing(GOLD_IF + condition, user=user) == (["club", "app"] if holds else ALL)
    excluding = (GOLD_IF + condition).replace("INCLUDE", "EXCLUDE")
    assert passing(excluding, user=user) == (["card", "bare"] if holds else ALL)


def test_an_include_whose_if_fails_does_not_count_beside_an_active_one() -> None:
    text = GOLD_IF + "CurrentUser.AGE > 18 | INCLUDE ActionID WHERE Actions.VALUE = 7"

    assert passing(text, user={"AGE": 3}) == ["card"]
    assert passing(text, user={"AGE": 30}) == ["club", "app", "card"]


@pytest.mark.parametrize("value", ["7", "7.0", '"7"', ' "7.0" '])
def test_a_number_in_any_spelling_is_that_number(value: str) -> None:
    assert passing("INCLUDE ActionID WHERE Actions.VALUE = $V", {"V": value}) == ["card"]


def test_any_value_of_in_may_match() -> None:
    assert passing("INCLUDE ActionID WHERE Actions.TIER IN ($T)", {"T": '"silver","Gold"'}) == ["app", "card"]
    assert passing("INCLUDE ActionID WHERE Actions.VALUE IN ($T)", {"T": '5,"10"'}) == ["club", "app"]


def test_one_value_serves_a_name_that_stands_twice() -> None:
    text = "EXCLUDE ActionID WHERE Actions.TIER IN ($T) | INCLUDE ActionID WHERE Actions.REGION IN ($T)"

    assert passing(text, {"T": '"gold","south"'}) == ["card"]


@pytest.mark.parametrize("values", [{}, {"T": ""}, {"t": '"gold"'}])
def test_a_missing_value_of_an_include_names_the_parameter(values: Mapping[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"filterValues for: T\."):
        passing("INCLUDE ActionID WHERE Actions.TIER IN ($T)", values)


def test_the_value_of_an_includes_if_is_required_too() -> None:
    with pytest.raises(InvalidInput, match="AGE"):
        passing(GOLD_IF + "CurrentUser.AGE > $AGE", {}, user=None)


@pytest.mark.parametrize("values", [{}, {"T": ""}, {"MIN": "1"}])
def test_a_missing_value_of_an_exclude_drops_that_whole_part(
    values: Mapping[str, str],
) -> None:
    text = (
        "EXCLUDE ActionID WHERE Actions.TIER IN ($T) OR Actions.VALUE > $MIN"
        " | EXCLUDE ActionID WHERE Actions.VALUE = 7 | INCLUDE ActionID WHERE Actions.VALUE > 5"
    )
    assert passing(text, values) == ["club"]


def test_values_that_no_placeholder_asks_for_are_ignored() -> None:
    assert passing("INCLUDE ActionID WHERE Actions.VALUE = 7", {"X": '"unpaired'}) == ["card"]


@pytest.mark.parametrize(
    ("condition", "value", "problem"),
    [
        ("Actions.VALUE > $P", "1,2", "takes one value"),
        ("Actions.TIER = $P", '"a","b"', "takes one value"),
        ("Actions.VALUE > $P", '"many"', "must be a number"),
        ("Actions.VALUE IN ($P)", '1,"many"', "must be a number"),
        ("Actions.VALUE > $P", '"1', "cannot be read"),
    ],
)
def test_a_value_that_does_not_fit_names_the_parameter(condition: str, value: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"arameter P .*{problem}") as caught:
        passing(f"INCLUDE ActionID WHERE {condition}", {"P": value})

    assert caught.value.field == "filterValues"


@pytest.mark.parametrize("user", [None, {"AGE": 1}])
def test_a_value_that_does_not_fit_is_refused_even_where_its_if_is_false(
    user: Mapping[str, FieldValue] | None,
) -> None:
    with pytest.raises(InvalidInput, match="parameter AGE must be a number"):
        passing(GOLD_IF + "CurrentUser.AGE > 18 AND CurrentUser.AGE > $AGE", {"AGE": '"old"'}, user=user)


def test_an_item_filter_over_actions_is_refused() -> None:
    with pytest.raises(InvalidInput, match="selects ItemID"):
        passing("INCLUDE ItemID WHERE Items.PRICE > 1", schema=Schema.undeclared())


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Actions.SIZE = 5", ["five"]),
        ('Actions.SIZE = "5.0"', ["five"]),
        ('Actions.SIZE IN ("5", "six")', ["five"]),
        ("Actions.MIXED = 5", ["five", "six"]),
        ('Actions.MIXED = "x"', ["six"]),
        ("Actions.MIXED > 4", ["five"]),
        ('Actions.NOWHERE NOT IN ("x")', ["five", "six"]),
        ("Actions.NOWHERE < 1", []),
    ],
)
def test_undeclared_fields_take_the_type_of_their_values(condition: str, expected: list[str]) -> None:
    assets = [Asset("five", fields={"SIZE": 5, "MIXED": 5.0}), Asset("six", fields={"SIZE": 6.0, "MIXED": "x|5"})]

    assert passing(f"INCLUDE ActionID WHERE {condition}", assets=assets, schema=Schema.undeclared()) == expected


def test_nothing_passes_and_nothing_fails_in_an_empty_catalogue() -> None:
    assert passing('EXCLUDE ActionID WHERE Actions.TIER IN ("a") AND Actions.VALUE > 1', assets=[]) == []
    assert (
        passing('INCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("*")', assets=[], interactions=TAKER) == []
    )


def test_the_same_filter_and_values_are_answered_by_the_cached_mask_unharmed() -> None:
    columns = FilterColumns(CATALOGUE)
    bound = bind(parse("INCLUDE ActionID WHERE Actions.TIER IN ($T)"), SCHEMA)

    first = evaluate(bound, {"T": '"gold"'}, columns, interactions=NOBODY, user=None)
    first[:] = False
    again = evaluate(bound, {"T": "gold"}, columns, interactions=NOBODY, user=None)
    other = evaluate(bound, {"T": '"silver"'}, columns, interactions=NOBODY, user=None)

    assert again.tolist() == [True, True, False, False]
    assert other.tolist() == [False, True, False, False]
    assert len(columns.masks) == 2


def test_parts_that_differ_in_their_if_alone_share_one_mask() -> None:
    columns = FilterColumns(CATALOGUE)
    bound = bind(parse(f"{GOLD_IF}CurrentUser.AGE > 1 | {GOLD_IF}CurrentUser.AGE > 2"), SCHEMA)

    evaluate(bound, {}, columns, interactions=NOBODY, user={"AGE": 3})

    assert len(columns.masks) == 1


def test_a_full_mask_cache_drops_the_mask_used_longest_ago() -> None:
    columns = FilterColumns(CATALOGUE, mask_cache_bytes=2 * len(CATALOGUE))
    bound = bind(parse("INCLUDE ActionID WHERE Actions.TIER IN ($T)"), SCHEMA)
    for value in ("gold", "silver", "gold", "tin"):
        evaluate(bound, {"T": value}, columns, interactions=NOBODY, user=None)

    kept = [
        columns.masks.get((bound.parts[0].mask_key, ((value,),))) is not None for value in ("gold", "silver", "tin")
    ]

    assert kept == [True, False, True]


def test_an_absent_number_is_nan() -> None:
    assert np.array_equal(FilterColumns(CATALOGUE).numbers("VALUE"), [10.0, 5.0, 7.0, np.nan], equal_nan=True)


def test_whole_numbers_beyond_a_float_are_beyond_every_limit() -> None:
    assets = [Asset("vast", fields={"VALUE": 10**400}), Asset("deep", fields={"VALUE": -(10**400)})]

    assert passing("INCLUDE ActionID WHERE Actions.VALUE > 5", assets=assets) == ["vast"]
    assert passing("INCLUDE ActionID WHERE Actions.VALUE < 5", assets=assets) == ["deep"]
