"""The queues: what waits, what failed, and who may send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment
from tools.cli.doctor.policies import allows_service, refuses_plain_http


def check_queues(deployment: Deployment) -> Iterator[Finding]:
    """How many messages wait, and whether any failed for good."""
    waiting = _depth(deployment, deployment.queue_url)
    yield Finding("queue", f"{waiting} messages waiting")
    dead = _depth(deployment, deployment.dead_letters_url)
    fix = "./nextbest dead-letters list, then redrive (docs/operations.md, Dead letters)" if dead else ""
    yield Finding("dead letters", f"{dead}", fix)
    failed = _depth(deployment, deployment.failed_invocations_url)
    yield Finding("failed invocations", f"{failed}", "see docs/operations.md, Failed invocations" if failed else "")


def check_queue_policies(deployment: Deployment) -> Iterator[Finding]:
    """Whether the queues refuse plain HTTP, messages that fail are kept, and EventBridge may report what it lost."""
    attributes = {
        "queue": _attributes(deployment, deployment.queue_url),
        "dead letters": _attributes(deployment, deployment.dead_letters_url),
        "failed invocations": _attributes(deployment, deployment.failed_invocations_url),
    }
    policies = {name: json.loads(values.get("Policy") or "{}") for name, values in attributes.items()}
    for name, policy in policies.items():
        encrypted = refuses_plain_http(policy, "sqs:*")
        fix = "" if encrypted else "deploy again: its policy lets requests through that are not encrypted"
        yield Finding(name, f"reached over TLS only: {encrypted}", fix)
    redrive = json.loads(attributes["queue"].get("RedrivePolicy") or "{}")
    kept = redrive.get("deadLetterTargetArn") == attributes["dead letters"]["QueueArn"]
    fix = "" if kept else "deploy again: messages that keep failing are lost when they are 14 days old"
    yield Finding("queue", f"what keeps failing goes to the dead letters: {kept}", fix)
    reports = allows_service(policies["failed invocations"], "events.amazonaws.com", "sqs:SendMessage")
    fix = "" if reports else "deploy again: events of the bus that cannot be delivered are lost"
    yield Finding("failed invocations", f"EventBridge may send: {reports}", fix)


def _depth(deployment: Deployment, url: str) -> int:
    return int(_attributes(deployment, url, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])


def _attributes(deployment: Deployment, url: str, name: str = "All") -> Mapping[str, str]:
    response = deployment.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    attributes: Mapping[str, str] = response.get("Attributes", {})
    return attributes
