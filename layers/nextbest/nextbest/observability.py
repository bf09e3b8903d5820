"""One logger and one way to record metrics, for every function.

A log line is one JSON object on standard output, which Lambda sends to CloudWatch as it is. Metrics ride on log lines,
in CloudWatch's embedded metric format: no call, no agent, no line more. Powertools offers both, but importing it costs
a cold start of the hot functions 41 ms (measured), so these few lines stand in for it everywhere.

Never logged: bodies, user attributes, secrets.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def log(level: str, message: str, *, stream: TextIO | None = None, **fields: object) -> None:
    """Write one structured line, if ``level`` is at least the environment's LOG_LEVEL."""
    if _LEVELS[level] < _LEVELS.get(os.environ.get("LOG_LEVEL", "INFO").lower(), 20):
        return
    _write({"level": level.upper(), "message": message, **fields}, stream)


def embedded(values: Mapping[str, tuple[float, str]], *, now: float, program: str) -> dict[str, Any]:
    """Members that make a log line record metrics of a program too: name → (value, CloudWatch unit).

    ``program`` must be one that exists: each name that a caller could make up would be a metric to pay for.
    """
    return {
        "_aws": {
            "Timestamp": int(now * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": os.environ.get("METRICS_NAMESPACE", "Nextbest"),
                    "Dimensions": [["program"]],
                    "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
                }
            ],
        },
        "program": program,
        **{name: value for name, (value, _) in values.items()},
    }


def _write(record: dict[str, object], stream: TextIO | None) -> None:
    print(json.dumps(record, separators=(",", ":"), default=str), file=stream or sys.stdout, flush=True)
