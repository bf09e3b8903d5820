"""POST /personalize/action-recommendations: GetActionRecommendations. Hot: a cold start pays for every import here."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from nextbest.errors import NextbestError
from nextbest.logic.recommendations import Serving
from nextbest.logic.request_quota import RequestQuota
from nextbest.personalize.protocol.errors import Protocol
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.personalize.protocol.wire import failure
from nextbest.personalize.runtime.action_recommendations import Recommender, answer
from nextbest.store.environment import open_artifacts, open_store
from nextbest.web.frame import Response, respond
from nextbest.web.request import Request

QUOTA = RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]))
RECOMMENDER = Recommender(Serving(open_store(clock=time.time), open_artifacts(clock=time.time), QUOTA))
MASTER_SECRET = os.environ["MASTER_SECRET"]
gc.freeze()  # what was imported stays for good: the collector need not look at it again


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    return respond(event, context, get_action_recommendations, refuse, clock=time.time)


def get_action_recommendations(request: Request, now: float, request_id: str) -> Response:
    """Recommend actions to the user named in the body."""
    caller = SignedCaller.of(request, MASTER_SECRET, now=now)
    found = answer(RECOMMENDER, request, caller, now=now, request_id=request_id)
    return Response(found.status, found.body, found.headers, found.fields)


def refuse(error: NextbestError, request_id: str) -> Response:
    """The contract's words for an error."""
    told = failure(error, protocol=Protocol.REST, request_id=request_id)
    return Response(told.status, told.body, told.headers, told.fields)
