"""The list of a program's actions: what it holds, what is found, and in which order."""

from __future__ import annotations

import pytest

from nextbest.domain.actions import Action
from nextbest.domain.assets import EXPIRY, Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.logic.action_list import SORT_ORDERS, Validity, list_actions, validity_of

DAY = 86_400.0
NOW = 1_000 * DAY
ACTIONS = [Action("view", "b"), Action("buy", "a"), Action("buy", "c")]
CATALOGUE = Catalogue(
    1,
    {
        "a": Asset("a", "Zebra", ("striped",), {EXPIRY: NOW + DAY}),
        "b": Asset("b", "apple", (), {EXPIRY: NOW}),
        "d": Asset("d", "", (), {EXPIRY: 0}),
    },
)


def listed(*, search: str = "", validity: Validity | None = None, order: str = "name") -> list[str]:
    entries = list_actions(
        ACTIONS, CATALOGUE, None, search=search, validity=validity, order=order, horizon_days=14.0, now=NOW
    )
    return [f"{entry.action.event_type} {entry.asset.asset_id}" for entry in entries]


def test_actions_come_with_the_assets_that_nobody_did_anything_with() -> None:
    assert listed() == ["view b", "buy c", " d", "buy a"]
    for order in SORT_ORDERS:
        assert sorted(listed(order=order)) == sorted(listed())


def test_search_looks_at_the_event_type_and_at_id_name_and_labels() -> None:
    assert listed(search="BUY") == ["buy c", "buy a"]
    assert listed(search="zeb") == listed(search="STRIPE") == ["buy a"]


def test_what_expires_is_told_by_the_horizon() -> None:
    assert listed(order="expiry") == [" d", "view b", "buy a", "buy c"]
    assert listed(validity=Validity.EXPIRED) == ["view b", " d"]
    assert listed(validity=Validity.EXPIRING) == ["buy a"]


@pytest.mark.parametrize(
    ("value", "validity"),
    [
        (None, Validity.VALID),
        ("soon", Validity.VALID),
        (NOW + 15 * DAY, Validity.VALID),
        (NOW + 14 * DAY, Validity.EXPIRING),
        (NOW, Validity.EXPIRED),
    ],
)
def test_validity_is_that_of_personalize_s_answers(value: str | float | None, validity: Validity) -> None:
    assert validity_of(Asset("a", "", (), {EXPIRY: value}), horizon_days=14.0, now=NOW) is validity
