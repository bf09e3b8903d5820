"""Requests to the console: assets, signing in and out, the choice of a program, and its pages."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit

from nextbest.console import assets, rendering, sessions
from nextbest.console.pages import ROUTES
from nextbest.console.visits import (
    CONSOLE,
    ConsoleServices,
    Route,
    Visit,
    form_of,
    frame_values,
    home,
    is_partial,
    redirect,
)
from nextbest.domain.access_keys import AccessKey
from nextbest.errors import (
    AlreadyExists,
    ArtifactError,
    Forbidden,
    InUse,
    InvalidInput,
    NextbestError,
    NotFound,
    TooManyRequests,
)
from nextbest.logic.authorization import SecretCredentials, open_program
from nextbest.logic.programs import opened_programs
from nextbest.web.request import Request
from nextbest.web.response import Response

_PROGRAM = re.compile(r"programs/(?P<program_id>[^/]+)(?:/(?P<page>.+))?")
_SAFE = ("GET", "HEAD")


class NotSignedIn(Forbidden):
    """There is no session, or one that has ended."""


class FormOutdated(Forbidden):
    """A form that did not come from a page of this session."""


class PageNotFound(NotFound):
    """No page has this address."""


class ConsoleEndpoints:
    """The pages. Implements ``web.frame.Endpoints``."""

    def __init__(self, services: ConsoleServices, routes: Iterable[Route] = ROUTES) -> None:
        self._services = services
        self._gate = services.recommender.gate
        self._routes = {(route.method, route.page): route for route in routes}

    def serve(self, request: Request, *, now: float) -> Response:
        """Answer a request. Raises NextbestError."""
        if request.path == "/":
            return self._root(request)
        path = request.path.removeprefix(CONSOLE).strip("/")
        if path.startswith("assets/"):
            return assets.answer(path, request)
        if request.method not in _SAFE:
            _require_own_site(request)
        match (request.method, path):
            case "GET", "sign-in":
                return self._sign_in_page(request)
            case "POST", "sign-in":
                return self._sign_in(request, now)
            case "GET", "enter":
                return self._enter(request, now)
        return self._of_somebody(request, path, now)

    def _of_somebody(self, request: Request, path: str, now: float) -> Response:
        """What takes a session."""
        cookie = sessions.session_cookie(request.cookies)
        if not cookie:
            raise NotSignedIn("Sign in first")
        try:
            session = sessions.unsealed(cookie, self._services.master_secret())
            key = self._gate.authenticate(session, now=now)
        except Forbidden as error:
            raise NotSignedIn("Your session has ended: sign in again") from error
        token = sessions.form_token(cookie, self._services.master_secret())
        form = form_of(request) if request.method == "POST" else {}
        if request.method not in _SAFE:
            _require_token(request, form, token)
        if (request.method, path) == ("POST", "sign-out"):
            gone = sessions.set_cookie("", path=home(request), host=request.headers.get("host", ""))
            return redirect(request, f"{home(request)}/sign-in", cookies=(gone,))
        if (request.method, path) == ("GET", ""):
            return self._programs(request, key, token)
        match = _PROGRAM.fullmatch(path)
        route = match and self._routes.get((request.method, match["page"] or ""))
        if match is None or route is None:
            raise PageNotFound("There is no such page")
        state = open_program(self._services.store, key, match["program_id"], route.scope)
        return route.answer(Visit(self._services, request, session, token, key, state, form, now))

    def _root(self, request: Request) -> Response:
        """Browsers are sent to the console; to other clients the API has nothing at ``/``, as ever."""
        if request.method in _SAFE and "text/html" in request.headers.get("accept", ""):
            return redirect(request, home(request))
        return Response(404, b'{"detail":"Not Found"}')

    def _programs(self, request: Request, key: AccessKey, token: str) -> Response:
        """The programs that the key opens; where it is one, that."""
        programs = opened_programs(self._services.store, key)
        if len(programs) == 1:
            return redirect(request, f"{home(request)}/programs/{programs[0].program_id}")
        values = {**frame_values(request), "title": "Programs", "programs": programs, "token": token, "key": key}
        return rendering.html(request, "programs.html", values)

    def _sign_in_page(self, request: Request, *, problem: str = "", status: int = 200) -> Response:
        following = _own_path(request, dict(request.query).get("next", ""))
        values = {**frame_values(request), "title": "Sign in", "problem": problem, "next": following}
        return rendering.html(request, "sign_in.html", values, status=status)

    def _sign_in(self, request: Request, now: float) -> Response:
        form = form_of(request)
        try:
            credentials = SecretCredentials.read(form.get("key", "").strip())
            key = self._gate.authenticate(credentials, now=now)
        except Forbidden:
            return self._sign_in_page(request, problem="This key is not known, or no longer works.", status=403)
        session = sessions.begin(key, credentials, now=now)
        return self._begin(request, session, _own_path(request, form.get("next", "")))

    def _enter(self, request: Request, now: float) -> Response:
        """Sign in with the ticket of a link that the start of a local stack printed."""
        if not self._services.is_local:
            raise PageNotFound("There is no such page")
        query = dict(request.query)
        session = sessions.admitted(query.get("ticket", ""), self._services.master_secret(), now=now)
        self._gate.authenticate(session, now=now)
        return self._begin(request, session, _own_path(request, query.get("next", "")))

    def _begin(self, request: Request, session: sessions.Session, following: str) -> Response:
        value = sessions.sealed(session, self._services.master_secret())
        cookie = sessions.set_cookie(value, path=home(request), host=request.headers.get("host", ""))
        return redirect(request, following or home(request), cookies=(cookie,))

    def refuse(self, error: NextbestError, request: Request, _now: float, /) -> Response:
        """The page that says what went wrong; who is not signed in, is sent to do so."""
        if isinstance(error, NotSignedIn):
            following = urlencode({"next": _address(request)}) if request.method in _SAFE else ""
            return redirect(request, f"{home(request)}/sign-in?{following}".rstrip("?"))
        status, heading = _status_of(error)
        message = error.message if status < 500 else "A service that this page needs did not answer. Please try again."
        values = {**frame_values(request), "title": heading, "heading": heading, "message": message}
        template = "problem.html" if is_partial(request) else "error.html"
        return rendering.html(request, template, values, status=status)


def _status_of(error: NextbestError) -> tuple[int, str]:
    """The HTTP status of an error, and what its page is called."""
    match error:
        case Forbidden():
            return 403, "Not allowed"
        case NotFound():
            return 404, "Not found"
        case AlreadyExists() | InUse():
            return 409, "Not possible now"
        case InvalidInput():
            return 400, "Not understood"
        case TooManyRequests():
            return 429, "Too many requests"
        case ArtifactError():
            return 500, "The model or catalogue cannot be read"
        case _:
            return 503, "Try again"


def _address(request: Request) -> str:
    """Path and query of a page, as the browser has it."""
    path = f"{request.path_prefix}{request.path}"
    return f"{path}?{urlencode(request.query)}" if request.query else path


def _own_path(request: Request, address: str) -> str:
    """``address``, if it is one of our pages; otherwise nothing: nobody is sent to other sites."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    is_ours = parts.path == home(request) or parts.path.startswith(f"{home(request)}/")
    is_plain = address.isascii() and address.isprintable() and "\\" not in address and " " not in address
    return address if is_ours and is_plain and not parts.scheme and not parts.netloc else ""


def _require_own_site(request: Request) -> None:
    """Browsers say whether a page of ours sent a form; those that do not, need our cookie, which is SameSite."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise FormOutdated("This form came from another site")


def _require_token(request: Request, form: Mapping[str, str], token: str) -> None:
    sent = request.headers.get("x-form-token") or form.get("token", "")
    if not hmac.compare_digest(sent.encode(), token.encode()):
        raise FormOutdated("This form is of an earlier session: load the page again")
