"""The program at a glance."""

from __future__ import annotations

from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.logic.programs import rebase_status, start_rebase
from nextbest.web.response import Response


def show(visit: Visit) -> Response:
    """The page."""
    status = rebase_status(visit.services.store, visit.incarnation, now=visit.now)
    return visit.page("program.html", title=visit.state.program.program_name or visit.program_id, status=status)


def rebase(visit: Visit) -> Response:
    """Start a rebase."""
    start_rebase(visit.services.store, visit.services.start_rebase, visit.incarnation, now=visit.now)
    return visit.see_other()


ROUTES = (Route("GET", "", READ, show), Route("POST", "rebase", ADMIN, rebase))
