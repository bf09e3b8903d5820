"""What leads to an action and what it leads to, in a model that was written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.scoring import Model, recommend
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.leads import leads_of
from nextbest.scoring.model import Influence, Mode, Term

NOW = 100 * DAY_SECONDS
CUP, POT, TEA = Action("buy", "cup"), Action("buy", "pot"), Action("buy", "tea")
IDENTITY = np.array([-20.0, 20.0])


@pytest.fixture
def model() -> Model:
    """Tea leads to the cup (0.5) and the pot (0.25), in two terms; the cup keeps people from the pot (-0.5). Score 0
    means logit -2, score 1 logit 2."""
    whole = Influence(np.array([0, 1, 1, 2]), np.array([1, 0], np.uint16), np.array([-1.0, 0.5], np.float16), 0.5)
    rest = Influence(np.array([0, 0, 0, 2]), np.array([0, 1], np.uint16), np.array([0.25, 0.25], np.float16), 1.0)
    kernels = Kernel("time", "exponential", 10.0), Kernel("rank", "power", 1.0, 0.5)
    prior = np.array([0.0, 0.1, 0.05], np.float32)
    calibration = Calibration(np.array([0.0, 1.0]), np.array([-2.0, 2.0]), 1.0, np.zeros(3), 0.0, IDENTITY, IDENTITY)
    own = np.full(3, 0.4, np.float32)
    repeats = Mode(prior, (Term("a", kernels[0], own, whole), Term("b", kernels[1], None, rest)), calibration)
    discoveries = Mode(prior, (Term("a", kernels[0], None, whole), Term("b", kernels[1], None, rest)), calibration)
    return Model([CUP, POT, TEA], repeats, discoveries, 10.0, 14.0, 0.0, NOW)


def probability(score: float) -> float:
    return float(1 / (1 + np.exp(2.0 - 4.0 * score)))


def test_influences_are_read_in_both_directions_the_strongest_first(model: Model) -> None:
    onto_pot = leads_of(model, POT, again=False, now=NOW, limit=10)
    of_tea = leads_of(model, TEA, again=False, now=NOW, limit=10)

    assert [(lead.action, lead.weight) for lead in onto_pot.causes] == [(CUP, -0.5), (TEA, 0.25)]
    assert onto_pot.effects == ()
    assert [(lead.action, lead.weight) for lead in of_tea.effects] == [(CUP, 0.5), (POT, 0.25)]
    assert of_tea.causes == ()
    assert [lead.action for lead in leads_of(model, POT, again=False, now=NOW, limit=1).causes] == [CUP]


def test_probabilities_are_those_of_somebody_who_did_just_that(model: Model) -> None:
    cup, tea = leads_of(model, POT, again=False, now=NOW, limit=10).causes

    assert cup.growth_weight == pytest.approx(probability(0.0))  # 0.1 - 0.5, under the lowest known score
    assert tea.growth_weight == pytest.approx(probability(0.35))
    assert cup.baseline == tea.baseline == pytest.approx(probability(0.1))
    history = History.from_events([(*TEA, NOW)])
    recommended = recommend(model, history, now=NOW, limit=3, allow_repeats=False)
    assert {entry.asset_id: entry.growth_weight for entry in recommended}["pot"] == tea.growth_weight


def test_again_compares_with_somebody_who_did_it_once(model: Model) -> None:
    (cup, tea) = leads_of(model, POT, again=True, now=NOW, limit=10).causes

    assert (cup.action, cup.weight) == (CUP, -0.5)
    assert cup.growth_weight == pytest.approx(probability(0.0))  # 0.1 + 0.4 - 0.5
    assert tea.growth_weight == pytest.approx(probability(0.75))
    assert cup.baseline == tea.baseline == pytest.approx(probability(0.5))
