"""Training: the events of a program in, one model out.

    1  split by time: a tuning window at the end, everything before it to learn from (more windows where users are few)
    2  tune, calibrate and fit both modes (``modes``)
    3  estimate what each action is worth for the goal, where there is one (``goal_effects``)

Deterministic for a seed: the effort follows from the size of the data and the time budget by a fixed formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from nextbest.domain.programs import Program
from nextbest.scoring.kernels import moment_of
from nextbest.scoring.model import Model
from nextbest.training.activity import events_a_day
from nextbest.training.goal_effects import describe_goal, estimate_goal_effects
from nextbest.training.modes import LearnFrom, ModeTrainer
from nextbest.training.partitions import OnePartition, Partition, Partitions
from nextbest.training.plan import TIME_BUDGET_SECONDS, Plan
from nextbest.training.pooled import leads_to_first
from nextbest.training.popularity import base_rates
from nextbest.training.sample import sample_share, sampled
from nextbest.training.split import tuning_cuts
from nextbest.training.table import Columns, EventTable

_SMALL_SYSTEM = 512
"""Up to it one thread: threads that wait for one another cost small matrices more than they gain, and on busy cores a
hundred times more."""


def train(
    events: Columns,
    *,
    program: Program,
    now: float,
    seed: int,
    values: Mapping[str, float] | None = None,
    time_budget_seconds: float = TIME_BUDGET_SECONDS,
    learn_from: LearnFrom = "everyone",
) -> Model:
    """Learn a model of ``program`` from ``events``: columns user_id, event_type, asset_id, and timestamp (seconds since
    1970) or timestamp_us (integer microseconds, as the event log holds them).

    ``now`` (seconds) is the time to learn for: later events are left out. Where nothing happened for long before it,
    the model is learned for the time of the last event (``moment_of``). ``values`` by asset id turn the ranking into
    expected value; assets without one count 1. ``learn_from`` chooses whether item weights are learned from all users
    or from those with at least the program's ``high_engagement_threshold`` events; the report compares both. Of more
    events than ``SAMPLE_EVENTS``, settings are tuned on those of a sample of users.
    Deterministic for a ``seed`` and a ``time_budget_seconds``, which decides how many settings are tried (sized for two
    cores of 2024; it is not a deadline). Raises InvalidInput for events that are not of that shape.
    """
    table = EventTable.of(events, now)
    return train_partitions(
        OnePartition(table),
        sampled(table, sample_share(len(table.time)), seed),
        program=program,
        now=now,
        seed=seed,
        values=values,
        time_budget_seconds=time_budget_seconds,
        learn_from=learn_from,
    )


def train_partitions(
    partitions: Partitions,
    sample: EventTable,
    *,
    program: Program,
    now: float,
    seed: int,
    values: Mapping[str, float] | None = None,
    time_budget_seconds: float = TIME_BUDGET_SECONDS,
    learn_from: LearnFrom = "everyone",
) -> Model:
    """``train`` for events in ``partitions`` of users, none of them after ``now``: settings are searched and
    calibrated on a ``sample`` of users (``in_sample``) with the actions of all, the model is fitted on everybody.

    Where the sample is everybody the model is that of ``train``, however users are divided.
    """
    extents = partitions.each(_Extent.of)
    users, events = sum(each.users for each in extents), sum(each.events for each in extents)
    last_event_at = max(each.last_event_at for each in extents) if events else math.inf
    moment = moment_of(now, last_event_at)
    cuts = tuning_cuts(sample, moment, program.horizon_days)
    plan = Plan.of(len(partitions.actions), time_budget_seconds, len(cuts))
    trainer = ModeTrainer(
        partitions, sample, users, program, moment, cuts, np.random.default_rng(seed), plan, learn_from
    )
    goal_effects = None
    with threadpool_limits(1 if trainer.largest_system < _SMALL_SYSTEM else None, user_api="blas"):
        modes, learned = trainer.run()
        if program.goal:
            goal_effects = estimate_goal_effects(
                sample,
                program.goal,
                now=moment,
                horizon_days=program.horizon_days,
                half_life_days=program.half_life_days,
                time_budget_seconds=time_budget_seconds,
                seed=seed,
            )
    report = {
        "events": events,
        "users": users,
        "actions": len(partitions.actions),
        **({"tuned_on_users": sample.user_count} if sample.user_count < users else {}),
        "seed": seed,
        "time_budget_seconds": time_budget_seconds,
        "learn_from": learn_from,
        "events_a_day": events_a_day(partitions, moment),
        **learned,
        **({"goal": describe_goal(goal_effects)} if goal_effects is not None else {}),
    }
    asset_values = None
    if values is not None:
        asset_values = np.array([values.get(action.asset_id, 1.0) for action in partitions.actions], np.float64)
    return Model(
        actions=partitions.actions,
        repeats=modes["repeats"],
        discoveries=modes["discoveries"],
        half_life_days=float(program.half_life_days),
        horizon_days=float(program.horizon_days),
        action_weight_floor=program.action_weight_floor,
        trained_at=now,
        report=report,
        values=asset_values,
        last_event_at=last_event_at,
        never_recommended=program.never_recommended,
        leads_to_first=leads_to_first(modes["discoveries"], trainer.groups),
        done_once=program.done_once,
        event_type_order=program.event_type_order,
        goal_effects=goal_effects,
        rest_rules=program.rest_rules,
        most_per_list=program.most_per_list,
        base_rates=base_rates(trainer.takers(), users),
    )


@dataclass(frozen=True, slots=True)
class _Extent:
    """How many users and events a partition has, and when the last event was (seconds; -inf without events)."""

    users: int
    events: int
    last_event_at: float

    @classmethod
    def of(cls, partition: Partition) -> _Extent:
        table = partition.table
        return cls(table.user_count, len(table.time), float(table.time.max(initial=-math.inf)))
