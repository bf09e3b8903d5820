"""Events in: POST /events, and what Personalize clients put."""

from __future__ import annotations

import os
import time
from typing import Any

from nextbest.actionhub.errors import answer, render
from nextbest.actionhub.guard import key_before_values
from nextbest.actionhub.parsing import parse_post_events
from nextbest.aws.clients import sqs_client
from nextbest.aws.queue import SqsQueue
from nextbest.domain.access_keys import WRITE
from nextbest.errors import NextbestError
from nextbest.logic.authorization import authorize
from nextbest.logic.events import queue_events, store_events
from nextbest.logic.request_quota import RequestQuota
from nextbest.personalize.events import dispatch
from nextbest.personalize.protocol.errors import Protocol
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.personalize.protocol.wire import failure
from nextbest.store.cache import AccessKeyCache, CatalogueCache
from nextbest.store.environment import open_artifacts, open_store
from nextbest.web.frame import Response, respond
from nextbest.web.request import Request

STORE = open_store(clock=time.time)
ACCESS_KEYS = AccessKeyCache()
CATALOGUES = CatalogueCache(STORE, open_artifacts(clock=time.time))
QUOTA = RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]))
MASTER_SECRET = os.environ["MASTER_SECRET"]
PERSONALIZE = "POST /personalize"


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    if event["routeKey"].startswith(PERSONALIZE):
        return respond(event, context, put_records, refuse_put, clock=time.time)
    return respond(event, context, post_events, refuse, clock=time.time)


def post_events(request: Request, now: float, _request_id: str) -> Response:
    """Store the events, or queue them where the caller asks for that."""
    with key_before_values(STORE, ACCESS_KEYS, request, now=now):
        asked = parse_post_events(request, now=now)
    key = request.headers.get("actionhub-key")
    program = authorize(STORE, ACCESS_KEYS, key, asked.program_id, WRITE, now=now).state.program
    QUOTA.take(program.program_id, now=now)
    if asked.queue_updates:
        queue = SqsQueue(sqs_client(), os.environ["QUEUE_URL"])
        messages = queue_events(queue, program, asked.events, refresh_histories=asked.process_user_actions, now=now)
        body: dict[str, object] = {"result": f"queued {len(asked.events)} events", "queued": len(asked.events)}
        return Response(
            200, render(body), fields={"program": program.program_id, "queued": len(asked.events), "messages": messages}
        )
    stored = store_events(STORE, program, asked.events, refresh_histories=asked.process_user_actions)
    body = {
        "result": f"accepted {stored.accepted} events, {stored.duplicates} duplicates",
        "accepted": stored.accepted,
        "duplicates": stored.duplicates,
    }
    return Response(
        200,
        render(body),
        fields={"program": program.program_id, "accepted": stored.accepted, "duplicates": stored.duplicates},
    )


def refuse(error: NextbestError, _request_id: str) -> Response:
    """The contract's words for an error."""
    return Response(*answer(error))


def put_records(request: Request, now: float, request_id: str) -> Response:
    """What Personalize clients put: interactions, events, actions, users, items."""
    caller = SignedCaller.of(request, MASTER_SECRET, now=now)
    path = request.path.removeprefix("/personalize")
    found = dispatch.answer(STORE, CATALOGUES, request, caller, path=path, request_id=request_id)
    return Response(found.status, found.body, found.headers, found.fields)


def refuse_put(error: NextbestError, request_id: str) -> Response:
    """The words of Personalize's contract for an error."""
    told = failure(error, protocol=Protocol.REST, request_id=request_id)
    return Response(told.status, told.body, told.headers, told.fields)
