"""Reasons in English: how event types are read, how often and when, and what a sentence says."""

from __future__ import annotations

import pytest

from nextbest.logic.sentences import GOAL_NOTES, Deed, ago, goal_sentence, phrase, sentence, sentence_without_model
from nextbest.scoring.goal_effects import Basis

VIEWS = Deed("view", "Pricing", 3, more=False, days_since_last=0.5, within_week=3)
INVITES = Deed("invite", "Teammate", 11, more=False, days_since_last=3.2, within_week=4)
LATTE = Deed("order", "Latte", 1, more=False, days_since_last=90.0, within_week=0, is_little=True)


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("view", "viewed “Pricing”"),
        ("VIEW", "viewed “Pricing”"),
        ("viewed", "viewed “Pricing”"),
        ("create_task", "created task “Pricing”"),
        ("createTask", "created task “Pricing”"),
        ("add_to_cart", "added “Pricing” to cart"),
        ("comment_on", "commented on “Pricing”"),
        ("sign_up", "signed up for “Pricing”"),
        ("log-in", "logged in to “Pricing”"),
        ("subscribe", "subscribed to “Pricing”"),
        ("TAKEN", "took “Pricing”"),
        ("NOT_TAKEN", "declined “Pricing”"),
        ("buy", "bought “Pricing”"),
        ("ordr", "did “ordr” with “Pricing”"),
        ("page_view", "did “page_view” with “Pricing”"),
        ("表示", "did “表示” with “Pricing”"),
        ("_", "did “_” with “Pricing”"),
    ],
)
def test_an_event_type_is_a_verb_where_it_is_known_as_one(event_type: str, expected: str) -> None:
    deed = Deed(event_type, "Pricing", 1, more=False, days_since_last=2.0, within_week=1)
    assert phrase(deed) == f"{expected} once, 2 days ago"


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        (VIEWS, "viewed “Pricing” 3 times in the last 7 days"),
        (INVITES, "invited “Teammate” 11 times, last 3 days ago"),
        (LATTE, "ordered “Latte” only once, 2 months ago"),
        (Deed("view", "X", 1200, True, 20.0, 0), "viewed “X” over 1,200 times, last 2 weeks ago"),
        (Deed("view", "X", 1, True, 0.0, 1), "viewed “X” over once, last within 24 hours"),
        (Deed("view", "X", 0, True, None, 0), "viewed “X” long ago"),
    ],
)
def test_how_often_and_when(deed: Deed, expected: str) -> None:
    assert phrase(deed) == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (0.0, "within 24 hours"),
        (1.0, "1 day ago"),
        (13.9, "13 days ago"),
        (14.0, "2 weeks ago"),
        (61.0, "2 months ago"),
        (730.9, "24 months ago"),
        (731.0, "2 years ago"),
    ],
)
def test_how_long_ago(days: float, expected: str) -> None:
    assert ago(days) == expected


@pytest.mark.parametrize(
    ("deeds", "points", "probability", "others_lead", "expected"),
    [
        (
            [INVITES, VIEWS, LATTE], 40.0, 0.7, False,
            "Likely because they invited “Teammate” 11 times, last 3 days ago, and viewed “Pricing” 3 times in the "
            "last 7 days.",
        ),
        ([VIEWS], 4.0, 0.06, False,
         "More likely than average because they viewed “Pricing” 3 times in the last 7 days."),
        ([LATTE], -4.0, 0.06, False,
         "Less likely than average because they ordered “Latte” only once, 2 months ago."),
        ([LATTE], -4.0, 0.6, True,
         "Less likely than average because they did little of what usually leads to it."),
        ([], 4.0, 0.6, False, "Likely because they did little of what usually keeps others from it."),
        ([VIEWS], 0.01, 0.6, False,
         "As likely as average: that they viewed “Pricing” 3 times in the last 7 days speaks for it, what they did not "
         "do against it."),
        ([LATTE], -0.01, 0.6, False,
         "As likely as average: what they did not do speaks for it, that they ordered “Latte” only once, 2 months ago "
         "against it."),
        ([], 0.01, 0.6, False, "As likely as average; what speaks for it and against it is in balance."),
    ],
)  # fmt: skip
def test_a_sentence_names_what_speaks_for_the_difference(
    deeds: list[Deed], points: float, probability: float, others_lead: bool, expected: str
) -> None:
    written = sentence(deeds, points=points, probability=probability, others_lead=others_lead, has_reasons=True)
    assert written == expected


