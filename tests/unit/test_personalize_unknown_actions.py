"""GetActionRecommendations: actions that the model does not know, and event types that are never recommended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.personalize.runtime.candidates import Candidates
from nextbest.personalize.runtime.ranking import rank_by_history, rank_by_model
from nextbest.scoring import Model
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Mode, Term
from nextbest.scoring.unknown import Pooled

NOW = 100 * DAY_SECONDS
SAME = np.array([-20.0, 20.0])
TAKEN, VIEWED = "TAKEN", "VIEWED"


def model() -> Model:
    """Knows one offer, taken. Viewing leads to taking."""
    pooled = Pooled(np.array([0.4, 0.1, 0.3], np.float32), np.array([[0.0, 0.0], [0.2, 0.0]], np.float32))
    term = Term("own", Kernel("time", "exponential", 10.0), np.full(2, 0.4, np.float32), None, None, pooled)
    calibration = Calibration(np.array([0.0, 1.0]), np.array([-4.0, 1.0]), 1.0, np.zeros(3), 0.0, SAME, SAME)
    mode = Mode(np.array([0.1, 0.0], np.float32), (term,), calibration, np.zeros(3, np.float32))
    return Model([Action(TAKEN, "old"), Action(VIEWED, "old")], mode, mode, 10.0, 14.0, 0.0, NOW)


def ranked(history: History, catalogue: Catalogue, of: Model | None = None) -> dict[str, float]:
    used = of or model()
    candidates = Candidates.of(used, catalogue, frozenset())
    answer = rank_by_model(used, history, candidates, np.ones(len(candidates.asset_ids), np.bool_), now=NOW, limit=5)
    return dict(zip((candidates.asset_ids[row] for row in answer.rows), answer.likelihoods, strict=True))


def catalogue(*asset_ids: str) -> Catalogue:
    """An Actions dataset."""
    return Catalogue(1, {asset_id: Asset(asset_id, fields={"TIER": "Gold"}) for asset_id in asset_ids})


TOOK_NEW = History.from_events([(TAKEN, "new", NOW)])


def test_an_action_taken_first_since_the_last_rebase_competes() -> None:
    # Given a new offer of the dataset, taken now: 1 · 0.4 against the old one's prior of 0.1
    answer = ranked(TOOK_NEW, catalogue("old", "new", "other"))
    assert list(answer) == ["new", "old"]
    assert answer["new"] == pytest.approx(1 / (1 + np.exp(4.0 - 5.0 * 0.4)))


def test_a_view_of_it_makes_it_a_candidate_by_what_views_lead_to() -> None:
    answer = ranked(History.from_events([(VIEWED, "new", NOW)]), catalogue("old", "new"))
    assert list(answer) == ["new", "old"]


def test_what_is_not_in_the_dataset_stays_out() -> None:
    assert list(ranked(TOOK_NEW, catalogue("old"))) == ["old"]
    assert Candidates.of(model(), catalogue("old"), frozenset()).new_assets(model(), TOOK_NEW) == []


def test_what_the_model_knows_and_the_dataset_lacks_stays_out() -> None:
    took_old = History.from_events([(TAKEN, "old", NOW)])

    assert ranked(took_old, catalogue("new")) == {}
    assert ranked(History.empty(), catalogue("new")) == {}
    assert list(Candidates.of(model(), catalogue("new"), frozenset()).asset_ids) == ["new"]


def test_assets_that_were_only_named_make_no_dataset() -> None:
    # Given one asset with a name and a label, as ActionHub puts it
    named = Catalogue(1, {"named": Asset("named", "Named", ("label",))})
    candidates = Candidates.of(model(), named, frozenset())

    assert set(candidates.asset_ids) == {"old", "named"}
    assert candidates.new_assets(model(), TOOK_NEW) == ["new"]
    # And it is no action of a dataset that comes later
    both = Catalogue(2, {**named.assets, **catalogue("new").assets})
    assert Candidates.of(model(), both, frozenset()).asset_ids == ["new"]


def test_an_item_is_no_new_asset() -> None:
    items = Catalogue(1, {"new": Asset("new", fields={"ITEM_ID": "new"})})

    assert Candidates.of(model(), items, frozenset()).new_assets(model(), TOOK_NEW) == []
    assert Candidates.of(None, items, frozenset()).new_assets(None, TOOK_NEW) == []


def test_without_a_dataset_new_assets_are_named() -> None:
    candidates = Candidates.of(model(), catalogue(), frozenset())
    assert candidates.new_assets(model(), TOOK_NEW) == ["new"]
    assert candidates.new_assets(model(), History.from_events([(VIEWED, "new", NOW), (TAKEN, "old", NOW)])) == []


def test_event_types_that_are_never_recommended_make_no_candidates() -> None:
    never = replace(model(), never_recommended=(TAKEN,))
    assert ranked(TOOK_NEW, catalogue("old", "new"), never) == {}


def test_before_the_first_rebase_equally_likely_actions_are_in_the_order_of_their_weight() -> None:
    # Each was taken once, so all are as likely; the latest weighs most
    latest_first = [f"offer-{place}" for place in (3, 1, 4, 0, 5, 2)]
    history = History.from_events([(TAKEN, name, NOW - days * DAY_SECONDS) for days, name in enumerate(latest_first)])
    candidates = Candidates.of(None, catalogue(*latest_first), frozenset())
    everything = np.ones(len(candidates.asset_ids), np.bool_)
    answer = rank_by_history(Program("shop"), history, candidates, everything, frozenset(), now=NOW, limit=6)
    assert [candidates.asset_ids[row] for row in answer.rows] == latest_first
    assert len(set(answer.likelihoods)) == 1
