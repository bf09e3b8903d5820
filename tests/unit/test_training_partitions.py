"""One process and many partitions of users learn the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.programs import GoalEventType, Program
from nextbest.scoring import Model
from nextbest.scoring.calibration import UNINFORMED_RATE
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.training import modes, sample, train, train_partitions
from nextbest.training.context import FitContext
from nextbest.training.learners import Ease, FitTask, ItemLearner, Neighbours, Personal, Prior, SameAsset, Transitions
from nextbest.training.modes import LearnFrom
from nextbest.training.partitions import OnePartition, Partitions
from nextbest.training.ridge import BLOCK_ACTIONS, ActionSystem
from nextbest.training.rows import FitRows
from nextbest.training.sample import SAMPLE_EVENTS, in_sample, sample_share, sampled
from nextbest.training.sums import UsersNow, WhatCameNext, system_of
from nextbest.training.table import EventTable
from tests.factories import columns_of_rows
from tests.partitions import DividedUsers, assert_same_lists, assert_same_model, some_users

NOW = 400 * DAY_SECONDS
PROGRAM = Program("partitions")
GOAL = (GoalEventType("buy", 2.0),)
BOUNDS = [(), (31,), (3, 20, 20, 41, 50, 57)]  # one, two, and seven partitions, one of them without users


def drawn_table(users: int, assets: int, seed: int = 3) -> EventTable:
    """Users who walk through the assets in order, view before they buy, and have a favourite in between."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        begin = int(random.integers(assets))
        for step in range(int(random.integers(1, 25))):
            asset = user % 4 if step % 3 == 2 else (begin + step // 2) % assets
            event_type = "buy" if step % 2 else "view"
            days = 200.0 - 8.0 * step + float(random.random())
            rows.append((f"u{user:03d}", event_type, f"a{asset}", NOW - DAY_SECONDS * days))
    return EventTable.of(columns_of_rows(rows), NOW)


@pytest.fixture(scope="module")
def table() -> EventTable:
    return drawn_table(60, 12)


def context_of(partitions: Partitions, cells: int = 1_000_000, least_events: int = 0) -> FitContext:
    return FitContext(
        partitions, NOW - 60 * DAY_SECONDS, 14.0, cells=cells, least_events=least_events, only_before=True
    )


def times_of_examples(rows: FitRows) -> NDArray[np.float64]:
    return rows.examples.moments.nows


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize(
    ("cells", "least_events", "thinned"), [(1_000_000, 0, False), (1_500, 0, True), (1_500, 9, True)]
)
def test_the_same_rows_are_learned_from(
    table: EventTable, bounds: Sequence[int], cells: int, least_events: int, thinned: bool
) -> None:
    # Given examples that are all learned from, or thinned, or those of busy users
    one = context_of(OnePartition(table), cells, least_events)
    many = context_of(DividedUsers(table, bounds), cells, least_events)
    # Then they are as many, of the same moments
    assert (one.user_count, one.example_count) == (many.user_count, many.example_count)
    assert one.event_counts.tolist() == many.event_counts.tolist()
    times, others = (np.concatenate(context.each(times_of_examples)) for context in (one, many))
    assert len(times) == one.example_count
    assert (len(times) < 400) == thinned
    assert times.tolist() == others.tolist()


@pytest.mark.parametrize("allow_repeats", [True, False])
@pytest.mark.parametrize("kind", [Ease, Transitions, Neighbours, SameAsset])
@pytest.mark.parametrize(
    ("users", "assets", "bounds"),
    [(60, 12, BOUNDS[1]), (60, 12, BOUNDS[2]), (12, 40, (5, 9)), (80, 520, (30,))],
    ids=["two partitions", "seven partitions", "few users", "many actions"],
)
def test_item_weights_are_those_of_one_partition(
    kind: type[ItemLearner], users: int, assets: int, bounds: Sequence[int], allow_repeats: bool
) -> None:
    table = drawn_table(users, assets)
    learner = kind(Kernel(scale=30.0), kind.FIRST_RIDGE)
    one, many = (
        learner.fit(FitTask(context, context.head(9), allow_repeats, per_action=4)).weights
        for context in (context_of(OnePartition(table)), context_of(DividedUsers(table, bounds)))
    )
    assert one.nnz > 0
    assert one.indptr.tolist() == many.indptr.tolist()
    assert one.indices.tolist() == many.indices.tolist()
    np.testing.assert_allclose(one.data, many.data, atol=1e-6)


def test_a_large_product_is_summed_block_by_block() -> None:
    # Given more actions than are multiplied at a time, all of them in the system, and more users than half of them
    table = drawn_table(560, 520)
    assert len(table.actions) > BLOCK_ACTIONS
    one, many = (context_of(partitions) for partitions in (OnePartition(table), DividedUsers(table, (300,))))
    everything = np.arange(len(table.actions))
    for matrices in (UsersNow(Kernel(), everything), WhatCameNext(Kernel(), everything, True)):
        systems = [system_of(context, matrices) for context in (one, many)]
        assert [type(system) for system in systems] == [ActionSystem, ActionSystem]
        [rows] = one.each(matrices)
        x = rows[0].astype(np.float64)
        for system in systems:
            assert isinstance(system, ActionSystem)
            np.testing.assert_allclose(system.gram, (x.T @ x).toarray(), rtol=1e-6, atol=1e-6)
            if system.product is not None:
                np.testing.assert_allclose(system.product, (x.T @ rows[1]).toarray(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bounds", BOUNDS[1:])
def test_popularity_and_timing_are_those_of_one_partition(table: EventTable, bounds: Sequence[int]) -> None:
    one, many = context_of(OnePartition(table)), context_of(DividedUsers(table, bounds))
    for newcomers in (False, True):
        prior = Prior(30.0, newcomers)
        np.testing.assert_allclose(prior.popularity(one), prior.popularity(many), rtol=1e-12)
    timed = Personal(Kernel(scale=30.0), timed=True)
    timings = [timed.fit(FitTask(each, each.head(9), True, per_action=4)).timing for each in (one, many)]
    assert timings[0] is not None
    assert timings[1] is not None
    np.testing.assert_allclose(timings[0].gap_days, timings[1].gap_days, rtol=1e-6)
    np.testing.assert_allclose(timings[0].factors, timings[1].factors, rtol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "cells", "program", "learn_from"),
    [
        (BOUNDS[2], 1_500, PROGRAM, "everyone"),
        (BOUNDS[1], 16_000_000, replace(PROGRAM, goal=GOAL, high_engagement_threshold=9), "highly_engaged"),
    ],
    ids=["seven partitions, thinned", "busy users, with a goal"],
)
def test_a_training_on_partitions_is_that_of_one_process(
    table: EventTable,
    bounds: Sequence[int],
    cells: int,
    program: Program,
    learn_from: LearnFrom,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(modes, "_FITTING_CELLS", cells)
    one, many = (
        train_partitions(each, table, program=program, now=NOW, seed=1, time_budget_seconds=1.0, learn_from=learn_from)
        for each in (OnePartition(table), DividedUsers(table, bounds))
    )
    assert_same_model(one, many)
    assert_same_lists(one, many, table)


def test_without_events_there_is_a_model_all_the_same() -> None:
    nothing = EventTable.of(columns_of_rows([]), NOW)
    one, many = (
        train_partitions(each, nothing, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=1.0)
        for each in (OnePartition(nothing), DividedUsers(nothing, (0,)))
    )
    assert_same_model(one, many)


def test_the_search_is_on_a_sample_and_the_fit_on_everybody(table: EventTable) -> None:
    # Given a sample of two thirds of the users, and an action of the last hour that only the others have taken
    others, sampled = np.arange(0, 60, 3), np.flatnonzero(np.arange(60) % 3)
    everybody = EventTable.from_codes(
        table.user_ids,
        (*table.actions, Action("view", "new")),
        np.append(table.user, others),
        np.append(table.action, np.full(20, len(table.actions))),
        np.append(table.time, np.full(20, NOW - 3600.0)),
    )
    # When a model is trained
    model = train_partitions(
        DividedUsers(everybody, BOUNDS[1]),
        some_users(everybody, sampled),
        program=PROGRAM,
        now=NOW,
        seed=1,
        time_budget_seconds=1.0,
    )
    # Then the report says so, and what was learned is of everybody
    assert [model.report[name] for name in ("users", "tuned_on_users", "events")] == [60, 40, len(everybody.time)]
    assert model.base_rates is not None
    assert model.base_rates[-1] == pytest.approx((20 + UNINFORMED_RATE) / 61)
    assert model.discoveries.prior[-1] > 0.0
    # And the artifact can be served
    assert_same_lists(Model.from_bytes(model.to_bytes()), model, everybody)


def test_a_training_of_many_events_in_one_process_is_tuned_on_the_same_sample(
    table: EventTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given more events than settings are tuned on
    monkeypatch.setattr(sample, "SAMPLE_EVENTS", len(table.time) // 2)
    rows = zip(table.user.tolist(), table.action.tolist(), table.time.tolist(), strict=True)
    events = columns_of_rows([(table.user_ids[user], *table.actions[action], time) for user, action, time in rows])
    # When they are learned from in one process, and in partitions
    one = train(events, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=1.0)
    share = sample_share(len(table.time))
    chosen = sampled(table, share, 1)
    many = train_partitions(
        DividedUsers(table, BOUNDS[1]), chosen, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=1.0
    )
    # Then a part of the users was tuned on, the same in both, with the actions of all
    assert 20 < one.report["tuned_on_users"] == chosen.user_count < 40
    assert chosen.user_ids == [
        table.user_ids[place] for place in np.flatnonzero(in_sample(table.user_ids, share, 1)).tolist()
    ]
    assert one.report["users"] == 60
    assert_same_model(one, many)
    assert_same_lists(one, many, table)


def test_a_sample_is_of_the_users_whom_a_hash_chooses() -> None:
    users = [f"user-{number}" for number in range(4_000)]
    chosen = in_sample(users, 0.25, seed=1)
    # About as many as asked for, the same ones in any division, others for another seed, and more for a larger share
    assert chosen.mean() == pytest.approx(0.25, abs=0.03)
    assert np.append(in_sample(users[:7], 0.25, seed=1), in_sample(users[7:], 0.25, seed=1)).tolist() == chosen.tolist()
    assert in_sample(users, 0.25, seed=2).tolist() != chosen.tolist()
    assert in_sample(users, 0.5, seed=1)[chosen].all()
    assert in_sample(users, 1.0, seed=1).all()
    assert not in_sample(users, 0.0, seed=1).any()


@pytest.mark.parametrize(
    ("events", "share"), [(0, 1.0), (SAMPLE_EVENTS, 1.0), (4 * SAMPLE_EVENTS, 0.25), (1000 * SAMPLE_EVENTS, 0.001)]
)
def test_a_sample_is_everybody_up_to_what_one_process_holds(events: int, share: float) -> None:
    assert sample_share(events) == share
