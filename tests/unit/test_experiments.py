"""Who is in which variant of an experiment, and what experiments can run beside one another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from nextbest.domain.experiments import (
    MAX_RUNNING,
    ChallengerSettings,
    Experiment,
    ExperimentKind,
    ExperimentState,
    HoldoutList,
    assignment_of,
    conflict_of,
    number_of,
    variants_of,
)

USERS = [f"user-{number}" for number in range(20_000)]


def experiment(experiment_id: str, *, kind: str = "holdout", share: float = 0.5, **fields: Any) -> Experiment:
    running = Experiment(
        experiment_id, experiment_id, ExperimentKind(kind), share, 14, created_at=1.0, state=ExperimentState.RUNNING
    )
    return replace(running, **fields)


def challenger(experiment_id: str, settings: ChallengerSettings, share: float = 0.5) -> Experiment:
    return experiment(experiment_id, kind="challenger", share=share, challenger=settings)


@pytest.mark.parametrize(
    ("experiment_id", "user_id", "number"),
    [
        ("holdout", "ann", 0.36311134358758),
        ("holdout", "bob", 0.26684511800109156),
        ("price", "ann", 0.10953085839696419),
        ("price", "Zoë", 0.6357891002516367),
    ],
)
def test_numbers_of_users_never_change(experiment_id: str, user_id: str, number: float) -> None:
    assert number_of(experiment_id, user_id) == number


@pytest.mark.parametrize("experiment_id", ["a", "b", "holdout-2026", "price"])
def test_numbers_of_users_are_uniform(experiment_id: str) -> None:
    counts, _ = np.histogram([number_of(experiment_id, user) for user in USERS], bins=50, range=(0.0, 1.0))
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("price", "price2"), ("a", "aa")])
def test_experiments_are_independent(first: str, second: str) -> None:
    table = np.zeros((5, 5))
    for user in USERS:
        table[int(5 * number_of(first, user)), int(5 * number_of(second, user))] += 1
    assert chi2_contingency(table).pvalue > 0.001


def test_a_share_is_the_share_of_users() -> None:
    held_out = sum(experiment("e", share=0.1).variant_of(user).is_treatment for user in USERS)
    assert held_out == pytest.approx(2_000, abs=130)  # three standard deviations


def test_a_larger_share_leaves_everybody_in_the_treatment_who_was_in_it() -> None:
    before, after = (
        {user for user in USERS if experiment("e", share=share).variant_of(user).is_treatment} for share in (0.1, 0.3)
    )
    assert before < after


def test_variants_are_of_the_experiments_that_run() -> None:
    experiments = [
        experiment("draft", state=ExperimentState.DRAFT),
        experiment("running", share=0.4),
        experiment("over", state=ExperimentState.STOPPED),
    ]
    names = {user: {key: variant.name for key, variant in variants_of(experiments, user).items()} for user in USERS}
    assert {tuple(variants.items()) for variants in names.values()} == {
        (("running", "holdout"),),
        (("running", "model"),),
    }
    assert variants_of([], "ann") == {}


def test_who_is_held_out_is_in_no_other_experiment() -> None:
    experiments = [
        challenger("floor", ChallengerSettings(action_weight_floor=0.1)),
        experiment("holdout", share=0.2, holdout_list=HoldoutList.NOTHING),
    ]
    for user in USERS[:1000]:
        assignment = assignment_of(experiments, user)
        if number_of("holdout", user) < 0.2:
            assert assignment.variants == {"holdout": "holdout"}
            assert assignment.holdout_list is HoldoutList.NOTHING
            assert not assignment.settings.names
        else:
            assert set(assignment.variants) == {"floor", "holdout"}
            assert assignment.variants["holdout"] == "model"
            assert assignment.holdout_list is None


def test_a_user_is_served_what_all_their_challengers_change() -> None:
    first = ChallengerSettings(action_weight_floor=0.1, never_recommended=("a", "b", "a"))
    second = ChallengerSettings(model_version="2", allow_repeats=False)
    experiments = [challenger("one", first, share=0.999999), challenger("two", second, share=0.999999)]
    assert assignment_of(experiments, "ann").settings == ChallengerSettings(
        "2", None, 0.1, never_recommended=("a", "b"), allow_repeats=False
    )


def test_champions_are_served_as_usual() -> None:
    assignment = assignment_of([challenger("one", ChallengerSettings("2"), share=1e-9)], "ann")
    assert assignment.variants == {"one": "champion"}
    assert assignment.settings == ChallengerSettings()


@pytest.mark.parametrize(
    "written",
    [
        experiment("e", holdout_list=HoldoutList.NOTHING, started_at=3.5),
        challenger("e", ChallengerSettings("1", 0.5, 0.0, ("buy",), (), False)),
    ],
)
def test_experiments_are_read_as_they_were_written(written: Experiment) -> None:
    read = Experiment.from_json(json.loads(json.dumps(written.to_json())))
    assert read == written
    assert (read.kind, read.state, read.holdout_list) == (written.kind, written.state, written.holdout_list)


def test_settings_that_turn_something_off_are_changes() -> None:
    settings = ChallengerSettings(
        exploration_weight=0.0, action_weight_floor=0.0, never_recommended=(), allow_repeats=False
    )
    assert settings.names == {"exploration_weight", "action_weight_floor", "never_recommended", "allow_repeats"}
    assert settings.to_json()["never_recommended"] == ()


FLOOR = challenger("floor", ChallengerSettings(action_weight_floor=0.1))


@pytest.mark.parametrize(
    ("running", "problem"),
    [
        ([], None),
        ([experiment("holdout")], None),
        ([challenger("other", ChallengerSettings("1"))], None),
        ([challenger("other", ChallengerSettings("1", action_weight_floor=0.2))], "changes action_weight_floor too"),
        ([challenger(f"{number}", ChallengerSettings()) for number in range(MAX_RUNNING)], "at most 3"),
    ],
)
def test_challengers_run_beside_what_they_do_not_collide_with(running: list[Experiment], problem: str | None) -> None:
    conflict = conflict_of(FLOOR, running)
    assert conflict is None if problem is None else problem in (conflict or "")


def test_one_holdout_runs_at_a_time() -> None:
    assert "two would dilute each other" in (conflict_of(experiment("a"), [experiment("b")]) or "")
    assert conflict_of(experiment("a"), [FLOOR]) is None
