"""Everything that is neither hot nor bulk: the rest of the ActionHub API, and Personalize's control plane."""

from __future__ import annotations

import os
import time
from functools import cache
from random import SystemRandom
from typing import Any

from nextbest.actionhub.manage import Deployment, ManageEndpoints
from nextbest.aws.clients import dynamodb_client, lambda_client, lazily
from nextbest.aws.functions import AsynchronousFunction
from nextbest.logic.authorization import Gate
from nextbest.logic.segments import SegmentCache
from nextbest.personalize.control.dispatch import ControlPlaneEndpoints
from nextbest.personalize.control.resources import ControlPlane
from nextbest.store.cache import CatalogueCache
from nextbest.store.environment import master_secret, open_artifacts, open_store
from nextbest.store.idempotency import idempotency_records
from nextbest.web.frame import respond
from nextbest.web.request import from_payload_v2

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)
REBASE = AsynchronousFunction(lazily(lambda_client), os.environ["REBASE_FUNCTION_NAME"])
MASTER_SECRET = master_secret()
RANDOM = SystemRandom()
ACTIONHUB = ManageEndpoints(
    Deployment(
        store=STORE,
        artifacts=ARTIFACTS,
        catalogues=CatalogueCache(STORE, ARTIFACTS),
        segments=SegmentCache(STORE, ARTIFACTS),
        gate=Gate(STORE),
        start_rebase=lambda program_id: REBASE.start({"program_id": program_id}),
        start_segments=lambda program_id: REBASE.start({"program_id": program_id, "only": "segments"}),
        pause=time.sleep,
        idempotency=cache(lambda: idempotency_records(lazily(dynamodb_client), os.environ["TABLE_NAME"])),
        master_secret=MASTER_SECRET,
        random=RANDOM,
    )
)
CONTROL_PLANE = ControlPlaneEndpoints(
    STORE,
    os.environ["AWS_REGION"],
    lambda arns: ControlPlane(
        STORE,
        arns,
        lambda program_id, version: REBASE.start({"program_id": program_id, "solution_version": version}),
        lambda job: REBASE.start({"import_job": job}),
        RANDOM,
    ),
    MASTER_SECRET,
)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    request = from_payload_v2(event)
    # By path, not by route: SDKs send the control plane to /personalize/, which a gateway takes for another path.
    endpoints = CONTROL_PLANE if request.path.startswith("/personalize") else ACTIONHUB
    return respond(request, context, endpoints, clock=time.time)
