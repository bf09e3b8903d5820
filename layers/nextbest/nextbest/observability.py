"""Logs and metrics of every function, by Powertools for AWS Lambda.

A log line is one JSON object on standard output, with the id of the request or message as ``correlation_id``. Metrics
ride on log lines, in CloudWatch's embedded metric format: no call, no agent, and no second line to pay for.

Never logged: bodies, user attributes, secrets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

__all__ = ["MetricUnit", "logger", "program_metrics"]

# Where in the code a line was written says nothing that its message does not.
logger = Logger(
    service=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "nextbest"),
    use_rfc3339=True,
    utc=True,
    location=None,
    serialize_stacktrace=False,
)

_metrics = EphemeralMetrics(namespace=os.environ.get("METRICS_NAMESPACE", "Nextbest"))


def program_metrics(values: Mapping[str, tuple[float, MetricUnit]], *, now: float, program: str) -> dict[str, Any]:
    """Members that make a log line record metrics of a program too: name → (value, unit).

    ``program`` must be one that exists: each name that a caller could make up would be a metric to pay for.
    """
    _metrics.set_timestamp(int(now * 1000))
    # Given whole rather than added one by one, which would cost each request 100 microseconds.
    metric_set = {name: {"Unit": unit.value, "Value": value} for name, (value, unit) in values.items()}
    return dict(_metrics.serialize_metric_set(metrics=metric_set, dimensions={"program": program}, metadata={}))
