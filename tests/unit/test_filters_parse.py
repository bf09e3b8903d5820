"""The filter language: what is read, how it is written back, and what is refused where."""

from __future__ import annotations

import pytest

from nextbest.errors import FilterSyntaxError
from nextbest.filters import Filter, parse, print_filter
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
    Verb,
)

# Every documented example (docs/contracts/personalize.md, section 3.8), with its canonical spelling.
DOCUMENTED = [
    ("INCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ($EVENT_TYPE)", None),
    ('EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")', None),
    ("EXCLUDE ActionID WHERE Actions.CATEGORY IN ($CATEGORY)", None),
    ("INCLUDE ActionID WHERE Actions.VALUE > ($VALUE)", "INCLUDE ActionID WHERE Actions.VALUE > $VALUE"),
    (
        'INCLUDE ActionID WHERE Action.MEMBERSHIP_LEVEL IN ("Premium") IF CurrentUser.MEMBERSHIP = $PREMIUM',
        'INCLUDE ActionID WHERE Actions.MEMBERSHIP_LEVEL IN ("Premium") IF CurrentUser.MEMBERSHIP = $PREMIUM',
    ),
    (
        "EXCLUDE ActionID WHERE Actions.VALUE < ($VALUE) IF CurrentUser.MEMBERSHIP = $PREMIUM",
        "EXCLUDE ActionID WHERE Actions.VALUE < $VALUE IF CurrentUser.MEMBERSHIP = $PREMIUM",
    ),
    ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")', None),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', None),
    ('EXCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("shoe") AND Items.CATEGORY_L2 NOT IN ("boot")', None),
    ("INCLUDE ItemID WHERE Items.PRICE <= $PRICE", None),
    ("INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP < $DATE", None),
    ("INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE", None),
    (
        'INCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("watch") AND Items.CATEGORY_L2 IN ("luxury") '
        "IF CurrentUser.AGE > 18",
        None,
    ),
    (
        "EXCLUDE ItemID WHERE item.number_of_downloads < 20 IF CurrentUser.age > 18 AND CurrentUser.age < 30",
        "EXCLUDE ItemID WHERE Items.number_of_downloads < 20 IF CurrentUser.age > 18 AND CurrentUser.age < 30",
    ),
    ("EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE", None),
    (
        "INCLUDE ItemID WHERE Items.CATEGORY IN ($CATEGORY) | "
        'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("favorite")',
        None,
    ),
    (
        "INCLUDE ItemID WHERE Items.GENRE IN ($GENRE) | "
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")',
        None,
    ),
    ("INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ($MEMBERSHIP)", None),
    ("EXCLUDE UserID WHERE Users.AGE < $AGE", None),
]

# Spellings seen in AWS material (sections 3.5 and 3.11) or accepted by our choice (section 11, row 13).
LENIENT = [
    ('include actionid where action.tier in ("a")', 'INCLUDE ActionID WHERE Actions.tier IN ("a")'),
    ("INCLUDE actionId WHERE ACTIONS.Tier IN ('yes')", 'INCLUDE ActionID WHERE Actions.Tier IN ("yes")'),
    (
        'EXCLUDE ActionID WHERE Action_Interaction.event_type In ("x")',
        'EXCLUDE ActionID WHERE Action_Interactions.event_type IN ("x")',
    ),
    ('INCLUDE ActionID WHERE Actions.A NOT_IN ("x")', 'INCLUDE ActionID WHERE Actions.A NOT IN ("x")'),
    ('INCLUDE ActionID WHERE Actions.A IN ("$TIER")', "INCLUDE ActionID WHERE Actions.A IN ($TIER)"),
    ("INCLUDE ActionID WHERE Actions.A IN ('$TIER')", "INCLUDE ActionID WHERE Actions.A IN ($TIER)"),
    ('INCLUDE ActionID WHERE Actions.A > "$MIN"', "INCLUDE ActionID WHERE Actions.A > $MIN"),
    ("INCLUDE ActionID WHERE Actions.A IN $TIER", "INCLUDE ActionID WHERE Actions.A IN ($TIER)"),
    ("INCLUDE ActionID WHERE Actions.A>=-1.50", "INCLUDE ActionID WHERE Actions.A >= -1.50"),
    ("INCLUDE ActionID WHERE Actions.A = (5)", "INCLUDE ActionID WHERE Actions.A = 5"),
    ('INCLUDE ActionID WHERE Actions.A != "x"', None),
    ('INCLUDE ActionID WHERE Actions.A IN ("x", 3)', None),
    ("\n INCLUDE\tActionID\nWHERE Actions . A = 1 ", "INCLUDE ActionID WHERE Actions.A = 1"),
    ('INCLUDE ActionID WHERE Actions.WHERE IN ("x") OR Actions.in = 1', None),
    # A backslash before anything but a quote or a backslash stands for itself, and is then written escaped.
    (
        r'INCLUDE ActionID WHERE Actions.A IN ("say \"hi\" \\ \n")',
        r'INCLUDE ActionID WHERE Actions.A IN ("say \"hi\" \\ \\n")',
    ),
    ('INCLUDE ActionID WHERE Actions.A IN ("|", ")", "日本")', None),
    ("INCLUDE ActionID WHERE Actions.A = $1a IF CurrentUser.IF = 2", None),
]


