"""The results of the rows of files: how many are events, and of the others why, and where the first of them are."""

from __future__ import annotations

from dataclasses import dataclass, field

from nextbest.event_files.reader import RejectedRow

EXAMPLES_PER_REASON = 10
# Limits the size of the counts if every row has another reason.
DISTINCT_REASONS = 50
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class ReasonCount:
    """How many rows were rejected for one reason, and the lines of the first of them."""

    count: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """The results of rows: accepted, duplicate, or rejected and why."""

    accepted: int = 0
    duplicates: int = 0
    reasons: dict[str, ReasonCount] = field(default_factory=dict)

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

    def reason_lines(self, unit: str) -> list[str]:
        """A line of text for each reason, most frequent first, with the places of its first rows; ``unit`` is line or
        row."""
        return [
            f"rejected {reason.count:,}: {why} ({unit} {', '.join(map(str, reason.lines))}"
            f"{', ...' if reason.count > len(reason.lines) else ''})"
            for why, reason in sorted(self.reasons.items(), key=lambda item: -item[1].count)
        ]

    def _add_reason(self, why: str, count: int, lines: list[int]) -> None:
        if why not in self.reasons and len(self.reasons) >= DISTINCT_REASONS:
            why = OTHER_REASONS
        reason = self.reasons.setdefault(why, ReasonCount())
        reason.count += count
        reason.lines = sorted([*reason.lines, *lines])[:EXAMPLES_PER_REASON]
