"""GET /users/{user_id}/actions: what a user should do next. Hot: every import here is paid by a cold start."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from nextbest.actionhub.errors import USER_HISTORY_NOT_FOUND, answer, render
from nextbest.actionhub.guard import key_before_values
from nextbest.actionhub.parsing import parse_get_actions
from nextbest.actionhub.responses import user_actions
from nextbest.errors import NextbestError, NotFound
from nextbest.logic.recommendations import Serving
from nextbest.logic.request_quota import RequestQuota
from nextbest.store.environment import open_artifacts, open_store
from nextbest.web.frame import Response, respond
from nextbest.web.request import Request

QUOTA = RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]))
SERVING = Serving(open_store(clock=time.time), open_artifacts(clock=time.time), QUOTA)
gc.freeze()  # what was imported stays for good: the collector need not look at it again


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    return respond(event, context, get_actions, refuse, clock=time.time)


def get_actions(request: Request, now: float, _request_id: str) -> Response:
    """Recommend actions to the user named in the path."""
    with key_before_values(SERVING.store, SERVING.access_keys, request, now=now):
        asked = parse_get_actions(request)
    read, state = SERVING.read(asked.program_id, asked.user_id, request.headers.get("actionhub-key"), now=now)
    if read.history is None:
        raise NotFound(USER_HISTORY_NOT_FOUND)
    found = SERVING.recommend(
        state,
        read.history,
        now=now,
        limit=asked.limit,
        allow_repeats=asked.allow_repeats,
        explained=asked.explain,
    )
    body = user_actions(found.recommendations, found.catalogue.name_of, found.explanations)
    model = {"x-nextbest-model": found.model_version}
    return Response(
        200,
        render(body),
        model,
        {"program": asked.program_id, "model": found.model_version, "actions": len(found.recommendations)},
    )


def refuse(error: NextbestError, _request_id: str) -> Response:
    """The contract's words for an error."""
    return Response(*answer(error))