@pytest.mark.parametrize(("text", "canonical"), DOCUMENTED + LENIENT)
def test_an_accepted_spelling_is_printed_canonically_and_means_the_same(text: str, canonical: str | None) -> None:
    tree = parse(text)
    printed = print_filter(tree)
    assert printed == (canonical or text)
    assert parse(printed) == tree


def test_and_binds_tighter_than_or() -> None:
    def is_one(name: str) -> Condition:
        return Condition(Field(Dataset.ACTIONS, name), Comparison(Operator.EQUAL, NumberLiteral("1")))

    tree = parse("INCLUDE ActionID WHERE Actions.A = 1 OR Actions.B = 1 AND Actions.C = 1")

    assert tree.parts[0].alternatives == ((is_one("A"),), (is_one("B"), is_one("C")))


def test_every_node_of_a_chained_filter_stands_in_the_tree() -> None:
    tree = parse(
        'INCLUDE ActionID WHERE Actions.TIER NOT IN ("a", "b") IF CurrentUser.AGE >= 18 '
        "| EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ($SEEN)"
    )

    assert tree == Filter(
        (
            Expression(
                Verb.INCLUDE,
                Target.ACTION,
                (
                    (
                        Condition(
                            Field(Dataset.ACTIONS, "TIER"),
                            Membership((StringLiteral("a"), StringLiteral("b")), negated=True),
                        ),
                    ),
                ),
                (
                    Condition(
                        Field(Dataset.CURRENT_USER, "AGE"),
                        Comparison(Operator.GREATER_OR_EQUAL, NumberLiteral("18")),
                    ),
                ),
            ),
            Expression(
                Verb.EXCLUDE,
                Target.ACTION,
                ((Condition(Field(Dataset.ACTION_INTERACTIONS, "EVENT_TYPE"), Membership(Placeholder("SEEN"))),),),
            ),
        )
    )


