"""Subscriptions to logs: a reader that tells a function of log lines as CloudWatch Logs does.

The reader follows the log file of a function from where it ends at the start of the stack. Lines that match the filter
go to the subscribed function, many at once; a failed invocation is repeated twice, as Lambda does.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.local.engines import ACCOUNT_ID
from tools.local.poller import Invoker, invoke_asynchronously
from tools.local.template import Function, LogSource

_PAUSE_SECONDS = 0.5
_MOST_LINES = 1000
_PATTERN = re.compile(r'\{ \$\.([\w.]+) = "([^"*]*)\*" \}')


class LogFilter:
    """A filter pattern of CloudWatch Logs; here the one form ``{ $.member = "text*" }``.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html. Raises ValueError for
    any other form.
    """

    def __init__(self, pattern: str) -> None:
        matched = _PATTERN.fullmatch(pattern)
        if matched is None:
            raise ValueError(f"the local stack cannot filter logs by {pattern}")
        self._members, self._beginning = matched[1].split("."), matched[2]

    def matches(self, line: str) -> bool:
        """Whether a log line is JSON whose member begins so."""
        if self._members[0] not in line:
            return False
        try:
            value: Any = json.loads(line)
        except ValueError:
            return False
        for member in self._members:
            value = value.get(member) if isinstance(value, dict) else None
        return isinstance(value, str) and value.startswith(self._beginning)


class LogReader:
    """Feeds one function's log to another one, in a thread of its own until ``close``."""

    def __init__(self, source: LogSource, function: Function, *, log: Path, invoker: Invoker) -> None:
        self._source = source
        self._function = function
        self._filter = LogFilter(source.pattern)
        self._log = log
        self._invoker = invoker
        self._position = log.stat().st_size if log.exists() else 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"log-{log.stem}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop reading; an invocation that is running ends with its environment."""
        self._stopped.set()

    def new_lines(self) -> list[str]:
        """The lines since the last call that match the filter; a line that is being written waits for its end."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            if file.seek(0, 2) < self._position:  # somebody emptied it
                self._position = 0
            file.seek(self._position)
            written, end, _ = file.read().rpartition(b"\n")
        self._position += len(written) + len(end)
        return [line for line in written.decode(errors="replace").splitlines() if self._filter.matches(line)]

    def _run(self) -> None:
        while not self._stopped.wait(_PAUSE_SECONDS):
            lines = self.new_lines()
            for start in range(0, len(lines), _MOST_LINES):
                event = log_event(self._source.function, lines[start : start + _MOST_LINES])
                invoke_asynchronously(self._invoker, self._function, event, of="log lines", stopped=self._stopped)


def log_event(log_group: str, lines: Sequence[str]) -> bytes:
    """The event that CloudWatch Logs sends to a function for these lines."""
    now_ns = time.time_ns()
    data = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT_ID,
        "logGroup": log_group,
        "logStream": "local",
        "subscriptionFilters": ["local"],
        "logEvents": [
            {"id": f"{now_ns + number:056d}", "timestamp": now_ns // 1_000_000, "message": line}
            for number, line in enumerate(lines)
        ],
    }
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode()))
    return json.dumps({"awslogs": {"data": packed.decode()}}).encode()
