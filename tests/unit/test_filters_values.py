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
def test_given_the_string_of_a_parameter_when_read_then_each_value_stands_alone(
    text: str, values: tuple[str, ...]
) -> None:
    assert parse_values("TIER", text) == values


@pytest.mark.parametrize(("text", "character"), [('"a', 1), ('"a"b', 1), ('"a","b', 5), ('  "a', 1), ('"a\\"', 1)])
def test_given_quotes_that_do_not_pair_when_read_then_the_parameter_is_named_and_the_value_is_not_told(
    text: str, character: int
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_values("TIER", text)

    assert f"parameter TIER cannot be read at character {character}:" in caught.value.message
    assert caught.value.field == "filterValues"


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5.0), ("-5.25", -5.25), ("+1", 1.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("9" * 400, float("inf"))],
)
def test_given_a_decimal_number_when_read_then_it_is_one(text: str, number: float) -> None:
    assert to_number(text) == number


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "٣", "1,5", " 1", "e5", "--1", "1e"])
def test_given_anything_else_when_read_then_it_is_no_number(text: str) -> None:
    assert to_number(text) is None
