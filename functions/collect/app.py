"""Events in: POST /events, and what Personalize clients put."""

from __future__ import annotations

import os
import time
from typing import Any

from nextbest.actionhub.events import EventsEndpoint
from nextbest.aws.clients import lazily, sqs_client
from nextbest.aws.queue import SqsQueue
from nextbest.logic.request_quota import RequestQuota
from nextbest.personalize.events.dispatch import PersonalizeEventsEndpoints
from nextbest.store.cache import CatalogueCache
from nextbest.store.environment import open_artifacts, open_master_secret, open_store_for_events
from nextbest.web.frame import respond
from nextbest.web.request import from_payload_v2

STORE = open_store_for_events(clock=time.time)
ACTIONHUB = EventsEndpoint(
    STORE,
    SqsQueue(lazily(sqs_client), os.environ["QUEUE_URL"]),
    RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"])),
)
PERSONALIZE = PersonalizeEventsEndpoints(
    STORE, CatalogueCache(STORE, open_artifacts(clock=time.time)), open_master_secret(clock=time.time)
)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    request = from_payload_v2(event)
    endpoints = PERSONALIZE if request.path.startswith("/personalize/") else ACTIONHUB
    return respond(request, context, endpoints, clock=time.time)
