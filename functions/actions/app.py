"""GET /users/{user_id}/actions: what a user should do next. Hot: every import here is paid by a cold start."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.logic.recommendations import Recommender
from nextbest.logic.request_quota import RequestQuota
from nextbest.store.environment import open_artifacts, open_store
from nextbest.web.frame import respond
from nextbest.web.request import from_payload_v2

QUOTA = RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]))
ENDPOINT = ActionsEndpoint(Recommender(open_store(clock=time.time), open_artifacts(clock=time.time), QUOTA))
gc.freeze()  # what was imported stays for good: the collector need not look at it again


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    return respond(from_payload_v2(event), context, ENDPOINT, clock=time.time)
