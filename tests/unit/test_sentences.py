"""Reasons in English: how event types are read, how often and when, and what a sentence says."""

from __future__ import annotations

import pytest

from nextbest.logic.sentences import Deed, ago, phrase, sentence, sentence_without_model

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
         "As likely as average; what speaks for it and against it is in balance."),
    ],
)  # fmt: skip
def test_a_sentence_names_what_speaks_for_the_difference(
    deeds: list[Deed], points: float, probability: float, others_lead: bool, expected: str
) -> None:
    written = sentence(deeds, points=points, probability=probability, others_lead=others_lead, has_reasons=True)
    assert written == expected


def test_a_sentence_without_reasons_and_one_without_a_model() -> None:
    assert sentence([], points=-3.0, probability=0.1, others_lead=True, has_reasons=False) == (
        "Popular with everyone; nothing in their history speaks for or against it."
    )
    assert sentence_without_model(VIEWS) == (
        "They viewed “Pricing” 3 times in the last 7 days; before the program's first rebase nothing else is known."
    )
