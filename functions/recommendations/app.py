"""POST /personalize/action-recommendations: GetActionRecommendations. Hot: a cold start pays for every import here."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from nextbest.logic.recommendations import Recommender
from nextbest.logic.request_quota import RequestQuota
from nextbest.personalize.runtime.action_recommendations import PersonalizeRuntimeEndpoints
from nextbest.store.environment import open_artifacts, open_master_secret, open_store
from nextbest.web.frame import respond
from nextbest.web.request import from_payload_v2

QUOTA = RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]))
RECOMMENDER = Recommender(open_store(clock=time.time), open_artifacts(clock=time.time), QUOTA)
ENDPOINTS = PersonalizeRuntimeEndpoints(RECOMMENDER, open_master_secret(clock=time.time))
gc.freeze()  # what was imported stays for good: the collector need not look at it again


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    return respond(from_payload_v2(event), context, ENDPOINTS, clock=time.time)
