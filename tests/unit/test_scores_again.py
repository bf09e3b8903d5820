"""Scores of a user who is read again: what is kept of their history changes no bit of them."""

from __future__ import annotations

import gc
from weakref import ref

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.scoring import Model
from nextbest.scoring.calibration import ACTIVITY_NAMES, Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Mode, Term
from nextbest.scoring.score import ENTRY_BYTES, UserScores
from nextbest.scoring.unknown import Pooled
from tests.factories import random_influence

NOW = 1_000 * DAY_SECONDS


def model_of(seed: int, size: int) -> Model:
    random = np.random.default_rng(seed)
    pooled = Pooled(np.full(2, 0.3, np.float32), np.full((1, 1), 0.2, np.float32))

    def mode() -> Mode:
        own = random.normal(size=size).astype(np.float32)
        term = Term("own", Kernel(scale=30.0), own, random_influence(random, size, 2.0), pooled=pooled)
        steps = np.arange(2.0)
        calibration = Calibration(steps, steps, 1.0, np.zeros(len(ACTIVITY_NAMES)), 0.0, steps, steps)
        return Mode(random.random(size).astype(np.float32), (term,), calibration, np.zeros(2, np.float32))

    actions = [Action("order", f"a{number}") for number in random.permutation(size + 5)[:size].tolist()]
    return Model(actions, mode(), mode(), 30.0, 14.0, 0.0, NOW)


def history_of(seed: int, size: int) -> History:
    random = np.random.default_rng(seed)
    return History.from_events(("order", f"a{random.integers(size + 5)}", NOW - 3600.0 * n) for n in range(40))


def assert_equal(scores: UserScores, expected: UserScores) -> None:
    for name in ("discoveries", "repeats", "activity"):
        np.testing.assert_array_equal(getattr(scores, name), getattr(expected, name))


def test_a_history_is_scored_alike_whatever_it_was_scored_by_before() -> None:
    # Given two models that know other actions, and one history
    models, history = [model_of(seed, 30) for seed in (1, 2)], history_of(3, 30)
    for moment in (NOW, NOW + 60.0, NOW + DAY_SECONDS):
        for model in (*models, *models):
            # Then its scores are those of an equal history that nobody has seen
            assert_equal(UserScores.of(model, history, now=moment), UserScores.of(model, history_of(3, 30), now=moment))


def test_what_is_kept_of_many_users_makes_room_for_others() -> None:
    # Given users of whom a few fill what may be kept
    size = 400
    model, histories = model_of(4, size), [history_of(seed, size) for seed in range(30)]
    assert len(histories) * 40 * size // 2 * 24 > ENTRY_BYTES  # half of all influences are there, of 24 bytes each
    expected = [UserScores.of(model, history_of(seed, size), now=NOW) for seed in range(30)]
    for _ in range(2):
        for history, scores in zip(histories, expected, strict=True):
            assert_equal(UserScores.of(model, history, now=NOW), scores)


def test_what_is_kept_does_not_keep_a_model_that_nobody_holds() -> None:
    model, history = model_of(5, 30), history_of(6, 30)
    UserScores.of(model, history, now=NOW)
    influence = model.repeats.terms[0].influence
    assert influence is not None
    model_ref, columns_ref = ref(model), ref(influence.columns)
    del model, influence
    gc.collect()
    assert model_ref() is None
    assert columns_ref() is None
