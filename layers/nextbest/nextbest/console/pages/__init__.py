"""The pages of a program, one a file, each with its routes."""

from __future__ import annotations

from nextbest.console.pages import actions, filters, program, segments
from nextbest.console.visits import Route

ROUTES: tuple[Route, ...] = (*program.ROUTES, *actions.ROUTES, *filters.ROUTES, *segments.ROUTES)
"""Every route below a program's own path."""
