"""The language as a whole: reading inverts writing, and no text breaks the reader."""

from __future__ import annotations

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.errors import FilterSyntaxError, InvalidInput
from nextbest.filters import Filter, Schema, bind, parse, print_filter
from nextbest.filters.grammar import (
    Comparison,
    Condition,
    Dataset,
    Expression,
    Field,
    Membership,
    NumberLiteral,
    Operator,
    Placeholder,
    StringLiteral,
    Target,
    Test,
    Verb,
)
from nextbest.filters.values import parse_values

WHERE_DATASETS = [
    Dataset.ACTIONS,
    Dataset.ACTION_INTERACTIONS,
    Dataset.ITEMS,
    Dataset.INTERACTIONS,
    Dataset.USERS,
]

names = st.text("aZ_", min_size=1, max_size=5) | st.sampled_from(["IN", "where", "NOT", "If", "_9", "x1"])
placeholders = st.builds(Placeholder, st.text("aZ_9", min_size=1, max_size=5))
number_literals = st.builds(NumberLiteral, st.integers().map(str) | st.decimals(-99, 99, places=3).map(str))
# A quoted $WORD is a placeholder by the contract, so no tree holds it as a string.
string_literals = st.builds(
    StringLiteral, st.text(max_size=12).filter(lambda text: not re.fullmatch(r"\$[A-Za-z0-9_]+", text))
)
item_fields = st.builds(Field, st.just(Dataset.CURRENT_ITEM), names)
literals = st.lists(string_literals | number_literals, min_size=1, max_size=3).map(tuple)
tests: st.SearchStrategy[Test] = st.one_of(
    st.builds(Membership, literals | item_fields, st.booleans()),
    st.builds(Membership, placeholders),
    st.builds(Comparison, st.sampled_from(Operator), number_literals | placeholders | item_fields),
    st.builds(Comparison, st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]), string_literals),
)


def conjunctions(dataset: Dataset) -> st.SearchStrategy[tuple[Condition, ...]]:
    condition = st.builds(Condition, st.builds(Field, st.just(dataset), names), tests)
    return st.lists(condition, min_size=1, max_size=3).map(tuple)


def expressions(dataset: Dataset) -> st.SearchStrategy[Expression]:
    return st.builds(
        Expression,
        st.sampled_from(Verb),
        st.sampled_from(Target),
        st.lists(conjunctions(dataset), min_size=1, max_size=3).map(tuple),
        st.just(()) | conjunctions(Dataset.CURRENT_USER),
    )


filters = st.builds(
    Filter, st.lists(st.sampled_from(WHERE_DATASETS).flatmap(expressions), min_size=1, max_size=2).map(tuple)
).filter(lambda tree: len(print_filter(tree)) <= 2500)


@given(filters)
@settings(max_examples=150, deadline=None)
def test_any_tree_printed_and_parsed_is_the_same_tree(tree: Filter) -> None:
    assert parse(print_filter(tree)) == tree


def refuses_or_reads(text: str) -> bool:
    """Whether ``text`` is a filter; anything but a FilterSyntaxError goes through to the test."""
    try:
        tree = parse(text)
        bind(tree, Schema.undeclared())
    except FilterSyntaxError as error:
        assert error.message.startswith("Could not create filter. Invalid")
        assert error.position is not None
        assert 0 <= error.position <= len(text)
        return False
    assert parse(print_filter(tree)) == tree
    return True


@given(st.text(max_size=80) | st.text('INCLUDE $"\\()|.= \n', max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    refuses_or_reads(text)


VALID = (
    'INCLUDE ActionID WHERE Action.MEMBERSHIP_LEVEL IN ("Premium", "a\\"b") IF CurrentUser.MEMBERSHIP = $PREMIUM'
    " | EXCLUDE ActionID WHERE Actions.VALUE < ($VALUE) OR Actions.A NOT IN ('x') AND Actions.B != -5.25"
)
WORDS = [
    *re.findall(r"\w+|[^\w\s]", VALID),
    "NOT_IN",
    "NOT IN (",
    "$X",
    '"',
    "'",
    "\\",
    "(" * 500,
    "\x00",
    "\ud800",
    "é",
]


def test_none_of_ten_thousand_random_texts_breaks_the_reader() -> None:
    chance = random.Random(20_240_601)
    read = 0
    for number in range(10_000):
        if number % 2:
            text = " ".join(chance.choices(WORDS, k=chance.randrange(1, 40)))
        else:
            characters = list(VALID)
            for _ in range(chance.randrange(0, 3)):
                place = chance.randrange(len(characters))
                characters[place : place + chance.randrange(3)] = chance.choice([*WORDS, " ", ""])
            text = "".join(characters)
        read += refuses_or_reads(text)

    assert 1_000 < read < 9_000


@given(st.lists(st.text(max_size=10), max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_values_quoted_and_read_are_the_same(values: list[str]) -> None:
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)

    assert parse_values("X", " , ".join(quoted)) == tuple(values)


@given(st.text(max_size=30) | st.text('"\\, a', max_size=15))
@settings(max_examples=150, deadline=None)
def test_any_text_as_values_is_read_or_refused_by_name(text: str) -> None:
    try:
        values = parse_values("X", text)
    except InvalidInput as error:
        assert "parameter X" in error.message
    else:
        assert all(value in text.replace("\\", "") or "\\" in text for value in values)
