"""Plans and reports that the function ``rebase`` computes: what became impossible meanwhile fails no invocation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nextbest.domain.experiments import Experiment, ExperimentKind, ExperimentState
from nextbest.store.base import ExperimentChange
from tests.functions.conftest import PROGRAM, Functions

DRAFT = Experiment("lift", "Lift", ExperimentKind.HOLDOUT, 0.1, 14, 1.0, least_effect=0.1)


def invoke(functions: Functions, **job: str) -> Any:
    return functions.answer("rebase", {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation, **job})


def test_an_experiment_that_was_started_before_its_plan_was_made_keeps_none(
    functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    functions.store.create_experiment(PROGRAM.incarnation, DRAFT)
    assert invoke(functions, plan="lift") == {"users": None}
    plan = functions.store.experiment(PROGRAM.incarnation, "lift").plan
    assert plan is not None and plan.reason.startswith("fewer than 100 users")
    functions.store.change_experiment(
        PROGRAM.incarnation,
        "lift",
        lambda _, before: ExperimentChange(replace(before, state=ExperimentState.RUNNING, started_at=2.0)),
    )

    assert invoke(functions, plan="lift") == {"users": None}

    assert functions.store.experiment(PROGRAM.incarnation, "lift").plan == plan
    assert "not planned" in caplog.text


def test_a_model_that_was_deleted_before_the_report_is_said_in_the_log(
    functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    assert invoke(functions, decisions="report") == {"decisions": 0}
    assert invoke(functions, decisions="report", model_version="1764396000000-0123456789ab") == {"decisions": None}
    assert "decisions not reported" in caplog.text
