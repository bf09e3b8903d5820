"""What is shared between assets: what one event type leads to with the same asset."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from nextbest.training.shared_assets import SharedAssets
from tests.factories import columns_of_rows

ACTIONS = (
    Action("buy", "cup"),
    Action("buy", "pot"),
    Action("view", "cup"),
    Action("view", "pot"),
    Action("view", "tea"),
)
BUY_CUP, BUY_POT, VIEW_CUP, VIEW_POT, VIEW_TEA = range(5)
NOW = 1_760_000_000.0


def matrix(rows: list[dict[int, float]]) -> sparse.csr_array:
    found = np.zeros((len(rows), len(ACTIONS)), np.float32)
    for row, entries in enumerate(rows):
        for action, value in entries.items():
            found[row, action] = value
    return sparse.csr_array(found)


def shared() -> SharedAssets:
    found = SharedAssets.of(ACTIONS)
    assert found is not None
    return found


def test_sums_run_over_event_types_of_the_same_asset() -> None:
    # Given three moments: what was done, and what came next
    done = matrix([{VIEW_CUP: 2.0, VIEW_POT: 1.0}, {VIEW_TEA: 1.0}, {BUY_CUP: 1.0, VIEW_CUP: 1.0}])
    taken = matrix([{BUY_CUP: 1.0}, {BUY_POT: 1.0}, {VIEW_CUP: 1.0}])
    # When summed by event type (buy, view)
    gram, product = shared().products(done, taken)
    # Then an asset meets itself alone: the pot bought after a view of the tea counts for nothing
    assert gram.tolist() == [[1.0, 1.0], [1.0, 2.0**2 + 1 + 1 + 1]]
    assert product.tolist() == [[0.0, 1.0], [2.0, 1.0]]


def test_inputs_near_zero_leave_no_singular_system() -> None:
    """An event type of long ago has inputs that a short kernel decays to almost nothing: warnings are errors here."""
    gram = np.array([[4.0, 1e-12], [1e-12, 1e-22]], np.float32)
    product = np.array([[2.0, 1.0], [1e-13, 1e-12]], np.float32)
    weights = shared().weights(gram, product, 0.1, allow_repeats=True).toarray()
    assert np.isfinite(weights).all()
    assert weights[BUY_CUP, BUY_CUP] == pytest.approx(2.0 / 4.4, rel=0.1)


def test_one_weight_of_a_pair_of_event_types_holds_for_every_asset() -> None:
    gram, product = np.diag([2.0, 4.0]).astype(np.float32), np.array([[1.0, 0.5], [3.0, 2.0]], np.float32)
    weights = shared().weights(gram, product, 0.25, allow_repeats=True).toarray()
    buy_buy, buy_view, view_buy, view_view = 1.0 / 2.5, 0.5 / 2.5, 3.0 / 5.0, 2.0 / 5.0
    expected = np.zeros((5, 5))
    expected[BUY_CUP, [BUY_CUP, VIEW_CUP]] = buy_buy, buy_view
    expected[BUY_POT, [BUY_POT, VIEW_POT]] = buy_buy, buy_view
    expected[VIEW_CUP, [BUY_CUP, VIEW_CUP]] = view_buy, view_view
    expected[VIEW_POT, [BUY_POT, VIEW_POT]] = view_buy, view_view
    expected[VIEW_TEA, VIEW_TEA] = view_view
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_for_discoveries_nothing_leads_to_itself() -> None:
    weights = shared().weights(np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32), 0.0, allow_repeats=False)
    assert not weights.diagonal().any()
    assert weights.nnz == 4


def test_an_event_type_that_never_led_anywhere_has_no_weight() -> None:
    weights = shared().weights(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32), 0.01, allow_repeats=True)
    assert weights.nnz == 0


def test_moments_without_anything_done_sum_to_nothing() -> None:
    gram, product = shared().products(matrix([{}]), matrix([{BUY_CUP: 1.0}]))
    assert not gram.any()
    assert not product.any()


@pytest.mark.parametrize(
    "actions",
    [
        (),
        (Action("view", "cup"), Action("view", "pot")),
        tuple(Action(f"step {number}", "app") for number in range(17)),
    ],
    ids=["no action", "one event type", "one asset with many event types"],
)
def test_there_may_be_nothing_to_share(actions: tuple[Action, ...]) -> None:
    assert SharedAssets.of(actions) is None


@pytest.mark.parametrize("seed", [3, 7])
def test_a_view_of_something_rare_leads_to_buying_it(seed: int) -> None:
    # Given sixty users who, of eighty assets, buy what they viewed two hours before
    random = np.random.default_rng(seed)
    rows = []
    for user in range(60):
        for day in np.sort(random.choice(60, 8, replace=False)).tolist():
            at = NOW - (61 - day) * DAY_SECONDS
            asset = f"asset {random.integers(80)}"
            rows.append((f"u{user}", "view", asset, at))
            if random.random() < 0.8:
                rows.append((f"u{user}", "buy", asset, at + 7_200.0))
    # And one asset that others bought long ago, and that nobody was seen to view and then buy
    rows.append(("u0", "buy", "rare", NOW - 60.5 * DAY_SECONDS))
    rows.append(("u1", "view", "rare", NOW - 60.5 * DAY_SECONDS))
    # And one that was viewed, and that nobody ever bought
    rows.append(("u2", "view", "unsold", NOW - 60.5 * DAY_SECONDS))
    # And one that half of the users viewed, so that it cannot be bought
    rows += [(f"u{user}", "view", "exhibit", NOW - 30.5 * DAY_SECONDS) for user in range(30)]
    # And a search over all kernels, those of hours among them
    model = train(columns_of_rows(rows), program=Program("shop"), now=NOW, seed=1, time_budget_seconds=120.0)
    # When somebody has just viewed it
    history = History.from_events([("view", "asset 7", NOW - 9 * DAY_SECONDS), ("view", "rare", NOW - 600.0)])
    best = recommend(model, history, now=NOW, limit=2, allow_repeats=False)
    # Then buying it comes first
    assert (best[0].event_type, best[0].asset_id) == ("buy", "rare")
    # And buying what nobody bought, though less surely, is among the likeliest after a view of it
    history = History.from_events([("view", "asset 7", NOW - 9 * DAY_SECONDS), ("view", "unsold", NOW - 600.0)])
    after = recommend(model, history, now=NOW, limit=10, allow_repeats=False)
    assert ("buy", "unsold") in [(item.event_type, item.asset_id) for item in after]
    # And buying what cannot be bought is no candidate
    history = History.from_events([("view", "exhibit", NOW - 600.0)])
    everything = recommend(model, history, now=NOW, limit=1_000, allow_repeats=False)
    assert ("buy", "exhibit") not in [(item.event_type, item.asset_id) for item in everything]
