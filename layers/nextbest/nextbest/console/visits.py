"""One request of somebody who is signed in, and the routes that answer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

from nextbest.console import rendering
from nextbest.console.sessions import Session
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput
from nextbest.logic.recommendations import Recommender
from nextbest.logic.segment_reading import SegmentCache
from nextbest.store.base import (
    ArtifactStore,
    DeadLetterQueue,
    EventQueue,
    MasterSecret,
    ProgramState,
    TrafficReader,
)
from nextbest.store.bulk import BulkStore
from nextbest.web.request import Request
from nextbest.web.response import Response

CONSOLE = "/console"
MAX_FORM_BYTES = 100_000
_MAX_FIELDS = 200


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """What the pages act on.

    ``start_rebase`` and ``start_segments`` take a program's incarnation, ``start_report`` also what to compute, such as
    ``experiment`` with its id; all return at once. ``traffic`` is None where nothing records it. ``longest_age_days``
    is how old a model is at most that the schedule makes, and ``program_requests_per_second`` a program's quota, 0
    where it has none. ``is_local``: on a developer's machine, where tickets sign in.
    """

    store: BulkStore
    artifacts: ArtifactStore
    recommender: Recommender
    segments: SegmentCache
    start_rebase: Callable[[Incarnation], None]
    start_segments: Callable[[Incarnation], None]
    start_report: Callable[..., None]
    master_secret: MasterSecret
    queue: EventQueue
    dead_letters: DeadLetterQueue
    failed_invocations: DeadLetterQueue
    traffic: TrafficReader | None
    longest_age_days: float
    program_requests_per_second: float
    random: Random
    is_local: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to a page of a program, from somebody whose key opens it. ``now`` is in seconds since 1970.

    ``form`` are the fields that were posted; ``token`` is what forms of this session carry.
    """

    services: ConsoleServices
    request: Request
    session: Session
    token: str
    key: AccessKey
    state: ProgramState
    form: Mapping[str, str]
    now: float

    @property
    def program_id(self) -> str:
        """The program's id."""
        return self.state.program.program_id

    @property
    def incarnation(self) -> Incarnation:
        """The program's incarnation."""
        return self.state.program.incarnation

    @property
    def is_partial(self) -> bool:
        """Whether a part of the page is asked for, to be put into it in place."""
        return is_partial(self.request)

    def parameter(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        return dict(self.request.query).get(name, default)

    def whole_number(self, name: str, *, most_digits: int) -> int | None:
        """A query parameter that is a whole number of at most so many digits; None where it is none."""
        text = self.parameter(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= most_digits else None

    def parameters(self, name: str) -> list[str]:
        """All values of a query parameter that are not empty."""
        return [value for parameter, value in self.request.query if parameter == name and value]

    def link(self, page: str = "", /, **query: object) -> str:
        """The address of a page of this program; parameters that are empty are left out."""
        return page_link(self.request, self.program_id, page, **query)

    def curl(self, method: str, path: str, *, body: str = "", **query: object) -> str:
        """The command line that gives by the API what the page shows. ``path`` is percent-encoded."""
        url = with_query(f"{origin(self.request)}{self.request.path_prefix}{path}", query)
        headers = {"program-id": self.program_id}
        if body:
            headers["content-type"] = "application/json"
        return rendering.curl(method, url, headers=headers, body=body)

    def page(self, template: str, *, title: str, http_status: int = 200, **values: Any) -> Response:
        """A page with a template of the folder ``templates``."""
        return rendering.html(self.request, template, {**self.common(), "title": title, **values}, status=http_status)

    def part(self, template: str, **values: Any) -> Response:
        """A part of a page, without its frame."""
        return rendering.html(self.request, template, {**self.common(), **values})

    def common(self) -> dict[str, Any]:
        """What every template may use."""
        return {
            **frame_values(self.request),
            "visit": self,
            "program": self.state.program,
            "program_id": self.program_id,
            "token": self.token,
            "key": self.key,
            "now": self.now,
        }

    def see_other(self, page: str = "", /, **query: object) -> Response:
        """Send the browser to another page of this program, after a form was posted."""
        return redirect(self.request, self.link(page, **query))


@dataclass(frozen=True, slots=True)
class Route:
    """What answers ``method`` at ``page``, a path below the program's own, for keys with ``scope``."""

    method: str
    page: str
    scope: str
    answer: Callable[[Visit], Response]


def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form, the last of each name. Raises InvalidInput where it cannot be read."""
    if len(request.body) > MAX_FORM_BYTES:
        raise InvalidInput(f"A form may have {MAX_FORM_BYTES:,} bytes")
    try:
        return dict(
            parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
        )
    except ValueError as error:  # not UTF-8, or too many fields
        raise InvalidInput("The form cannot be read") from error


def page_link(request: Request, program_id: str, page: str = "", /, **query: object) -> str:
    """The address of a page of a program."""
    return with_query(f"{home(request)}/programs/{program_id}{'/' if page else ''}{page}", query)


def with_query(address: str, query: Mapping[str, object]) -> str:
    """The address with these parameters; those that are empty are left out."""
    written = urlencode({name: value for name, value in query.items() if value not in ("", None)}, doseq=True)
    return f"{address}?{written}" if written else address


def home(request: Request) -> str:
    """The console's own path, where the browser sees it."""
    return f"{request.path_prefix}{CONSOLE}"


def origin(request: Request) -> str:
    """Scheme and host that the browser called."""
    scheme = request.headers.get("x-forwarded-proto", "https")
    return f"{scheme}://{request.headers.get('host', 'localhost')}"


def frame_values(request: Request) -> dict[str, Any]:
    """What the frame of every page uses, also before anybody is signed in."""
    return {"home": home(request), "request": request}


def is_partial(request: Request) -> bool:
    """Whether a part of a page is asked for, to be put into it in place."""
    return request.headers.get("hx-request") == "true"


def redirect(request: Request, address: str, *, cookies: tuple[str, ...] = ()) -> Response:
    """Send the browser elsewhere, with GET. What asked for a part of a page has the whole page replaced."""
    if is_partial(request):
        return Response(204, b"", {"hx-redirect": address}, cookies=cookies)
    return Response(303, b"", {"location": address, "cache-control": "no-store"}, cookies=cookies)
