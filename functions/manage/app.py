"""Everything that is neither hot nor bulk: the rest of the ActionHub API, and Personalize's control plane."""

from __future__ import annotations

import os
import time
from functools import cache
from random import SystemRandom
from typing import Any

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.actionhub.manage import Deployment, ManageEndpoints
from nextbest.aws.clients import dynamodb_client, lambda_client, lazily
from nextbest.aws.functions import AsynchronousFunction
from nextbest.domain.import_locations import ImportRules
from nextbest.logic.authorization import Gate
from nextbest.logic.programs import rebase_event
from nextbest.logic.recommendations import Recommender
from nextbest.logic.request_quota import RequestQuota
from nextbest.logic.segment_reading import SegmentCache
from nextbest.personalize.control.dispatch import ControlPlaneEndpoints
from nextbest.personalize.control.resources import ControlPlane
from nextbest.scoring import Model
from nextbest.store.cache import CatalogueCache, ModelCache
from nextbest.store.environment import open_artifacts, open_master_secret, open_store
from nextbest.store.idempotency import idempotency_records
from nextbest.web.frame import respond
from nextbest.web.request import from_payload_v2

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)
REBASE = AsynchronousFunction(lazily(lambda_client), os.environ["REBASE_FUNCTION_NAME"])
MASTER_SECRET = open_master_secret(clock=time.time)
RANDOM = SystemRandom()
QUOTA = RequestQuota(float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]))
IMPORT_RULES = ImportRules(os.environ["ARTIFACT_BUCKET"], os.environ["PROGRAM_FOLDERS_BUCKET"])


@cache
def actions() -> ActionsEndpoint:
    """The endpoint of the function ``actions``, for users whom only the default route reaches."""
    return ActionsEndpoint(Recommender(STORE, ARTIFACTS, QUOTA))


ACTIONHUB = ManageEndpoints(
    Deployment(
        store=STORE,
        artifacts=ARTIFACTS,
        catalogues=CatalogueCache(STORE, ARTIFACTS),
        models=ModelCache(ARTIFACTS, Model.from_bytes),
        segments=SegmentCache(STORE, ARTIFACTS),
        gate=Gate(STORE),
        start_rebase=lambda incarnation: REBASE.start(rebase_event(incarnation)),
        start_segments=lambda incarnation: REBASE.start(rebase_event(incarnation, only="segments")),
        start_report=lambda incarnation, **job: REBASE.start(rebase_event(incarnation, **job)),
        pause=time.sleep,
        idempotency=cache(lambda: idempotency_records(lazily(dynamodb_client), os.environ["TABLE_NAME"])),
        import_rules=IMPORT_RULES,
        master_secret=MASTER_SECRET,
        random=RANDOM,
    ),
    actions,
)
CONTROL_PLANE = ControlPlaneEndpoints(
    STORE,
    os.environ["AWS_REGION"],
    lambda arns: ControlPlane(
        STORE,
        arns,
        lambda incarnation, version: REBASE.start(rebase_event(incarnation, solution_version=version)),
        lambda incarnation, job: REBASE.start(rebase_event(incarnation, import_job=job)),
        lambda job_run: REBASE.start({"cancel_job_run": job_run}),
        RANDOM,
        ARTIFACTS,
        IMPORT_RULES,
    ),
    MASTER_SECRET,
)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    request = from_payload_v2(event)
    # By path, not by route: SDKs send the control plane to /personalize/, which a gateway takes for another path.
    endpoints = CONTROL_PLANE if request.path.startswith("/personalize") else ACTIONHUB
    return respond(request, context, endpoints, clock=time.time)
