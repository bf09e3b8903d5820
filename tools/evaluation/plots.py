"""Plots of an evaluation: the metrics as bars, and the calibration curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tools.evaluation.results import Row

mpl.use("Agg")


def save_plots(rows: Sequence[Row], report: Mapping[str, Any], folder: Path, name: str) -> list[Path]:
    """Write ``<name>-metrics.png`` and ``<name>-calibration.png`` into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _metrics(rows, folder / f"{name}-metrics.png", name),
        _calibration(report, folder / f"{name}-calibration.png", name),
    ]


def _metrics(rows: Sequence[Row], path: Path, name: str) -> Path:
    figure = Figure(figsize=(10, 4), layout="constrained")
    for place, mode in enumerate(("repeats", "discoveries")):
        axes = figure.add_subplot(1, 2, place + 1)
        shown = [row for row in rows if row.mode == mode]
        colours = ["tab:blue" if row.method == "Nextbest" else "lightgrey" for row in shown]
        axes.barh([row.method for row in shown], [row.metrics.ndcg for row in shown], color=colours)
        axes.set_title(f"{name}, {mode}")
        axes.set_xlabel("NDCG@10, full ranking")
    figure.savefig(path, dpi=110)
    return path


def _calibration(report: Mapping[str, Any], path: Path, name: str) -> Path:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    for mode, entry in report["modes"].items():
        table = entry["calibration"]["table"]
        axes.plot([row["predicted"] for row in table], [row["observed"] for row in table], "o-", label=mode)
    low, high = axes.get_xlim()
    axes.plot([max(low, 0.0), high], [max(low, 0.0), high], ":", color="grey", label="perfect")
    axes.set_xlabel("growth weight (predicted)")
    axes.set_ylabel("share taken within the horizon (observed)")
    axes.set_title(f"{name}: calibration on the held-out window")
    axes.legend()
    figure.savefig(path, dpi=110)
    return path