# What is illegal (sections 3.2, 3.3 and 3.7): the text up to where the error is, the rest, and a word of the message.
ILLEGAL = [
    ("", "", "INCLUDE or EXCLUDE"),
    ("   ", "", "the expression ends"),
    ("", "SELECT ActionID WHERE Actions.A = 1", "INCLUDE or EXCLUDE"),
    ("INCLUDE ", "WHERE Actions.A = 1", "ItemID, ActionID or UserID"),
    ("INCLUDE ActionID ", "Actions.A = 1", "WHERE"),
    ("INCLUDE ActionID WHERE ", "Foo.A = 1", "a dataset"),
    ("INCLUDE ActionID WHERE ", "A = 1", "a dataset"),
    ("INCLUDE ActionID WHERE Actions ", "= 1", '"."'),
    ("INCLUDE ActionID WHERE Actions.", "5 = 1", "a field name"),
    ("INCLUDE ActionID WHERE Actions.", "é = 1", "no meaning"),
    ("INCLUDE ActionID WHERE ", "(Actions.A = 1 OR Actions.B = 1) AND Actions.C = 1", "parentheses do not group"),
    ("INCLUDE ActionID WHERE ", "NOT Actions.A = 1", "a dataset"),
    ("INCLUDE ActionID WHERE Actions.A ", "BETWEEN 1 AND 2", "IN, NOT IN or one of"),
    ("INCLUDE ActionID WHERE Actions.A ", 'LIKE "x"', "IN, NOT IN or one of"),
    ("INCLUDE ActionID WHERE Actions.A ", "IS NULL", "IN, NOT IN or one of"),
    ("INCLUDE ActionID WHERE Actions.A ", "IS NOT NULL", "IN, NOT IN or one of"),
    ("INCLUDE ActionID WHERE Actions.A NOT ", "= 1", "IN after NOT"),
    ("INCLUDE ActionID WHERE Actions.A <", "> 1", "found >"),
    ("INCLUDE ActionID WHERE Actions.A =", "= 1", "found ="),
    ("INCLUDE ActionID WHERE Actions.A = ", "true", "found true"),
    ("INCLUDE ActionID WHERE Actions.A = ", "UPPER(Actions.B)", "found UPPER"),
    ("INCLUDE ActionID WHERE Actions.A = ", "Actions.B", "found Actions"),
    ("INCLUDE ActionID WHERE Actions.A > 1 ", "+ 2", "no meaning"),
    ("INCLUDE ActionID WHERE Actions.A > 1", ".", "found ."),
    ("INCLUDE ActionID WHERE Actions.A > 1", "e5", "found e5"),
    ("INCLUDE ActionID WHERE Actions.A > ", '"b"', "compares numbers"),
    ("INCLUDE ActionID WHERE Actions.A = (1", "", '")"'),
    ("INCLUDE ActionID WHERE Actions.A IN ", '"x"', "a list in parentheses"),
    ("INCLUDE ActionID WHERE Actions.A IN (", ")", "a number, a quoted string or a placeholder"),
    ('INCLUDE ActionID WHERE Actions.A IN ("a",', ")", "a number, a quoted string or a placeholder"),
    ('INCLUDE ActionID WHERE Actions.A IN ("a" ', '"b")', '"," or ")"'),
    ("INCLUDE ActionID WHERE Actions.A IN (", "(SELECT))", "a number, a quoted string or a placeholder"),
    ("INCLUDE ActionID WHERE Actions.A IN (", "gold)", "a number, a quoted string or a placeholder"),
    ("INCLUDE ActionID WHERE Actions.A IN (", '"gold)', "not closed"),
    ("INCLUDE ActionID WHERE Actions.A IN ($A", ", $B)", "stands alone"),
    ('INCLUDE ActionID WHERE Actions.A IN ("x", ', "$A)", "must stand alone"),
    ('INCLUDE ActionID WHERE Actions.A IN ("x", ', '"$A")', "must stand alone"),
    ("INCLUDE ActionID WHERE Actions.A IN (", "$)", "letters, digits or _"),
    ("INCLUDE ActionID WHERE Actions.A IN (", f"${'x' * 51})", "at most 50"),
    ("INCLUDE ActionID WHERE Actions.", f"{'x' * 151} = 1", "at most 150"),
    ('INCLUDE ActionID WHERE Actions.A IN ("x") AND ', "Action_Interactions.EVENT_TYPE IN ($E)", "combine expressions"),
    ('INCLUDE ItemID WHERE Items.A IN ("x") OR ', 'Interactions.EVENT_TYPE IN ("x")', "combine expressions"),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("x") AND ', "Actions.A = 1", "combine expressions"),
    ("INCLUDE ActionID WHERE ", "CurrentUser.AGE > 18", "after IF only"),
    ("INCLUDE ActionID WHERE ", "CurrentItem.AGE > 18", "right-hand side only"),
    ("INCLUDE ActionID WHERE Actions.A = 1 IF ", "Actions.B = 1", "CurrentUser only"),
    ("INCLUDE ActionID WHERE Actions.A = 1 IF CurrentUser.A = 1 ", "OR CurrentUser.B = 1", "AND only"),
    ("INCLUDE ActionID WHERE Actions.A = 1 IF CurrentUser.A = 1 ", "IF CurrentUser.B = 1", "AND, |"),
    ("INCLUDE ActionID WHERE Actions.A = 1 IF CurrentUser.A = 1 AND ", "Actions.B = 1", "CurrentUser only"),
    ("INCLUDE ActionID WHERE Actions.A = 1 ", ", Actions.B = 1", "AND, OR, IF"),
    ("INCLUDE ActionID WHERE Actions.A = 1 ", "-- comment", "no meaning"),
    ("INCLUDE ActionID WHERE Actions.A = 1 AND ", "", "the expression ends"),
    ("INCLUDE ActionID WHERE Actions.A = 1 | ", "", "INCLUDE or EXCLUDE"),
    ("INCLUDE ActionID WHERE Actions.A = 1 ", "INCLUDE ActionID WHERE Actions.B = 1", "AND, OR, IF"),
    ("INCLUDE ActionID WHERE Actions.A = 1", ";", "no meaning"),
]


@pytest.mark.parametrize(("read", "rest", "problem"), ILLEGAL)
def test_the_error_of_an_illegal_text_points_at_the_character(read: str, rest: str, problem: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(read + rest)

    assert caught.value.position == len(read)
    assert caught.value.message.startswith("Could not create filter. Invalid Expression")
    assert problem in caught.value.message
    assert f"(at character {len(read) + 1})" in caught.value.message


@pytest.mark.parametrize("test", ["NOT IN ($TIER)", "NOT IN $TIER", "not_in ($TIER)", 'NOT IN ("$TIER")'])
def test_a_placeholder_after_not_in_is_refused_in_the_documented_words(test: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(f"INCLUDE ActionID WHERE Actions.TIER {test}")

    assert caught.value.message == (
        "Could not create filter. Invalid input symbol: $TIER. Placeholders are not allowed with NOT_IN operator."
    )


def test_the_excerpt_of_a_long_text_has_its_caret_under_the_place() -> None:
    text = 'INCLUDE ActionID WHERE Actions.A IN ("first") AND Actions.B\nLIKE "second" OR Actions.C IN ("third")'

    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)

    _, excerpt, caret = caught.value.message.split("\n")
    assert excerpt[caret.index("^") :].startswith("LIKE")
    assert excerpt == '... Actions.A IN ("first") AND Actions.B LIKE "second" OR Actions.C IN ("third"...'


def test_one_more_than_2500_characters_is_too_many() -> None:
    text = "INCLUDE ActionID WHERE Actions.A = 1"
    longest = text + " " * (2500 - len(text))

    assert parse(longest) == parse(text)
    with pytest.raises(FilterSyntaxError, match="at most 2500 characters, this one has 2501"):
        parse(longest + " ")
