"""Stylesheet, scripts and icon, served under addresses that change with their content."""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files

from nextbest.errors import NotFound
from nextbest.web.request import Request
from nextbest.web.response import Response

CONTENT_TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.min.css": "text/css; charset=utf-8",
}

_FOREVER = "public, max-age=31536000, immutable"


@cache
def _content(name: str) -> bytes:
    return files("nextbest.console").joinpath("static", *name.split("/")).read_bytes()


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_content(name), mtime=0)


@cache
def address(name: str) -> str:
    """Where an asset is served, below the console's own path: ``assets/<digest>/<name>``."""
    return f"assets/{sha256(_content(name)).hexdigest()[:16]}/{name}"


def answer(path: str, request: Request) -> Response:
    """The asset at a path below the console's own. Raises NotFound where there is none, or no longer."""
    _, _, name = path.partition("/")[2].partition("/")
    if name not in CONTENT_TYPES or address(name) != path:
        raise NotFound("There is no such file")
    headers = {"content-type": CONTENT_TYPES[name], "cache-control": _FOREVER, "x-content-type-options": "nosniff"}
    if takes_gzip(request):
        return Response(200, _packed(name), {**headers, "content-encoding": "gzip", "vary": "accept-encoding"})
    return Response(200, _content(name), {**headers, "vary": "accept-encoding"})


def takes_gzip(request: Request) -> bool:
    """Whether the client reads gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")
