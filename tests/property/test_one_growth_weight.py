"""A user and an action have one growth weight at a time: in every list, dialect, segment and explanation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.logic.recommendations import from_history_alone
from nextbest.personalize.runtime.candidates import Candidates
from nextbest.personalize.runtime.ranking import rank_by_history, rank_by_model
from nextbest.scoring import Model, explain, recommend
from nextbest.scoring.calibration import ACTIVITY_NAMES, Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.memberships import build_part
from nextbest.scoring.model import Mode, RepeatTiming, Term
from nextbest.scoring.segment_manifest import DISCOVERY, GROWTH
from nextbest.scoring.unknown import Pooled
from tests.factories import columns_of_rows, random_influence

NOW = 1_000 * DAY_SECONDS
TYPES = ("buy", "see")
ASSETS = tuple(f"a{number}" for number in range(6))
EVERYTHING = [Action(event_type, asset_id) for event_type in TYPES for asset_id in ASSETS]
MANY = 1_000

# Whole seconds, since segments read microseconds; few, so that some events have equal times.
events = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from(ASSETS), st.integers(0, 40).map(lambda n: NOW - n * 7_919.0)),
    max_size=25,
)
kernels = st.builds(Kernel, st.sampled_from(["time", "rank"]), st.just("exponential"), st.floats(0.5, 90.0))


def calibration(random: np.random.Generator) -> Calibration:
    """A map that is flat in places, so that many growth weights are equal."""
    knots, levels = np.sort(random.normal(size=4)), np.sort(random.normal(size=4))
    levels[1] = levels[2]
    seen = np.sort(random.normal(size=(2, len(ACTIVITY_NAMES))), axis=0)
    coefficients = random.normal(size=len(ACTIVITY_NAMES))
    anywhen = Calibration(knots, levels, 0.7, coefficients, -1.0, np.sort(levels), levels, seen)
    return (
        replace(anywhen, after_event=replace(anywhen, slope=1.3, intercept=1.0)) if random.random() < 0.5 else anywhen
    )


def mode(random: np.random.Generator, size: int, chosen: list[Kernel]) -> Mode:
    terms = []
    for number, kernel in enumerate(chosen):
        influence = random_influence(random, size, 2.0)
        timing = RepeatTiming(
            random.uniform(1, 50, size).astype(np.float32), np.array([-2.0, 2.0]), random.uniform(0.1, 2, 2)
        )
        links = random.normal(size=(2, 2)).astype(np.float32)
        np.fill_diagonal(links, 0.0)
        first_time = links * 0.5 if random.random() < 0.5 else None
        pooled = Pooled(random.normal(size=3).astype(np.float32), links, 20.0, first_time)
        own = random.normal(size=size).astype(np.float32)
        terms.append(Term(f"term {number}", kernel, own, influence, timing if number else None, pooled))
    prior = random.random(size).astype(np.float32)
    return Mode(prior, tuple(terms), calibration(random), random.random(3).astype(np.float32))


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A model that knows some of the actions; both event types are known."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    left_out = draw(st.sets(st.sampled_from(EVERYTHING[1:-1]), max_size=8))
    actions = [action for action in EVERYTHING if action not in left_out]
    chosen = draw(st.lists(kernels, min_size=1, max_size=2))
    repeats, discoveries = (mode(random, len(actions), chosen) for _ in range(2))
    never = draw(st.sampled_from([(), ("see",)]))
    leads = random.random(len(actions)) < 0.5 if draw(st.booleans()) else None
    return Model(actions, repeats, discoveries, 30.0, 14.0, 0.0, NOW, never_recommended=never, leads_to_first=leads)


def growth_of(answer: Iterable[Recommendation]) -> dict[Action, float]:
    return {Action(item.event_type, item.asset_id): item.growth_weight for item in answer}


@given(models(), events, st.integers(1, 12), st.lists(st.booleans(), min_size=12, max_size=12))
@settings(max_examples=150, deadline=None)
def test_lists_give_an_action_the_same_weight(
    model: Model, taken: list[tuple[str, str, float]], limit: int, chosen: list[bool]
) -> None:
    history = History.from_events(taken)
    everything = growth_of(recommend(model, history, now=NOW, limit=MANY, allow_repeats=True))
    values = np.linspace(0.1, 9.0, len(model.actions))
    allowed = np.array(chosen[: len(model.actions)])
    for allow_repeats in (True, False):
        # Then a list is that of all actions, without what may not be repeated
        expected = {
            action: weight
            for action, weight in everything.items()
            if allow_repeats or action not in set(history.actions)
        }
        assert growth_of(recommend(model, history, now=NOW, limit=MANY, allow_repeats=allow_repeats)) == expected
        # And shorter, masked, and valued lists take the same weights from it
        for answer in (
            recommend(model, history, now=NOW, limit=limit, allow_repeats=allow_repeats),
            recommend(model, history, now=NOW, limit=limit, allow_repeats=allow_repeats, allowed=allowed),
            recommend(model, history, now=NOW, limit=limit, allow_repeats=allow_repeats, values=values),
        ):
            assert growth_of(answer).items() <= expected.items()


@given(models(), events)
@settings(max_examples=100, deadline=None)
def test_a_list_is_in_the_order_of_its_weights_and_equal_ones_in_that_of_their_scores(
    model: Model, taken: list[tuple[str, str, float]]
) -> None:
    history = History.from_events(taken)
    answer = recommend(model, history, now=NOW, limit=MANY, allow_repeats=True)
    for is_done in (True, False):
        kind = [item for item in answer if (Action(item.event_type, item.asset_id) in history.actions) == is_done]
        assert [item.score for item in kind] == sorted((item.score for item in kind), reverse=True)
    weights = [item.growth_weight for item in answer]
    assert weights == pytest.approx(sorted(weights, reverse=True), rel=1e-12)


@given(models(), events)
@settings(max_examples=100, deadline=None)
def test_segments_hold_the_same_weights(model: Model, taken: list[tuple[str, str, float]]) -> None:
    columns = {
        name: np.array(column, object)
        for name, column in columns_of_rows([("ann", *row) for row in dict.fromkeys(taken)]).items()
    }
    columns["timestamp_us"] = np.array([round(time * 1e6) for time in columns.pop("timestamp")], np.int64)
    segments = build_part(model, columns, half_life_days=30.0, now=NOW)
    for kind, allow_repeats in ((GROWTH, True), (DISCOVERY, False)):
        answer = recommend(model, History.from_events(taken), now=NOW, limit=100, allow_repeats=allow_repeats)
        assert dict(segments[kind].memberships("ann")) == (growth_of(answer) if taken else {})


@given(models(), events)
@settings(max_examples=100, deadline=None)
def test_explanations_are_of_the_score_that_gave_the_weight(model: Model, taken: list[tuple[str, str, float]]) -> None:
    history = History.from_events(taken)
    for allow_repeats in (True, False):
        answer = recommend(model, history, now=NOW, limit=MANY, allow_repeats=allow_repeats)
        actions = [Action(item.event_type, item.asset_id) for item in answer]
        for item, reason in zip(answer, explain(model, history, actions, now=NOW, strongest=2), strict=True):
            assert reason.score == item.score
            parts = reason.prior_share + sum(part.share for part in reason.contributions) + reason.other_share
            assert parts == pytest.approx(item.score, abs=1e-6)


@given(models(), events, st.sets(st.sampled_from(ASSETS), min_size=1), st.booleans(), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_both_dialects_give_the_same_weights(
    model: Model, taken: list[tuple[str, str, float]], dataset: set[str], valued: bool, limit: int
) -> None:
    history = History.from_events(taken)
    fields = {asset_id: {"VALUE": place} for place, asset_id in enumerate(sorted(dataset))} if valued else {}
    catalogue = Catalogue(1, {asset: Asset(asset, fields=fields.get(asset, {})) for asset in dataset})
    candidates = Candidates.of(model, catalogue, frozenset())
    everyone = np.ones(len(candidates.asset_ids), np.bool_)
    ranked = rank_by_model(model, history, candidates, everyone, now=NOW, limit=limit)
    # Then an asset is as likely as the likeliest of its actions
    best: dict[str, float] = {}
    for action, weight in growth_of(recommend(model, history, now=NOW, limit=MANY, allow_repeats=True)).items():
        if action.asset_id in candidates.columns.rows:
            best[action.asset_id] = max(best.get(action.asset_id, 0.0), weight)
    assert list(ranked.likelihoods) == sorted(best.values(), reverse=True)[:limit]
    assert all(
        best[candidates.asset_ids[row]] == weight for row, weight in zip(ranked.rows, ranked.likelihoods, strict=True)
    )


@given(events)
@settings(max_examples=60, deadline=None)
def test_before_the_first_rebase_both_dialects_agree(taken: list[tuple[str, str, float]]) -> None:
    program, history = Program("new"), History.from_events(taken)
    candidates = Candidates.of(None, Catalogue(1, {asset: Asset(asset) for asset in ASSETS}), frozenset())
    everyone = np.ones(len(candidates.asset_ids), np.bool_)
    ranked = rank_by_history(program, history, candidates, everyone, frozenset(), now=NOW, limit=MANY)
    best: dict[str, float] = {}
    for item in from_history_alone(program, history, now=NOW, limit=MANY, allow_repeats=True):
        best[item.asset_id] = max(best.get(item.asset_id, 0.0), item.growth_weight)
    found = dict(zip((candidates.asset_ids[row] for row in ranked.rows), ranked.likelihoods, strict=True))
    assert found == {asset_id: weight for asset_id, weight in best.items() if weight > 0.0}
