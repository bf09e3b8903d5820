"""Event files: CSV (or .csv.gz) with the columns user_id, event_type, asset_id, timestamp (seconds since 1970)."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import IO, Any

import numpy as np

from nextbest.training.table import COLUMNS


def read_events(path: Path) -> dict[str, Any]:
    """The columns of an event file."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return _columns(file)
    with path.open(encoding="utf-8", newline="") as file:
        return _columns(file)


def _columns(file: IO[str]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in csv.DictReader(file):
        for name in COLUMNS:
            columns[name].append(row[name])
    return {**columns, "timestamp": np.array(columns["timestamp"], np.float64)}
