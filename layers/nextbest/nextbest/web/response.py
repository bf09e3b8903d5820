"""One HTTP answer, as both dialects give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. ``fields`` go into the log line, never into the answer.

    With the field ``program``, which only those answers have whose caller proved to know it, the line records metrics;
    ``actions`` (how many were recommended) and ``model`` (its version) add to them.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
