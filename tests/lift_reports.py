"""Reports of experiments, computed from made-up decisions and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.experiments import Experiment
from nextbest.lift.columns import ColumnsBuilder
from nextbest.lift.report import report_experiment

_ENTRY_DAYS = 10.0
"""All users enter within so many days after the start."""


def report_of(
    experiment: Experiment, program_id: str, *, rates: tuple[float, float], users: int, now: float
) -> Mapping[str, Any]:
    """The report of an experiment that was started, half of whose users are in its treatment, as it is stored.

    The users of treatment and control have outcomes at these ``rates``; one of two had some before the start.
    """
    assert experiment.started_at is not None
    random, names = np.random.default_rng(1), (experiment.treatment, experiment.control)
    columns = ColumnsBuilder(names)
    for number in range(users):
        user, variant = f"user-{number}", number % 2
        entered = experiment.started_at + float(random.uniform(0, _ENTRY_DAYS)) * DAY_SECONDS
        columns.add_decision(
            user=user, time=entered, recommendation_id=f"RID-{number}", variant=names[variant], actions=()
        )
        if random.random() < 0.5:
            columns.add_outcome(user=user, time=experiment.started_at - 3600, action=("order", "tea"), value=1.0)
        if random.random() < rates[variant]:
            columns.add_outcome(user=user, time=entered + 3600, action=("order", "tea"), value=1.0)
    report = report_experiment(
        columns.build(),
        names=names,
        shares=(0.5, 0.5),
        started_at=experiment.started_at,
        horizon_days=experiment.horizon_days,
        now=now,
    )
    identity = {"experiment_id": experiment.experiment_id, "program_id": program_id}
    return {**identity, **report.to_json(), "least_effect": experiment.least_effect, "plan": None}
