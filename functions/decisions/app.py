"""Decisions from the logs of the hot functions: into files by program and day (docs/decisions-log.md)."""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent

from nextbest.logic.decision_files import decision_files
from nextbest.observability import logger
from nextbest.store.environment import open_artifacts
from nextbest.web.deadline import in_time

DATA_MESSAGE = "DATA_MESSAGE"
"""CloudWatch Logs sends other messages to see whether the function can be reached."""

ARTIFACTS = open_artifacts(clock=time.time)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: log lines that a subscription delivers.

    A file that cannot be written raises, and Lambda's own retries take over: what was written is written again.
    """
    data = CloudWatchLogsEvent(event).parse_logs_data()
    if data.message_type != DATA_MESSAGE:
        return {}
    lines = data.log_events
    with in_time(context):
        files = decision_files((line.get_id, line.message) for line in lines)
        for name, content in files.items():
            ARTIFACTS.put(name, content)
    logger.info("decisions", lines=len(lines), files=len(files))
    return {}
