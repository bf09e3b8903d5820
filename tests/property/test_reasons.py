"""Reasons against the average user: they add up exactly, and there is always a sentence, whatever the names are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nextbest.actionhub.actions import explanation_body
from nextbest.actionhub.errors import render
from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.logic.reasons import Reasoner
from nextbest.scoring import Model, explain
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.model import Mode
from nextbest.training.build import unpack_influence
from tests.property.test_scoring_laws import NOW, events, models

EVERYTHING = 100
HOSTILE = ["<b>Latte</b>", "שלום", "\u202egnitset", '"quoted"', "“quoted”", "a & b", "{name}", "%s", "'; --", "\\u0041"]


@st.composite
def averaged_models(draw: st.DrawFn) -> Model:
    """A model with the inputs of an average user."""
    model = draw(models())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def averaged(mode: Mode) -> Mode:
        size = len(model.actions)
        terms = [replace(term, mean_input=random.random(size).astype(np.float32)) for term in mode.terms]
        return replace(mode, terms=tuple(terms))

    return replace(model, repeats=averaged(model.repeats), discoveries=averaged(model.discoveries))


def average_weights(mode: Mode) -> NDArray[np.float64]:
    """What the average user's input of each action (row) adds to the score of each (column), as a full matrix."""
    size = mode.prior.shape[0]
    total = np.zeros((size, size))
    for term in mode.terms:
        assert term.mean_input is not None
        weights = np.zeros((size, size)) if term.influence is None else unpack_influence(term.influence).toarray()
        own = np.zeros(size) if term.self_weights is None else term.self_weights
        total += term.mean_input.astype(np.float64)[:, None] * (weights + np.diag(own))
    return total


@given(averaged_models(), events)
@settings(max_examples=100, deadline=None)
def test_reasons_add_up_to_the_difference_from_the_average_user(
    model: Model, taken: list[tuple[str, str, float]]
) -> None:
    history = History.from_events(taken)
    done = {place for place in map(model.place_of, history.actions) if place is not None}
    never_done = sorted(set(range(len(model.actions))) - done)
    added_again, added_new = average_weights(model.repeats), average_weights(model.discoveries)
    for place, item in enumerate(explain(model, history, model.actions, now=NOW, strongest=EVERYTHING)):
        mode, added = (model.repeats, added_again) if place in done else (model.discoveries, added_new)
        comparison = item.comparison
        average = float(mode.prior[place]) + added[:, place].sum()
        assert comparison.average_score == pytest.approx(average, rel=1e-4, abs=1e-4)
        own = sum(difference.amount for difference in comparison.differences)
        assert own - added[never_done, place].sum() == pytest.approx(item.score - average, rel=1e-4, abs=1e-4)
        assert own + comparison.other_amount == pytest.approx(item.score - comparison.average_score, abs=1e-9)


@given(averaged_models(), events, st.lists(st.text(min_size=1) | st.sampled_from(HOSTILE), min_size=1))
@settings(max_examples=150, deadline=None)
def test_points_add_up_and_there_is_a_sentence_with_the_names_as_they_are(
    model: Model, taken: list[tuple[str, str, float]], names: list[str]
) -> None:
    history = History.from_events(taken)
    chosen = dict(zip([asset_id for _, asset_id in (*model.actions, *history.actions)], names * 20, strict=False))
    reasoner = Reasoner(history, lambda asset_id: chosen.get(asset_id, asset_id), now=NOW, trained=True)
    for item in explain(model, history, model.actions, now=NOW, strongest=3):
        reasons = reasoner.of(item)
        comparison = item.comparison
        parts = sum(reason.points for reason in reasons.reasons) + reasons.other_points
        difference = 100 * (comparison.growth_weight - comparison.average_growth_weight)
        if abs(item.score - comparison.average_score) > 1e-9:
            assert parts == pytest.approx(difference, abs=1e-6)
        assert reasons.points == difference
        assert len(reasons.sentence) > 20
        assert reasons.sentence.endswith(".")
        body = json.loads(render(explanation_body(item, reasons)))
        assert body["sentence"] == reasons.sentence
        assert [reason["asset_name"] for reason in body["reasons"]] == [
            chosen.get(difference.action.asset_id, difference.action.asset_id) for difference in comparison.differences
        ]
        quoted = reasons.sentence.count("“")
        assert quoted == 0 or any(f"“{reason.asset_name}”" in reasons.sentence for reason in reasons.reasons)


@given(events.filter(bool), st.sampled_from(HOSTILE))
@settings(max_examples=30, deadline=None)
def test_a_model_of_before_compares_with_somebody_who_did_nothing(
    taken: list[tuple[str, str, float]], name: str
) -> None:
    history = History.from_events(taken)
    points = np.array([-1.0, 1.0])
    mode = Mode(np.zeros(1, np.float32), (), Calibration(points, points, 1.0, np.zeros(3), 0.0, points, points), None)
    model = Model([Action("do", "a0")], mode, mode, 30.0, 14.0, 0.0, NOW)
    (item,) = explain(model, history, model.actions, now=NOW)
    reasons = Reasoner(history, lambda _: name, now=NOW, trained=True).of(item)
    assert item.comparison.average_score == item.prior_share
    assert reasons.sentence == "Popular with everyone; nothing in their history speaks for or against it."
