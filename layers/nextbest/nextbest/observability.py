"""One logger and one way to record metrics, for every function.

A log line is one JSON object on standard output, which Lambda sends to CloudWatch as it is. Metrics are lines in
CloudWatch's embedded metric format: no call, no agent. Powertools offers both, but importing it costs a cold start of
the hot functions 41 ms (measured; reference/dynamodb.md), so these thirty lines stand in for it everywhere.

Never logged: bodies, user attributes, secrets.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
NAMESPACE = "Nextbest"


def log(level: str, message: str, *, stream: TextIO | None = None, **fields: object) -> None:
    """Write one structured line, if ``level`` is at least the environment's LOG_LEVEL."""
    if _LEVELS[level] < _LEVELS.get(os.environ.get("LOG_LEVEL", "INFO").lower(), 20):
        return
    _write({"level": level.upper(), "message": message, **fields}, stream)


def metric(
    values: dict[str, tuple[float, str]], *, now: float, stream: TextIO | None = None, **dimensions: str
) -> None:
    """Record metrics, name → (value, CloudWatch unit), under ``dimensions`` (few values each: they cost money)."""
    _write(
        {
            "_aws": {
                "Timestamp": int(now * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [list(dimensions)],
                        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
                    }
                ],
            },
            **dimensions,
            **{name: value for name, (value, _) in values.items()},
        },
        stream,
    )


def _write(record: dict[str, object], stream: TextIO | None) -> None:
    print(json.dumps(record, separators=(",", ":"), default=str), file=stream or sys.stdout, flush=True)
