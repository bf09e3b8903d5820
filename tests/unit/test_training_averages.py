"""The average user of a trained model is the average of its users."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, explain
from nextbest.scoring.averages import average_parts
from nextbest.scoring.score import Inputs
from nextbest.training import train
from nextbest.training.build import score_matrix
from nextbest.training.table import EventTable, Moments
from tests.factories import columns_of_events, drink_events, histories_of

NOW = 1_750_000_000.0
EVENTS = drink_events(40, now=NOW)


@pytest.fixture(scope="module")
def model() -> Model:
    columns = columns_of_events(EVENTS)
    return train(columns, program=Program("coffee"), now=NOW, seed=1, time_budget_seconds=5.0)


@pytest.mark.parametrize("name", ["repeats", "discoveries"])
def test_the_average_score_is_the_mean_of_all_users_scores(model: Model, name: str) -> None:
    mode = getattr(model, name)
    table = EventTable.of(columns_of_events(EVENTS), NOW)
    moments = Moments.at(table, np.arange(table.user_count), model.moment(History.empty(), NOW))
    nobody = Inputs.of(model, History.empty(), NOW)

    averages, _ = average_parts(mode, nobody, np.arange(len(model.actions)))

    assert averages == pytest.approx(score_matrix(mode, table, moments).mean(axis=0), rel=1e-4, abs=1e-5)


def test_a_model_that_was_stored_gives_the_same_reasons(model: Model) -> None:
    history = next(iter(histories_of(EVENTS).values()))
    stored = Model.from_bytes(model.to_bytes())
    assert model.repeats.terms
    one, other = (explain(each, history, model.actions, now=NOW) for each in (model, stored))
    assert one == other
    assert any(item.comparison.average_score != item.prior_share for item in one)
