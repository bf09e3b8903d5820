"""Within a visit the last click says what is next; when the next visit begins, it says it no more."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from tests.factories import columns_of_rows

NOW = 1_760_000_000.0
WAYS = {
    "home": ("search", "offers"),
    "search": ("product",),
    "offers": ("product",),
    "product": ("cart", "search"),
    "cart": ("pay",),
    "pay": (),
}


@pytest.fixture(scope="module")
def model() -> Model:
    """Learned from 200 users with five visits each in two months; a visit is a walk along ``WAYS``, a minute a step."""
    random = np.random.default_rng(5)
    rows = []
    for user in range(200):
        for begin in NOW - random.random(5) * 60 * DAY_SECONDS:
            at, page = float(begin), "home"
            while True:
                rows.append((f"u{user}", "open", page, at))
                if not WAYS[page] or random.random() < 0.1:
                    break
                page, at = str(random.choice(WAYS[page])), at + 60.0
    return train(columns_of_rows(rows), program=Program("site"), now=NOW, seed=1, time_budget_seconds=30.0)


def best(model: Model, pages: list[str], minutes_later: float) -> str:
    """The page recommended to a user who opened ``pages`` a minute after one another, some time after the last."""
    last = NOW - minutes_later * 60.0
    history = History.from_events(
        ("open", page, last - 60.0 * (len(pages) - 1 - place)) for place, page in enumerate(pages)
    )
    return recommend(model, history, now=NOW, limit=1, allow_repeats=True)[0].asset_id


@pytest.mark.parametrize(
    ("pages", "then"),
    [
        (["home", "offers"], "product"),
        (["home", "search"], "product"),
        (["home", "search", "product", "cart"], "pay"),
    ],
)
def test_what_is_next_in_a_visit_follows_the_last_click(model: Model, pages: list[str], then: str) -> None:
    assert best(model, pages, minutes_later=1.0) == then


@pytest.mark.parametrize("pages", [["home", "offers"], ["home", "search", "product", "cart"]])
def test_days_later_a_visit_begins_where_visits_begin(model: Model, pages: list[str]) -> None:
    assert best(model, pages, minutes_later=5 * 24 * 60.0) == "home"
