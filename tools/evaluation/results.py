"""The results of an evaluation, a row for each method and mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nextbest.training.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    mode: str
    method: str
    setting: str
    metrics: Metrics
    settings_tried: int
    fit_seconds: float
    artifact_bytes: int
    p50_microseconds: float
    p99_microseconds: float


def table_text(rows: Sequence[Row]) -> str:
    """The rows as an aligned table."""
    lines = [
        f"{'mode':<12}{'method':<36}{'recall@10':>10}{'NDCG@10':>9}{'MRR':>8}{'coverage':>10}{'tried':>7}{'fit s':>8}"
        f"{'bytes':>11}{'p50 µs':>9}{'p99 µs':>9}  setting"
    ]
    for row in rows:
        metrics = row.metrics
        lines.append(
            f"{row.mode:<12}{row.method:<36}{metrics.recall:>10.4f}{metrics.ndcg:>9.4f}{metrics.reciprocal_rank:>8.4f}"
            f"{metrics.coverage:>10.3f}{row.settings_tried:>7}{row.fit_seconds:>8.1f}{row.artifact_bytes:>11,}"
            f"{row.p50_microseconds:>9.0f}{row.p99_microseconds:>9.0f}  {row.setting}"
        )
    return "\n".join(lines)
