"""The result of each row of a load: counts with reasons, and the progress file that lets a load continue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nextbest.event_files.reader import RejectedRow
from tools.cli.load_errors import ProgressUnusable

EXAMPLES_PER_REASON = 10
# Limits the size of the counts if every row has another reason.
DISTINCT_REASONS = 50
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class Reason:
    """How many rows were rejected for one reason, and the lines of the first of them."""

    count: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """The results of rows: accepted, duplicate, or rejected and why."""

    accepted: int = 0
    duplicates: int = 0
    reasons: dict[str, Reason] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Rows rejected for any reason."""
        return sum(reason.count for reason in self.reasons.values())

    @property
    def rows(self) -> int:
        """All rows counted."""
        return self.accepted + self.duplicates + self.rejected

    def reject(self, row: RejectedRow) -> None:
        """Count one rejected row."""
        self._add_reason(row.reason, 1, [row.line])

    def add(self, other: Counts) -> None:
        """Add the counts of other rows."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        for why, reason in other.reasons.items():
            self._add_reason(why, reason.count, reason.lines)

    def _add_reason(self, why: str, count: int, lines: list[int]) -> None:
        if why not in self.reasons and len(self.reasons) >= DISTINCT_REASONS:
            why = OTHER_REASONS
        reason = self.reasons.setdefault(why, Reason())
        reason.count += count
        reason.lines = sorted([*reason.lines, *lines])[:EXAMPLES_PER_REASON]


@dataclass(slots=True)
class Progress:
    """Which rows are done and with what results: ``ranges`` of row numbers (first, one past last), sorted, apart."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def add(self, ranges: Iterable[tuple[int, int]], counts: Counts) -> None:
        """Mark rows as done."""
        self.ranges = merge_ranges([*self.ranges, *ranges])
        self.counts.add(counts)

    def save(self, path: Path) -> None:
        """Write the progress file, whole or not at all."""
        path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.mkdir(exist_ok=True)
        reasons = {why: {"count": reason.count, "lines": reason.lines} for why, reason in self.counts.reasons.items()}
        counts = {"accepted": self.counts.accepted, "duplicates": self.counts.duplicates, "reasons": reasons}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"ranges": self.ranges, "counts": counts}))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Progress:
        """The progress kept at ``path``; none yet where there is no file. Raises ProgressUnusable if it is damaged."""
        if not path.exists():
            return cls()
        try:
            content = json.loads(path.read_text())
            reasons = {why: Reason(**reason) for why, reason in content["counts"].pop("reasons").items()}
            ranges = [(int(start), int(stop)) for start, stop in content["ranges"]]
            return cls(ranges=ranges, counts=Counts(**content["counts"], reasons=reasons))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProgressUnusable(f"the progress file {path} is damaged ({error}); use --restart") from error


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (first, one past last) sorted, and those that touch or overlap made one."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def progress_path(state: Path, file: Path, program: str, url: str, reading: str = "") -> Path:
    """The progress file of one file's content into one program of one server; ``reading`` says how it is read."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(f"\n{program}\n{url}\n{reading}".encode())
    return state / "load" / f"{digest.hexdigest()[:32]}.json"
