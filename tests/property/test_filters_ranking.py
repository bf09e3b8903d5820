"""Filters come before the cut: a filter never shortens a list that enough actions qualify for."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset, FieldValue
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.filters import Interactions, Schema, bind, evaluate, parse
from nextbest.personalize.datasets.sources import ACTION_ID
from nextbest.personalize.runtime.candidates import Candidates
from nextbest.personalize.runtime.exploration import explore
from nextbest.personalize.runtime.ranking import rank_by_model
from nextbest.scoring import Model
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import Kernel
from nextbest.scoring.model import Influence, Mode, Term

NOW = 1_700_000_000.0
SAME = np.array([-20.0, 20.0])
TIERS = ["gold", "silver", "gold|silver"]
FILTERS = [
    'INCLUDE ActionID WHERE Actions.TIER IN ("gold")',
    'EXCLUDE ActionID WHERE Actions.TIER IN ("gold")',
    "EXCLUDE ActionID WHERE Actions.VALUE < 4",
    'INCLUDE ActionID WHERE Actions.VALUE >= 2 AND Actions.TIER NOT IN ("silver")',
    'INCLUDE ActionID WHERE Actions.TIER IN ("silver") | EXCLUDE ActionID WHERE Actions.VALUE = 1',
]


def model_of(priors: list[float]) -> Model:
    """Knows an action for each prior, and that nothing leads to anything: everybody gets the prior's order."""
    size = len(priors)
    nothing = Influence(np.zeros(size + 1, np.int64), np.array([], np.uint16), np.array([], np.float16), 1.0)
    calibration = Calibration(np.array([0.0, 1.0]), np.array([-2.0, 2.0]), 1.0, np.zeros(3), 0.0, SAME, SAME)
    term = Term("own", Kernel("time", "exponential", 10.0), np.zeros(size, np.float32), nothing)
    mode = Mode(np.array(priors, np.float32), (term,), calibration)
    actions = [Action("TAKEN", f"asset {number:02}") for number in range(size)]
    return Model(actions, mode, mode, 10.0, 14.0, 0.0, NOW)


rows_of_fields = st.fixed_dictionaries({}, optional={"TIER": st.sampled_from(TIERS), "VALUE": st.integers(1, 6)})


@given(
    rows=st.lists(rows_of_fields, min_size=1, max_size=20),
    priors=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9]), min_size=1, max_size=20),
    text=st.sampled_from(FILTERS),
    limit=st.integers(1, 12),
)
@settings(max_examples=120, deadline=None)
def test_a_filtered_list_is_as_long_as_what_qualifies_allows(
    rows: list[dict[str, FieldValue]], priors: list[float], text: str, limit: int
) -> None:
    # Given a model that knows the first assets of a catalogue, and a filter
    ids = [f"asset {number:02}" for number in range(len(rows))]
    assets = {
        asset_id: Asset(asset_id, fields={ACTION_ID: asset_id, **row}) for asset_id, row in zip(ids, rows, strict=True)
    }
    catalogue = Catalogue(1, assets)
    candidates = Candidates.of(model := model_of(priors[: len(rows)]), catalogue, frozenset())
    bound = bind(parse(text), Schema.undeclared())
    allowed = evaluate(bound, {}, candidates.columns, interactions=Interactions(), user=None)

    # When the list is made, and the one without a filter or a limit
    ranked = rank_by_model(model, History.empty(), candidates, allowed, now=NOW, limit=limit)
    pool = np.flatnonzero(allowed & ~ranked.scored).tolist()
    explored = explore(pool, learned=len(ranked.rows), limit=limit, weight=0.3, random=partial(Random, 7))
    everything = np.ones(len(rows), np.bool_)
    whole = rank_by_model(model, History.empty(), candidates, everything, now=NOW, limit=len(rows))

    # Then it has as many as qualify, up to the limit, and the scored ones are the best that qualify
    listed = [*ranked.rows[: explored.learned], *explored.rows]
    assert len(set(listed)) == len(listed) == min(limit, int(allowed.sum()))
    assert bool(allowed[listed].all())
    assert list(ranked.rows) == [row for row in whole.rows if allowed[row]][:limit]
