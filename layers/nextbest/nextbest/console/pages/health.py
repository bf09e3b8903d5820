"""Whether the program is well: findings, quotas, and for whoever operates the deployment what failed for good."""

from __future__ import annotations

from nextbest.console.paging import page_of
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.dead_letters import FailedInvocation
from nextbest.logic.authorization import require_operator
from nextbest.logic.dead_letters import list_dead_letters, redrive
from nextbest.logic.health import Finding, check_program, check_programs, check_queues
from nextbest.logic.quotas import quotas_of
from nextbest.logic.trainings import trainings_of
from nextbest.web.response import Response

_SHOWN_LETTERS = 50
_CHECKED_PROGRAMS = 25
"""Programs of a page: the model of each is read."""
_SENT_AT_ONCE = 300
"""Messages that are sent again by one click: each takes two calls, and the gateway waits for half a minute."""


def show(visit: Visit) -> Response:
    """The page."""
    services, program = visit.services, visit.state.program
    trainings = trainings_of(services.store, program, now=visit.now)
    return visit.page(
        "health.html",
        title="Health",
        findings=list(
            check_program(
                services.store,
                services.artifacts,
                visit.state,
                now=visit.now,
                longest_age_days=services.longest_age_days,
            )
        ),
        deployment_findings=_deployment_findings(visit),
        quotas=quotas_of(
            services.store, visit.state, trainings, requests_per_second=services.program_requests_per_second
        ),
        sent=visit.whole_number("sent", most_digits=9),
    )


def show_programs(visit: Visit) -> Response:
    """What is wrong with any program of the deployment, some of them a page."""
    require_operator(visit.key)
    services = visit.services
    page = page_of(services.store.program_ids(), visit, rows_of_a_page=_CHECKED_PROGRAMS)
    findings = check_programs(
        services.store, services.artifacts, page.rows, now=visit.now, longest_age_days=services.longest_age_days
    )
    return visit.page("health_programs.html", title="All programs", page=page, findings=list(findings))


def look(visit: Visit) -> Response:
    """What failed for good, without anybody's data; it stays where it is."""
    require_operator(visit.key)
    services = visit.services
    return visit.page(
        "dead_letters.html",
        title="Dead letters",
        letters=[letter.summary() for letter in list_dead_letters(services.dead_letters, limit=_SHOWN_LETTERS)],
        failures=[
            FailedInvocation.of(letter)
            for letter in list_dead_letters(services.failed_invocations, limit=_SHOWN_LETTERS)
        ],
        letter_count=services.dead_letters.count(),
        failure_count=services.failed_invocations.count(),
        at_once=_SENT_AT_ONCE,
    )


def send_again(visit: Visit) -> Response:
    """Send dead letters to the queue again."""
    require_operator(visit.key)
    count = redrive(visit.services.dead_letters, visit.services.queue, limit=_SENT_AT_ONCE)
    return visit.see_other("health", sent=count)


def _deployment_findings(visit: Visit) -> list[Finding]:
    """Those of the whole deployment, which only an operator's key is shown."""
    if not visit.key.opens_every_program:
        return []
    services = visit.services
    return list(check_queues(services.queue, services.dead_letters, services.failed_invocations))


ROUTES = (
    Route("GET", "health", READ, show),
    Route("GET", "health/programs", ADMIN, show_programs),
    Route("GET", "health/dead-letters", ADMIN, look),
    Route("POST", "health/dead-letters", ADMIN, send_again),
)
