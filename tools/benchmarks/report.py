"""The results of ``./nextbest bench`` as tables, a file of numbers and a chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.latency import Times

FLOOR, USUAL = "floor", "usual"
TITLES = {
    "warm": "Warm reads, by actions in the catalogue and events in the history",
    "cold": "Cold start: from the start of the process to the first answer",
    "import": "Importing the function's module",
    "write": "Warm POST /events, by events in the request (the floor still reads one item)",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of one kind of request. ``kind`` is a key of TITLES; ``events`` in the history, or in the request."""

    kind: str
    request: str
    actions: int
    events: int
    times: Times
    memory_megabytes: float | None = None


def rows(measured: Sequence[Measured], kind: str) -> list[dict[str, float | str | None]]:
    """The rows of one kind, each with its ratios to the two yardsticks that were measured beside it."""
    results: list[dict[str, float | str | None]] = []
    for row in measured:
        if row.kind != kind:
            continue
        beside = {
            other.request: other.times
            for other in measured
            if (other.kind, other.actions, other.events) == (row.kind, row.actions, row.events)
        }
        p50, p99 = row.times.quantile(0.5), row.times.quantile(0.99)
        results.append(
            {
                "request": row.request,
                "actions": row.actions,
                "events": row.events,
                "p50_ms": p50,
                "p90_ms": row.times.quantile(0.9),
                "p99_ms": p99,
                "p50_to_floor": p50 / beside[FLOOR].quantile(0.5),
                "p99_to_floor": p99 / beside[FLOOR].quantile(0.99),
                "usual_to_p50": beside[USUAL].quantile(0.5) / p50,
                "memory_megabytes": row.memory_megabytes,
            }
        )
    return results


def text(conditions: Mapping[str, str], measured: Sequence[Measured]) -> str:
    """Everything as Markdown, which is readable in a terminal too."""
    lines = [f"- {name}: {value}" for name, value in conditions.items()]
    for kind, title in TITLES.items():
        lines += ["", f"### {title}", ""]
        head: tuple[str, ...] = (
            "request",
            "actions",
            "events",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p50 / floor",
            "p99 / floor",
        )
        head = (*head, "usual / p50", "memory MB")
        table = [head, tuple("---" if name == "request" else "---:" for name in head)]
        table += [_cells(row) for row in rows(measured, kind)]
        widths = [max(len(row[column]) for row in table) for column in range(len(head))]
        lines += ["| " + " | ".join(_pad(row, widths)) + " |" for row in table]
    return "\n".join(lines)


def write(docs: Path, conditions: Mapping[str, str], measured: Sequence[Measured]) -> None:
    """Put the table into ``performance.md`` between its two marks, the numbers beside it, and draw the chart."""
    put_between(docs / "performance.md", text(conditions, measured), command="make bench")
    numbers = {"conditions": dict(conditions), **{kind: rows(measured, kind) for kind in TITLES}}
    (docs / "performance.json").write_text(json.dumps(numbers, indent=1) + "\n")
    draw(measured, docs / "images" / "performance.png")


def put_between(page: Path, content: str, *, command: str) -> None:
    """Replace what is in ``page`` between the two marks of ``command``."""
    begin, end = f"<!-- {command}: begin -->", f"<!-- {command}: end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}")


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Bars of the medians at 10,000 actions and 100 events: warm on the left, cold on the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for axis, kind in zip(axes, ("warm", "cold"), strict=True):
        chosen = [row for row in measured if (row.kind, row.actions, row.events) == (kind, 10_000, 100)]
        medians = [row.times.quantile(0.5) for row in chosen]
        tails = [row.times.quantile(0.99) - median for row, median in zip(chosen, medians, strict=True)]
        colours = ["#999999" if row.request in (FLOOR, USUAL) else "#1f77b4" for row in chosen]
        axis.barh([row.request for row in chosen], medians, xerr=[[0] * len(tails), tails], color=colours, capsize=3)
        axis.invert_yaxis()
        axis.set_xlabel(f"{kind}, milliseconds: median, and whisker to the 99th percentile")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _cells(row: Mapping[str, float | str | None]) -> tuple[str, ...]:
    counts = [f"{row[name]:,}" if row[name] else "" for name in ("actions", "events")]
    times = [f"{row[name]:.2f}" for name in ("p50_ms", "p90_ms", "p99_ms", "p50_to_floor", "p99_to_floor")]
    memory = row["memory_megabytes"]
    return (str(row["request"]), *counts, *times, f"{row['usual_to_p50']:.2f}", f"{memory:.0f}" if memory else "")


def _pad(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
