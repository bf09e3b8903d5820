"""The ranking of GetActionRecommendations takes short ways; it gives what a plain reading of all scores gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.personalize.runtime.candidates import Candidates, is_recommended
from nextbest.personalize.runtime.ranking import rank_by_model
from nextbest.scoring import Model
from nextbest.scoring.calibration import ACTIVITY_NAMES, Calibration
from nextbest.scoring.eligibility import withheld_from_all, withheld_places
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Influence, Mode, Term
from nextbest.scoring.score import UserScores
from nextbest.scoring.unknown import Pooled

NOW = 1_000 * DAY_SECONDS
ASSETS = 3_000
"""Enough that a few of the best are looked at in place of a mask over all."""
FAVOURITES = 60


def influence_of(random: np.random.Generator, size: int) -> Influence:
    """Five influences of each action."""
    columns = np.sort(random.integers(size, size=(size, 5)), axis=1).ravel().astype(np.uint16)
    return Influence(np.arange(size + 1) * 5, columns, random.normal(size=size * 5).astype(np.float16), 2.0)


def model_of(random: np.random.Generator, types: tuple[str, ...], *, knows_types: bool) -> Model:
    known = [(event_type, f"a{n}") for event_type in types for n in range(ASSETS) if random.random() < 0.9]
    size = len(known)
    steps = np.sort(random.normal(size=4))

    def mode() -> Mode:
        pooled = Pooled(np.full(len(types) + 1, 0.3, np.float32), np.full((len(types),) * 2, 0.2, np.float32))
        term = Term(
            "own",
            Kernel(scale=30.0),
            random.normal(size=size).astype(np.float32),
            influence_of(random, size),
            pooled=pooled if knows_types else None,
        )
        calibration = Calibration(steps, steps, 1.0, np.zeros(len(ACTIVITY_NAMES)), 0.0, steps, steps)
        # Few different priors, so that many scores are equal; some assets are above all others
        is_favourite = np.array([int(asset_id[1:]) < FAVOURITES for _, asset_id in known])
        prior = np.where(is_favourite, 9.0, random.integers(4, size=size)).astype(np.float32)
        return Mode(prior, (term,), calibration, np.zeros(len(types) + 1, np.float32) if knows_types else None)

    leads = random.random(size) < 0.3 if knows_types else None
    return Model([Action(*action) for action in known], mode(), mode(), 30.0, 14.0, 0.0, NOW, leads_to_first=leads)


def plainly_ranked(
    model: Model, history: History, candidates: Candidates, allowed: NDArray[np.bool_], limit: int
) -> tuple[list[int], list[float], set[int]]:
    """Rows, their likelihoods, and the rows that have any: each action is looked at."""
    user = UserScores.of(model, history, now=NOW)
    unknown = user.inputs.unknown
    actions = [*model.actions, *(unknown.actions if unknown is not None else ())]
    withheld = set(withheld_places(model, history, user.inputs, now=NOW).tolist())
    for_nobody = set(withheld_from_all(model, user.inputs).tolist())
    repeats = dict(zip(user.inputs.done.tolist(), user.repeats.tolist(), strict=True))
    best: dict[int, tuple[float, float]] = {}
    scored: set[int] = set()
    for place, (event_type, asset_id) in enumerate(actions):
        row = candidates.columns.rows.get(asset_id)
        if row is None or not is_recommended(event_type, candidates.item_event_types):
            continue
        if place not in for_nobody:
            scored.add(row)
        if place in withheld or not allowed[row]:
            continue
        again, new = best.get(row, (-np.inf, -np.inf))
        if place in repeats:
            best[row] = (max(again, repeats[place]), new)
        else:
            best[row] = (again, max(new, float(user.discoveries[place])))
    keys = []
    for row, scores in best.items():
        growth = [
            float(mode.calibration.growth(np.array([score]), user.activity)[0]) if score > -np.inf else -np.inf
            for mode, score in zip((model.repeats, model.discoveries), scores, strict=True)
        ]
        score = scores[0] if growth[0] >= growth[1] else scores[1]
        keys.append((-max(growth), -candidates.value[row], -score, -candidates.tie_break[row], row))
    chosen = sorted(keys)[:limit]
    return [key[-1] for key in chosen], [-key[0] for key in chosen], scored


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([("TAKEN",), ("TAKEN", "order"), ("TAKEN", "VIEWED")]),
    st.sampled_from([1.0, 0.95, 0.5, 0.03, 0.0]),
    st.booleans(),
    st.integers(1, 12),
    st.integers(0, 30),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_a_list_is_that_of_a_plain_reading(
    seed: int,
    types: tuple[str, ...],
    share: float,
    without_best: bool,
    limit: int,
    past: int,
    knows_types: bool,
    has_policy: bool,
) -> None:
    # Given a program whose catalogue is in another order than its model, with some assets that the model lacks
    random = np.random.default_rng(seed)
    model = model_of(random, types, knows_types=knows_types)
    if has_policy:
        model = replace(model, done_once=("TAKEN",), never_recommended=types[1:])
    order = random.permutation(ASSETS + 20)[: random.choice([9, ASSETS // 2, ASSETS + 20])]
    fields = {"TIER": "gold"} if random.random() < 0.5 else {}
    catalogue = Catalogue(1, {f"a{n}": Asset(f"a{n}", fields=fields) for n in order.tolist()})
    candidates = Candidates.of(model, catalogue, frozenset())
    history = History.from_events(
        (
            str(random.choice(types)),
            f"a{random.integers(random.choice([FAVOURITES, ASSETS + 20]))}",
            NOW - float(random.integers(90 * 86_400)),
        )
        for _ in range(past)
    )
    allowed = random.random(len(candidates.asset_ids)) < share
    if without_best:  # a filter that leaves out just what would be listed
        rows = np.array([candidates.columns.rows.get(action.asset_id, -1) for action in model.actions])
        scores = UserScores.of(model, history, now=NOW).discoveries[: rows.shape[0]]
        best = rows[scores >= np.sort(scores)[-FAVOURITES]]
        allowed[best[best >= 0]] = False
    # When they are ranked
    ranked = rank_by_model(model, history, candidates, allowed, now=NOW, limit=limit)
    # Then everything is as if each action had been looked at
    expected, likelihoods, scored = plainly_ranked(model, history, candidates, allowed, limit)
    assert list(ranked.rows) == expected
    np.testing.assert_allclose(ranked.likelihoods, likelihoods, rtol=1e-12)
    assert set(np.flatnonzero(ranked.scored).tolist()) == scored
