"""One HTTP response, of either dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; ``cookies`` are set. ``fields`` go into the log line, never into the response.

    A body that is encoded, as the header ``content-encoding`` says, is no text.

    With the field ``program``, which is set only once the caller is authorized for it, the line records metrics;
    ``actions`` (how many were recommended) and ``model`` (its version) add to them.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
