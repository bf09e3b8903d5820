"""Checks of a deployment: each says what it saw, and how to fix what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from nextbest.logic.health import Finding, check_queues
from tools.cli.deployment import Deployment, Stack
from tools.cli.doctor.alarms import check_alarms
from tools.cli.doctor.data import check_bucket, check_table
from tools.cli.doctor.functions import check_functions
from tools.cli.doctor.imports import check_import_buckets
from tools.cli.doctor.logs import check_logs
from tools.cli.doctor.programs import check_programs
from tools.cli.doctor.queues import check_queue_policies
from tools.cli.doctor.schedule import check_schedule, longest_age_days
from tools.cli.doctor.spark import check_spark
from tools.cli.doctor.stack import check_api, check_master_secret, check_stack

__all__ = ("Finding", "examine")

Check = Callable[[], Iterator[Finding]]


def examine(deployment: Deployment, *, now: float) -> Iterator[Finding]:
    """Run every check; those of the stack only where the deployment is one. ``now`` is seconds since 1970."""
    stack = deployment.stack
    checks: list[Check] = [
        lambda: check_api(deployment),
        lambda: check_table(deployment),
        lambda: check_bucket(deployment),
        lambda: check_queues(deployment.queue(), deployment.dead_letters(), deployment.failed_invocations()),
        *(_stack_checks(deployment, stack) if stack is not None else ()),
        lambda: check_programs(deployment, now, longest_age_days=longest_age_days(deployment)),
    ]
    for check in checks:
        try:
            yield from check()
        except (ClientError, BotoCoreError) as error:
            yield Finding("AWS", str(error), "check credentials, region and permissions, and that the resource exists")


def _stack_checks(deployment: Deployment, stack: Stack) -> tuple[Check, ...]:
    return (
        lambda: check_stack(deployment, stack),
        lambda: check_master_secret(deployment),
        lambda: check_queue_policies(deployment),
        lambda: check_functions(deployment, stack),
        lambda: check_logs(deployment, stack),
        lambda: check_alarms(deployment, stack),
        lambda: check_schedule(deployment, stack),
        lambda: check_import_buckets(deployment, stack),
        lambda: check_spark(deployment, stack),
    )
