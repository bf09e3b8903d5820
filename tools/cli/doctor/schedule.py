"""The schedule of rebases, and how old a model may be that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf

from tools.cli.deployment import Deployment, Stack
from tools.cli.doctor.finding import Finding

_KIND = "AWS::Scheduler::Schedule"
_DAYS = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1.0}
_DEFAULT_DAYS = 1.0
MISSED = 2
"""Periods without a new model after which the model is old: one rebase was missed."""
_SHORTEST_DAYS = 0.1
"""A rebase may start a quarter of an hour late, and takes its time."""


def check_schedule(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """Whether the schedule runs, or was turned off by the parameter."""
    wanted = stack.parameters.get("RebaseScheduleState", "ENABLED")
    for name in stack.physical_ids(_KIND):
        schedule = deployment.client("scheduler").get_schedule(Name=name)
        state = f"{schedule['ScheduleExpression']}, {schedule['State']}"
        fix = (
            ""
            if schedule["State"] == wanted
            else f"it was changed by hand, and RebaseScheduleState is {wanted}: deploy"
        )
        yield Finding("schedule of rebases", state, fix)


def longest_age_days(deployment: Deployment) -> float:
    """Days after which a model is older than the schedule should leave it; infinite where nothing is scheduled."""
    if deployment.stack is None:
        return MISSED * _DEFAULT_DAYS
    if deployment.stack.parameters.get("RebaseScheduleState") == "DISABLED":
        return inf
    period = period_days(deployment.stack.parameters.get("RebaseSchedule", "rate(1 day)"))
    return max(MISSED * period, _SHORTEST_DAYS)


def period_days(expression: str) -> float:
    """The longest time between two runs of a schedule, in days.

    ``expression`` is a rate or cron expression of EventBridge Scheduler
    (https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html). Of a cron expression, whichever field
    is restricted decides: the month (a year), the day of the month (a month), the day of the week (a week). Infinite
    for a schedule that runs once, and for one of a form that is not known.
    """
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression):
        return int(rate[1]) * _DAYS[rate[2]]
    if cron := re.fullmatch(r"cron\((.+)\)", expression):
        fields = cron[1].split()
        if len(fields) == 6 and fields[5] == "*":
            restricted = [field not in ("*", "?") for field in fields[2:5]]
            day_of_month, month, day_of_week = restricted
            return 366.0 if month else 31.0 if day_of_month else 7.0 if day_of_week else 1.0
    return inf
