"""The schedule of rebases, and how old a model may be that it makes."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.logic import health
from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment, Stack

_KIND = "AWS::Scheduler::Schedule"


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
    parameters = deployment.stack.parameters if deployment.stack is not None else {}
    schedule = parameters.get("RebaseSchedule", health.DEFAULT_SCHEDULE)
    return health.longest_age_days(schedule, enabled=parameters.get("RebaseScheduleState") != "DISABLED")
