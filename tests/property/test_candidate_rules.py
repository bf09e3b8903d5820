"""Which actions a program's settings let a user be recommended: in both dialects and in segments, and before a rebase.

What is left is as it would be without the settings: the same weights, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import EventTypeOrder, Program
from nextbest.logic.recommendations import from_history_alone
from nextbest.personalize.runtime.candidates import Candidates
from nextbest.personalize.runtime.ranking import rank_by_history, rank_by_model
from nextbest.scoring import Model, recommend
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.memberships import build_part
from nextbest.scoring.model import Mode, Term
from nextbest.scoring.segment_manifest import GROWTH
from nextbest.scoring.unknown import Pooled
from tests.factories import columns_of_rows

NOW = 1_000 * DAY_SECONDS
TYPES = ("order", "sign_up", "upgrade")
ASSETS = tuple(f"a{number}" for number in range(4))
MANY = 100

types = st.sampled_from([*TYPES, "never seen"])
programs = st.builds(
    Program,
    st.just("shop"),
    never_recommended=st.lists(types, max_size=2).map(tuple),
    done_once=st.lists(types, max_size=2).map(tuple),
    event_type_order=st.lists(
        st.builds(EventTypeOrder, types, st.lists(types, min_size=1, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
)
rows = st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from([*ASSETS, "new"]), st.floats(0.0, NOW)), max_size=8)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Some of the actions, with a prior and weights of their own; unknown actions compete."""
    possible = [Action(event_type, asset_id) for event_type in TYPES for asset_id in ASSETS]
    actions = draw(st.lists(st.sampled_from(possible), min_size=1, unique=True).map(sorted))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = len({event_type for event_type, _ in actions})

    def mode() -> Mode:
        pooled = Pooled(random.random(count + 1).astype(np.float32), random.random((count, count)).astype(np.float32))
        own = random.normal(size=len(actions)).astype(np.float32)
        term = Term("own", Kernel("time", "exponential", 30.0), own, None, None, pooled)
        points = np.linspace(-3, 3, 5)
        calibration = Calibration(points, points, 1.0, np.zeros(3), 0.0, points, points)
        prior = random.random(len(actions)).astype(np.float32)
        return Mode(prior, (term,), calibration, random.random(count + 1).astype(np.float32))

    return Model(actions, mode(), mode(), 365.0, 14.0, 0.0, NOW)


def is_for(program: Program, history: History) -> Callable[[str, str], bool]:
    """The settings, in the words of their description."""
    done = {event_type for event_type, _ in history.actions}

    def allowed(event_type: str, asset_id: str) -> bool:
        if event_type in program.never_recommended:
            return False
        if event_type in program.done_once and Action(event_type, asset_id) in history.actions:
            return False
        rules = [after for ruled, after in program.event_type_order if ruled == event_type]
        return all(done.intersection(after) for after in rules)

    return allowed


def left_of(everything: list[Recommendation], program: Program, history: History) -> list[Recommendation]:
    allowed = is_for(program, history)
    return [entry for entry in everything if allowed(entry.event_type, entry.asset_id)]