def test_where_nothing_prevails_both_sides_are_named() -> None:
    written = sentence([VIEWS], [LATTE], points=0.01, probability=0.6, others_lead=False, has_reasons=True)

    assert written == (
        "As likely as average: that they viewed “Pricing” 3 times in the last 7 days speaks for it, that they ordered "
        "“Latte” only once, 2 months ago against it."
    )


@pytest.mark.parametrize(
    ("average", "probability", "lead"),
    [
        # Rare actions: a fifth of the average is a difference, less is none, however few points it is.
        (0.010, 0.0115, "As likely"),
        (0.010, 0.0125, "More likely"),
        (0.010, 0.0075, "Less likely"),
        # Ordinary ones: two points are, whatever the average.
        (0.30, 0.315, "As likely"),
        (0.30, 0.325, "More likely"),
        (0.55, 0.565, "As likely"),
        (0.55, 0.575, "Likely"),
        # Nearly certain ones: a fifth of what is missing.
        (0.98, 0.983, "As likely"),
        (0.98, 0.985, "Likely"),
        (0.98, 0.975, "Less likely"),
        # Next to nothing stays that.
        (0.0001, 0.0004, "As likely"),
        (0.0, 0.001, "More likely"),
        (0.05, 0.05, "As likely"),
    ],
)
def test_a_difference_counts_relative_to_the_average(average: float, probability: float, lead: str) -> None:
    points = 100.0 * (probability - average)
    written = sentence([VIEWS], points=points, probability=probability, others_lead=False, has_reasons=True)
    assert written.startswith(f"{lead} ")


@pytest.mark.parametrize(
    ("effect", "low", "high", "value", "expected"),
    [
        (
            *(0.115, 0.081, 0.149, 1.0),
            "Users who viewed “Pricing” reached the goal 11.5 percentage points more often within 14 days than similar "
            "users who did not (95 % interval: 8.1 to 14.9; 1,356 users). An association with the goal, not a cause, "
            "until an experiment has shown it.",
        ),
        (
            *(-10.0, -16.0, -4.0, 100.0),
            "Users who viewed “Pricing” reached the goal 10.0 percentage points less often within 14 days than similar "
            "users who did not (95 % interval: 4.0 to 16.0; 1,356 users). An association with the goal, not a cause, "
            "until an experiment has shown it.",
        ),
        (
            *(4.25, 1.0, 7.5, None),
            "Users who viewed “Pricing” reached 4.25 more of the goal's value within 14 days than similar users who "
            "did not (95 % interval: 1.00 to 7.50; 1,356 users). An association with the goal, not a cause, until an "
            "experiment has shown it.",
        ),
    ],
)
def test_an_effect_on_the_goal_is_a_sentence(
    effect: float, low: float, high: float, value: float | None, expected: str
) -> None:
    written = goal_sentence(
        *("ASSOCIATION", "view", "Pricing"),
        effect=effect,
        low=low,
        high=high,
        users=1356,
        horizon_days=14.0,
        only_value=value,
    )
    assert written == expected


def test_every_basis_of_an_effect_has_its_words() -> None:
    assert GOAL_NOTES.keys() == {basis.name for basis in Basis}


def test_a_sentence_without_reasons_and_one_without_a_model() -> None:
    assert sentence([], points=-3.0, probability=0.1, others_lead=True, has_reasons=False) == (
        "Popular with everyone; nothing in their history speaks for or against it."
    )
    assert sentence_without_model(VIEWS) == (
        "They viewed “Pricing” 3 times in the last 7 days; before the program's first rebase nothing else is known."
    )
