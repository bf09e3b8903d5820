"""The pages of a program, one a file, each with its routes."""

from __future__ import annotations

from nextbest.console.pages import (
    actions,
    decisions,
    experiments,
    filters,
    health,
    keys,
    model,
    privacy,
    program,
    segments,
    users,
)
from nextbest.console.visits import Route

ROUTES: tuple[Route, ...] = (
    *program.ROUTES,
    *users.ROUTES,
    *actions.ROUTES,
    *filters.ROUTES,
    *segments.ROUTES,
    *model.ROUTES,
    *experiments.ROUTES,
    *decisions.ROUTES,
    *health.ROUTES,
    *keys.ROUTES,
    *privacy.ROUTES,
)
"""Every route below a program's own path."""
