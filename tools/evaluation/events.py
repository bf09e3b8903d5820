"""The events of files as columns in memory, read by the rules of ``load`` (``nextbest.event_files``)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nextbest.domain.events import MICROSECONDS
from nextbest.event_files.reader import EventRow, check_file, read_rows
from nextbest.event_files.row_counts import Counts
from nextbest.event_files.rows import RowRules


def read_events(paths: Sequence[Path], rules: RowRules) -> tuple[dict[str, Any], Counts]:
    """The columns user_id, event_type, asset_id (lists of text) and timestamp (float64, seconds since 1970) of all
    files, and how many of their rows were rejected and why.

    Raises FileUnusable for a file that is damaged, has no rows, or lacks a column.
    """
    counts = Counts()
    user_ids: list[str] = []
    event_types: list[str] = []
    asset_ids: list[str] = []
    timestamps_us = array("q")
    for path in paths:
        check_file(path, rules)
        for row in read_rows(path, rules):
            if not isinstance(row, EventRow):
                counts.reject(row)
                continue
            counts.accepted += 1
            event = row.event
            user_ids.append(event.user_id)
            event_types.append(event.event_type)
            asset_ids.append(event.asset_id)
            timestamps_us.append(event.timestamp_us)
    columns = {
        "user_id": user_ids,
        "event_type": event_types,
        "asset_id": asset_ids,
        "timestamp": np.array(timestamps_us, np.int64) / MICROSECONDS,
    }
    return columns, counts
