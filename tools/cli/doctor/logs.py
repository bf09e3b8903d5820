"""The log groups: whether they are there, and forget."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment, Stack


def check_logs(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """Whether every log group of the stack exists and has a retention."""
    client = deployment.client("logs")
    kept_days: set[int] = set()
    names = stack.physical_ids("AWS::Logs::LogGroup")
    for name in names:
        groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        group = next((group for group in groups if group["logGroupName"] == name), None)
        if group is None:
            yield Finding("logs", f"there is no group {name}", "deploy again: what its function logs is lost")
        elif "retentionInDays" not in group:
            yield Finding(
                "logs", f"{name} keeps everything forever", "deploy again: its price grows with every request"
            )
        else:
            kept_days.add(group["retentionInDays"])
    if kept_days:
        yield Finding("logs", f"{len(names)} groups, kept for {' or '.join(map(str, sorted(kept_days)))} days")
