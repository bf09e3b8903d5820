"""The progress file of a load, which lets it continue: which rows are done, and with what results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nextbest.event_files.row_counts import Counts, ReasonCount
from tools.cli.load_errors import ProgressUnusable


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
            reasons = {why: ReasonCount(**reason) for why, reason in content["counts"].pop("reasons").items()}
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
