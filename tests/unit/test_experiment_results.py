"""How the console words the forecast of a comparison."""

from __future__ import annotations

from typing import Any

import pytest

from nextbest.console.experiment_results import results_of

UNKNOWN = {"value": None, "always_valid": None, "fixed": None, "reason": "no users"}


def sentences(**forecast: Any) -> list[str]:
    known = {"effect": 0.0123, "users": 5_000, "days": None, "detectable": None, "reason": "", **forecast}
    contrast = {"difference": UNKNOWN, "ratio": UNKNOWN}
    comparison = {"variant": "model", "baseline": "holdout", "plain": contrast, "adjusted": None, "forecast": known}
    comparison["variance_removed"] = None
    measure = {"measure": "rate", "variants": [], "comparisons": [comparison]}
    (result,) = results_of({"headline": "rate", "measures": [measure]})
    return list(result.forecasts)


@pytest.mark.parametrize(
    ("days", "words"),
    [(0.0, "already"), (0.2, "in about 1 day"), (12.1, "in about 13 days"), (366.0, "in more than a year")],
)
def test_days_until_an_effect_shows(days: float, words: str) -> None:
    (sentence,) = sentences(days=days)

    takes = "an effect of 1.2 points takes 5,000 users to show with a chance of 80 %"
    assert sentence == f"model against holdout: {takes}; their horizon is over {words}."


def test_what_is_not_known_has_its_reason() -> None:
    assert sentences(users=None, reason="no difference so far") == [
        "model against holdout: how many users it takes is not known: no difference so far."
    ]
    stopped, least = sentences(reason="no new users come", detectable=0.2)
    assert stopped.endswith("when their horizon is over is not known: no new users come.")
    assert least == "model against holdout: the users of today show a difference of 20 points or more with that chance."
