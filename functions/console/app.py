"""The web console, in a browser."""

from __future__ import annotations

import os
import time
from random import SystemRandom
from typing import Any

from nextbest.aws.clients import cloudwatch_client, lambda_client, lazily, sqs_client
from nextbest.aws.functions import AsynchronousFunction
from nextbest.aws.queue import SqsQueue
from nextbest.console.endpoints import ConsoleEndpoints
from nextbest.console.visits import ConsoleServices
from nextbest.logic.health import longest_age_days
from nextbest.logic.programs import rebase_event
from nextbest.logic.recommendations import Recommender
from nextbest.logic.segment_reading import SegmentCache
from nextbest.store.dead_letters import SqsDeadLetters
from nextbest.store.environment import open_artifacts, open_master_secret, open_store
from nextbest.store.master_secret import is_local
from nextbest.store.traffic import CloudWatchTraffic
from nextbest.web.frame import respond
from nextbest.web.request import from_payload_v2

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)
REBASE = AsynchronousFunction(lazily(lambda_client), os.environ["REBASE_FUNCTION_NAME"])
SQS = lazily(sqs_client)
# A local stack has no CloudWatch.
TRAFFIC = None if is_local() else CloudWatchTraffic(lazily(cloudwatch_client), os.environ["METRICS_NAMESPACE"])


CONSOLE = ConsoleEndpoints(
    ConsoleServices(
        store=STORE,
        artifacts=ARTIFACTS,
        recommender=Recommender(STORE, ARTIFACTS),
        segments=SegmentCache(STORE, ARTIFACTS),
        start_rebase=lambda incarnation: REBASE.start(rebase_event(incarnation)),
        start_segments=lambda incarnation: REBASE.start(rebase_event(incarnation, only="segments")),
        start_report=lambda incarnation, **job: REBASE.start(rebase_event(incarnation, **job)),
        master_secret=open_master_secret(clock=time.time),
        queue=SqsQueue(SQS, os.environ["QUEUE_URL"]),
        dead_letters=SqsDeadLetters(SQS, os.environ["DEAD_LETTERS_URL"]),
        failed_invocations=SqsDeadLetters(SQS, os.environ["FAILED_INVOCATIONS_URL"]),
        traffic=TRAFFIC,
        longest_age_days=longest_age_days(
            os.environ["REBASE_SCHEDULE"], enabled=os.environ["REBASE_SCHEDULE_STATE"] == "ENABLED"
        ),
        program_requests_per_second=float(os.environ["PROGRAM_REQUESTS_PER_SECOND"]),
        random=SystemRandom(),
        is_local=is_local(),
    )
)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    return respond(from_payload_v2(event), context, CONSOLE, clock=time.time)
