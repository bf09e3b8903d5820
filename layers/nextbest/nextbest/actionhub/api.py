"""The ActionHub API of the ``manage`` function: the resources put together, the OpenAPI document, the Swagger UI.

python -m nextbest.actionhub.api > docs/openapi.json
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.types import EventHandlerInstance

import nextbest
from nextbest.actionhub import (
    assets,
    experiments,
    hot_routes,
    import_locations,
    keys,
    labels,
    models,
    programs,
    reports,
    segments,
    users,
)
from nextbest.actionhub.manage import DOCUMENT_PATH, PAGE_PATH
from nextbest.actionhub.protocol import KEY_HEADER
from nextbest.actionhub.resolver import ActionHubResolver

ROUTERS = (
    hot_routes.actions_router,
    hot_routes.events_router,
    users.router,
    assets.router,
    labels.router,
    programs.router,
    models.router,
    import_locations.router,
    segments.router,
    experiments.router,
    reports.router,
    reports.decisions_router,
    keys.router,
)

_TAGS = {
    "users": "What users did, and what they should do next.",
    "events": "Events in.",
    "assets": "The things acted on.",
    "labels": "Labels and their weights.",
    "programs": "Tenants: one program, one goal.",
    "models": "How good the model is, and which version serves: an extension of the ActionHub API.",
    "segments": "Groups of users, for campaigns.",
    "experiments": "Holdouts and challengers: an extension of the ActionHub API.",
    "keys": "Access keys: an extension of the ActionHub API.",
}
_DESCRIPTION = """\
Send events, ask for actions. Two calls are enough to begin: `POST /events` and `GET /users/{user_id}/actions`.

Every call names a program in the header `program-id` and carries a key in the header `actionhub-key`."""


def actionhub_api() -> ActionHubResolver:
    """Every route of the API."""
    return ActionHubResolver(ROUTERS)


def describe(api: ActionHubResolver) -> None:
    """Add the two pages that describe the API; they need no key."""
    # Imported here: Powertools' models of OpenAPI take longer to import than most calls to answer.
    from aws_lambda_powertools.event_handler.openapi.models import APIKey, Tag

    api.configure_openapi(
        title="Nextbest: ActionHub API",
        version=nextbest.__version__,
        description=_DESCRIPTION,
        tags=[Tag(name=name, description=description) for name, description in _TAGS.items()],
        security_schemes={KEY_HEADER: APIKey.model_validate({"name": KEY_HEADER, "in": "header"})},
        security=[{KEY_HEADER: []}],
    )
    api.enable_swagger(path=PAGE_PATH, middlewares=[_secure_page])

    @api.get(DOCUMENT_PATH, include_in_schema=False)
    def get_document() -> HttpResponse[str]:
        return HttpResponse(200, "application/json", api.get_openapi_json_schema())


def document() -> str:
    """The OpenAPI document, as the committed file has it."""
    api = actionhub_api()
    describe(api)
    return json.dumps(json.loads(api.get_openapi_json_schema()), indent=2, ensure_ascii=False)


def _secure_page(app: EventHandlerInstance, page: NextMiddleware) -> HttpResponse[str]:
    """Let browsers run Swagger UI's own scripts, which the page carries, and load nothing from anywhere else."""
    response: HttpResponse[str] = page(app)
    if response.is_json() or response.body is None:
        return response
    # Swagger UI would send the document's address to a validator on the internet.
    response.body = response.body.replace("deepLinking: true,", "deepLinking: true, validatorUrl: null,", 1)
    scripts = re.findall(r"<script>(.*?)</script>", response.body, re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response


if __name__ == "__main__":
    print(document())
