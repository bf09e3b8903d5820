"""filterValues as they come on the wire."""

from __future__ import annotations

import pytest

from nextbest.errors import InvalidInput
from nextbest.filters.values import parse_values, to_number


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('"gold"', ("gold",)),
        ('"a","b"', ("a", "b")),
        (' "a" , "b" ', ("a", "b")),
        ('"a, b","c"', ("a, b", "c")),
        (r'"say \"hi\"","back\\slash","\n"', ('say "hi"', "back\\slash", r"\n")),
        ("gold", ("gold",)),
        ("gold, old silver ,tin", ("gold", "old silver", "tin")),
        ('5"x', ('5"x',)),
        ("5", ("5",)),
        ('5.0,"6"', ("5.0", "6")),
        ('" a "', (" a ",)),
        ('""', ("",)),
        ("", ()),
        ("  ", ()),
        (",", ()),
        ('"a",', ("a",)),
        ('"a",,"b"', ("a", "b")),
    ],
)
def test_each_value_of_a_parameter_stands_alone(text: str, values: tuple[str, ...]) -> None:
    assert parse_values("TIER", text) == values


@pytest.mark.parametrize(("text", "character"), [('"a', 1), ('"a"b', 1), ('"a","b', 5), ('  "a', 1), ('"a\\"', 1)])
def test_quotes_that_do_not_pair_name_the_parameter_and_not_the_value(text: str, character: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_values("TIER", text)

    assert f"parameter TIER cannot be read at character {character}:" in caught.value.message
    assert caught.value.field == "filterValues"


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5.0), ("-5.25", -5.25), ("+1", 1.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("9" * 400, float("inf"))],
)
def test_a_decimal_number_is_one(text: str, number: float) -> None:
    assert to_number(text) == number


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "٣", "1,5", " 1", "e5", "--1", "1e"])
def test_anything_else_is_no_number(text: str) -> None:
    assert to_number(text) is None
