"""Laws of scoring that hold for every model and every history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.scoring import Model, explain, recommend
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Mode, RepeatTiming, Term
from tests.factories import random_influence

NOW = 1_000 * DAY_SECONDS

kernels = st.builds(
    Kernel,
    st.sampled_from(["time", "rank"]),
    st.sampled_from(["exponential", "power"]),
    st.floats(0.25, 400.0),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
events = st.lists(st.tuples(st.just("do"), st.integers(0, 11).map(lambda n: f"a{n}"), st.floats(0.0, NOW)), max_size=30)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A model of up to ten actions; asset a10 and a11 of the histories are never known to it."""
    size = draw(st.integers(1, 10))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def mode() -> Mode:
        terms = []
        for number, kernel in enumerate(draw(st.lists(kernels, max_size=2))):
            influence = random_influence(random, size, float(random.uniform(0.1, 10.0)))
            timing = RepeatTiming(
                random.uniform(1, 50, size).astype(np.float32), np.array([-2.0, 0.0, 2.0]), random.uniform(0.1, 2, 3)
            )
            own = random.normal(size=size).astype(np.float32)
            terms.append(Term(f"term {number}", kernel, own, influence, timing if number else None))
        knots = np.sort(random.normal(size=5))
        levels = np.sort(random.normal(size=5))
        calibration = Calibration(knots, levels, 0.7, random.normal(size=3), -1.0, knots, levels)
        return Mode(random.random(size).astype(np.float32), tuple(terms), calibration)

    actions = [Action("do", f"a{number}") for number in range(size)]
    return Model(actions, mode(), mode(), 30.0, 14.0, 0.0, NOW)


@given(models(), events)
@settings(max_examples=60, deadline=None)
def test_shares_add_up_to_the_score(model: Model, taken: list[tuple[str, str, float]]) -> None:
    history = History.from_events(taken)
    for item in explain(model, history, model.actions, now=NOW, strongest=2):
        parts = item.prior_share + sum(part.share for part in item.contributions) + item.other_share
        assert parts == pytest.approx(item.score, abs=1e-6)


@given(models(), events, st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_answer_is_sorted_distinct_and_a_prefix_of_the_longer_one(
    model: Model, taken: list[tuple[str, str, float]], limit: int, allow_repeats: bool
) -> None:
    history = History.from_events(taken)
    everything = recommend(model, history, now=NOW, limit=100, allow_repeats=allow_repeats)
    answer = recommend(model, history, now=NOW, limit=limit, allow_repeats=allow_repeats)
    assert answer == everything[:limit]
    done = {action.asset_id for action in history.actions}
    for again in (True, False):  # scores of what was done and of what was not are not comparable
        scores = [item.score for item in everything if (item.asset_id in done) == again]
        assert scores == sorted(scores, reverse=True)
    growth = [item.growth_weight for item in everything]
    assert growth == sorted(growth, reverse=True)
    assert all(0.0 <= weight <= 1.0 for weight in growth)
    assert len({item.asset_id for item in everything}) == len(everything)


@given(models(), events)
@settings(max_examples=60, deadline=None)
def test_discoveries_were_never_done_and_repeats_leave_nothing_out(
    model: Model, taken: list[tuple[str, str, float]]
) -> None:
    history = History.from_events(taken)
    done = {action.asset_id for action in history.actions}
    known = {action.asset_id for action in model.actions}
    for allow_repeats, expected in ((True, known), (False, known - done)):
        answer = recommend(model, history, now=NOW, limit=100, allow_repeats=allow_repeats)
        assert {item.asset_id for item in answer} == expected


@given(models(), events, st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_file_changes_no_answer(model: Model, taken: list[tuple[str, str, float]], allow_repeats: bool) -> None:
    history = History.from_events(taken)
    again = Model.from_bytes(model.to_bytes())
    one, other = (recommend(each, history, now=NOW, limit=100, allow_repeats=allow_repeats) for each in (model, again))
    assert one == other


@given(models(), events, st.lists(st.booleans(), min_size=10, max_size=10))
@settings(max_examples=60, deadline=None)
def test_a_masked_action_never_appears(model: Model, taken: list[tuple[str, str, float]], chosen: list[bool]) -> None:
    allowed = np.array(chosen[: len(model.actions)])
    answer = recommend(model, History.from_events(taken), now=NOW, limit=100, allow_repeats=True, allowed=allowed)
    assert {item.asset_id for item in answer} == {
        action.asset_id for action, kept in zip(model.actions, allowed.tolist(), strict=True) if kept
    }
