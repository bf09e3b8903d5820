"""Files of decisions: log lines in, compressed JSON lines by program and day out (docs/decisions-log.md)."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from nextbest.domain.decisions import Decision
from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput
from nextbest.observability import logger

FOLDER = "decisions/"
"""The folder of all files of decisions in the artifact bucket."""

_NAME_DIGITS = 32


def folder_of(incarnation: Incarnation) -> str:
    """The folder of a program's files; one folder for each day (UTC) is in it."""
    return f"{FOLDER}{incarnation}/"


def decision_files(lines: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """Files by their names in the bucket, from log lines with their ids.

    A name is made of the ids of the lines in the file, so that lines that are delivered again make the same files. A
    line that holds no decision is left out with a warning: no retry could make it one.
    """
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for line_id, line in lines:
        try:
            incarnation, decision = _decision_in(line)
        except InvalidInput as error:
            logger.warning("a log line holds no decision", line=line_id, reason=error.message)
            continue
        day = datetime.fromtimestamp(decision.time, UTC).date().isoformat()
        groups[f"{folder_of(incarnation)}{day}/"][line_id] = decision.to_json()
    return {f"{folder}{_name(group)}.jsonl.gz": _compressed(group.values()) for folder, group in groups.items()}


def _decision_in(line: str) -> tuple[Incarnation, Decision]:
    """The decision in the log line of a request, and its program. Raises InvalidInput."""
    try:
        fields = json.loads(line)
        incarnation, members = Incarnation(str(fields["incarnation"])), fields["decision"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"this is not the log line of a decision: {error!r}") from error
    return incarnation, Decision.from_members(members)


def _name(line_ids: Iterable[str]) -> str:
    return sha256("\n".join(line_ids).encode()).hexdigest()[:_NAME_DIGITS]


def _compressed(lines: Iterable[str]) -> bytes:
    # Without the time: the same lines are the same bytes.
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
