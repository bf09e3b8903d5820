"""Logs and metrics of every function, by Powertools for AWS Lambda.

A log line is one JSON object on standard output, with the id of the request or message as ``correlation_id``. Metrics
ride on log lines, in CloudWatch's embedded metric format: no call, no agent, and no second line to pay for.

Never logged: bodies, user attributes, secrets.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.logging.formatter import RESERVED_LOG_ATTRS, LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

__all__ = ["MetricUnit", "logger", "program_metrics"]

_SERVICE = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "nextbest")

# No line says where in the code it was written, nor by which thread, and finding out takes a while. These are the
# documented switches: https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class LineFormatter(LambdaPowertoolsFormatter):
    """Powertools' JSON line, with a short way for lines without an exception: each request writes one and waits for it.

    The short way leaves out what our lines never have: templates in keys, thread-local keys, JSON in messages.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        if record.exc_info:
            return super().format(record)
        line = {"level": record.levelname, "message": record.getMessage(), "timestamp": self.formatTime(record)}
        for fields in (self.log_format, record.__dict__):
            line |= {name: value for name, value in fields.items() if value is not None and name not in _OF_THE_RECORD}
        trace_id = self._get_latest_trace_id()
        return self.serialize(line if trace_id is None else {**line, "xray_trace_id": trace_id})


_OF_THE_RECORD = frozenset((*RESERVED_LOG_ATTRS, "message", "taskName"))

logger = Logger(
    service=_SERVICE,
    logger_formatter=LineFormatter(
        json_serializer=json.JSONEncoder(default=str, separators=(",", ":"), ensure_ascii=False).encode,
        use_rfc3339=True,
        utc=True,
        location=None,
        serialize_stacktrace=False,
        service=_SERVICE,
    ),
)

_metrics = EphemeralMetrics(namespace=os.environ.get("METRICS_NAMESPACE", "Nextbest"))


def program_metrics(values: Mapping[str, tuple[float, MetricUnit]], *, now: float, program: str) -> dict[str, Any]:
    """Members that make a log line record metrics of a program too: name → (value, unit).

    ``program`` must be one that exists: each name that a caller could make up would be a metric to pay for.
    """
    _metrics.timestamp = int(now * 1000)  # its setter reads the clock again, to warn of times that are far off
    # Given whole rather than added one by one, which would cost each request 100 microseconds.
    metric_set = {name: {"Unit": unit.value, "Value": value} for name, (value, unit) in values.items()}
    return dict(_metrics.serialize_metric_set(metrics=metric_set, dimensions={"program": program}, metadata={}))
