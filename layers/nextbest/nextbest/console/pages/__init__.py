"""The pages of a program, one a file, each with its routes."""

from __future__ import annotations

from nextbest.console.pages import health, keys, model, program
from nextbest.console.visits import Route

ROUTES: tuple[Route, ...] = (*program.ROUTES, *model.ROUTES, *health.ROUTES, *keys.ROUTES)
"""Every route below a program's own path."""
