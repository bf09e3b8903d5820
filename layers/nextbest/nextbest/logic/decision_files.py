"""Files of decisions: log lines in, compressed JSON lines by program and day out (docs/decisions-log.md)."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from nextbest.domain.decisions import Decision
from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput
from nextbest.observability import logger
from nextbest.store.base import ArtifactStore

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


def stored_decisions(
    artifacts: ArtifactStore, incarnation: Incarnation, begin: float, end: float
) -> Iterator[Decision]:
    """The program's decisions of the days (UTC) from that of ``begin`` to that of ``end`` (seconds since 1970), each
    once. Lines that cannot be read are left out with a warning."""
    seen: set[str] = set()
    for day in _days(begin, end):
        for name in artifacts.names(f"{folder_of(incarnation)}{day}/"):
            for line in gzip.decompress(artifacts.get(name)).splitlines():
                try:
                    decision = Decision.from_json(line)
                except InvalidInput as error:
                    logger.warning("a decision cannot be read", file=name, reason=error.message)
                    continue
                if decision.recommendation_id not in seen:
                    seen.add(decision.recommendation_id)
                    yield decision


def _days(begin: float, end: float) -> Iterator[str]:
    day, last = (datetime.fromtimestamp(time, UTC).date() for time in (begin, end))
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)


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
