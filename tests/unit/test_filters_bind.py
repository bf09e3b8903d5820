"""Binding a filter to a program's datasets: names, types, limits, placeholders."""

from __future__ import annotations

import pytest

from nextbest.domain.assets import Asset
from nextbest.errors import FilterSyntaxError, QuotaExceeded
from nextbest.filters import BoundFilter, Dataset, FieldType, Schema, bind, check_dataset_group, parse

SCHEMA = Schema.declared(
    {
        Dataset.ACTIONS: {
            "ACTION_ID": FieldType.STRING,
            "VALUE": FieldType.NUMBER,
            "TIER": FieldType.STRING,
            "region": FieldType.STRING,
            "ACTIVE": FieldType.BOOLEAN,
            "ACTION_EXPIRATION_TIMESTAMP": FieldType.NUMBER,
            "REPEAT_FREQUENCY": FieldType.NUMBER,
        },
        Dataset.ACTION_INTERACTIONS: {"EVENT_TYPE": FieldType.STRING, "TIMESTAMP": FieldType.NUMBER},
        Dataset.USERS: {"USER_ID": FieldType.STRING, "AGE": FieldType.NUMBER, "MEMBERSHIP": FieldType.STRING},
        Dataset.ITEMS: {"PRICE": FieldType.NUMBER, "GENRE": FieldType.STRING, "STORY": FieldType.FREE_TEXT},
    }
)


def bound(text: str, schema: Schema = SCHEMA) -> BoundFilter:
    return bind(parse(text), schema)