@given(models(), programs, rows, st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_is_not_for_the_user_is_left_out_and_nothing_else_changes(
    model: Model, program: Program, events: list[tuple[str, str, float]], allow_repeats: bool
) -> None:
    history = History.from_events(events)
    everything = recommend(model, history, now=NOW, limit=MANY, allow_repeats=allow_repeats)
    expected = left_of(everything, program, history)

    for used in (model.under(program), Model.from_bytes(model.under(program).to_bytes())):
        assert recommend(used, history, now=NOW, limit=MANY, allow_repeats=allow_repeats) == expected
        # Left out before the choice, so a short list is filled with what is weaker
        assert recommend(used, history, now=NOW, limit=2, allow_repeats=allow_repeats) == expected[:2]


@given(programs, rows)
@settings(max_examples=200, deadline=None)
def test_the_same_before_the_first_rebase(program: Program, events: list[tuple[str, str, float]]) -> None:
    history = History.from_events(events)
    plain = replace(program, never_recommended=(), done_once=(), event_type_order=())
    names = [
        [(entry.event_type, entry.asset_id) for entry in entries]
        for entries in (
            from_history_alone(program, history, now=NOW, limit=MANY, allow_repeats=True),
            left_of(from_history_alone(plain, history, now=NOW, limit=MANY, allow_repeats=True), program, history),
        )
    ]
    assert names[0] == names[1]


@given(models(), programs, rows)
@settings(max_examples=200, deadline=None)
def test_the_same_in_personalizes_dialect_where_nothing_withheld_is_explored(
    model: Model, program: Program, events: list[tuple[str, str, float]]
) -> None:
    history = History.from_events(events)
    everything = recommend(model, history, now=NOW, limit=MANY, allow_repeats=True)
    catalogue = Catalogue(1, {asset_id: Asset(asset_id) for asset_id in ("new", *ASSETS)})
    candidates = Candidates.of(model, catalogue, frozenset())
    allowed = np.ones(len(candidates.asset_ids), np.bool_)
    expected: dict[str, float] = {}
    for entry in left_of(everything, program, history):
        expected[entry.asset_id] = max(expected.get(entry.asset_id, 0.0), entry.growth_weight)

    ranked = rank_by_model(model.under(program), history, candidates, allowed, now=NOW, limit=MANY)

    likelihoods = zip(ranked.rows, ranked.likelihoods, strict=True)
    assert {candidates.asset_ids[row]: weight for row, weight in likelihoods} == expected
    known = {
        asset_id
        for event_type, asset_id in (*model.actions, *history.actions)
        if event_type not in program.never_recommended
    }
    explorable = {candidates.asset_ids[row] for row in np.flatnonzero(~ranked.scored).tolist()}
    assert explorable.isdisjoint(known)


@given(programs, rows)
@settings(max_examples=100, deadline=None)
def test_what_was_done_once_is_not_explored_before_the_first_rebase(
    program: Program, events: list[tuple[str, str, float]]
) -> None:
    history = History.from_events(events)
    catalogue = Catalogue(1, {asset_id: Asset(asset_id) for asset_id in ("new", *ASSETS)})
    candidates = Candidates.of(None, catalogue, frozenset())
    allowed = np.ones(len(candidates.asset_ids), np.bool_)

    ranked = rank_by_history(program, history, candidates, allowed, frozenset(), now=NOW, limit=MANY)

    is_allowed = is_for(program, history)
    assert {candidates.asset_ids[row] for row in ranked.rows} == {
        asset_id for event_type, asset_id in history.actions if is_allowed(event_type, asset_id)
    }
    explorable = {candidates.asset_ids[row] for row in np.flatnonzero(~ranked.scored).tolist()}
    once = {asset_id for event_type, asset_id in history.actions if event_type in program.done_once}
    assert explorable.isdisjoint(once)


@given(models(), programs, st.lists(st.tuples(st.sampled_from(["ann", "bo"]), rows), min_size=1, max_size=2))
@settings(max_examples=60, deadline=None)
def test_segments_have_those_who_would_be_recommended_it(
    model: Model, program: Program, users: list[tuple[str, list[tuple[str, str, float]]]]
) -> None:
    log = [(user_id, event_type, asset_id, time) for user_id, events in users for event_type, asset_id, time in events]
    if not log:
        return
    columns = columns_of_rows([(user_id, event_type, asset_id, time) for user_id, event_type, asset_id, time in log])
    timed = {
        **{name: np.array(values, dtype=object) for name, values in columns.items() if name != "timestamp"},
        "timestamp_us": np.array([round(time * 1e6) for *_, time in log], np.int64),
    }
    built = build_part(model.under(program), timed, half_life_days=365, now=NOW)[GROWTH]
    for user_id in built.users:
        history = History.from_events(
            (event_type, asset_id, round(time * 1e6) / 1e6) for who, event_type, asset_id, time in log if who == user_id
        )
        answer = recommend(model.under(program), history, now=NOW, limit=MANY, allow_repeats=True)
        assert {action for action, _ in built.memberships(user_id)} == {
            (entry.event_type, entry.asset_id) for entry in answer
        }
