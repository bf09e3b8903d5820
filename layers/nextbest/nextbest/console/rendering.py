"""HTML of templates, with the headers that keep a page to itself."""

from __future__ import annotations

import gzip
import math
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from nextbest.console.assets import address, takes_gzip
from nextbest.domain.events import DAY_SECONDS
from nextbest.logic.model_report import better
from nextbest.web.request import Request
from nextbest.web.response import Response

_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    # Names and events of people: they are kept neither by proxies nor by the browser.
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LEAST_PACKED_BYTES = 1_000
_UNITS = ((DAY_SECONDS, "day"), (3600.0, "hour"), (60.0, "minute"))


def html(request: Request, template: str, values: Mapping[str, Any], *, status: int = 200) -> Response:
    """The response with a template's HTML."""
    body = _environment().get_template(template).render(values).encode()
    if len(body) < _LEAST_PACKED_BYTES or not takes_gzip(request):
        return Response(status, body, _HEADERS)
    return Response(status, gzip.compress(body, 6, mtime=0), {**_HEADERS, "content-encoding": "gzip"})


def attachment(body: bytes, content_type: str, *, filename: str) -> Response:
    """A file to be saved; ``filename`` has no quotes."""
    headers = {
        "content-type": content_type,
        "content-disposition": f'attachment; filename="{filename}"',
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    return Response(200, body, headers)


def curl(method: str, url: str, *, headers: Mapping[str, str], body: str = "") -> str:
    """The command line that sends a request with the key in ``$NEXTBEST_KEY``, quoted for a shell."""
    method_option = "" if method == "GET" else f" -X {method}"
    options = "".join(f" -H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
    data = f" -d {shlex.quote(body)}" if body else ""
    return f'curl{method_option} {shlex.quote(url)} -H "actionhub-key: $NEXTBEST_KEY"{options}{data}'


def percent(probability: float) -> str:
    """A probability in per cent, with two significant digits where it is small: ``28 %``, ``1.4 %``, ``< 0.01 %``."""
    points = probability * 100
    if 0 < points < 0.01:
        return "< 0.01 %"
    digits = 0 if points >= 10 or points == 0 else 1 if points >= 1 else 2
    return f"{points:.{digits}f} %"


def points(difference: float) -> str:
    """A difference of probabilities in percentage points, with its sign: ``+3.2 points``."""
    return f"{difference * 100:+.1f} points".replace("-", "−")


def number(value: float) -> str:
    """A number for people: thousands apart, three significant digits after them."""
    if not math.isfinite(value):
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def when(timestamp: float) -> str:
    """A time (seconds since 1970) as ``2026-11-29 08:15 UTC``; years that no calendar has as they are."""
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{timestamp:g}"


def duration(seconds: float) -> str:
    """How long something took: ``3.2 s``, ``4 min 10 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s"


def ago(timestamp: float, now: float) -> str:
    """How long before ``now`` a time was: ``3 hours ago``."""
    seconds = now - timestamp
    word = "ago" if seconds >= 0 else "from now"
    for unit_seconds, unit in _UNITS:
        count = int(abs(seconds) // unit_seconds)
        if count:
            return f"{count:,} {unit}{'s' if count > 1 else ''} {word}"
    return "just now"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nextbest.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        percent=percent, points=points, number=number, when=when, ago=ago, duration=duration, better=better
    )
    environment.globals.update(asset=address)
    return environment