@pytest.mark.parametrize(
    "text",
    [
        'INCLUDE ActionID WHERE Actions.tier IN ("a") AND ACTIONS.REGION NOT IN ("b") OR Actions.VALUE > 3',
        'INCLUDE ActionID WHERE Actions.TIER = "a" AND Actions.TIER != $B',
        'INCLUDE ActionID WHERE Actions.VALUE IN (1, 2, "3") AND Actions.VALUE = "4" AND Actions.TIER IN (5)',
        'INCLUDE ActionID WHERE Actions.ACTION_ID IN ("a") OR Actions.LABELS IN ("b") OR Actions.ASSET_NAME = "c"',
        'EXCLUDE ActionID WHERE Action_Interactions.event_type IN ("*") IF CurrentUser.AGE > 18',
        'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE != "TAKEN"',
        "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE",
        "INCLUDE UserID WHERE Users.AGE > 18",
    ],
)
def test_a_filter_that_fits_the_datasets_is_accepted(text: str) -> None:
    assert bound(text).parts


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("INCLUDE ActionID WHERE Actions.NOPE = 1", "Actions", "has no field NOPE"),
        ("INCLUDE ActionID WHERE Actions.ACTIVE = 1", "Actions", "of type boolean"),
        ('INCLUDE ItemID WHERE Items.STORY IN ("x")', "Items", "of type free text"),
        ("INCLUDE ActionID WHERE Actions.TIER > 3", "Actions", "holds strings"),
        ("INCLUDE ActionID WHERE Actions.TIER <= $X", "Actions", "holds strings"),
        ("EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE < 3", "Action_", "holds strings"),
        ('INCLUDE ActionID WHERE Actions.VALUE = "many"', '"many"', "must be one"),
        ('INCLUDE ActionID WHERE Actions.VALUE IN (1, "many")', '"many"', "must be one"),
        ("INCLUDE ActionID WHERE Action_Interactions.TIMESTAMP > 3", "Action_", "EVENT_TYPE only"),
        ("INCLUDE ActionID WHERE Actions.ACTION_EXPIRATION_TIMESTAMP > 3", "Actions", "applies it by itself"),
        ("INCLUDE ActionID WHERE Actions.EXPIRATION_TIMESTAMP > 3", "Actions", "applies it by itself"),
        ("INCLUDE ActionID WHERE Actions.repeat_frequency > 3", "Actions", "applies it by itself"),
        ("INCLUDE ActionID WHERE Items.PRICE > 3", "Items", "not by Items"),
        ('INCLUDE ActionID WHERE Interactions.EVENT_TYPE IN ("x")', "Interactions", "not by Interactions"),
        ("INCLUDE ActionID WHERE Users.AGE > 3", "Users", "not by Users"),
        ("INCLUDE ItemID WHERE Actions.VALUE > 3", "Actions", "not by Actions"),
        ("INCLUDE UserID WHERE Items.PRICE > 3", "Items", "not by Items"),
        ("INCLUDE ActionID WHERE Actions.VALUE > CurrentItem.PRICE", "CurrentItem", "for ItemID filters only"),
        ("INCLUDE ItemID WHERE Items.PRICE = CurrentItem.GENRE", "CurrentItem", "cannot be compared"),
        ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("x")', "Interactions", "no Interactions dataset"),
        ("INCLUDE ActionID WHERE Actions.VALUE > 1 IF CurrentUser.NOPE = 1", "CurrentUser", "has no field NOPE"),
        ('INCLUDE ActionID WHERE Actions.VALUE > 1 IF CurrentUser.AGE IN ("x")', '"x"', "must be one"),
        (
            "INCLUDE ActionID WHERE Actions.VALUE > 1 | EXCLUDE ItemID WHERE Items.PRICE > 1",
            "EXCLUDE",
            "select the same thing",
        ),
    ],
)
def test_the_error_of_a_filter_that_does_not_fit_points_at_the_place(text: str, at: str, problem: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        bound(text)

    assert caught.value.message.startswith("Could not create filter. Invalid Expression")
    assert problem in caught.value.message
    assert caught.value.position == text.index(at)


def test_placeholders_of_include_are_required() -> None:
    filter_ = bound(
        "INCLUDE ActionID WHERE Actions.TIER IN ($BOTH) AND Actions.VALUE > $MIN IF CurrentUser.AGE > $AGE"
        "| EXCLUDE ActionID WHERE Actions.TIER IN ($BOTH) OR Actions.VALUE > $MAX OR Actions.VALUE < $MAX"
    )

    assert filter_.required == ("BOTH", "MIN", "AGE")
    assert filter_.optional == ("MAX",)
    assert filter_.fields == {"Actions.TIER", "Actions.VALUE", "Users.AGE"}


def conditions(count: int, start: int = 0) -> str:
    return " AND ".join(f"Actions.F{number} = 1" for number in range(start, start + count))


def test_an_eleventh_distinct_field_is_refused() -> None:
    schema = Schema.undeclared()
    ten = f"INCLUDE ActionID WHERE {conditions(6)} | EXCLUDE ActionID WHERE {conditions(5, 4)} IF CurrentUser.AGE > 1"

    assert len(bound(f"{ten} AND CurrentUser.age < 9", schema).fields) == 10
    with pytest.raises(FilterSyntaxError, match="at most 10 distinct dataset fields"):
        bound(f"{ten} AND CurrentUser.TIER = 1", schema)


def test_the_filter_that_makes_a_group_name_over_twenty_fields_is_refused() -> None:
    schema = Schema.undeclared()
    twenty = [bound(f"INCLUDE ActionID WHERE {conditions(10, start)}", schema) for start in (0, 10, 5)]

    check_dataset_group(twenty)
    with pytest.raises(QuotaExceeded, match="they would use 21"):
        check_dataset_group([*twenty, bound("INCLUDE ActionID WHERE Actions.F20 = 1", schema)])


def test_without_a_declared_schema_any_field_may_be_named() -> None:
    filter_ = bound('INCLUDE ActionID WHERE Actions.X > 1 OR Actions.X = "a" IF CurrentUser.Y = 1', Schema.undeclared())

    assert filter_.fields == {"Actions.X", "Users.Y"}


def test_only_fields_of_observed_assets_may_be_named() -> None:
    schema = Schema.observed([Asset("a", fields={"TIER": "gold"}), Asset("b", fields={"VALUE": 3})])

    assert bound('INCLUDE ActionID WHERE Actions.TIER = "gold" AND Actions.VALUE > 1', schema).parts
    assert bound('INCLUDE ActionID WHERE Actions.LABELS IN ("x") IF CurrentUser.ANY = 1', schema).parts
    with pytest.raises(FilterSyntaxError, match="no field TEIR"):
        bound('INCLUDE ActionID WHERE Actions.TEIR = "gold"', schema)


def test_naming_fields_of_a_missing_dataset_is_refused() -> None:
    schema = Schema.declared({Dataset.ACTIONS: {"VALUE": FieldType.NUMBER}})

    with pytest.raises(FilterSyntaxError, match="no Users dataset"):
        bound("INCLUDE ActionID WHERE Actions.VALUE > 1 IF CurrentUser.AGE > 1", schema)
    with pytest.raises(FilterSyntaxError, match="no Action_Interactions dataset"):
        bound('EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("TAKEN")', schema)


@pytest.mark.parametrize(
    ("text", "interactions", "user"),
    [
        ("INCLUDE ActionID WHERE Actions.VALUE > 1", False, False),
        ("INCLUDE ActionID WHERE Actions.VALUE > 1 IF CurrentUser.AGE > 1", False, True),
        (
            'INCLUDE ActionID WHERE Actions.VALUE > 1 | EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("x")',
            True,
            False,
        ),
    ],
)
def test_a_bound_filter_tells_what_it_reads_of_the_user(text: str, interactions: bool, user: bool) -> None:
    filter_ = bound(text)

    assert (filter_.reads_interactions, filter_.reads_user) == (interactions, user)
